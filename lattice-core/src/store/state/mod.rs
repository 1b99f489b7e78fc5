//! The contents of a store in this process, and the log that its watches read. Pure: it gets
//! the time as an argument and owns no task.

mod follow;
#[cfg(feature = "disk")]
mod restore;

pub(super) use follow::{Followed, Look, follow};

use crate::store::{
    CommitError, Entry, Expect, Incarnation, MARKER_TTL, Op, Position, Revision, StoreKey,
    WatchEvent,
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// Changes that a slow watcher can still catch up with. A watcher that is further behind gets a
/// snapshot, which costs a copy of every entry. The number is a little more than the largest
/// commit, so that one commit never makes a watcher fall behind.
const LOG_CHANGES: usize = 1_500;
/// Most bytes of values that the log keeps alive, however many changes it has.
const LOG_BYTES: usize = 16 * 1024 * 1024;

/// Every entry, and the changes that led to it.
pub struct StoreContents {
    incarnation: Incarnation,
    revision: Revision,
    slots: BTreeMap<StoreKey, Slot>,
    /// Every slot that ends by itself, ordered by its end.
    expiries: BTreeSet<(Instant, StoreKey)>,
    log: VecDeque<Logged>,
    log_bytes: usize,
    out_of_reach: bool,
    /// Counts the outages and wipes, each of which makes every watch start over.
    epoch: u64,
}

/// One change in the log.
struct Logged {
    change: WatchEvent,
    /// Whether it is the last one of its commit.
    ends: bool,
}

/// A key's last write.
pub(super) struct Slot {
    pub(super) revision: Revision,
    /// `None` in a marker: the key was deleted or has expired.
    pub(super) value: Option<Bytes>,
    pub(super) ends: Option<Instant>,
}

/// How far one watch has read.
#[derive(Default)]
pub struct Cursor {
    /// The epoch of the snapshot that it was given, if any, and the last revision that it has seen.
    position: Option<(u64, Revision)>,
    reported_lost: bool,
}

impl Default for StoreContents {
    fn default() -> Self {
        Self::new()
    }
}

impl StoreContents {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self {
            incarnation: born_after(Incarnation::default()),
            revision: Revision::default(),
            slots: BTreeMap::new(),
            expiries: BTreeSet::new(),
            log: VecDeque::new(),
            log_bytes: 0,
            out_of_reach: false,
            epoch: 0,
        }
    }

    /// Returns the incarnation of the store.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Returns the incarnation of the store and its last revision.
    pub(super) fn position(&self) -> Position {
        Position {
            incarnation: self.incarnation,
            newest: Some(self.revision),
        }
    }

    pub(super) fn is_out_of_reach(&self) -> bool {
        self.out_of_reach
    }

    pub(super) fn disconnect(&mut self) {
        self.out_of_reach = true;
        self.epoch += 1;
    }

    pub(super) fn reconnect(&mut self) {
        self.out_of_reach = false;
    }

    pub(super) fn wipe(&mut self) {
        *self = Self {
            incarnation: born_after(self.incarnation),
            out_of_reach: self.out_of_reach,
            epoch: self.epoch + 1,
            ..Self::new()
        };
    }

    /// Returns the entry at a key.
    pub fn read(&self, key: &StoreKey) -> Option<Entry> {
        entry(key, self.slots.get(key)?)
    }

    /// Applies all operations, or none when a key is not as expected.
    pub fn commit(
        &mut self,
        ops: Vec<Op>,
        ttl: Option<Duration>,
        now: Instant,
    ) -> Result<Revision, CommitError> {
        self.check(&ops)?;
        Ok(self.apply(ops, ttl, now))
    }

    /// Checks that every key is as its operation expects.
    pub(super) fn check(&self, ops: &[Op]) -> Result<(), CommitError> {
        match ops.iter().find(|op| !self.holds(op)) {
            Some(op) => Err(CommitError::Conflict {
                key: op.key.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Applies operations that passed [`check`](Self::check), each with the next revision. Returns
    /// the revision of the last one.
    pub(super) fn apply(&mut self, ops: Vec<Op>, ttl: Option<Duration>, now: Instant) -> Revision {
        let last = ops.len().saturating_sub(1);
        for (at, op) in ops.into_iter().enumerate() {
            let ttl = Self::term(&op, ttl);
            self.write(op.key, op.value, ttl.map(|ttl| now + ttl), at == last);
        }
        self.revision
    }

    /// Returns how long a write by `op` lasts; `None` means for good.
    pub(super) fn term(op: &Op, ttl: Option<Duration>) -> Option<Duration> {
        if op.value.is_some() {
            op.ttl.or(ttl)
        } else {
            Some(MARKER_TTL)
        }
    }

    /// Ends every lease whose time has come and forgets old markers. Returns the keys of both.
    pub fn expire(&mut self, now: Instant) -> Vec<StoreKey> {
        let mut aged = Vec::new();
        while self.next_expiry().is_some_and(|at| at <= now) {
            let Some((at, key)) = self.expiries.pop_first() else {
                break;
            };
            aged.push(key.clone());
            match self.slots.remove(&key) {
                Some(slot) if slot.value.is_some() => {
                    self.write(key, None, Some(at + MARKER_TTL), true);
                }
                _ => {}
            }
        }
        aged
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// Returns the next event for the watch at `cursor`, or `None` when it is up to date.
    pub fn next(&self, cursor: &mut Cursor) -> Option<WatchEvent> {
        if self.out_of_reach {
            cursor.position = None;
            let reported = std::mem::replace(&mut cursor.reported_lost, true);
            return (!reported).then_some(WatchEvent::Lost);
        }
        cursor.reported_lost = false;
        let log_begins = self.revision.0 - self.log.len() as u64;
        match &mut cursor.position {
            Some((epoch, known)) if *epoch == self.epoch && known.0 >= log_begins => {
                let mut changes = Vec::new();
                for logged in self.log.range((known.0 - log_begins) as usize..) {
                    changes.push(logged.change.clone());
                    if logged.ends {
                        break;
                    }
                }
                known.0 += changes.len() as u64;
                WatchEvent::of_commit(changes)
            }
            position => {
                *position = Some((self.epoch, self.revision));
                Some(self.snapshot())
            }
        }
    }

    fn snapshot(&self) -> WatchEvent {
        WatchEvent::Snapshot {
            incarnation: self.incarnation,
            revision: self.revision,
            entries: self
                .slots
                .iter()
                .filter_map(|(key, slot)| entry(key, slot))
                .collect(),
        }
    }

    fn holds(&self, op: &Op) -> bool {
        let slot = self.slots.get(&op.key);
        match op.expect {
            Expect::Any => true,
            Expect::Absent => slot.is_none_or(|slot| slot.value.is_none()),
            Expect::At(revision) => slot.is_some_and(|slot| slot.revision == revision),
        }
    }

    /// Writes a key. `is_last` is true for the last write of its commit.
    fn write(&mut self, key: StoreKey, value: Option<Bytes>, ends: Option<Instant>, is_last: bool) {
        self.revision.0 += 1;
        let slot = Slot {
            revision: self.revision,
            value,
            ends,
        };
        let change = entry(&key, &slot).map_or_else(
            || WatchEvent::Delete {
                key: key.clone(),
                revision: slot.revision,
            },
            WatchEvent::Put,
        );
        self.note(change, is_last);
        if let Some(at) = ends {
            self.expiries.insert((at, key.clone()));
        }
        if let Some(at) = self
            .slots
            .insert(key.clone(), slot)
            .and_then(|old| old.ends)
            && Some(at) != ends
        {
            self.expiries.remove(&(at, key));
        }
    }

    fn note(&mut self, change: WatchEvent, ends: bool) {
        self.log_bytes += size(&change);
        self.log.push_back(Logged { change, ends });
        while self.log.len() > LOG_CHANGES || self.log_bytes > LOG_BYTES {
            let Some(oldest) = self.log.pop_front() else {
                return;
            };
            self.log_bytes -= size(&oldest.change);
        }
    }
}

fn entry(key: &StoreKey, slot: &Slot) -> Option<Entry> {
    Some(Entry {
        key: key.clone(),
        value: slot.value.clone()?,
        revision: slot.revision,
    })
}

fn size(change: &WatchEvent) -> usize {
    match change {
        WatchEvent::Put(entry) => entry.value.len(),
        _ => 0,
    }
}

/// Returns the time in nanoseconds since 1970, or a little more if the clock did not move since
/// `before`.
fn born_after(before: Incarnation) -> Incarnation {
    let now = crate::entropy::since_1970().as_nanos() as u64;
    Incarnation(now.max(before.0 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> StoreKey {
        StoreKey::for_test(text)
    }

    fn put(state: &mut StoreContents, name: &str, size: usize) {
        let op = Op::put(key(name), vec![0; size], Expect::Any);
        state
            .commit(vec![op], None, Instant::now())
            .expect("expects nothing");
    }

    #[test]
    fn a_watch_reads_the_log_and_receives_a_snapshot_when_it_lags_behind_the_log() {
        let mut state = StoreContents::new();
        let mut cursor = Cursor::default();
        put(&mut state, "a", 1);
        assert!(matches!(
            state.next(&mut cursor),
            Some(WatchEvent::Snapshot { .. })
        ));
        assert_eq!(state.next(&mut cursor), None);
        for _ in 0..LOG_CHANGES {
            put(&mut state, "b", 1);
        }
        assert!(
            matches!(state.next(&mut cursor), Some(WatchEvent::Put(e)) if e.revision == Revision(2))
        );
        put(&mut state, "b", 1);
        assert!(
            matches!(state.next(&mut cursor), Some(WatchEvent::Put(e)) if e.revision == Revision(3))
        );
        for _ in 0..3 {
            put(&mut state, "b", 1);
        }
        let Some(WatchEvent::Snapshot {
            revision, entries, ..
        }) = state.next(&mut cursor)
        else {
            panic!("the log no longer holds the next change");
        };
        assert_eq!(revision, Revision(1 + LOG_CHANGES as u64 + 4));
        assert_eq!(entries.len(), 2);
        assert_eq!(state.next(&mut cursor), None);
    }

    #[test]
    fn a_commit_is_delivered_whole_and_what_follows_on_its_own() {
        let mut state = StoreContents::new();
        let mut cursor = Cursor::default();
        state.next(&mut cursor).expect("a snapshot");
        let ops = (0..300).map(|n| Op::put(key(&format!("k{n}")), "v", Expect::Any));
        let ops = ops.collect();
        state.commit(ops, None, Instant::now()).expect("committed");
        put(&mut state, "after", 1);
        let Some(WatchEvent::Commit(changes)) = state.next(&mut cursor) else {
            panic!("the whole commit");
        };
        assert_eq!(changes.len(), 300);
        let after = state.next(&mut cursor);
        assert!(matches!(after, Some(WatchEvent::Put(e)) if e.revision == Revision(301)));
        assert_eq!(state.next(&mut cursor), None);
    }

    #[test]
    fn the_log_is_also_bounded_in_bytes() {
        let mut state = StoreContents::new();
        for _ in 0..100 {
            put(&mut state, "a", 512 * 1024);
        }
        assert_eq!(state.log.len(), LOG_BYTES / (512 * 1024));
        assert_eq!(state.log_bytes, LOG_BYTES);
    }

    #[test]
    fn expired_markers_and_leases_free_their_memory() {
        let mut state = StoreContents::new();
        let now = Instant::now();
        let ttl = Duration::from_secs(5);
        let lease = |state: &mut StoreContents, now| {
            state.commit(vec![Op::put(key("l"), "x", Expect::Any)], Some(ttl), now)
        };
        lease(&mut state, now).expect("free");
        lease(&mut state, now).expect("the same instant again");
        lease(&mut state, now + Duration::from_secs(3)).expect("renewed");
        assert_eq!(state.expiries.len(), 1);
        state.expire(now + Duration::from_secs(7));
        assert!(state.read(&key("l")).is_some());
        state.expire(now + Duration::from_secs(8));
        assert!(state.read(&key("l")).is_none());
        assert_eq!(state.revision, Revision(4));
        state.expire(now + Duration::from_secs(8) + MARKER_TTL);
        assert_eq!(
            state.revision,
            Revision(4),
            "the removal of a marker isn't a change"
        );
        assert!(state.slots.is_empty() && state.expiries.is_empty());
    }
}
