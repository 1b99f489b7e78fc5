//! Reads wire bytes one value at a time. The encoding is the one that `postcard` has for the
//! equivalent serde type, and is read strictly.
//!
//! ```text
//! uN, N > 8    varint: 7 bits a byte, least significant first, high bit = more follow;
//!              shortest form only
//! sN, N > 8    varint of (n << 1) ^ (n >> N-1)
//! u8 s8 bool   one byte
//! f32 f64      4 or 8 bytes, little-endian bits
//! string       varint length in bytes, UTF-8
//! char         string of exactly one character
//! ```

use std::str;

/// Why wire bytes aren't a value of the expected type. `at` counts from the first byte of the
/// input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ValueError {
    /// The input ends inside a value.
    #[error("input ends at byte {at} inside a value; it was cut short or encoded for another type")]
    Truncated {
        /// Where the input ends.
        at: usize,
    },
    /// Bytes are left after the last value.
    #[error("{left} bytes are left over at byte {at}; the value was encoded for another type")]
    Trailing {
        /// Where the last value ends.
        at: usize,
        /// How many bytes follow.
        left: usize,
    },
    /// A varint isn't in its shortest form.
    #[error("varint before byte {at} is not in its shortest form")]
    Overlong {
        /// Just after the varint.
        at: usize,
    },
    /// An integer doesn't fit its type.
    #[error("integer before byte {at} doesn't fit {bits} bits")]
    Integer {
        /// Just after the byte that exceeds it.
        at: usize,
        /// Width of the expected type.
        bits: u32,
    },
    /// A bool is neither 0 nor 1.
    #[error("bool before byte {at} is {byte}, not 0 or 1")]
    Bool {
        /// Just after the bool.
        at: usize,
        /// The byte.
        byte: u8,
    },
    /// A string isn't UTF-8.
    #[error("string before byte {at} is not UTF-8")]
    Utf8 {
        /// Just after the string.
        at: usize,
    },
    /// A char isn't one character.
    #[error("char before byte {at} is not exactly one character")]
    Char {
        /// Just after the char.
        at: usize,
    },
    /// A variant, enum, option or result names a case that its type doesn't have.
    #[error("case {case} before byte {at} is out of range, the type has {cases}")]
    Case {
        /// Just after the case index.
        at: usize,
        /// The index given.
        case: u32,
        /// How many cases there are.
        cases: u32,
    },
    /// Flags have bits set that no label stands for.
    #[error("flags before byte {at} have bits beyond their {labels} labels")]
    Flags {
        /// Just after the flags.
        at: usize,
        /// How many labels there are.
        labels: u32,
    },
    /// A length is more than the rest of the input can hold.
    #[error("length {length} before byte {at} is more than the {left} bytes that follow can hold")]
    Length {
        /// Just after the length.
        at: usize,
        /// The length, in elements or bytes of a string.
        length: u64,
        /// Bytes that follow.
        left: usize,
    },
    /// A map has the same key twice.
    #[error("map before byte {at} repeats a key")]
    DuplicateKey {
        /// Just after the map.
        at: usize,
    },
    /// The byte at the place of a stream or handle isn't zero.
    #[error("the place of a handle before byte {at} is {byte}, not 0")]
    HandlePlace {
        /// Just after the byte.
        at: usize,
        /// The byte.
        byte: u8,
    },
    /// There are fewer handles than the value has places for.
    #[error("there is no handle for the place before byte {at}")]
    HandleMissing {
        /// Just after the place.
        at: usize,
    },
    /// A handle is of another kind or type than its place.
    #[error("handle {index} is {found}, and its place before byte {at} takes {expected}")]
    HandleType {
        /// Just after the place.
        at: usize,
        /// Which of the handles.
        index: usize,
        /// What it is.
        found: String,
        /// What its place takes.
        expected: String,
    },
    /// There are more handles than the value has places for.
    #[error("{handles} handles were passed for {places} places")]
    HandlesLeft {
        /// How many handles there are.
        handles: usize,
        /// How many places there are.
        places: usize,
    },
    /// A map reaches beyond the first 4 GiB.
    #[error("map before byte {at} reaches beyond the first 4 GiB; send less at once")]
    TooLong {
        /// Where that happens.
        at: usize,
    },
}

/// Reads values from the front of wire bytes.
#[derive(Debug)]
pub(super) struct Reader<'w> {
    wire: &'w [u8],
    at: usize,
}

