//! Why an envelope does not decode.

use crate::{name::NameError, value::ValueError};

/// Why an envelope could not be decoded, or, for [`TooMany`](Self::TooMany), encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It is shorter than its fields.
    #[error("the envelope is cut short")]
    Truncated,
    /// A name in it breaks its rule.
    #[error("the envelope holds no valid {}", .0.what)]
    BadName(#[from] NameError),
    /// It is marked with something that this version does not know.
    #[error("the envelope has unknown {what} {number:#x}; update this host")]
    Unknown {
        /// What the number stands for.
        what: &'static str,
        /// The number.
        number: u64,
    },
    /// It opens streams or hands over handles, which this version cannot.
    #[error(
        "the envelope has {count} channels, which this version does not support; update this host"
    )]
    Channels {
        /// How many.
        count: u16,
    },
    /// Its body is not what it should be.
    #[error("the envelope's body does not decode")]
    Body(#[from] ValueError),
    /// It has more of something than is allowed.
    #[error("{count} {what} are over the limit of {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
}
