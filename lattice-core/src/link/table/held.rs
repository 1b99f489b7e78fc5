//! Links that the store lost, and that are kept.
//!
//! A store that was made anew, or that came back as it was earlier, lacks links that nobody deleted. They stay in the table
//! until something is said of them: put, deleted, or let go of all together.

use super::LinkTable;
use crate::{
    link::{LinkChange, LinkEntry, LinkKey},
    store::Incarnation,
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

/// Why a link is here that the store has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// The life of the store that it was written in.
    written_in: Incarnation,
    /// The one that lacks it, and never said that it was deleted.
    lacked_by: Incarnation,
}

/// What the store is that lacks links which are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lacking {
    /// Another one, or the same one made anew.
    Replaced,
    /// The same one as it was earlier.
    WentBack,
}

impl LinkTable {
    /// The link with this key, if it is one that the store has too.
    pub(crate) fn stored(&self, key: &LinkKey) -> Option<&Arc<LinkEntry>> {
        self.entry(key).filter(|_| !self.is_held(key))
    }

    /// Whether this link is kept although the store has it not: it came back replaced, or as it was earlier.
    pub fn is_held(&self, key: &LinkKey) -> bool {
        !self.held.is_empty() && self.held.contains_key(key)
    }

    /// How many links are [held](Self::is_held).
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// What the store is, when links are held.
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

    /// Lets go of what is held: the store is right.
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

    /// Keeps the links of `older` that this store does not have although nobody deleted them: in another life of the store
    /// that is each of them, in the same life those that were written after what it has come to. What stands at a key and
    /// was refused is no grant, as ever.
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

    /// Whether something is said of a held link: then it is as the store has it.
    pub(super) fn unhold(&mut self, key: &LinkKey) -> bool {
        self.is_held(key) && Arc::make_mut(&mut self.held).remove(key).is_some()
    }
}