impl<'w> Reader<'w> {
    pub(super) fn new(wire: &'w [u8]) -> Self {
        Self { wire, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Returns the current place in the 32 bits that are kept for each entry of a map.
    pub(super) fn place(&self) -> Result<u32, ValueError> {
        u32::try_from(self.at).map_err(|_| ValueError::TooLong { at: self.at })
    }

    fn left(&self) -> usize {
        self.wire.len() - self.at
    }

    pub(super) fn finish(&self) -> Result<(), ValueError> {
        match self.left() {
            0 => Ok(()),
            left => Err(ValueError::Trailing { at: self.at, left }),
        }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'w [u8], ValueError> {
        let end = self.at.checked_add(count);
        let bytes = end.and_then(|end| self.wire.get(self.at..end));
        let bytes = bytes.ok_or(ValueError::Truncated {
            at: self.wire.len(),
        })?;
        self.at += count;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, ValueError> {
        let byte = self.wire.get(self.at);
        let byte = *byte.ok_or(ValueError::Truncated {
            at: self.wire.len(),
        })?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        let rest = self.wire.get(self.at..).unwrap_or_default();
        let bytes = rest.first_chunk::<N>();
        let bytes = *bytes.ok_or(ValueError::Truncated {
            at: self.wire.len(),
        })?;
        self.at += N;
        Ok(bytes)
    }

    pub(super) fn bool(&mut self) -> Result<bool, ValueError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            byte => Err(ValueError::Bool { at: self.at, byte }),
        }
    }

    /// Reads an unsigned integer of `bits` (at most 64).
    #[inline]
    pub(super) fn uint(&mut self, bits: u32) -> Result<u64, ValueError> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(first.into());
        }
        self.long_uint(first, bits)
    }

    fn long_uint(&mut self, first: u8, bits: u32) -> Result<u64, ValueError> {
        let mut value = u64::from(first & 0x7f);
        let mut shift = 7;
        loop {
            let byte = self.byte()?;
            let digit = u64::from(byte & 0x7f);
            // The number of bits that still fit. It is less than 7 only for the last byte.
            let room = bits.saturating_sub(shift);
            if room == 0 || (room < 7 && digit >> room != 0) {
                return Err(ValueError::Integer { at: self.at, bits });
            }
            value |= digit << shift;
            shift += 7;
            if byte == 0 {
                return Err(ValueError::Overlong { at: self.at });
            }
            if byte < 0x80 {
                return Ok(value);
            }
        }
    }

    /// Reads a signed integer of `bits` (at most 64).
    pub(super) fn sint(&mut self, bits: u32) -> Result<i64, ValueError> {
        let zigzag = self.uint(bits)?;
        Ok((zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed()))
    }

    /// Reads the index of one of `cases`.
    pub(super) fn case(&mut self, cases: u32) -> Result<u32, ValueError> {
        let case = self.uint(32)? as u32;
        if case >= cases {
            return Err(ValueError::Case {
                at: self.at,
                case,
                cases,
            });
        }
        Ok(case)
    }

    /// Reads a number of elements that take at least `smallest` bytes each. Fails when they can't
    /// fit into the rest of the input.
    pub(super) fn length(&mut self, smallest: u64) -> Result<usize, ValueError> {
        self.length_before(smallest, 0)
    }

    /// Reads a number of elements like [`length`](Self::length), when at least `after` bytes have
    /// to follow them.
    pub(super) fn length_before(&mut self, smallest: u64, after: u64) -> Result<usize, ValueError> {
        let length = self.uint(64)?;
        let left = self.left();
        let bytes = length.checked_mul(smallest.max(1));
        match bytes.and_then(|bytes| bytes.checked_add(after)) {
            Some(bytes) if bytes <= left as u64 => Ok(length as usize),
            _ => Err(ValueError::Length {
                at: self.at,
                length,
                left,
            }),
        }
    }

    pub(super) fn str(&mut self) -> Result<&'w str, ValueError> {
        let length = self.length(1)?;
        let bytes = self.take(length)?;
        str::from_utf8(bytes).map_err(|_| ValueError::Utf8 { at: self.at })
    }

    pub(super) fn char(&mut self) -> Result<char, ValueError> {
        let mut chars = self.str()?.chars();
        match (chars.next(), chars.next()) {
            (Some(char), None) => Ok(char),
            _ => Err(ValueError::Char { at: self.at }),
        }
    }

    /// Reads up to 32 flags: a byte for 8 labels or fewer, and a varint otherwise.
    pub(super) fn flags(&mut self, labels: u32) -> Result<u32, ValueError> {
        let bits = match labels {
            0..=8 => self.byte()?.into(),
            9..=16 => self.uint(16)? as u32,
            _ => self.uint(32)? as u32,
        };
        if bits & !label_mask(labels) != 0 {
            return Err(ValueError::Flags {
                at: self.at,
                labels,
            });
        }
        Ok(bits)
    }
}

/// How the keys of a map are written. WIT has no other keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    /// `bool`, `u8`, `s8`.
    Byte,
    /// Other integers.
    Varint,
    /// `char`, `string`.
    Text,
}

impl Keys {
    /// Returns whether the keys that start at `places` in `wire` are all different. This is fast
    /// when they are already in order: numbers as they are written, text by its bytes.
    ///
    /// A place takes 4 bytes and an entry of a map at least 2, so a map's places never take more
    /// than twice its bytes.
    pub(super) fn differ(self, wire: &[u8], places: &mut [u32]) -> bool {
        let key = |place: &u32| self.key(wire.get(*place as usize..).unwrap_or_default());
        if places.is_sorted_by(|one, next| key(one) < key(next)) {
            return true;
        }
        places.sort_unstable_by_key(key);
        places.windows(2).all(|pair| key(&pair[0]) != key(&pair[1]))
    }

    /// Returns the key at the front of `wire`, which has one.
    fn key(self, wire: &[u8]) -> (u64, &[u8]) {
        let mut reader = Reader::new(wire);
        match self {
            Self::Byte => (reader.byte().unwrap_or_default().into(), &[]),
            Self::Varint => (reader.uint(64).unwrap_or_default(), &[]),
            Self::Text => {
                let text = reader.length(1).and_then(|length| reader.take(length));
                (0, text.unwrap_or_default())
            }
        }
    }
}

/// Returns the bits of all `labels`.
pub(super) fn label_mask(labels: u32) -> u32 {
    u32::MAX
        .checked_shr(32_u32.saturating_sub(labels))
        .unwrap_or(0)
}

#[inline]
pub(super) fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_sint(out: &mut Vec<u8>, value: i64) {
    put_uint(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

pub(super) fn put_str(out: &mut Vec<u8>, text: &str) {
    put_uint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn put_char(out: &mut Vec<u8>, char: char) {
    put_str(out, char.encode_utf8(&mut [0; 4]));
}

pub(super) fn put_flags(out: &mut Vec<u8>, labels: u32, bits: u32) {
    let bits = bits & label_mask(labels);
    match labels {
        0..=8 => out.push(bits as u8),
        _ => put_uint(out, bits.into()),
    }
}
