//! Why a secret can't be read or written.

use super::MAX_SECRET;
use crate::{
    links::WriteError,
    name::{NameError, SecretName},
    quantity::ByteSize,
};

/// Why a secret was not read, set or deleted. No error has a value in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The name breaks its rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The lattice has no key to seal secrets with. Nothing was written.
    #[error(
        "this lattice has no key, so it can't seal secrets; make one with `lattice key new`, and give it to every process"
    )]
    NoKey,
    /// The value is too large. Nothing was written.
    #[error(
        "the secret `{name}` would have {size} and the limit is {MAX_SECRET}; keep what is larger in a file, and its key here"
    )]
    TooLarge {
        /// The name.
        name: SecretName,
        /// How large the value is.
        size: ByteSize,
    },
    /// There is no such secret.
    #[error(
        "there is no secret `{name}`; `lattice secret list` shows the existing ones, `lattice secret set {name}` makes it"
    )]
    NotFound {
        /// The name.
        name: SecretName,
    },
    /// The record of the secret can't be read, and never was.
    #[error("the record of the secret `{name}` can't be read: {reason}")]
    Unreadable {
        /// The name.
        name: SecretName,
        /// What is wrong with it, and what to do about it.
        reason: String,
    },
    /// The store did not accept the write, or can't be read.
    #[error(transparent)]
    Write(#[from] WriteError),
}
