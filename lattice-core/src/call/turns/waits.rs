//! Nested calls that wait for a turn, and whether a further one would complete a circle.
//!
//! A turn is *stuck* while a call nested in it waits: it ends only after that call has got its own
//! turn. A kind of turns is *dead* when all of them are stuck on kinds that are dead. None of these
//! turns would ever be free.

use super::TurnId;
use crate::{entropy::HashState, sync::Mutex};
use std::{
    collections::HashMap,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The nested calls of this process that wait.
static WAITS: LazyLock<Mutex<Waits>> = LazyLock::new(Default::default);
/// Their number, so that turns end without the lock while there are none.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The number of a kind of turns.
type Kind = u32;

#[derive(Debug, Default)]
struct Waits {
    /// The kinds that nested calls wait for.
    awaited: HashMap<Kind, Awaited, HashState>,
    /// The turns of each kind that are stuck.
    stuck: HashMap<Kind, StuckTurns, HashState>,
}

/// Turns of one kind: for each, the kinds that it is stuck on, with the numbers of waiting calls.
type StuckTurns = HashMap<TurnId, Vec<(Kind, usize)>, HashState>;

/// A kind that nested calls wait for.
#[derive(Debug)]
struct Awaited {
    /// How many turns there are.
    most: usize,
    /// How many nested calls wait for one.
    calls: usize,
}

/// A nested call that waits for a turn, and the turns that end only after it.
pub(super) struct Waiting {
    kind: Kind,
    chain: Vec<TurnId>,
}

impl Waiting {
    /// Begins to wait for one of the `most` turns of a kind, in a call that is nested in `chain`.
    /// Returns `None` if the wait would never end.
    pub(super) fn begin(kind: Kind, most: usize, chain: Vec<TurnId>) -> Option<Self> {
        if chain.is_empty() {
            return Some(Self { kind, chain });
        }
        let mut waits = WAITS.lock();
        waits.add(kind, most, &chain);
        COUNT.fetch_add(1, Ordering::SeqCst);
        let is_dead = waits.is_dead(kind);
        drop(waits);
        let waiting = Self { kind, chain };
        (!is_dead).then_some(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.chain.is_empty() {
            WAITS.lock().remove(self.kind, &self.chain);
            COUNT.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Forgets a turn that has ended: calls that a task makes after its own call has ended hold up no
/// one.
pub(super) fn has_ended(turn: TurnId) {
    if COUNT.load(Ordering::SeqCst) > 0 {
        WAITS.lock().forget(turn);
    }
}

impl Waits {
    fn add(&mut self, kind: Kind, most: usize, chain: &[TurnId]) {
        let nothing = Awaited { most, calls: 0 };
        self.awaited.entry(kind).or_insert(nothing).calls += 1;
        for turn in chain {
            let turns = self.stuck.entry(turn.kind()).or_default();
            let on = turns.entry(*turn).or_default();
            match on.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, calls)) => *calls += 1,
                None => on.push((kind, 1)),
            }
        }
    }

    fn remove(&mut self, kind: Kind, chain: &[TurnId]) {
        if let Some(awaited) = self.awaited.get_mut(&kind) {
            awaited.calls -= 1;
            if awaited.calls == 0 {
                self.awaited.remove(&kind);
            }
        }
        for turn in chain {
            // It may have ended.
            let Some(on) = self
                .stuck
                .get_mut(&turn.kind())
                .and_then(|turns| turns.get_mut(turn))
            else {
                continue;
            };
            if let Some((_, calls)) = on.iter_mut().find(|(known, _)| *known == kind) {
                *calls -= 1;
            }
            on.retain(|(_, calls)| *calls > 0);
            if on.is_empty() {
                self.forget(*turn);
            }
        }
    }

    fn forget(&mut self, turn: TurnId) {
        if let Some(turns) = self.stuck.get_mut(&turn.kind()) {
            turns.remove(&turn);
            if turns.is_empty() {
                self.stuck.remove(&turn.kind());
            }
        }
    }

    /// Whether no turn of a kind will ever be free: the kind is in the largest set of kinds of which
    /// all turns are stuck on kinds of that set.
    fn is_dead(&self, kind: Kind) -> bool {
        let stuck = |kind: &Kind| self.stuck.get(kind).map_or(0, HashMap::len);
        let is_full = |(kind, awaited): &(&Kind, &Awaited)| stuck(kind) >= awaited.most;
        let full = self.awaited.iter().filter(is_full);
        let mut dead: Vec<Kind> = full.map(|(kind, _)| *kind).collect();
        while dead.contains(&kind) {
            let is_on_dead = |on: &&Vec<(Kind, usize)>| on.iter().any(|(on, _)| dead.contains(on));
            let holds = |kind: &Kind| {
                let turns = self.stuck.get(kind).into_iter().flat_map(HashMap::values);
                let most = self.awaited.get(kind).map_or(0, |awaited| awaited.most);
                turns.filter(is_on_dead).count() >= most
            };
            let left: Vec<Kind> = dead.iter().copied().filter(holds).collect();
            if left.len() == dead.len() {
                return true;
            }
            dead = left;
        }
        false
    }
}
