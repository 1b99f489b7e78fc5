//! Why a value that a guest passed is refused.

use super::handles::Lifted;

/// Why a value that a guest passed is refused. This is a trap in that guest, unless an import
/// returns a value for arguments that are too large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LiftError {
    /// Arguments take more wire bytes than the store's hostcall fuel allows.
    #[error("the guest passed arguments over the size limit; pass less at once")]
    TooLarge,
    /// A result takes more wire bytes than the store's hostcall fuel allows.
    #[error("the guest returned a result over the size limit; return less at once")]
    ResultTooLarge,
    /// The guest may not make the host hold more of its values for now, or the host has no room.
    #[error(
        "the host has no room for what the guest passed; pass less at once, or make fewer calls at once"
    )]
    NoRoom,
    /// A pointer or length reaches outside of the guest's memory.
    #[error("the guest passed a pointer or length beyond its memory")]
    OutOfBounds,
    /// A pointer isn't aligned for what it points to.
    #[error("the guest passed a pointer that is not aligned to {align} bytes")]
    Misaligned {
        /// Alignment required.
        align: usize,
    },
    /// Text isn't in the guest's encoding.
    #[error("the guest passed a string that is not valid in its encoding")]
    Text,
    /// A number isn't a character.
    #[error("the guest passed {0:#x} as a char, which isn't a Unicode scalar value")]
    Char(u32),
    /// A discriminant names no case.
    #[error("the guest passed case {case} of a type that has {cases}")]
    Case {
        /// The discriminant.
        case: u32,
        /// How many cases there are.
        cases: u32,
    },
    /// A map has the same key twice.
    #[error("the guest passed a map that repeats a key")]
    DuplicateKey,
    /// A handle isn't one that the guest has, or can't be passed now.
    #[error("the guest passed a handle that it doesn't have, or can't pass now: {0}")]
    Handle(Box<str>),
    /// Arguments with handles in them were refused. The handles are lost.
    #[error(
        "the guest passed arguments with streams or handles that are over the size limit, or for which the host has no room"
    )]
    HandlesRefused,
    /// The type isn't one that a plan would have accepted.
    #[error("the guest passed a value of a type that isn't supported")]
    Unsupported,
}

impl LiftError {
    /// Returns the error for a result instead of arguments.
    pub(super) fn of_result(self) -> Self {
        match self {
            Self::TooLarge => Self::ResultTooLarge,
            other => other,
        }
    }
}

/// Why arguments were not copied out of a guest, although they may be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// They are over the size limit.
    TooLarge,
    /// There is no room for them now.
    NoRoom,
}

/// Returns arguments that were refused as a value, and other errors unchanged, because an import
/// may have a better reply to the former than a trap.
pub(super) fn unless_refused(
    lifted: Result<Lifted, LiftError>,
) -> Result<Result<Lifted, Refusal>, LiftError> {
    match lifted {
        Err(LiftError::TooLarge) => Ok(Err(Refusal::TooLarge)),
        Err(LiftError::NoRoom) => Ok(Err(Refusal::NoRoom)),
        lifted => lifted.map(Ok),
    }
}
