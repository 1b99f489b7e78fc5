//! What boots of other hosts hold of one node's resources: pure, with the time passed in.
//!
//! A handle that is given to a host is *unsure* until it is known to have arrived there: when the
//! call that it was sent with returns, or when that host says that it holds it. A host that isn't
//! heard of for [`LEASE`] has lost what it held.

use super::super::{ResourceRef, Stale};
use crate::id::Origin;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    mem,
    time::Duration,
};
use tokio::time::Instant;

/// How long a host that isn't heard of keeps the handles that it holds: ten heartbeats after the
/// three that it has missed, so that a pause, a new connection or a short partition costs nothing.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// The time between two questions to a host that sends no heartbeats. Five fit into a lease.
const ASK: Duration = Duration::from_secs(5);
/// A pause between two looks at the holders after which this process was stopped itself. They are
/// looked at each second.
const STOPPED: Duration = Duration::from_secs(3);
/// How long after its message a handle that may have arrived is asked for, and asked for again.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// How often a host has to say that it doesn't hold a handle. What it received last may not have
/// been read when it was asked first.
const DENIALS: u8 = 2;
/// Handles in one question.
const BATCH: usize = 4_096;
/// Boots whose leases are over that are remembered, to tell them so.
const REMEMBERED: usize = 1_024;

/// What is known of a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It sends heartbeats.
    Live,
    /// It isn't heard of, or never was: nodes that only call send no heartbeats.
    Unknown,
    /// A newer boot of its host is live.
    Replaced,
}

/// The handles that were given to other hosts.
#[derive(Debug, Default)]
pub(super) struct Exports {
    /// The number of the last one.
    last: u64,
    given: BTreeMap<u64, Export>,
    lessees: BTreeMap<Origin, Lessee>,
    /// Boots whose leases are over, and the last handle that any of them can have been given.
    over: VecDeque<(Origin, u64)>,
    /// When holders were last looked at.
    stepped: Option<Instant>,
}

/// A handle that was given, or lent.
#[derive(Debug, Clone)]
pub(super) struct Export {
    pub(super) resource: ResourceRef,
    pub(super) holder: Origin,
    pub(super) is_owned: bool,
    /// When to ask whether it has arrived, and how often the answer was no.
    unsure: Option<(Instant, u8)>,
}

/// A boot of another host that holds handles.
#[derive(Debug)]
struct Lessee {
    seen: Instant,
    asked: Option<Instant>,
    is_asked: bool,
    held: BTreeSet<u64>,
    unsure: BTreeSet<(Instant, u64)>,
}

/// What is to be done about the holders.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// To be dropped, or given back.
    pub(super) reclaimed: Vec<Export>,
    /// Boots to ask which of these handles they hold.
    pub(super) questions: Vec<(Origin, Vec<u64>)>,
}

impl Exports {
    pub(super) fn is_empty(&self) -> bool {
        self.lessees.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.given.len()
    }

    /// Records a handle that is given to `holder`, which is asked for it at `unsure` unless it is
    /// known before then to have arrived. Returns its number.
    pub(super) fn give(
        &mut self,
        (resource, is_owned): (ResourceRef, bool),
        holder: &Origin,
        unsure: Option<Instant>,
        now: Instant,
    ) -> u64 {
        self.last += 1;
        let id = self.last;
        let lessee = self.lessees.entry(holder.clone());
        let lessee = lessee.or_insert_with(|| Lessee::new(now));
        lessee.held.insert(id);
        lessee.unsure.extend(unsure.map(|at| (at, id)));
        let export = Export {
            resource,
            holder: holder.clone(),
            is_owned,
            unsure: unsure.map(|at| (at, 0)),
        };
        self.given.insert(id, export);
        id
    }

    /// Returns what `holder` has under this number.
    pub(super) fn find(&self, id: u64, holder: &Origin) -> Result<&Export, Stale> {
        match self.given.get(&id) {
            Some(export) if export.holder == *holder => Ok(export),
            Some(_) => Err(Stale::NotHeld(format!("host `{}`", holder.host))),
            None => {
                let over = |(boot, last): &(Origin, u64)| boot == holder && id <= *last;
                let is_over = self.over.iter().any(over);
                Err(if is_over {
                    Stale::LeaseOver
                } else {
                    Stale::Dropped
                })
            }
        }
    }

    /// Removes a handle: it has come back, was dropped, or is no longer lent.
    pub(super) fn remove(&mut self, id: u64) -> Option<Export> {
        let export = self.given.remove(&id)?;
        if let Some(lessee) = self.lessees.get_mut(&export.holder) {
            lessee.held.remove(&id);
            if let Some((at, _)) = export.unsure {
                lessee.unsure.remove(&(at, id));
            }
            if lessee.held.is_empty() {
                self.lessees.remove(&export.holder);
            }
        }
        Some(export)
    }

    /// Removes a handle that `holder` gives up, if it has it.
    pub(super) fn remove_of(&mut self, id: u64, holder: &Origin) -> Option<Export> {
        self.find(id, holder).ok()?;
        self.remove(id)
    }

    /// A handle is known to have arrived.
    pub(super) fn confirm(&mut self, id: u64) {
        let Some(export) = self.given.get_mut(&id) else {
            return;
        };
        if let Some((at, _)) = export.unsure.take()
            && let Some(lessee) = self.lessees.get_mut(&export.holder)
        {
            lessee.unsure.remove(&(at, id));
        }
    }

