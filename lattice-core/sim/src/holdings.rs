//! Who holds the resources of a simulation, as their owners record it, and the checks of that.
//!
//! The resources are desks. Their owner records who holds them, and the errand that has a handle
//! says so too, from the moment at which it has it until it gives it up. Both are compared with
//! what the simulation knows of hosts: which of them run, and which hear each other.

use super::{history::History, invariant::Invariant, schedule::HostIndex, store::Boot};
use lattice_core::{
    id::Origin,
    stream::{Holder, Stale},
    sync::Mutex,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Arc, MutexGuard},
    time::Duration,
};

/// How long a host that isn't heard of keeps its handles.
const LEASE: Duration = Duration::from_secs(30);
/// How much later they are dropped at most. It takes seconds until an owner misses the heartbeats
/// of a host, and it looks at its holders once a second.
const SLACK: Duration = Duration::from_secs(10);
/// A host that is never cut off for as long as this keeps its handles.
const SAFE: Duration = Duration::from_secs(25);
/// A host that can be heard for this long has been heard, whatever the bus has lost.
const STEADY: Duration = Duration::from_secs(5);

/// The records of all owners and errands of one simulation. It is only used from the thread that
/// runs it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Holdings {
    log: Arc<Mutex<Log>>,
    history: History,
}

#[derive(Default)]
struct Log {
    last: u64,
    desks: BTreeMap<u64, Desk>,
    /// Those that were dropped since the last look.
    dropped: Vec<(u64, Desk)>,
    boots: BTreeMap<Origin, Boot>,
    /// Boots that leave in an orderly way, and give up their handles.
    leaving: BTreeSet<Boot>,
    /// What owners hear of holders.
    silences: BTreeMap<(Boot, Boot), Silence>,
    errands: usize,
    done: Done,
}

/// Totals of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// Desks that were opened.
    pub(super) opened: usize,
    /// Calls that have used one.
    pub(super) used: usize,
    /// Streams that ended cleanly.
    pub(super) whole: usize,
}

struct Desk {
    owner: Boot,
    holder: Holder,
    lent: Vec<Holder>,
    /// The boot on which an errand has its handle.
    user: Option<Boot>,
}

/// An errand that is under way. Dropping this ends it.
pub(super) struct UnderWay(Holdings);

/// What is seen of the hosts at one moment.
#[derive(Default)]
pub(super) struct Sight {
    pub(super) running: BTreeSet<Boot>,
    pub(super) paused: BTreeSet<HostIndex>,
    /// Hosts between which messages pass, in this direction. A host that is connected reaches
    /// itself.
    pub(super) open: BTreeSet<(HostIndex, HostIndex)>,
}

/// Whether an owner hears a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    Heard,
    Silent,
    /// The owner is paused or without a bus, and counts no time.
    Stopped,
}

/// For how long an owner has heard, and not heard, a holder.
#[derive(Debug, Clone, Copy, Default)]
struct Silence {
    heard: Duration,
    /// Not heard for a moment, while the owner ran.
    silent: Duration,
    /// Not heard steadily, whether the owner ran or not.
    apart: Duration,
    longest: Duration,
}

/// What owners record.
impl Holdings {
    pub(super) fn new(history: History) -> Self {
        Self {
            log: Arc::default(),
            history,
        }
    }

    /// Opens a desk, and returns its number.
    pub(super) fn open(&self, owner: Boot, holder: Holder) -> u64 {
        let mut log = self.lock();
        log.last += 1;
        log.done.opened += 1;
        let id = log.last;
        let desk = Desk {
            owner,
            holder,
            lent: Vec::new(),
            user: None,
        };
        log.desks.insert(id, desk);
        id
    }

    pub(super) fn hand_over(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        let mut log = self.lock();
        let desk = log.desks.get_mut(&id).ok_or(Stale::Dropped)?;
        if desk.holder != *from {
            return Err(Stale::NotHeld(from.to_string()));
        }
        desk.holder = to.clone();
        Ok(())
    }

