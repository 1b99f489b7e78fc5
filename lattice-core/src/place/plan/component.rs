//! One component on one host: its replicas, and the next actions.

use super::{
    Action, Effects, Generation, Phase, ReplicaCount, ReplicaId, Run, Status, StepContext, Wanted,
    failures::{Failures, HEALTHY, LOOP},
    once::LeaseState,
    roll::Others,
};
use crate::name::{ComponentId, HostId};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long a replica may take to start, because its image may have to be fetched and compiled.
/// After this time, the agent ends it.
pub(crate) const START_WITHIN: Duration = Duration::from_mins(5);
/// How long after its start a replica counts as failed if the agent has reported nothing.
const START: Duration = START_WITHIN.saturating_add(Duration::from_secs(5));
/// A generation that has served this long on this host has started, and this host never rejects it.
const PROVEN: Duration = Duration::from_secs(5);

/// Why a replica failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// It failed to start although its image was available, or it crashed.
    Itself,
    /// Its image was unavailable, which doesn't count against its generation.
    ImageUnavailable,
}

#[derive(Debug)]
pub(super) struct ComponentReconciler {
    pub(super) id: ComponentId,
    /// `None` if the component was deleted, or if this host may not run it.
    pub(super) wanted: Option<Arc<Wanted>>,
    /// The slots that this host holds.
    slots: Vec<u32>,
    pub(super) others: Others,
    pub(super) replicas: Vec<Replica>,
    /// Replicas beyond this host's share that keep serving until other hosts serve.
    owed: usize,
    pub(super) failures: Failures,
    /// Failures of the previous generation, while it runs in place of the wanted one.
    pub(super) fallback_failures: Failures,
    /// Whether the wanted generation has started here.
    proven: bool,
    pub(super) lease: LeaseState,
    /// The earliest time at which the next update may continue.
    turn: Option<Instant>,
    reported: Option<Status>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Replica {
    pub(super) id: ReplicaId,
    pub(super) generation: Generation,
    pub(super) state: ReplicaState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplicaState {
    Starting { since: Instant },
    Serving { since: Instant },
    Draining,
    Stopping,
}

impl ComponentReconciler {
    pub(super) fn new(id: ComponentId) -> Self {
        Self {
            id,
            wanted: None,
            slots: Vec::new(),
            others: Others::default(),
            replicas: Vec::new(),
            owed: 0,
            failures: Failures::default(),
            fallback_failures: Failures::default(),
            proven: false,
            lease: LeaseState::default(),
            turn: None,
            reported: None,
        }
    }

    /// Takes a new plan: the wanted generation, if this host may run it, and the hosts of all slots
    /// in order.
    pub(super) fn plan<'a>(
        &mut self,
        wanted: Option<Arc<Wanted>>,
        me: &HostId,
        slots: impl Iterator<Item = &'a HostId>,
    ) {
        let (before, held) = (self.generation(), self.need() + self.owed);
        self.wanted = wanted;
        if self.generation() != before {
            self.failures.forget();
            self.fallback_failures.forget();
            self.proven = false;
            self.others.begin();
        }
        self.slots = self.others.assign(me, slots);
        let lost = held.saturating_sub(self.need());
        self.owed = match self.wanted {
            Some(_) => lost.min(self.serving().saturating_sub(self.need())),
            None => 0,
        };
    }

    pub(super) fn receive_beat(&mut self, from: &HostId, replica_counts: &[ReplicaCount]) {
        let wanted = self.generation();
        self.others.receive_beat(from, replica_counts, wanted);
    }

    pub(super) fn serves(&mut self, replica: ReplicaId, now: Instant) {
        for known in &mut self.replicas {
            if known.id == replica && matches!(known.state, ReplicaState::Starting { .. }) {
                known.state = ReplicaState::Serving { since: now };
            }
        }
    }

    pub(super) fn failed(&mut self, replica: ReplicaId, why: Failed, jitter: f64, now: Instant) {
        let Some(at) = self.replicas.iter().position(|known| known.id == replica) else {
            return;
        };
        let gone = self.replicas.remove(at);
        self.blame(gone, why, jitter, now);
    }

    pub(super) fn ended(&mut self, replica: ReplicaId) {
        self.replicas.retain(|known| known.id != replica);
    }

    /// Decides what to do now.
    pub(super) fn step(&mut self, context: StepContext, effects: &mut Effects) {
        self.turn = None;
        self.give_up_slow_starts(context.now, effects);
        match self.wanted.as_ref().map(|wanted| wanted.run) {
            Some(Run::Replicas) => self.step_replicas(context, effects),
            // If nothing is wanted, this drains whatever runs, and gives back a lease that is held.
            Some(Run::Once) | None => self.step_once(context, effects),
        }
        self.report(context.now, effects);
    }

    /// Returns when the passing of time alone may change something.
    pub(super) fn wake(&self, context: StepContext) -> Option<Instant> {
        let ages = self
            .replicas
            .iter()
            .filter_map(|replica| match replica.state {
                ReplicaState::Starting { since } => Some(since + START),
                ReplicaState::Serving { since } => {
                    Some(since + PROVEN).filter(|at| *at > context.now)
                }
                ReplicaState::Draining | ReplicaState::Stopping => None,
            });
        let again = self.failures.again(context.now);
        let fallback = self.fallback_failures.again(context.now);
        let lease = self.lease.due(context.now);
        ages.chain(again)
            .chain(fallback)
            .chain(lease)
            .chain(self.turn)
            .min()
    }

    pub(super) fn is_over(&self) -> bool {
        self.replicas.is_empty() && self.need() == 0 && self.lease.is_none()
    }

    pub(super) fn reported(&self) -> Option<&Status> {
        self.reported.as_ref()
    }

    pub(super) fn generation(&self) -> Option<Generation> {
        self.wanted.as_ref().map(|wanted| wanted.generation)
    }

    /// Returns how many replicas are this host's own share.
    pub(super) fn need(&self) -> usize {
        if self.wanted.is_some() {
            self.slots.len()
        } else {
            0
        }
    }

    fn step_replicas(&mut self, context: StepContext, effects: &mut Effects) {
        self.lease.give_back(&self.id, effects);
        let Some(wanted) = &self.wanted else {
            return;
        };
        let (generation, need) = (wanted.generation, self.need());
        let taken_over = self.others.have_taken_over(wanted.placement.replicas, need);
        self.owed = self.owed.min(self.serving().saturating_sub(need));
        if context.leave || (taken_over && self.serving_of(generation) >= need) {
            self.owed = 0;
        }
        if context.quiet {
            return;
        }
        self.stop_needless_starts(generation, effects);
        while self.firm(generation, context.now) > need + self.owed {
            self.drain_one(generation, effects);
        }
        if context.leave {
            return;
        }
        self.start_fallbacks(context.now, effects);
        if self.failures.again(context.now).is_some() {
            return;
        }
        self.start_missing(generation, context.now, effects);
    }

    fn start_missing(&mut self, generation: Generation, now: Instant, effects: &mut Effects) {
        let (need, starting) = (self.need(), self.starting());
        let updated = self.serving_of(generation);
        let lacking = (need + self.owed).saturating_sub(self.serving() + starting);
        let lacking = lacking.min(need.saturating_sub(updated + starting));
        let count = if lacking > 0 {
            // After a failure, replicas are tried one at a time.
            if self.failures.tries() > 0 {
                1_usize.saturating_sub(starting)
            } else {
                lacking
            }
        } else {
            usize::from(starting == 0 && updated < need && self.is_turn(updated, generation, now))
        };
        for _ in 0..count {
            if !self.reject(effects, now) {
                self.start(generation, None, now, effects);
            }
        }
    }

    /// Returns whether the slot after this host's updated ones may be updated now.
    fn is_turn(&mut self, updated: usize, generation: Generation, now: Instant) -> bool {
        let Some(slot) = self.slots.get(updated).copied() else {
            return false;
        };
        let own_ready = self
            .replicas
            .iter()
            .filter_map(|replica| match replica.state {
                ReplicaState::Serving { since } if replica.generation == generation => Some(since),
                _ => None,
            });
        let turn = self.others.turn(slot, generation, own_ready.max(), now);
        self.turn = turn.filter(|turn| *turn > now);
        turn.is_some_and(|turn| turn <= now)
    }

    pub(super) fn start(
        &mut self,
        generation: Generation,
        fence: Option<u64>,
        now: Instant,
        effects: &mut Effects,
    ) {
        self.replicas.push(Replica {
            id: effects.start(&self.id, generation, fence),
            generation,
            state: ReplicaState::Starting { since: now },
        });
    }

    /// Rejects the wanted generation instead of starting it again, if it has failed too often, is
    /// not known to start on any host, and there is a previous generation. Returns whether it was
    /// rejected.
    pub(super) fn reject(&mut self, effects: &mut Effects, now: Instant) -> bool {
        let Some(wanted) = &self.wanted else {
            return false;
        };
        let generation = wanted.generation;
        let here = self
            .replicas
            .iter()
            .filter(|replica| replica.generation == generation);
        let has_started = self.proven
            || wanted.has_served
            || self.others.serve(generation)
            || here
                .into_iter()
                .any(|replica| replica.has_served(PROVEN, now));
        if self.failures.count() < LOOP || has_started || wanted.fallback.is_none() {
            return false;
        }
        effects.act(Action::Reject {
            component: self.id.clone(),
            generation,
        });
        let jitter = effects.jitter();
        self.failures.wait(jitter, now);
        true
    }

    /// Returns how many serving replicas can be relied on. As long as replicas of another
    /// generation serve, a replica of the wanted one counts only after it has served for `PROVEN`.
    fn firm(&self, wanted: Generation, now: Instant) -> usize {
        let serving = || self.replicas.iter().filter(|replica| replica.serves());
        let replaces = serving().any(|replica| replica.generation != wanted);
        let counts = |replica: &&Replica| {
            !replaces || replica.generation != wanted || replica.has_served(PROVEN, now)
        };
        serving().filter(counts).count()
    }

    /// Drains one replica. One of another generation is drained before one of the wanted
    /// generation, and the youngest one first.
    fn drain_one(&mut self, wanted: Generation, effects: &mut Effects) {
        let serving = self.replicas.iter_mut().filter(|replica| replica.serves());
        if let Some(replica) =
            serving.max_by_key(|replica| (replica.generation != wanted, replica.id))
        {
            replica.state = ReplicaState::Draining;
            effects.act(Action::Drain(replica.id));
        }
    }

    fn stop_needless_starts(&mut self, wanted: Generation, effects: &mut Effects) {
        let mut spare = self.need().saturating_sub(self.serving_of(wanted));
        let fallback = self.fallback();
        for replica in &mut self.replicas {
            if !matches!(replica.state, ReplicaState::Starting { .. }) {
                continue;
            }
            if replica.generation == wanted && spare > 0 {
                spare -= 1;
            } else if Some(replica.generation) != fallback {
                replica.stop(effects);
            }
        }
    }

    fn give_up_slow_starts(&mut self, now: Instant, effects: &mut Effects) {
        for at in 0..self.replicas.len() {
            let late = |since: Instant| now.saturating_duration_since(since) >= START;
            if matches!(self.replicas[at].state, ReplicaState::Starting { since } if late(since)) {
                let jitter = effects.jitter();
                self.blame(self.replicas[at], Failed::Itself, jitter, now);
                self.replicas[at].stop(effects);
            }
        }
    }

    /// Counts a failure, if it is one of the wanted generation or of its fallback.
    fn blame(&mut self, failed: Replica, why: Failed, jitter: f64, now: Instant) {
        let ending = matches!(
            failed.state,
            ReplicaState::Draining | ReplicaState::Stopping
        );
        if ending {
            return;
        }
        if Some(failed.generation) != self.generation() {
            if Some(failed.generation) == self.fallback() {
                self.fallback_failures.add(jitter, now);
            }
            return;
        }
        if why == Failed::ImageUnavailable {
            return self.failures.delay(jitter, now);
        }
        if let ReplicaState::Serving { since } = failed.state {
            let served = now.saturating_duration_since(since);
            self.proven |= served >= PROVEN;
            if served >= HEALTHY {
                self.failures.forget();
            }
        }
        self.failures.add(jitter, now);
    }

    pub(super) fn serving(&self) -> usize {
        self.replicas
            .iter()
            .filter(|replica| replica.serves())
            .count()
    }

    pub(super) fn serving_of(&self, generation: Generation) -> usize {
        let serving = self.replicas.iter().filter(|replica| replica.serves());
        serving
            .filter(|replica| replica.generation == generation)
            .count()
    }

    pub(super) fn starting(&self) -> usize {
        let starting = |replica: &&Replica| matches!(replica.state, ReplicaState::Starting { .. });
        self.replicas.iter().filter(starting).count()
    }

    /// Returns the number of serving replicas by generation, the wanted one first.
    pub(super) fn replica_counts(&self) -> Vec<ReplicaCount> {
        let wanted = self.generation();
        let mut generations: Vec<Generation> = self
            .replicas
            .iter()
            .filter(|replica| replica.serves())
            .map(|replica| replica.generation)
            .collect();
        generations.sort_unstable_by_key(|generation| (Some(*generation) != wanted, *generation));
        generations.dedup();
        let mut left = self.need();
        let replica_count = |generation| {
            let serving = self.serving_of(generation);
            let kept = serving.min(left);
            left -= kept;
            ReplicaCount {
                generation,
                serving: serving as u32,
                kept: kept as u32,
            }
        };
        generations.into_iter().map(replica_count).collect()
    }

    fn report(&mut self, now: Instant, effects: &mut Effects) {
        let status = Status {
            phase: self.phase(now),
            replica_counts: self.replica_counts(),
        };
        if self.reported.as_ref() != Some(&status) {
            self.reported = Some(status.clone());
            effects.act(Action::Report {
                component: self.id.clone(),
                status,
            });
        }
    }

    fn phase(&self, now: Instant) -> Phase {
        let updated = self
            .generation()
            .map_or(0, |generation| self.serving_of(generation));
        match self.failures.again(now) {
            _ if self.is_over() => Phase::Gone,
            Some(again) if self.failures.is_loop() => Phase::CrashLooping {
                failures: self.failures.count(),
                again,
            },
            _ if self.need() == 0 && self.owed == 0 => Phase::Draining,
            _ if self.owed > 0 => Phase::HandingOver,
            _ if self.lease.is_awaited() => Phase::WaitingForLease,
            _ if updated >= self.need() => Phase::Serving,
            _ if self.serving() >= self.need() && self.starting() == 0 => Phase::Updating,
            _ => Phase::Starting,
        }
    }
}

impl Replica {
    pub(super) fn serves(&self) -> bool {
        matches!(self.state, ReplicaState::Serving { .. })
    }

    fn has_served(&self, so_long: Duration, now: Instant) -> bool {
        matches!(self.state, ReplicaState::Serving { since } if now.saturating_duration_since(since) >= so_long)
    }

    pub(super) fn drain(&mut self, effects: &mut Effects) {
        match self.state {
            ReplicaState::Serving { .. } => {
                self.state = ReplicaState::Draining;
                effects.act(Action::Drain(self.id));
            }
            ReplicaState::Starting { .. } => self.stop(effects),
            ReplicaState::Draining | ReplicaState::Stopping => {}
        }
    }

    pub(super) fn stop(&mut self, effects: &mut Effects) {
        if self.state != ReplicaState::Stopping {
            self.state = ReplicaState::Stopping;
            effects.act(Action::Stop(self.id));
        }
    }
}
