//! Arguments and results as bytes.
//!
//! The encoding is the one that `postcard` 1.x gives a serde type. The arguments of a call are the tuple of its parameters,
//! `(a,)` for one; the result is the one value that the function returns, or nothing for `()`.
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
//! A value has exactly one encoding, and decoding takes no other: trailing bytes, over-long varints, invalid UTF-8, a key
//! twice in a map, indices and characters out of range are errors. So are lists of values that take no bytes (such as
//! `vec![(); 7]`), whose count nothing would bound, and values nested deeper than 128. What a type itself takes for the same
//! stays so: the entries of a map in another order, an element twice in a set, a `Duration` with over a second of nanoseconds.
//!
//! # Memory
//! What decoding holds follows what has been read, never what a count says. The type decides what a byte becomes: an empty
//! `String` is one byte here and 24 in memory, a `u64` below 128 eight. Strings and [`Bytes`] take what they hold. A list has
//! room for up to twice the elements that have been read, and while it moves there, for half as many more; beside that, all
//! lists being read together have room for 256 elements, or each for 4. A map takes what its type does, and up to 24 bytes for
//! each key that has been read, to find those that come twice. So take [`Bytes`] for bytes, and bound what a message may have
//! when its elements are much larger in memory.
//!
//! What Lattice itself reads this way (bodies, errors, links, their status) holds at most twice its bytes and 64 KiB, because
//! its lists end at a maximum. Only published types are maps of names as large as a component's interfaces.

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

/// What travels beside a value and not in its bytes: streams and handles, once they exist. Empty until then.
#[derive(Debug, Default)]
pub struct Channels(());

impl Channels {
    /// No channels.
    pub fn none() -> Self {
        Self(())
    }
}

/// What can be an argument or a result. Everything that serializes is.
pub trait Encode {
    /// Appends the encoded value to `buf`.
    ///
    /// # Errors
    /// [`ValueError::Unencodable`]; `buf` may hold a part of it.
    fn encode(&self, channels: &mut Channels, buf: &mut BytesMut) -> Result<(), ValueError>;
}

/// What can be read back from an argument or a result. Everything that deserializes without borrowing is.
pub trait Decode: Sized {
    /// Reads the value that is all of `bytes`.
    ///
    /// # Errors
    /// [`ValueError`].
    fn decode(channels: &mut Channels, bytes: &Bytes) -> Result<Self, ValueError>;
}

impl<T: Serialize + ?Sized> Encode for T {
    fn encode(&self, _: &mut Channels, buf: &mut BytesMut) -> Result<(), ValueError> {
        encode_into(self, buf)
    }
}

impl<T: DeserializeOwned> Decode for T {
    fn decode(_: &mut Channels, bytes: &Bytes) -> Result<Self, ValueError> {
        let (value, rest) = decode::prefix(Reader::new(bytes))?;
        match rest {
            0 => Ok(value),
            count => Err(ValueError::TrailingBytes { count }),
        }
    }
}

/// Room for what most calls carry, so that encoding it grows nothing.
const SMALL: usize = 64;

/// Encodes a value that needs no channels.
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
    value.encode(&mut Channels::none(), &mut buf)?;
    Ok(buf.freeze())
}

/// Decodes a value that needs no channels and is all of `bytes`.
///
/// # Errors
/// [`ValueError`].
pub fn from_bytes<T: Decode>(bytes: &Bytes) -> Result<T, ValueError> {
    T::decode(&mut Channels::none(), bytes)
}

/// Decodes a value that is all of `bytes` and whose type is known only at run time: `seed` knows it.
///
/// # Errors
/// [`ValueError`].
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

/// Reads the value at the front of `bytes`, whatever follows it. Every element of its lists takes at least `smallest` bytes.
pub fn read_prefix<T: DeserializeOwned>(bytes: &[u8], smallest: usize) -> Result<T, ValueError> {
    decode::prefix(Reader::of_elements(bytes, smallest)).map(|(value, _)| value)
}
