//! Fences: which holder of a lease is meant.

use std::num::NonZeroU64;

/// The number of a lease grant. A later grant of the same lease has a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(NonZeroU64);

impl Fence {
    /// The fence with this number; `None` for 0, which on the wire stands for no fence.
    pub fn from_number(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// The number of a fence, and 0 for none, as on the wire.
    pub fn to_number(fence: Option<Self>) -> u64 {
        fence.map_or(0, |fence| fence.0.get())
    }
}
