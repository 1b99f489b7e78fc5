//! What one node holds of other hosts' resources, and what it owes their owners: pure, with the
//! time passed in.
//!
//! A handle that is dropped is *owed* until its owner's host has acknowledged the drop. Numbers of
//! handles are never used again, so a drop can be sent any number of times, and also for a handle
//! that has moved on.

use super::exports::{LEASE, Life};
use crate::id::Origin;
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// Drops in one request.
const BATCH: usize = 4_096;
/// Drops that an owner may be owed. A host that has more than these to drop, and gets no
/// acknowledgement, leaves the rest to the end of its lease.
const MOST_OWED: usize = 1 << 20;
/// The pause after a request that failed, and the longest one.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// The handles of other hosts' resources.
#[derive(Debug, Default)]
pub(super) struct Imports {
    owners: HashMap<Origin, Account>,
}

/// What there is with one boot of another host.
#[derive(Debug, Default)]
struct Account {
    held: HashSet<u64>,
    owed: VecDeque<u64>,
    /// Those that are on their way, and are owed unless they have arrived by then.
    later: BTreeMap<(Instant, u64), ()>,
    /// How many of those owed are being sent.
    sent: usize,
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
        accounts.any(|account| !account.owed.is_empty() || !account.later.is_empty())
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
                account.later.insert((at, id), ());
            }
        });
    }

    /// Returns the drops to send now. Owners that are gone are owed nothing.
    pub(super) fn step(
        &mut self,
        life: impl Fn(&Origin) -> Life,
        now: Instant,
    ) -> Vec<(Origin, Vec<u64>)> {
        let mut due = Vec::new();
        self.owners.retain(|owner, account| {
            while let Some(first) = account.later.first_entry()
                && first.key().0 <= now
            {
                let (_, id) = *first.key();
                first.remove();
                if account.held.remove(&id) {
                    account.owe(id);
                }
            }
            if account.is_lost(life(owner), now) {
                account.owed.clear();
            }
            if account.sent == 0
                && !account.owed.is_empty()
                && account.again.is_none_or(|at| at <= now)
            {
                let ids: Vec<u64> = account.owed.iter().take(BATCH).copied().collect();
                account.sent = ids.len();
                due.push((owner.clone(), ids));
            }
            !account.is_empty()
        });
        due
    }

    /// A request with drops was acknowledged, or failed.
    pub(super) fn acknowledged(&mut self, owner: &Origin, is_done: bool, now: Instant) {
        self.change(owner, |account| {
            let sent = std::mem::take(&mut account.sent);
            if is_done {
                account.owed.drain(..sent.min(account.owed.len()));
                account.failures = 0;
                account.failing_since = None;
                account.again = None;
                return;
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
    fn owe(&mut self, id: u64) {
        if self.owed.len() < MOST_OWED {
            self.owed.push_back(id);
        }
    }

    fn is_empty(&self) -> bool {
        self.held.is_empty() && self.owed.is_empty() && self.later.is_empty()
    }

    /// Whether the owner is gone: a newer boot has taken its place, or it was not heard of for twice
    /// the time after which it has reclaimed everything, were it there.
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