    pub(super) fn lend(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        let mut log = self.lock();
        let desk = log.desks.get_mut(&id).ok_or(Stale::Dropped)?;
        if desk.holder != *from && !desk.lent.contains(from) {
            return Err(Stale::NotHeld(from.to_string()));
        }
        desk.lent.push(to.clone());
        Ok(())
    }

    pub(super) fn give_back(&self, id: u64, by: &Holder) {
        if let Some(desk) = self.lock().desks.get_mut(&id)
            && let Some(at) = desk.lent.iter().position(|holder| holder == by)
        {
            desk.lent.swap_remove(at);
        }
    }

    pub(super) fn dropped(&self, id: u64) {
        let mut log = self.lock();
        if let Some(desk) = log.desks.remove(&id) {
            log.dropped.push((id, desk));
        }
    }

    /// Returns whether a desk is there.
    pub(super) fn is_open(&self, id: u64) -> bool {
        self.lock().desks.contains_key(&id)
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }
}

/// What errands say.
impl Holdings {
    /// An errand begins.
    pub(super) fn begin(&self) -> UnderWay {
        self.lock().errands += 1;
        UnderWay(self.clone())
    }

    /// An errand on that boot has the handle of a desk from now on.
    pub(super) fn taken(&self, id: u64, user: Boot) {
        if let Some(desk) = self.lock().desks.get_mut(&id) {
            desk.user = Some(user);
        }
    }

    /// It gives the handle up, or away.
    pub(super) fn let_go(&self, id: u64) {
        if let Some(desk) = self.lock().desks.get_mut(&id) {
            desk.user = None;
        }
    }

    /// A call has used a desk.
    pub(super) fn used(&self) {
        self.lock().done.used += 1;
    }

    /// A stream has ended cleanly.
    pub(super) fn whole(&self) {
        self.lock().done.whole += 1;
    }

    pub(super) fn violated(&self, invariant: Invariant, what: String) {
        self.history.report(invariant, what);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lock().errands -= 1;
    }
}

/// What the simulation sees, and checks.
impl Holdings {
    /// A boot of a host has joined.
    pub(super) fn joined(&self, origin: &Origin, boot: Boot) {
        let mut log = self.lock();
        if !log.boots.contains_key(origin) {
            log.boots.insert(origin.clone(), boot);
        }
    }

    /// A boot leaves in an orderly way.
    pub(super) fn leaves(&self, boot: Boot) {
        self.lock().leaving.insert(boot);
    }

    /// Checks who holds what, some time after the last look.
    pub(super) fn look(&self, sight: &Sight, since: Duration) {
        let mut log = self.lock();
        let dropped = mem::take(&mut log.dropped);
        let early = dropped.iter().filter_map(|(id, desk)| {
            let why = log.is_dropped_early(sight, desk)?;
            Some((
                Invariant::KeepsHandles,
                format!("desk {id} of {} {why}", desk.owner.host),
            ))
        });
        let mut found: Vec<_> = early.collect();
        // A desk ends with its owner.
        log.desks
            .retain(|_, desk| sight.running.contains(&desk.owner));
        log.listen(sight, since);
        found.extend(log.outlives().map(|what| (Invariant::EndsLeases, what)));
        drop(log);
        for (invariant, what) in found {
            self.violated(invariant, what);
        }
    }

    /// Returns how many errands are under way.
    pub(super) fn under_way(&self) -> usize {
        self.lock().errands
    }

    /// Returns what is left of desks, if anything.
    pub(super) fn left(&self) -> Option<String> {
        let log = self.lock();
        let (id, desk) = log.desks.first_key_value()?;
        let (all, owner) = (log.desks.len(), desk.owner.host);
        Some(format!(
            "{all} desks are left, and desk {id} of {owner} is held by {}",
            desk.holder
        ))
    }

    pub(super) fn done(&self) -> Done {
        self.lock().done
    }
}

impl Log {
    /// Returns why a desk that was dropped should be there, if it should.
    fn is_dropped_early(&self, sight: &Sight, desk: &Desk) -> Option<String> {
        let user = desk.user?;
        let both = [desk.owner, user];
        let is_there = |boot: &Boot| sight.running.contains(boot) && !self.leaving.contains(boot);
        if !both.iter().all(is_there) {
            return None;
        }
        let silence = self.silences.get(&(desk.owner, user));
        let longest = silence.map_or(Duration::ZERO, |silence| silence.longest);
        (longest < SAFE).then(|| {
            let host = user.host;
            format!(
                "was dropped, and {host} has its handle, which was away for {longest:?} at most"
            )
        })
    }

