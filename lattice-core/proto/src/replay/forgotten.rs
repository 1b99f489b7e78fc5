//! Boots of hosts that a guard no longer remembers, so that their recorded frames aren't taken for new
//! ones.
//!
//! What was seen of such a boot is lost, so nothing that it has sent or sends can be told from a
//! recording: all of it is refused, until the host starts again. Each boot takes a few bytes. Where
//! even these become too many, they are replaced by a *floor*: boots up to the highest epoch among
//! them are refused unless they are known.

use crate::id::Origin;
use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
};

/// Boots that are remembered as forgotten.
#[derive(Debug)]
pub(super) struct Forgotten {
    boots: HashSet<u64>,
    most: usize,
    hasher: RandomState,
    /// The highest epoch in `boots`.
    highest: u64,
    floor: u64,
}

impl Forgotten {
    pub(super) fn with_capacity(most: usize) -> Self {
        Self {
            boots: HashSet::new(),
            most,
            hasher: RandomState::new(),
            highest: 0,
            floor: 0,
        }
    }

    /// Adds a boot.
    pub(super) fn add(&mut self, boot: &Origin) {
        if self.boots.len() >= self.most {
            self.boots.clear();
            self.floor = self.highest;
        }
        self.boots.insert(self.hasher.hash_one(boot));
        self.highest = self.highest.max(boot.epoch);
    }

    /// Whether a boot that isn't known now was forgotten, or may have been.
    pub(super) fn contains(&self, boot: &Origin) -> bool {
        boot.epoch <= self.floor || self.boots.contains(&self.hasher.hash_one(boot))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.boots.len()
    }
}
