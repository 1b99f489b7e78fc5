//! One value per lane.

use crate::wire::{Lane, MAX_COALESCED};
use std::ops::Index;

/// Returns the lane of an envelope of about `size` bytes. Large ones travel apart, so that they
/// don't delay small ones.
pub(crate) fn lane_of(size: usize) -> Lane {
    if size > MAX_COALESCED {
        Lane::Bulk
    } else {
        Lane::Small
    }
}

/// A value for each lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByLane<T>([T; Lane::ALL.len()]);

impl<T> ByLane<T> {
    pub(crate) fn new(make: impl FnMut(Lane) -> T) -> Self {
        Self(Lane::ALL.map(make))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

impl<T> Index<Lane> for ByLane<T> {
    type Output = T;
    fn index(&self, lane: Lane) -> &T {
        &self.0[lane as usize]
    }
}
