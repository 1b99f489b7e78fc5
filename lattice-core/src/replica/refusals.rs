//! Counts refused values, and logs each key once.

use crate::{store::StoreKey, sync::Mutex};
use std::{
    collections::HashSet,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// Most refused keys that are logged by name. Further ones are only counted.
const MAX_LOGGED: usize = 1_024;

/// Shared by the intake and the layers above, which refuse bodies that they can't interpret.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    count: AtomicU64,
    logged: Mutex<HashSet<StoreKey>>,
}

impl Refusals {
    /// Returns how many values were refused so far.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, key: &StoreKey, reason: &dyn fmt::Display) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut logged = self.logged.lock();
        if logged.contains(key) {
            return;
        }
        if logged.len() < MAX_LOGGED {
            logged.insert(key.clone());
            tracing::warn!(%key, %reason, "a value in the store is refused: a link there grants nothing, and anything else is frozen as it was; find out who wrote it, then put it again or delete it");
        } else if logged.len() == MAX_LOGGED {
            logged.insert(key.clone());
            tracing::warn!(
                "more values in the store are refused; they are only counted from here on"
            );
        }
    }
}
