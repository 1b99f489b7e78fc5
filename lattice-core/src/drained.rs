//! How an orderly shutdown ended.

/// Whether the calls under way finished before the grace period was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it says whether calls were cut off"]
pub enum Drained {
    /// Every call finished.
    Clean,
    /// Some calls were still running and were cut off.
    CutOff,
}

impl Drained {
    /// Whether every call finished.
    pub fn is_clean(self) -> bool {
        self == Self::Clean
    }

    /// The result of two shutdowns: clean if both were.
    pub fn and(self, other: Self) -> Self {
        match self {
            Self::Clean => other,
            Self::CutOff => Self::CutOff,
        }
    }
}
