//! The primitives of the encoding, each with exactly one form.

use super::ValueError;
use serde::de;
use std::fmt;

/// Deepest nesting. Real types stay under 20. A recursive type nests as deep as the input makes it,
/// with one byte per level, and each level takes some hundred bytes of stack.
const MAX_DEPTH: usize = 128;

/// Elements for which all lists being read together may get capacity in advance: 64 KiB for
/// elements of 256 bytes.
const AHEAD: usize = 256;
/// The capacity that a `Vec` takes by itself for its first element.
const LEAST: usize = 4;

/// Reads values from the front of some bytes.
pub(super) struct Reader<'de> {
    input: &'de [u8],
    rest: &'de [u8],
    depth: usize,
    ahead: usize,
    smallest: usize,
    /// The start and end in the input of the keys of all maps being read, the innermost map's last.
    keys: Vec<(u32, u32)>,
}

impl<'de> Reader<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self::of_elements(bytes, 1)
    }

    /// A reader of a value whose lists have elements of at least `smallest` bytes.
    pub(super) fn of_elements(bytes: &'de [u8], smallest: usize) -> Self {
        Self {
            input: bytes,
            rest: bytes,
            depth: 0,
            ahead: AHEAD,
            smallest,
            keys: Vec::new(),
        }
    }

    /// How many bytes have not been read yet.
    #[inline]
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or(ValueError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'de [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(ValueError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(ValueError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Reads a varint of up to 64 bits in its only valid form: no zero byte at its end, no bits
    /// beyond `BITS`.
    #[inline]
    pub(super) fn varint<const BITS: u32>(&mut self) -> Result<u64> {
        match self.rest {
            [small @ ..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(*small))
            }
            _ => self.long_varint::<BITS>(),
        }
    }

    fn long_varint<const BITS: u32>(&mut self) -> Result<u64> {
        let longest = BITS.div_ceil(7);
        let mut value = 0;
        for (at, byte) in (0..longest).zip(self.rest) {
            let group = u64::from(byte & 0x7f);
            value |= group << (7 * at);
            if *byte >= 0x80 {
                continue;
            }
            let overlong = *byte == 0 && at > 0;
            let too_large = at + 1 == longest && group >> (BITS - 7 * at) != 0;
            if overlong || too_large {
                return Err(ValueError::BadInteger.into());
            }
            self.rest = &self.rest[at as usize + 1..];
            return Ok(value);
        }
        Err(if self.rest.len() < longest as usize {
            ValueError::Truncated.into()
        } else {
            ValueError::BadInteger.into()
        })
    }

    /// The same for 128 bits.
    pub(super) fn varint128(&mut self) -> Result<u128> {
        let mut value = 0_u128;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            let group = u128::from(byte & 0x7f);
            if shift == 126 && group >> 2 != 0 {
                return Err(ValueError::BadInteger.into());
            }
            value |= group << shift;
            match byte {
                0 if shift > 0 => return Err(ValueError::BadInteger.into()),
                0..0x80 => return Ok(value),
                _ => {}
            }
        }
        Err(ValueError::BadInteger.into())
    }

    pub(super) fn bool(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(ValueError::BadBool { found }.into()),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<&'de [u8]> {
        let length = self.varint::<64>()?;
        self.take(usize::try_from(length).map_err(|_| ValueError::Truncated)?)
    }

    pub(super) fn text(&mut self) -> Result<&'de str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| ValueError::BadText.into())
    }

    pub(super) fn char(&mut self) -> Result<char> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| ValueError::BadChar)?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(ValueError::BadChar.into()),
        }
    }

    /// Reads how many elements a list has. Each takes at least a byte, so the count is bounded by
    /// what is left.
    pub(super) fn count(&mut self) -> Result<usize> {
        let count = self.varint::<64>()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.rest.len() => Ok(count),
            _ => Err(ValueError::BadCount { count }.into()),
        }
    }

    /// Reads a list or map of `count` elements. `read` gets the number of elements for which it may
    /// reserve capacity.
    pub(super) fn counted<T>(
        &mut self,
        count: usize,
        read: impl FnOnce(&mut Self, usize) -> Result<T>,
    ) -> Result<T> {
        let room = self.room(count);
        let ahead = self.ahead;
        self.ahead = ahead.saturating_sub(room);
        let value = self.nested(|reader| read(reader, room));
        self.ahead = ahead;
        value
    }

    /// Returns for how many of `count` elements to reserve capacity at once. Few, since the bytes
    /// don't show how large elements are in memory; and `count` halved several times, so that a
    /// list which doubles its capacity ends with what it needs.
    fn room(&self, count: usize) -> usize {
        if self.smallest > 1 {
            return count.min(self.left() / self.smallest);
        }
        let most = self.ahead.max(LEAST);
        let mut room = count;
        while room > most {
            room = room.div_ceil(2);
        }
        room
    }

    /// Reads a key and remembers its position.
    pub(super) fn key<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let start = self.place()?;
        let key = read(self)?;
        self.keys.push((start, self.place()?));
        Ok(key)
    }

    fn place(&self) -> Result<u32> {
        u32::try_from(self.input.len() - self.left()).map_err(|_| ValueError::TooLong.into())
    }

    /// The number of keys read in maps that are still being read.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Forgets all keys except the first `known`. Fails if two of the forgotten keys are equal. A
    /// key has one encoding, so equal keys have equal bytes.
    pub(super) fn forget_keys(&mut self, known: usize) -> Result<()> {
        let bytes = |(start, end): (u32, u32)| &self.input[start as usize..end as usize];
        let keys = &mut self.keys[known..];
        keys.sort_unstable_by_key(|key| bytes(*key));
        let twice = keys.windows(2).any(|pair| bytes(pair[0]) == bytes(pair[1]));
        self.keys.truncate(known);
        if twice {
            return Err(ValueError::DuplicateKey.into());
        }
        Ok(())
    }

    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(ValueError::TooDeep { limit: MAX_DEPTH }.into());
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }
}

/// Reverses the zigzag encoding of a signed integer.
pub(super) fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

pub(super) type Result<T, E = Refusal> = std::result::Result<T, E>;

/// An error of the reader. Boxed, so that the result for every byte and element stays in registers.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) Box<ValueError>);

impl From<ValueError> for Refusal {
    #[cold]
    fn from(error: ValueError) -> Self {
        Self(Box::new(error))
    }
}

impl de::Error for Refusal {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        let reason = reason.to_string();
        ValueError::Invalid { reason }.into()
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
