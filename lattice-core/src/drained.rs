//! The result of an orderly shutdown.

/// Whether the running calls finished before the grace period ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it reports whether calls were cut off"]
pub enum Drained {
    /// Every call finished.
    Clean,
    /// Some calls were still running and were cut off.
    CutOff,
}

impl Drained {
    /// Returns whether every call finished.
    pub fn is_clean(self) -> bool {
        self == Self::Clean
    }

    /// Returns the result of two shutdowns: clean if both were.
    pub fn and(self, other: Self) -> Self {
        match self {
            Self::Clean => other,
            Self::CutOff => Self::CutOff,
        }
    }
}
