//! What one node holds of other hosts' resources, and what it owes their owners: pure, with the
//! time passed in.
//!
//! A handle that is dropped is *owed* until its owner's host has acknowledged the drop. Numbers of
//! handles are never used again, so a drop can be sent any number of times, and also for a handle
//! that has moved on. Drops are sent before the next call to that host, so that a component which
//! drops a handle and then calls finds it dropped. Calls to other hosts have nothing to do with
//! them.

use super::exports::{LEASE, Life};
use crate::id::Origin;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// Drops in one request: as many as fit a small message.
const BATCH: usize = 1_024;
/// Drops that an owner may be owed. A host that has more than these to drop, and gets no
/// acknowledgement, leaves the rest to the end of its lease.
const MOST_OWED: usize = 1 << 20;
/// The pause after a request that failed, and the longest one.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Drops in one request.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The number of the request.
    pub(crate) request: u64,
    pub(crate) ids: Vec<u64>,
}

/// The handles of other hosts' resources.
#[derive(Debug, Default)]
pub(super) struct Imports {
    owners: BTreeMap<Origin, Account>,
}

/// What there is with one boot of another host.
#[derive(Debug, Default)]
struct Account {
    held: HashSet<u64>,
    owed: VecDeque<u64>,
    /// Those that are on their way, and are owed unless they have arrived by then.
    later: BTreeSet<(Instant, u64)>,
    /// Those that were sent and not acknowledged yet, by the number of their request.
    sent: BTreeMap<u64, Vec<u64>>,
    /// How many of these requests are not in a send queue yet.
    queueing: usize,
    last: u64,
    failures: u32,
    /// When requests began to fail.
    failing_since: Option<Instant>,
    again: Option<Instant>,
}

impl Imports {
    pub(super) fn len(&self) -> usize {
        self.owners.values().map(|account| account.held.len()).sum()
    }

    /// Whether something is owed, or will be.
    pub(super) fn owes(&self) -> bool {
        let mut accounts = self.owners.values();
        accounts.any(|account| {
            !account.owed.is_empty() || !account.sent.is_empty() || !account.later.is_empty()
        })
    }

    pub(super) fn owners(&self) -> Vec<Origin> {
        self.owners.keys().cloned().collect()
    }

    /// Records a handle that has arrived. Returns false if it is held already.
    pub(super) fn hold(&mut self, owner: &Origin, id: u64) -> bool {
        let account = self.owners.entry(owner.clone()).or_default();
        account.held.insert(id)
    }

    /// Which of these handles are held.
    pub(super) fn holds(&self, owner: &Origin, ids: &[u64]) -> Vec<u64> {
        let Some(account) = self.owners.get(owner) else {
            return Vec::new();
        };
        let held = ids.iter().filter(|id| account.held.contains(id));
        held.copied().collect()
    }

    /// A handle was given to another host, which has it.
    pub(super) fn moved(&mut self, owner: &Origin, id: u64) {
        self.change(owner, |account| {
            account.held.remove(&id);
        });
    }

    /// A handle was dropped.
    pub(super) fn dropped(&mut self, owner: &Origin, id: u64) {
        self.change(owner, |account| {
            if account.held.remove(&id) {
                account.owe(id);
            }
        });
    }

    /// A handle was given to another host, which may have it. It is dropped at that time, unless it
    /// has arrived.
    pub(super) fn dropped_later(&mut self, owner: &Origin, id: u64, at: Instant) {
        self.change(owner, |account| {
            if account.held.contains(&id) {
                account.later.insert((at, id));
            }
        });
    }

    /// Returns the owners to which drops are due, one request at a time. Owners that are gone are
    /// owed nothing.
    pub(super) fn step(&mut self, life: impl Fn(&Origin) -> Life, now: Instant) -> Vec<Origin> {
        let mut due = Vec::new();
        self.owners.retain(|owner, account| {
            while let Some((at, id)) = account.later.first().copied()
                && at <= now
            {
                account.later.pop_first();
                if account.held.remove(&id) {
                    account.owe(id);
                }
            }
            if account.is_lost(life(owner), now) {
                account.owed.clear();
            }
            if account.sent.is_empty() && !account.owed.is_empty() && account.may_send(now) {
                due.push(owner.clone());
            }
            !account.is_empty()
        });
        due
    }

