//! Errors of encoding and decoding envelopes.

use crate::{name::NameError, value::ValueError};

/// Why an envelope could not be decoded, or, for [`TooMany`](Self::TooMany), encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It is shorter than its fields.
    #[error("the envelope is cut short")]
    Truncated,
    /// A name in it breaks its rule.
    #[error("the envelope has an invalid {}", .0.what)]
    BadName(#[from] NameError),
    /// It uses something that this version doesn't know.
    #[error("the envelope has unknown {what} {number:#x}; update this host")]
    Unknown {
        /// The meaning of the number.
        what: &'static str,
        /// The number.
        number: u64,
    },
    /// It opens more channels than this version supports.
    #[error(
        "the envelope has {count} channels, which this version does not support; update this host"
    )]
    Channels {
        /// How many there are.
        count: u16,
    },
    /// Its fields contradict each other.
    #[error("the envelope's fields contradict each other")]
    Contradiction,
    /// Its body can't be decoded.
    #[error("the envelope's body can't be decoded")]
    Body(#[from] ValueError),
    /// It has more of something than is allowed.
    #[error("{count} {what} exceed the limit of {limit}")]
    TooMany {
        /// The thing that is counted.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// The limit.
        limit: usize,
    },
}
