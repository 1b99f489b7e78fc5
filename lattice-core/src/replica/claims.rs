//! Who has claimed which lease, as this process has seen it.
//!
//! Anyone who reaches the store can remove the value of a lease, so a lease whose key has no value
//! isn't necessarily free. What proves that it has no holder is that none has renewed it for the
//! whole of its term, or that its holder has given it back. Both are seen here, because the store
//! delivers every renewal.

use crate::store::{
    Entry, Incarnation, KeyKind, Revision, StoreKey, WatchEvent,
    record::{Record, RecordError, Records},
};
use bytes::Bytes;
use std::collections::HashMap;
use tokio::time::Instant;

/// Most holders of one lease that are remembered. Each holds it for the length of a term at least.
const MAX_HOLDERS: usize = 8;

/// The claims to leases that were seen.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    followed_since: Option<Instant>,
    leases: HashMap<StoreKey, Seen>,
}

/// The claims of one lease that this process has seen.
#[derive(Debug, Default)]
struct Seen {
    claims: Vec<Claim>,
    present: Option<(Revision, Instant)>,
}

/// The last time that one holder claimed a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The encoded holder.
    pub(crate) holder: Bytes,
    /// When its last renewal arrived here, which is after it was written.
    pub(crate) at: Instant,
    generation: u64,
}

/// The claims to one lease.
#[derive(Debug, Clone, Default)]
pub(crate) struct LeaseClaims {
    /// Since when every claim has arrived here; `None` while the store is away.
    pub(crate) followed_since: Option<Instant>,
    /// The last claim of each holder that has not given the lease back.
    pub(crate) claims: Vec<Claim>,
    /// The revision of the value in the store, and when it was first seen.
    pub(crate) present: Option<(Revision, Instant)>,
}

impl Claims {
    /// Returns the claims to the lease at `key`.
    pub(crate) fn of(&self, key: &StoreKey) -> LeaseClaims {
        let seen = self.leases.get(key);
        LeaseClaims {
            followed_since: self.followed_since,
            claims: seen.map_or_else(Vec::new, |seen| seen.claims.clone()),
            present: seen.and_then(|seen| seen.present),
        }
    }

    /// Takes in the next event of the store, which is in this incarnation.
    pub(super) fn take(
        &mut self,
        records: &Records,
        incarnation: Incarnation,
        event: &WatchEvent,
        now: Instant,
    ) {
        match event {
            WatchEvent::Lost => self.followed_since = None,
            WatchEvent::Snapshot {
                incarnation,
                entries,
                ..
            } => {
                // Claims may have come and gone since the last event.
                self.followed_since = Some(now);
                let before = self.leases.iter_mut();
                let before: HashMap<_, _> = before
                    .filter_map(|(key, seen)| Some((key.clone(), seen.present.take()?)))
                    .collect();
                for entry in entries {
                    self.put(records, *incarnation, entry, now);
                    let same = before.get(&entry.key);
                    let same = same.filter(|(revision, _)| *revision == entry.revision);
                    if let (Some(same), Some(seen)) = (same, self.leases.get_mut(&entry.key)) {
                        seen.present = Some(*same);
                    }
                }
            }
            WatchEvent::Put(entry) => self.put(records, incarnation, entry, now),
            WatchEvent::Delete { key, .. } => {
                if let Some(seen) = self.leases.get_mut(key) {
                    seen.present = None;
                }
            }
            WatchEvent::Commit(changes) => {
                for change in changes {
                    self.take(records, incarnation, change, now);
                }
            }
        }
    }

    fn put(&mut self, records: &Records, incarnation: Incarnation, entry: &Entry, now: Instant) {
        if !matches!(entry.key.kind(), Some(KeyKind::Lease(_))) {
            return;
        }
        let opened = records.open(incarnation, entry);
        if matches!(opened, Err(RecordError::Forged { .. }))
            && !self.leases.contains_key(&entry.key)
        {
            // Values without a tag don't make this process remember leases.
            return;
        }
        let seen = self.leases.entry(entry.key.clone()).or_default();
        seen.present = Some((entry.revision, now));
        match opened {
            Ok(record) => seen.claim(record, now),
            // A release that is played again does not end the claims that came after it.
            Err(RecordError::Removed { generation, .. }) => {
                seen.claims.retain(|claim| claim.generation >= generation);
            }
            Err(_) => {}
        }
    }
}

impl Seen {
    fn claim(&mut self, record: Record<Bytes>, now: Instant) {
        let Record {
            generation, body, ..
        } = record;
        let known = self.claims.iter().find(|claim| claim.holder == body);
        // An old claim of the same holder that is played again doesn't make its last one older.
        let generation = known.map_or(generation, |known| known.generation.max(generation));
        self.claims.retain(|claim| claim.holder != body);
        if self.claims.len() >= MAX_HOLDERS {
            // Old claims that are played again don't replace the newest claim.
            let claims = self.claims.iter().enumerate();
            let lowest = claims.min_by_key(|(_, claim)| claim.generation);
            if let Some(at) = lowest.map(|(at, _)| at) {
                self.claims.swap_remove(at);
            }
        }
        self.claims.push(Claim {
            // A slice of a larger buffer would keep all of that buffer in memory.
            holder: Bytes::copy_from_slice(&body),
            at: now,
            generation,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::SCHEMA;

    impl Seen {
        fn claimed(&mut self, holder: u64, generation: u64) {
            let record = Record {
                schema: SCHEMA,
                generation,
                body: Bytes::from(format!("host {holder}")),
            };
            self.claim(record, Instant::now());
        }

        fn generation_of(&self, holder: u64) -> Option<u64> {
            let body = Bytes::from(format!("host {holder}"));
            let claim = self.claims.iter().find(|claim| claim.holder == body);
            claim.map(|claim| claim.generation)
        }
    }

    #[test]
    fn claims_that_are_played_again_replace_no_newer_claim() {
        let mut seen = Seen::default();
        seen.claimed(0, 1_000);
        for old in 1..=2 * MAX_HOLDERS as u64 {
            seen.claimed(old, old);
            // One of the same holder.
            seen.claimed(0, old);
        }
        assert_eq!(seen.claims.len(), MAX_HOLDERS);
        assert_eq!(seen.generation_of(0), Some(1_000));
    }
}
