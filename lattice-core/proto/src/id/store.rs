//! Positions in the history of the store.

use serde::{Deserialize, Serialize};
use std::{fmt, num::NonZeroU64};

/// One life of a store, from its creation to its deletion. Revisions of different incarnations
/// can't be compared. The number is the creation time in nanoseconds since 1970, where the store
/// has one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// Returns whether both are known and name different lives of a store, or different stores.
    pub fn differs_from(self, other: Self) -> bool {
        self != other && self != Self::default() && other != Self::default()
    }
}

/// The position of a write in the order of all writes; 0 is before the first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Revision(pub u64);

/// The revision at which a lease was acquired. A call carries the fence of its target's lease, and
/// a holder with another fence refuses it. On the wire, zero means no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(NonZeroU64);

impl Fence {
    /// Returns the fence with this number, or `None` for zero, which means no lease.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// Returns the number of `fence` on the wire: zero for none.
    pub fn number(fence: Option<Self>) -> u64 {
        fence.map_or(0, |fence| fence.0.get())
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
