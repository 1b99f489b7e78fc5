//! Numbers of bytes.

use super::with_unit;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};
use std::{fmt, str::FromStr};

const UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// A number of bytes.
///
/// It is written as a whole number of its largest unit, and as `1000 bytes` when it is not a
/// multiple of 1,024. It is read as a whole number of `B`, `KiB`, `MiB`, `GiB` or `bytes`, with or
/// without spaces before the unit.
///
/// It is serialised as its number of bytes. In formats for people, such as TOML, it is deserialised
/// from a number of bytes or from text with one of the first four units.
///
/// ```
/// use lattice_proto::quantity::ByteSize;
///
/// assert_eq!("64MiB".parse(), Ok(ByteSize::mib(64)));
/// assert_eq!(ByteSize::mib(64).to_string(), "64 MiB");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// Why a text isn't a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid size `{0}`: write a whole number of B, KiB, MiB or GiB, such as `64MiB`")]
pub struct ByteSizeError(String);

impl ByteSize {
    /// Creates a size of that many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Creates a size in units of 1,024 bytes.
    pub const fn kib(kib: u64) -> Self {
        Self(kib.saturating_mul(1 << 10))
    }

    /// Creates a size in units of 1,024 KiB.
    pub const fn mib(mib: u64) -> Self {
        Self(mib.saturating_mul(1 << 20))
    }

    /// Creates a size in units of 1,024 MiB.
    pub const fn gib(gib: u64) -> Self {
        Self(gib.saturating_mul(1 << 30))
    }

    /// Returns the number of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Returns the number of bytes as a `usize`, or the largest `usize` if it doesn't fit.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Parses the forms that a manifest may use. Its schema has the same.
    fn from_text(text: &str) -> Result<Self, ByteSizeError> {
        let bytes = with_unit(text, &UNITS);
        bytes
            .map(Self)
            .ok_or_else(|| ByteSizeError(text.to_owned()))
    }

    /// Writes a whole number of one of these units, the larger ones first.
    fn write_in(self, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = units
            .iter()
            .find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit));
        match whole {
            Some((name, unit)) if *unit > 1 => write!(f, "{} {name}", self.0 / unit),
            _ => write!(f, "{} bytes", self.0),
        }
    }

    /// Writes it in MiB at most, as messages about [limits](crate::call::Limit) do.
    pub(crate) fn up_to_mib(self) -> impl fmt::Display {
        struct UpToMib(ByteSize);

        impl fmt::Display for UpToMib {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write_in(&UNITS[1..], f)
            }
        }
        UpToMib(self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_in(&UNITS, f)
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        Self::from_text(text).or_else(|error| {
            let bytes = with_unit(text, &[("bytes", 1)]);
            bytes.map(Self).ok_or(error)
        })
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Size;

        impl Visitor<'_> for Size {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"64MiB\", or a number of bytes")
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                let bytes = u64::try_from(bytes);
                bytes
                    .map(ByteSize)
                    .map_err(|_| E::custom("a size is not negative"))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                ByteSize::from_text(text).map_err(E::custom)
            }
        }
        if from.is_human_readable() {
            from.deserialize_any(Size)
        } else {
            from.deserialize_u64(Size)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_common_notations() {
        for (size, text) in [
            (ByteSize::bytes(0), "0 bytes"),
            (ByteSize::bytes(1_000), "1000 bytes"),
            (ByteSize::kib(1), "1 KiB"),
            (ByteSize::kib(1_536), "1536 KiB"),
            (ByteSize::mib(64), "64 MiB"),
            (ByteSize::gib(2), "2 GiB"),
            (ByteSize::bytes(u64::MAX), "18446744073709551615 bytes"),
        ] {
            assert_eq!(size.to_string(), text);
            assert_eq!(text.parse(), Ok(size));
        }
        assert_eq!(ByteSize::gib(2).up_to_mib().to_string(), "2048 MiB");
        assert_eq!(ByteSize::bytes(0).up_to_mib().to_string(), "0 bytes");
    }

    #[test]
    fn sizes_are_whole_numbers_with_a_known_unit() {
        for (text, size) in [
            ("0B", ByteSize::bytes(0)),
            ("7B", ByteSize::bytes(7)),
            ("64MiB", ByteSize::mib(64)),
            ("64  MiB", ByteSize::mib(64)),
            ("17179869183GiB", ByteSize::gib(17_179_869_183)),
        ] {
            assert_eq!(text.parse(), Ok(size), "{text}");
        }
        for text in [
            "",
            "64",
            "MiB",
            "-1B",
            "+1B",
            "1.5MiB",
            "64MB",
            "64mib",
            " 64MiB",
            "64MiB ",
            "17179869184GiB",
            "18446744073709551616B",
        ] {
            let error = text.parse::<ByteSize>().expect_err(text);
            let expected = format!(
                "invalid size `{text}`: write a whole number of B, KiB, MiB or GiB, such as `64MiB`"
            );
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_plain_number_is_a_size_in_bytes() {
        let size = ByteSize::kib(512);
        let golden = postcard::to_stdvec(&size).expect("encodes");
        assert_eq!(golden, b"\x80\x80\x20");
        assert_eq!(postcard::from_bytes(&golden), Ok(size));
        assert_eq!(serde_json::to_string(&size).expect("encodes"), "524288");
        let read = |json| serde_json::from_str::<ByteSize>(json).map_err(|error| error.to_string());
        assert_eq!(read("524288"), Ok(size));
        assert_eq!(read("\"512KiB\""), Ok(size));
        assert!(read("-1").is_err_and(|error| error.starts_with("a size is not negative")));
        assert!(
            read("\"512 bytes\"").is_err_and(|error| error.starts_with("invalid size `512 bytes`"))
        );
        assert!(read("true").is_err_and(|error| error.contains("a size such as \"64MiB\"")));
    }
}
