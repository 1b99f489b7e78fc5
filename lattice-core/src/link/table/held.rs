//! Links that the store lost and that are kept.
//!
//! A store that was re-created, or that came back in an earlier state, lacks links that were not
//! deleted. They stay in the table until each is put or deleted, or all of them are released
//! together.

use super::LinkTable;
use crate::{
    link::{LinkChange, LinkEntry, LinkKey},
    store::Incarnation,
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

/// Why the table has a link that the store lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// The incarnation of the store that the link was written in.
    written_in: Incarnation,
    /// The incarnation that lacks the link without having deleted it.
    lacked_by: Incarnation,
}

/// How a store came to lack links that are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lacking {
    /// It is another store, or was re-created.
    Replaced,
    /// It is the same store in an earlier state.
    WentBack,
}

impl LinkTable {
    /// Returns the link with this key if the store has it too.
    pub(crate) fn stored(&self, key: &LinkKey) -> Option<&Arc<LinkEntry>> {
        self.entry(key).filter(|_| !self.is_held(key))
    }

    /// Returns whether this link is kept although the store lacks it, because the store came back
    /// replaced or in an earlier state.
    pub fn is_held(&self, key: &LinkKey) -> bool {
        !self.held.is_empty() && self.held.contains_key(key)
    }

    /// Returns how many links are [held](Self::is_held).
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Returns how the store came to lack the held links, if there are any.
    pub(crate) fn lacking(&self) -> Option<Lacking> {
        let replaced = |held: &Held| held.written_in != held.lacked_by;
        if self.held.is_empty() {
            None
        } else if self.held.values().any(replaced) {
            Some(Lacking::Replaced)
        } else {
            Some(Lacking::WentBack)
        }
    }

    /// Releases all held links: the store is accepted as it is.
    pub(crate) fn let_go(&mut self) -> Vec<LinkChange> {
        let held = std::mem::take(&mut self.held);
        let gone: Vec<_> = held
            .keys()
            .filter_map(|key| self.entry(key).cloned())
            .collect();
        gone.iter()
            .flat_map(|entry| self.exchange(Some(entry), None))
            .collect()
    }

    /// Holds the links of `older` that this store lacks although they were not deleted. In another
    /// incarnation of the store these are all missing links; in the same incarnation, those with a
    /// revision newer than the store's current one. A link whose value was refused still grants
    /// nothing.
    pub(super) fn hold(&mut self, older: &Self, refused: &HashSet<LinkKey>) {
        let now = self.incarnation;
        let mut held = BTreeMap::new();
        for entry in older.entries() {
            let key = &*entry.key;
            if self.entry(key).is_some() || refused.contains(key) {
                continue;
            }
            let known = older.held.get(key);
            let written_in = known.map_or(older.incarnation, |held| held.written_in);
            let lacked_before = known.is_some_and(|held| held.lacked_by == now);
            if lacked_before || written_in != now || entry.revision > self.revision {
                let lacked_by = now;
                held.insert(
                    key.clone(),
                    Held {
                        written_in,
                        lacked_by,
                    },
                );
                self.put_in(entry);
            }
        }
        self.held = Arc::new(held);
    }

    /// Stops holding a link, because the store now has an event for it. Returns whether it was
    /// held.
    pub(super) fn unhold(&mut self, key: &LinkKey) -> bool {
        self.is_held(key) && Arc::make_mut(&mut self.held).remove(key).is_some()
    }
}
