//! The operations on the state that only a store on disk needs.

use super::{Slot, StoreContents};
use crate::store::{Incarnation, Revision, StoreKey};
use std::collections::BTreeMap;

impl StoreContents {
    /// Returns the state that an earlier process left.
    pub(in crate::store) fn restored(
        incarnation: Incarnation,
        revision: Revision,
        slots: BTreeMap<StoreKey, Slot>,
    ) -> Self {
        let ends = |(key, slot): (&StoreKey, &Slot)| Some((slot.ends?, key.clone()));
        Self {
            incarnation,
            revision,
            expiries: slots.iter().filter_map(ends).collect(),
            slots,
            ..Self::new()
        }
    }

    /// Returns the revision of the last write.
    pub(in crate::store) fn revision(&self) -> Revision {
        self.revision
    }

    /// Returns the last write of a key.
    pub(in crate::store) fn slot(&self, key: &StoreKey) -> Option<&Slot> {
        self.slots.get(key)
    }

    /// Returns how many slots end by themselves. Their ends take at most as many revisions outside
    /// of commits.
    pub(in crate::store) fn ending(&self) -> usize {
        self.expiries.len()
    }
}
