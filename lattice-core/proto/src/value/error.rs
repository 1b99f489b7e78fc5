//! Why a value could not be encoded or decoded.

/// Why a value could not be encoded or decoded. When decoding, the usual cause is that the two
/// sides disagree on its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The bytes end before the value does.
    #[error("the bytes end before the value does")]
    Truncated,
    /// The value ends before the bytes do.
    #[error("{count} bytes follow the value")]
    TrailingBytes {
        /// How many bytes are left.
        count: usize,
    },
    /// An integer is over-long or does not fit its type.
    #[error("an integer is over-long or out of range")]
    BadInteger,
    /// The byte of a `bool`, or the tag of an `Option`, is neither 0 nor 1.
    #[error("the byte of a bool or the tag of an option is {found}, neither 0 nor 1")]
    BadBool {
        /// The byte.
        found: u8,
    },
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    BadText,
    /// A `char` is not exactly one character.
    #[error("a char is not exactly one character")]
    BadChar,
    /// A list or map has more elements than bytes are left.
    #[error("a list of {count} elements does not fit into what is left")]
    BadCount {
        /// The count in the bytes.
        count: u64,
    },
    /// A list's elements take no bytes, so nothing bounds its count.
    #[error("a list of values that take no bytes can't be decoded; send its length as a number")]
    Weightless,
    /// A map has a duplicate key.
    #[error("a map has a duplicate key")]
    DuplicateKey,
    /// A map lies beyond the first 4 GiB.
    #[error("a map beyond the first 4 GiB of a value can't be decoded; send less at once")]
    TooLong,
    /// Values are nested too deeply.
    #[error("values are nested deeper than {limit}")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The type needs a self-describing encoding, which this one isn't.
    #[error(
        "the type needs a self-describing encoding, which this one isn't; use a type without `untagged`, `flatten` or `tag`"
    )]
    NeedsTypes,
    /// The type rejected the value.
    #[error("invalid value: {reason}")]
    Invalid {
        /// The type's error.
        reason: String,
    },
    /// The value can't be encoded.
    #[error("the value can't be encoded: {reason}")]
    Unencodable {
        /// Why.
        reason: String,
    },
}
