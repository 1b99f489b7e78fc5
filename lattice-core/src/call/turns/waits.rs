//! Nested calls that wait for turns, and whether a further one would complete a circle.
//!
//! A turn is *stuck* while a call nested in it waits: it ends only after that call has got its own
//! turns. A *need*, for so many turns of one kind, is *dead* when all others of these turns are
//! stuck on needs that are dead. None of them would ever be free.

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

/// What a call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Need {
    /// The number of the kind of turns.
    pub(super) kind: u32,
    /// How many of them the call takes.
    pub(super) count: usize,
    /// How many there are.
    pub(super) most: usize,
}

#[derive(Debug, Default)]
struct Waits {
    /// What nested calls wait for, and how many of them do.
    needs: HashMap<Need, usize, HashState>,
    /// The turns of each kind that are stuck.
    stuck: HashMap<u32, StuckTurns, HashState>,
}

/// Turns of one kind: for each, the needs that it is stuck on, with the numbers of waiting calls.
type StuckTurns = HashMap<TurnId, Vec<(Need, usize)>, HashState>;

/// A nested call that waits for turns, and the turns that end only after it.
pub(super) struct Waiting {
    need: Need,
    chain: Vec<TurnId>,
}

impl Waiting {
    /// Begins to wait in a call that is nested in `chain`. Returns `None` if the wait would never
    /// end.
    pub(super) fn begin(need: Need, chain: Vec<TurnId>) -> Option<Self> {
        if chain.is_empty() {
            return Some(Self { need, chain });
        }
        let mut waits = WAITS.lock();
        waits.add(need, &chain);
        COUNT.fetch_add(1, Ordering::SeqCst);
        let is_dead = waits.is_dead(need);
        drop(waits);
        let waiting = Self { need, chain };
        (!is_dead).then_some(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.chain.is_empty() {
            WAITS.lock().remove(self.need, &self.chain);
            COUNT.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Forgets turns that have ended. A task may continue after its call has ended, and wait, but then
/// it holds up no other call.
pub(super) fn have_ended<I: Iterator<Item = TurnId>>(turns: impl FnOnce() -> I) {
    if COUNT.load(Ordering::SeqCst) > 0 {
        let mut waits = WAITS.lock();
        turns().for_each(|turn| waits.forget(turn));
    }
}

impl Waits {
    fn add(&mut self, need: Need, chain: &[TurnId]) {
        *self.needs.entry(need).or_default() += 1;
        for turn in chain {
            let turns = self.stuck.entry(turn.kind()).or_default();
            let on = turns.entry(*turn).or_default();
            match on.iter_mut().find(|(known, _)| *known == need) {
                Some((_, calls)) => *calls += 1,
                None => on.push((need, 1)),
            }
        }
    }

    fn remove(&mut self, need: Need, chain: &[TurnId]) {
        if let Some(calls) = self.needs.get_mut(&need) {
            *calls -= 1;
            if *calls == 0 {
                self.needs.remove(&need);
            }
        }
        for turn in chain {
            let turns = self.stuck.get_mut(&turn.kind());
            // The turn may have ended.
            let Some(on) = turns.and_then(|turns| turns.get_mut(turn)) else {
                continue;
            };
            if let Some((_, calls)) = on.iter_mut().find(|(known, _)| *known == need) {
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

    /// Whether a need is in the largest set of needs each of which is dead if the others are.
    fn is_dead(&self, need: Need) -> bool {
        let stuck = |need: &Need| self.stuck.get(&need.kind).map_or(0, HashMap::len);
        let mut dead: Vec<Need> = self.needs.keys().copied().collect();
        dead.retain(|need| stuck(need) + need.count > need.most);
        while dead.contains(&need) {
            let is_on_dead = |on: &&Vec<(Need, usize)>| on.iter().any(|(on, _)| dead.contains(on));
            let holds = |need: &Need| {
                let turns = self.stuck.get(&need.kind).into_iter();
                let stuck = turns.flat_map(HashMap::values).filter(is_on_dead).count();
                stuck + need.count > need.most
            };
            let left: Vec<Need> = dead.iter().copied().filter(holds).collect();
            if left.len() == dead.len() {
                return true;
            }
            dead = left;
        }
        false
    }
}
