//! Nested calls that wait for turns, and whether a further one would complete a circle.
//!
//! A turn is *stuck* while a call nested in it waits: it ends only after that call has got its own
//! turns. A *need*, for so many turns of one kind, is *dead* when all others of these turns are
//! stuck on needs that are dead. None of them would ever be free.

use super::TurnId;
use crate::{entropy::HashState, sync::Mutex};
use std::{
    collections::{HashMap, hash_map::Entry},
    iter,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// The nested calls of this process that wait.
static WAITS: LazyLock<Mutex<Waits>> = LazyLock::new(Default::default);
/// The number of counters in [`NESTED`]: 16 KiB, so that the turns of a few hundred waiting calls
/// rarely share one.
const COUNTERS: usize = 4_096;
/// How many waiting calls are nested in the turns that share a counter. A turn whose counter is
/// zero ends without the lock.
static NESTED: [AtomicU32; COUNTERS] = [const { AtomicU32::new(0) }; COUNTERS];

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
    /// The turns that are stuck, and the needs that each of them is stuck on.
    stuck: HashMap<TurnId, StuckOn, HashState>,
    /// How many turns of each kind are stuck. Kinds without any are left out.
    stuck_of_kind: HashMap<u32, usize, HashState>,
}

/// The needs that one turn is stuck on, each with the number of calls that wait for it. Nearly
/// always, it is one need, for which nothing is allocated.
#[derive(Debug)]
struct StuckOn {
    first: (Need, usize),
    more: Vec<(Need, usize)>,
}

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
        for turn in &chain {
            nested_in(*turn).fetch_add(1, Ordering::SeqCst);
        }
        waits.add(need, &chain);
        let is_dead = waits.is_dead(need);
        drop(waits);
        let waiting = Self { need, chain };
        (!is_dead).then_some(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.chain.is_empty() {
            return;
        }
        let mut waits = WAITS.lock();
        waits.remove(self.need, &self.chain);
        for turn in &self.chain {
            nested_in(*turn).fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Forgets turns that have ended. A task may continue after its call has ended, and wait, but then
/// it holds up no other call.
pub(super) fn have_ended(turns: impl Iterator<Item = TurnId>) {
    let is_waited_in = |turn: &TurnId| nested_in(*turn).load(Ordering::SeqCst) > 0;
    let mut turns = turns.filter(is_waited_in);
    if let Some(first) = turns.next() {
        let mut waits = WAITS.lock();
        waits.forget(first);
        turns.for_each(|turn| waits.forget(turn));
    }
}

/// The counter of a turn. The turns of one kind that run at the same time have counters of their
/// own, because they are numbered.
fn nested_in(turn: TurnId) -> &'static AtomicU32 {
    let place = turn.kind().wrapping_mul(0x9e37_79b1) ^ turn.number();
    &NESTED[place as usize % COUNTERS]
}

impl StuckOn {
    fn one(need: Need) -> Self {
        Self {
            first: (need, 1),
            more: Vec::new(),
        }
    }

    fn needs(&self) -> impl Iterator<Item = &Need> {
        let all = iter::once(&self.first).chain(&self.more);
        all.map(|(need, _)| need)
    }

    fn calls_for(&mut self, need: Need) -> Option<&mut usize> {
        let mut all = iter::once(&mut self.first).chain(&mut self.more);
        let found = all.find(|(known, _)| *known == need);
        found.map(|(_, calls)| calls)
    }

    fn add(&mut self, need: Need) {
        match self.calls_for(need) {
            Some(calls) => *calls += 1,
            None => self.more.push((need, 1)),
        }
    }

    /// Removes a call that waits. Returns whether others are left.
    fn remove(&mut self, need: Need) -> bool {
        if let Some(calls) = self.calls_for(need) {
            *calls -= 1;
        }
        self.more.retain(|(_, calls)| *calls > 0);
        if self.first.1 > 0 {
            return true;
        }
        match self.more.pop() {
            Some(next) => {
                self.first = next;
                true
            }
            None => false,
        }
    }
}

impl Waits {
    fn add(&mut self, need: Need, chain: &[TurnId]) {
        *self.needs.entry(need).or_default() += 1;
        for turn in chain {
            match self.stuck.entry(*turn) {
                Entry::Occupied(mut on) => on.get_mut().add(need),
                Entry::Vacant(place) => {
                    place.insert(StuckOn::one(need));
                    *self.stuck_of_kind.entry(turn.kind()).or_default() += 1;
                }
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
            // The turn may have ended.
            let is_stuck = self.stuck.get_mut(turn).is_none_or(|on| on.remove(need));
            if !is_stuck {
                self.forget(*turn);
            }
        }
    }

    fn forget(&mut self, turn: TurnId) {
        if self.stuck.remove(&turn).is_none() {
            return;
        }
        if let Some(stuck) = self.stuck_of_kind.get_mut(&turn.kind()) {
            *stuck -= 1;
            if *stuck == 0 {
                self.stuck_of_kind.remove(&turn.kind());
            }
        }
    }

    /// Whether so many turns are stuck that the need is dead if all of them are stuck on dead ones.
    fn may_be_dead(&self, need: &Need) -> bool {
        let stuck = self.stuck_of_kind.get(&need.kind).copied();
        stuck.unwrap_or(0) + need.count > need.most
    }

    /// Whether a need is in the largest set of needs each of which is dead if the others are.
    fn is_dead(&self, need: Need) -> bool {
        // So it is nearly always, and then no other need is looked at.
        if !self.may_be_dead(&need) {
            return false;
        }
        let mut dead: Vec<Need> = self.needs.keys().copied().collect();
        dead.retain(|need| self.may_be_dead(need));
        while dead.contains(&need) {
            let is_on_dead = |on: &StuckOn| on.needs().any(|on| dead.contains(on));
            let holds = |need: &Need| {
                let turns = self.stuck.iter();
                let of_kind = turns.filter(|(turn, _)| turn.kind() == need.kind);
                let stuck = of_kind.filter(|(_, on)| is_on_dead(on)).count();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_stuck_until_the_last_of_its_calls_waits_no_more() {
        let need = |kind| Need {
            kind,
            count: 1,
            most: 1,
        };
        let (one, other, third) = (need(1), need(2), need(3));
        let mut on = StuckOn::one(one);
        for need in [other, one, third, other] {
            on.add(need);
        }
        assert!(on.remove(one) && on.remove(one), "two others are left");
        assert!(!on.needs().any(|need| *need == one));
        assert!(on.remove(other) && on.remove(third));
        assert_eq!(on.needs().collect::<Vec<_>>(), [&other]);
        assert!(!on.remove(other));
    }

    #[test]
    fn counts_return_to_zero_also_for_turns_that_have_ended_before() {
        let turns = [1, 2].map(|number| TurnId::new(u32::MAX - 1, number));
        let need = Need {
            kind: u32::MAX - 2,
            count: 1,
            most: 1,
        };
        let waiting = Waiting::begin(need, turns.to_vec()).expect("no turn of this kind is stuck");
        let other = Waiting::begin(need, turns.to_vec()).expect("no turn of this kind is stuck");
        let stuck = || WAITS.lock().stuck_of_kind.get(&turns[0].kind()).copied();
        assert_eq!(stuck(), Some(2));
        have_ended(turns.into_iter().take(1));
        assert_eq!(stuck(), Some(1));
        drop(other);
        assert_eq!(stuck(), Some(1));
        drop(waiting);
        assert_eq!(stuck(), None);
    }
}