    /// It isn't known whether a handle has arrived: its holder is to be asked then.
    pub(super) fn doubt(&mut self, id: u64, ask: Instant) {
        let Some(export) = self.given.get_mut(&id) else {
            return;
        };
        let before = export.unsure.replace((ask, 0));
        if let Some(lessee) = self.lessees.get_mut(&export.holder) {
            if let Some((at, _)) = before {
                lessee.unsure.remove(&(at, id));
            }
            lessee.unsure.insert((ask, id));
        }
    }

    /// A holder was heard of.
    pub(super) fn heard(&mut self, holder: &Origin, now: Instant) {
        if let Some(lessee) = self.lessees.get_mut(holder) {
            lessee.seen = now;
        }
    }

    /// Ends the lease of a boot, and returns what it held.
    pub(super) fn reclaim(&mut self, of: &Origin) -> Vec<Export> {
        let Some(lessee) = self.lessees.remove(of) else {
            return Vec::new();
        };
        if self.over.len() >= REMEMBERED {
            self.over.pop_front();
        }
        self.over.push_back((of.clone(), self.last));
        let held = lessee.held.iter();
        held.filter_map(|id| self.given.remove(id)).collect()
    }

    /// Returns what is due now.
    pub(super) fn step(&mut self, life: impl Fn(&Origin) -> Life, now: Instant) -> Due {
        let mut due = Due::default();
        let mut over = Vec::new();
        let before = self.stepped.replace(now).unwrap_or(now);
        let stopped = now.saturating_duration_since(before);
        for (boot, lessee) in &mut self.lessees {
            // While this process was stopped, it has heard of no one.
            if stopped > STOPPED {
                lessee.seen = (lessee.seen + stopped).min(now);
            }
            match life(boot) {
                Life::Live => lessee.seen = now,
                Life::Replaced => over.push(boot.clone()),
                Life::Unknown if now.saturating_duration_since(lessee.seen) >= LEASE => {
                    over.push(boot.clone());
                }
                Life::Unknown => {}
            }
            due.questions
                .extend(lessee.question(now).map(|ids| (boot.clone(), ids)));
        }
        for boot in over {
            due.questions.retain(|(asked, _)| *asked != boot);
            due.reclaimed.extend(self.reclaim(&boot));
        }
        due
    }

    /// A boot has answered which of these handles it holds, or has not answered. Returns those that
    /// are lost.
    pub(super) fn answered(
        &mut self,
        of: &Origin,
        asked: &[u64],
        held: Option<&[u64]>,
        now: Instant,
    ) -> Vec<Export> {
        let Some(lessee) = self.lessees.get_mut(of) else {
            return Vec::new();
        };
        lessee.is_asked = false;
        let Some(held) = held else {
            return Vec::new();
        };
        lessee.seen = now;
        let held: HashSet<u64> = held.iter().copied().collect();
        let mut lost = Vec::new();
        for id in asked {
            let Some(export) = self.given.get_mut(id) else {
                continue;
            };
            let Some((at, denials)) = export.unsure.filter(|_| export.holder == *of) else {
                continue;
            };
            if held.contains(id) {
                self.confirm(*id);
            } else if denials + 1 >= DENIALS {
                lost.extend(self.remove(*id));
            } else {
                let again = now + GRACE;
                export.unsure = Some((again, denials + 1));
                if let Some(lessee) = self.lessees.get_mut(of) {
                    lessee.unsure.remove(&(at, *id));
                    lessee.unsure.insert((again, *id));
                }
            }
        }
        lost
    }
}

impl Lessee {
    fn new(now: Instant) -> Self {
        Self {
            seen: now,
            asked: None,
            is_asked: false,
            held: BTreeSet::new(),
            unsure: BTreeSet::new(),
        }
    }

    /// Returns the handles to ask for now, none if only a sign of life is wanted.
    fn question(&mut self, now: Instant) -> Option<Vec<u64>> {
        if self.is_asked {
            return None;
        }
        let unsure = self.unsure.iter().take_while(|(at, _)| *at <= now);
        let unsure: Vec<u64> = unsure.take(BATCH).map(|(_, id)| *id).collect();
        let is_recent = |at: Instant| now.saturating_duration_since(at) < ASK;
        // After a question without an answer, the next one waits too.
        let is_due = match self.asked.filter(|at| is_recent(*at)) {
            Some(asked) => !unsure.is_empty() && self.seen > asked,
            None => !unsure.is_empty() || !is_recent(self.seen),
        };
        if !is_due {
            return None;
        }
        self.is_asked = true;
        self.asked = Some(now);
        Some(unsure)
    }
}

/// Undoes what a holder had: the resource is dropped, or is no longer lent to it. To be called
/// without a lock.
pub(super) fn undo(exports: Vec<Export>) {
    for export in exports {
        export.undo();
    }
}

impl Export {
    pub(super) fn undo(self) {
        let (owner, id) = (self.resource.owner(), self.resource.id());
        if self.is_owned {
            owner.dropped(id);
        } else {
            owner.give_back(id, &super::super::Holder::Host(self.holder));
        }
    }
}

impl Drop for Exports {
    fn drop(&mut self) {
        // The node is gone, and with it every way to what was given.
        undo(mem::take(&mut self.given).into_values().collect());
    }
}