    /// Takes up to `most` batches of drops for that owner that were not sent yet.
    pub(super) fn flush(&mut self, owner: &Origin, most: usize, now: Instant) -> Vec<Batch> {
        let account = self.owners.get_mut(owner);
        match account.filter(|account| account.may_send(now)) {
            Some(account) => std::iter::from_fn(|| account.batch()).take(most).collect(),
            None => Vec::new(),
        }
    }

    /// Takes all drops for that owner that were not sent yet, before a call to it. The pause after
    /// a failed request doesn't count, because the call is sent without one.
    pub(super) fn flush_all(&mut self, owner: &Origin) -> Vec<Batch> {
        let account = self.owners.get_mut(owner);
        account.map_or_else(Vec::new, |account| {
            std::iter::from_fn(|| account.batch()).collect()
        })
    }

    /// So many requests with drops for that owner, which were taken, are in a send queue now.
    pub(super) fn queued(&mut self, owner: &Origin, requests: usize) {
        if let Some(account) = self.owners.get_mut(owner) {
            account.queueing = account.queueing.saturating_sub(requests);
        }
    }

    /// Whether there are drops that were not put into a send queue yet.
    pub(super) fn has_unsent(&self) -> bool {
        self.owners.values().any(Account::has_unsent)
    }

    /// Whether there are such drops for that owner.
    pub(super) fn has_unsent_for(&self, owner: &Origin) -> bool {
        self.owners.get(owner).is_some_and(Account::has_unsent)
    }

    /// A request with drops was acknowledged, or failed.
    pub(super) fn acknowledged(
        &mut self,
        owner: &Origin,
        request: u64,
        is_done: bool,
        now: Instant,
    ) {
        self.change(owner, |account| {
            let sent = account.sent.remove(&request).unwrap_or_default();
            if is_done {
                account.failures = 0;
                account.failing_since = None;
                account.again = None;
                return;
            }
            for id in sent.into_iter().rev() {
                account.owed.push_front(id);
            }
            let pause = PAUSE * 2_u32.saturating_pow(account.failures.min(8));
            account.failures = account.failures.saturating_add(1);
            account.failing_since.get_or_insert(now);
            account.again = Some(now + pause.min(LONGEST));
        });
    }

    /// Nothing of that boot is held any more.
    pub(super) fn forget(&mut self, owner: &Origin) {
        self.owners.remove(owner);
    }

    fn change(&mut self, owner: &Origin, change: impl FnOnce(&mut Account)) {
        if let Some(account) = self.owners.get_mut(owner) {
            change(account);
            if account.is_empty() {
                self.owners.remove(owner);
            }
        }
    }
}

impl Account {
    fn may_send(&self, now: Instant) -> bool {
        self.again.is_none_or(|at| at <= now)
    }

    /// Takes the next drops to send.
    fn batch(&mut self) -> Option<Batch> {
        let count = self.owed.len().min(BATCH);
        let ids: Vec<u64> = self.owed.drain(..count).collect();
        if ids.is_empty() {
            return None;
        }
        self.last += 1;
        self.queueing += 1;
        self.sent.insert(self.last, ids.clone());
        Some(Batch {
            request: self.last,
            ids,
        })
    }

    fn has_unsent(&self) -> bool {
        !self.owed.is_empty() || self.queueing > 0
    }

    fn owe(&mut self, id: u64) {
        if self.owed.len() < MOST_OWED {
            self.owed.push_back(id);
        }
    }

    fn is_empty(&self) -> bool {
        let is_owed = !self.owed.is_empty() || !self.sent.is_empty();
        self.held.is_empty() && !is_owed && self.later.is_empty()
    }

    /// Whether the owner is gone: a newer boot has taken its place, or it was not heard of for
    /// twice the time after which it has reclaimed everything, were it there.
    fn is_lost(&self, life: Life, now: Instant) -> bool {
        match life {
            Life::Replaced => true,
            Life::Live => false,
            Life::Unknown => {
                let since = self.failing_since;
                since.is_some_and(|at| now.saturating_duration_since(at) > 2 * LEASE)
            }
        }
    }
}
