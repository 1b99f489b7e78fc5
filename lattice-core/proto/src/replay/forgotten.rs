//! Boots of hosts that a guard no longer remembers, so that their recorded frames aren't taken for
//! new ones.
//!
//! The guard no longer has the numbers that such a boot has used, so it can't distinguish its
//! frames from recordings. It refuses all of them until the host starts again. Each boot takes a
//! few bytes. Where even these become too many, they are replaced by a *floor*: boots up to the
//! highest epoch among them are refused unless they are known.

use crate::id::Origin;
use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
};

/// Boots that are remembered as forgotten.
#[derive(Debug)]
pub(super) struct Forgotten {
    /// The highest forgotten epoch of each host, by the hash of the host. The boots before it were
    /// outdated when it was forgotten.
    boots: HashMap<u64, u64>,
    most: usize,
    hasher: RandomState,
    /// The highest epoch in `boots`.
    highest: u64,
    floor: u64,
}

impl Forgotten {
    pub(super) fn with_capacity(most: usize) -> Self {
        Self {
            boots: HashMap::new(),
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
        let epoch = self
            .boots
            .entry(self.hasher.hash_one(&boot.host))
            .or_default();
        *epoch = boot.epoch.max(*epoch);
        self.highest = self.highest.max(boot.epoch);
    }

    /// Whether a boot that isn't known now was forgotten, or may have been.
    pub(super) fn contains(&self, boot: &Origin) -> bool {
        let of_host = self.boots.get(&self.hasher.hash_one(&boot.host));
        boot.epoch <= self.floor || of_host.is_some_and(|epoch| boot.epoch <= *epoch)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.boots.len()
    }
}