    /// Counts for how long owners have not heard holders.
    fn listen(&mut self, sight: &Sight, since: Duration) {
        let mut pairs = BTreeSet::new();
        for desk in self.desks.values() {
            let holders = desk.user.into_iter().chain(self.boot_of(&desk.holder));
            pairs.extend(holders.map(|holder| (desk.owner, holder)));
        }
        let before = mem::take(&mut self.silences);
        let now = |pair: (Boot, Boot)| {
            let silence = before.get(&pair).copied().unwrap_or_default();
            (pair, silence.after(sight.hearing(pair), since))
        };
        self.silences = pairs.into_iter().map(now).collect();
    }

    /// Returns a desk whose holder was not heard of for longer than its lease.
    fn outlives(&self) -> Option<String> {
        self.desks.iter().find_map(|(id, desk)| {
            let holder = self.boot_of(&desk.holder)?;
            let silent = self.silences.get(&(desk.owner, holder))?.silent;
            (silent > LEASE + SLACK).then(|| {
                let owner = desk.owner.host;
                format!(
                    "desk {id} of {owner} is still held by {}, which {owner} has not heard for {silent:?}; its lease is {LEASE:?}",
                    holder.host
                )
            })
        })
    }

    fn boot_of(&self, holder: &Holder) -> Option<Boot> {
        match holder {
            Holder::Host(origin) => self.boots.get(origin).copied(),
            _ => None,
        }
    }
}

impl Sight {
    fn hearing(&self, (owner, holder): (Boot, Boot)) -> Hearing {
        let is_connected = self.open.contains(&(owner.host, owner.host));
        if self.paused.contains(&owner.host) || !is_connected {
            return Hearing::Stopped;
        }
        let both = [(owner.host, holder.host), (holder.host, owner.host)];
        let is_open = both.iter().all(|way| self.open.contains(way));
        if is_open && self.running.contains(&holder) && !self.paused.contains(&holder.host) {
            Hearing::Heard
        } else {
            Hearing::Silent
        }
    }
}

impl Silence {
    fn after(mut self, hearing: Hearing, since: Duration) -> Self {
        self.apart += since;
        if hearing == Hearing::Heard {
            self.heard += since;
            self.silent = Duration::ZERO;
        } else {
            self.heard = Duration::ZERO;
        }
        match hearing {
            Hearing::Silent => self.silent += since,
            Hearing::Heard if self.heard >= STEADY => self.apart = Duration::ZERO,
            Hearing::Heard => {}
            Hearing::Stopped => self.silent = Duration::ZERO,
        }
        self.longest = self.longest.max(self.apart);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(steps: &[(Hearing, u64)]) -> Silence {
        let mut silence = Silence::default();
        for (hearing, seconds) in steps {
            for _ in 0..*seconds {
                silence = silence.after(*hearing, Duration::from_secs(1));
            }
        }
        silence
    }

    #[test]
    fn only_what_is_heard_ends_a_silence() {
        use Hearing::{Heard, Silent, Stopped};
        let seconds = |silence: Silence| {
            let times = [silence.silent, silence.apart, silence.longest];
            times.map(|time| time.as_secs())
        };
        assert_eq!(seconds(after(&[(Heard, 9)])), [0, 0, 4]);
        assert_eq!(seconds(after(&[(Heard, 9), (Silent, 20)])), [20, 20, 20]);
        // A moment may not be enough for a heartbeat.
        let moment = after(&[(Heard, 9), (Silent, 20), (Heard, 1), (Silent, 4)]);
        assert_eq!(seconds(moment), [4, 25, 25]);
        // An owner that is paused drops nothing.
        let stopped = after(&[(Heard, 9), (Silent, 20), (Stopped, 5)]);
        assert_eq!(seconds(stopped), [0, 25, 25]);
    }
}
