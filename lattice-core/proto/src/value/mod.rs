//! Arguments and results as bytes.
//!
//! The encoding of a serde type is that of `postcard` 1.x. The arguments of a call are the tuple of
//! its parameters, `(a,)` for one; the result is the one value that the function returns, or no
//! bytes for `()`.
//!
//! | type | bytes |
//! | --- | --- |
//! | struct, tuple, array | the fields, in order |
//! | enum | varint index of the variant, then its fields |
//! | `Option` | 0, or 1 and the value |
//! | `Vec`, map | varint count, then the elements, or keys and values in turn |
//! | `String`, [`Bytes`] | varint length, then the bytes |
//! | `u8`, `i8`, `bool` | one byte |
//! | other integers | varint, zigzag when signed |
//! | `f32`, `f64` | little-endian bits |
//! | `char` | as a string of one character |
//!
//! A value has exactly one encoding, and decoding accepts no other: trailing bytes, over-long
//! varints, invalid UTF-8, duplicate keys in a map, and indices and characters out of range are
//! errors. So are values nested deeper than 128, and lists of values that take no bytes (such as
//! `vec![(); 7]`), since nothing would bound their count. Decoding still accepts what a type itself
//! considers equal: the entries of a map in another order, duplicate elements of a set, a
//! `Duration` with more than a second of nanoseconds.
//!
//! # Memory
//! Decoding takes memory for what has been read, and never for what a count claims. The type
//! determines how much memory a byte becomes: an empty `String` is one byte here and 24 in memory,
//! and a `u64` below 128 is one byte here and eight in memory. Strings and [`Bytes`] take their
//! length. A list has capacity for up to twice the elements that have been read, and for half as
//! many more while it is moved. In addition, all lists being read together have capacity for 256
//! elements, or each of them for 4. A map takes what its type takes, and up to 24 bytes for each
//! key that has been read, to find duplicates. So use [`Bytes`] for bytes, and bound the length of
//! lists whose elements are much larger in memory than in bytes.
//!
//! Values that Lattice itself decodes (bodies, errors, links, their status) take at most twice
//! their bytes and 64 KiB, because its lists have a maximum length. Only published types are maps
//! of names as large as a component's interfaces.

pub mod bounded;
mod decode;
mod encode;
mod error;
mod read;

pub use error::ValueError;

use bytes::{Bytes, BytesMut};
use read::Reader;
use serde::{
    Serialize,
    de::{DeserializeOwned, DeserializeSeed},
};

/// A type that can be an argument or a result. Every type that serializes is.
pub trait Encode {
    /// Appends the encoded value to `buf`.
    ///
    /// # Errors
    /// Fails with [`ValueError::Unencodable`]. `buf` may then have a part of the value.
    fn encode(&self, buf: &mut BytesMut) -> Result<(), ValueError>;
}

/// A type that can be decoded from an argument or a result. Every type that deserializes without
/// borrowing is.
pub trait Decode: Sized {
    /// Decodes a value that is all of `bytes`.
    ///
    /// # Errors
    /// Fails with a [`ValueError`].
    fn decode(bytes: &Bytes) -> Result<Self, ValueError>;
}

impl<T: Serialize + ?Sized> Encode for T {
    fn encode(&self, buf: &mut BytesMut) -> Result<(), ValueError> {
        encode_into(self, buf)
    }
}

impl<T: DeserializeOwned> Decode for T {
    fn decode(bytes: &Bytes) -> Result<Self, ValueError> {
        let (value, rest) = decode::prefix(Reader::new(bytes))?;
        match rest {
            0 => Ok(value),
            count => Err(ValueError::TrailingBytes { count }),
        }
    }
}

/// Initial capacity, enough for what most calls carry.
const SMALL: usize = 64;

/// Encodes a value.
///
/// # Errors
/// [`ValueError::Unencodable`].
///
/// ```
/// use lattice_proto::value::{from_bytes, to_bytes};
///
/// let bytes = to_bytes(&("greeter", 300_u32))?;
/// assert_eq!(&bytes[..], b"\x07greeter\xac\x02");
/// assert_eq!(from_bytes::<(String, u32)>(&bytes)?, ("greeter".to_owned(), 300));
/// # Ok::<_, lattice_proto::value::ValueError>(())
/// ```
pub fn to_bytes<T: Encode + ?Sized>(value: &T) -> Result<Bytes, ValueError> {
    let mut buf = BytesMut::with_capacity(SMALL);
    value.encode(&mut buf)?;
    Ok(buf.freeze())
}

/// Decodes a value that is all of `bytes`.
///
/// # Errors
/// Fails with a [`ValueError`].
pub fn from_bytes<T: Decode>(bytes: &Bytes) -> Result<T, ValueError> {
    T::decode(bytes)
}

/// Decodes a value that is all of `bytes` and whose type is known only at run time, from `seed`.
///
/// # Errors
/// Fails with a [`ValueError`].
pub fn from_bytes_seed<'de, S: DeserializeSeed<'de>>(
    seed: S,
    bytes: &'de [u8],
) -> Result<S::Value, ValueError> {
    match decode::prefix_seed(seed, Reader::new(bytes))? {
        (value, 0) => Ok(value),
        (_, count) => Err(ValueError::TrailingBytes { count }),
    }
}

/// Appends the encoded value to `buf`.
pub fn encode_into<T: Serialize + ?Sized>(value: &T, buf: &mut BytesMut) -> Result<(), ValueError> {
    encode::append(value, buf)
}

/// Reads the value at the front of `bytes` and ignores what follows. Every element of its lists
/// takes at least `smallest` bytes.
pub fn read_prefix<T: DeserializeOwned>(bytes: &[u8], smallest: usize) -> Result<T, ValueError> {
    read_front(bytes, smallest).map(|(value, _)| value)
}

/// The same. Also returns the bytes that follow.
pub fn read_front<T: DeserializeOwned>(
    bytes: &[u8],
    smallest: usize,
) -> Result<(T, &[u8]), ValueError> {
    let (value, left) = decode::prefix(Reader::of_elements(bytes, smallest))?;
    Ok((value, &bytes[bytes.len() - left..]))
}
