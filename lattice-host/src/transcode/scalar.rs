//! The types that are one core value: their size in memory, and their encoding on the wire.

use super::wire::{Keys, Reader, ValueError, put_char, put_sint, put_uint};

/// A type that is one core value, except for enums and flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    F32,
    F64,
    Char,
}

/// A number that isn't a character.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidChar(pub(super) u32);

impl Scalar {
    /// Returns the size in memory, in bytes. It is also the alignment.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Bool | Self::S8 | Self::U8 => 1,
            Self::S16 | Self::U16 => 2,
            Self::S32 | Self::U32 | Self::F32 | Self::Char => 4,
            Self::S64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// Returns the smallest size on the wire, in bytes.
    pub(super) fn smallest(self) -> usize {
        match self {
            Self::F32 | Self::F64 => self.size(),
            Self::Char => 2,
            _ => 1,
        }
    }

    /// Returns whether any bytes in memory are a value, with the same bytes on the wire. Arrays of
    /// such values are copied as a whole.
    pub(super) fn is_plain(self) -> bool {
        matches!(self, Self::S8 | Self::U8 | Self::F32 | Self::F64)
    }

    /// Returns how values are written as keys of a map. `None` for floats, which can't be keys.
    pub(super) fn as_keys(self) -> Option<Keys> {
        match self {
            Self::Bool | Self::S8 | Self::U8 => Some(Keys::Byte),
            Self::S16 | Self::U16 | Self::S32 | Self::U32 | Self::S64 | Self::U64 => {
                Some(Keys::Varint)
            }
            Self::Char => Some(Keys::Text),
            Self::F32 | Self::F64 => None,
        }
    }

    /// Reads a value as the core value that it becomes, zero-extended to 64 bits.
    #[inline]
    pub(super) fn read(self, reader: &mut Reader<'_>) -> Result<u64, ValueError> {
        Ok(match self {
            Self::Bool => reader.bool()?.into(),
            Self::U8 => reader.byte()?.into(),
            Self::S8 => as_i32(reader.byte()?.cast_signed().into()),
            Self::U16 => reader.uint(16)?,
            Self::S16 => as_i32(reader.sint(16)?),
            Self::U32 => reader.uint(32)?,
            Self::S32 => as_i32(reader.sint(32)?),
            Self::U64 => reader.uint(64)?,
            Self::S64 => reader.sint(64)?.cast_unsigned(),
            Self::F32 => u32::from_le_bytes(reader.array()?).into(),
            Self::F64 => u64::from_le_bytes(reader.array()?),
            Self::Char => u32::from(reader.char()?).into(),
        })
    }

    /// Writes the value of a core value, whose upper bits may be undefined.
    #[inline]
    pub(super) fn write(self, bits: u64, wire: &mut Vec<u8>) -> Result<(), InvalidChar> {
        match self {
            Self::Bool => wire.push((bits != 0).into()),
            Self::S8 | Self::U8 => wire.push(bits as u8),
            Self::U16 => put_uint(wire, (bits as u16).into()),
            Self::S16 => put_sint(wire, (bits as i16).into()),
            Self::U32 => put_uint(wire, (bits as u32).into()),
            Self::S32 => put_sint(wire, (bits as i32).into()),
            Self::U64 => put_uint(wire, bits),
            Self::S64 => put_sint(wire, bits.cast_signed()),
            Self::F32 => wire.extend_from_slice(&(bits as u32).to_le_bytes()),
            Self::F64 => wire.extend_from_slice(&bits.to_le_bytes()),
            Self::Char => {
                let code = bits as u32;
                put_char(wire, char::from_u32(code).ok_or(InvalidChar(code))?);
            }
        }
        Ok(())
    }
}

/// Returns a signed number of up to 32 bits as the `i32` it becomes.
fn as_i32(value: i64) -> u64 {
    (value as i32).cast_unsigned().into()
}

/// Returns the size in memory, in bytes, of flags with up to 32 labels.
pub(super) fn flags_size(labels: u32) -> usize {
    match labels {
        0..=8 => 1,
        9..=16 => 2,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Scalar; 12] = [
        Scalar::Bool,
        Scalar::S8,
        Scalar::U8,
        Scalar::S16,
        Scalar::U16,
        Scalar::S32,
        Scalar::U32,
        Scalar::S64,
        Scalar::U64,
        Scalar::F32,
        Scalar::F64,
        Scalar::Char,
    ];

    #[test]
    fn zero_has_the_smallest_size_and_is_read_back() {
        for scalar in ALL {
            let mut wire = Vec::new();
            assert_eq!(scalar.write(0, &mut wire), Ok(()), "{scalar:?}");
            assert_eq!(wire.len(), scalar.smallest(), "{scalar:?}");
            assert_eq!(scalar.read(&mut Reader::new(&wire)), Ok(0), "{scalar:?}");
        }
    }

    #[test]
    fn plain_scalars_have_the_same_bytes_in_memory_and_on_the_wire() {
        let bits = 0x8182_8384_8586_8788_u64;
        for scalar in ALL.into_iter().filter(|scalar| scalar.is_plain()) {
            let mut wire = Vec::new();
            assert_eq!(scalar.write(bits, &mut wire), Ok(()), "{scalar:?}");
            assert_eq!(wire, bits.to_le_bytes()[..scalar.size()], "{scalar:?}");
        }
    }

    #[test]
    fn a_number_that_is_not_a_character_is_not_written() {
        let mut wire = Vec::new();
        let refused = Scalar::Char.write(0xd800, &mut wire);
        assert_eq!(refused, Err(InvalidChar(0xd800)));
        assert!(wire.is_empty());
    }
}
