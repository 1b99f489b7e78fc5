//! What a store on disk needs of the state beside what one in memory does.

use super::{Slot, State};
use crate::store::{Incarnation, Revision, StoreKey};
use std::collections::BTreeMap;

impl State {
    /// The state that an earlier process has left.
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

    /// The revision of the last write.
    pub(in crate::store) fn revision(&self) -> Revision {
        self.revision
    }

    /// A key's last write.
    pub(in crate::store) fn slot(&self, key: &StoreKey) -> Option<&Slot> {
        self.slots.get(key)
    }

    /// How many slots end by themselves: at most as many revisions are taken without a commit.
    pub(in crate::store) fn ending(&self) -> usize {
        self.expiries.len()
    }
}
