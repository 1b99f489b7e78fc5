//! Which hosts count for placement: the pure rules of membership, fed with heartbeats and the time.
//!
//! Routing wants to know at once who might serve a call, and is wrong for free. Placement moves replicas on what it is told, so
//! it is slower to believe:
//!
//! ```text
//!              enough beats                goodbye, three silent intervals, a newer boot
//! ── beat ──► joining ──────────► live ──────────────────────────────────────────────────► gone
//! ```
//! * A host counts after two beats, at least half an interval apart. Each of its deaths in the last ten minutes doubles that,
//!   up to 64: a host that dies often waits longer. A goodbye is no death.
//! * A host that receives nothing, not even its own beats, is deaf and decides nothing: it goes on with those that it knew, and when it
//!   hears again everyone gets a full round to be heard.
//! * A host that has just started believes the first beat of others, who have been there for longer than it knows, and should
//!   act on what it believes only when it has listened for a while: [`Members::is_settled`].
//! * A host that starts while the bus is away goes on with those that an earlier boot of it knew, itself among them, after as
//!   long as it would have listened: [`Members::recall`]. When the bus is there, each gets a full round to be heard.
//! * Of two boots of one host id the one with the higher epoch counts, as long as it beats. When both go on beating, two
//!   hosts have one id, and that is [`MembershipChange::Doubled`].
//!
//! All time is the caller's own; a sender's clock is never used.

mod history;
mod member;
#[cfg(test)]
mod tests;

use crate::{
    bus::BusState,
    liveness::{MAX_INTERVAL, MIN_INTERVAL},
    name::HostId,
    wire::{Beat, Origin},
};
use history::History;
use member::Member;
use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Beats after which a host counts that has not died lately.
const BEATS: u32 = 2;
/// Own beats that don't come back before a host takes itself for deaf. Below the three that make a death.
const DEAF: u32 = 2;
/// However often it has died.
const MOST_BEATS: u32 = 64;
/// Intervals of the slowest host heard that a host listens before it acts.
const LISTEN: u32 = 2;

/// The epoch of a host of which only the id is known: before any boot.
const NO_BOOT: u64 = 0;

/// A host's labels, for placement.
pub type Labels = BTreeMap<String, String>;

/// What happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A beat came over the bus: one's own come back too, and must be passed in.
    Beat {
        /// Who sent it.
        from: Origin,
        /// Until its next one.
        interval: Duration,
        /// Its labels.
        labels: Labels,
    },
    /// A host takes its leave.
    Goodbye(Origin),
    /// The bus came or went.
    Bus(BusState),
    /// Time passed: the instant of [`Members::wake`] has come.
    Woken,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MembershipChange {
    /// A host counts from now on.
    Joined(Origin),
    /// A host that counts has other labels.
    Relabelled(Origin),
    /// A host doesn't count any more.
    Left(Origin, Departure),
    /// Two hosts run under one id: the one of the newer epoch counts, the other gets no work. Give one of them another id.
    Doubled {
        /// The one that counts.
        counts: Origin,
        /// The epoch of the other.
        other: u64,
    },
    /// The first look around is over.
    Settled,
}

/// Why a host doesn't count any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Departure {
    /// It said goodbye.
    Goodbye,
    /// It was silent for three intervals.
    Silence,
    /// A newer boot of it is there.
    Restart,
}

/// The state machine.
#[derive(Debug)]
pub struct Members {
    me: Origin,
    hosts: BTreeMap<HostId, Member>,
    history: History,
    reception: Reception,
    listening: Option<Listening>,
    recalled: BTreeMap<HostId, Labels>,
    wake: Option<Instant>,
}

/// Whether anything can be heard.
#[derive(Debug)]
enum Reception {
    /// The bus is away.
    Away,
    /// The bus is there, and so far nothing came.
    Nothing,
    /// When something came last.
    Since(Instant),
}

#[derive(Debug)]
struct Listening {
    began: Instant,
    at_least: Duration,
}

impl Members {
    /// Nobody, as `me` sees it, which starts now and will listen at least so long before it acts: two intervals of the slowest
    /// host that it hears, in any case. Zero is for a host that is alone: it acts on its own first beat.
    pub fn new(me: Origin, at_least: Duration, now: Instant) -> Self {
        Self {
            me,
            hosts: BTreeMap::new(),
            history: History::default(),
            reception: Reception::Nothing,
            listening: Some(Listening {
                began: now,
                at_least,
            }),
            recalled: BTreeMap::new(),
            wake: None,
        }
    }

    /// Those that an earlier boot of this host knew last. They count when the bus stays away, if this host is one of them: what
    /// it ran is its own to run until it hears of others.
    pub fn recall(&mut self, hosts: BTreeMap<HostId, Labels>) {
        self.recalled = hosts;
    }

    /// Handles an event, and returns what changed.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<MembershipChange> {
        let mut changes = Vec::new();
        match event {
            Event::Beat {
                from,
                interval,
                labels,
            } => {
                self.receive(now);
                let interval = interval.clamp(MIN_INTERVAL, MAX_INTERVAL);
                self.beat(&from, interval, labels, now, &mut changes);
            }
            Event::Goodbye(who) => self.goodbye(&who, now, &mut changes),
            Event::Bus(BusState::Connected) => {
                if matches!(self.reception, Reception::Away) {
                    self.reception = Reception::Nothing;
                    self.regain(now);
                }
            }
            Event::Bus(_) => self.reception = Reception::Away,
            Event::Woken => {}
        }
        self.check_time(now, &mut changes);
        changes
    }

    /// When to tell it that time has passed; nothing when only another event can change anything.
    pub fn wake(&self) -> Option<Instant> {
        self.wake
    }

    /// Whether it has listened long enough to know who is there.
    pub fn is_settled(&self) -> bool {
        self.listening.is_none()
    }

    /// Whether this very boot counts. When another one of the same id does, nothing is placed here.
    pub fn counts_me(&self) -> bool {
        let own = self.hosts.get(&self.me.host);
        own.is_some_and(|own| own.is_live() && own.origin == self.me)
    }

    /// Whether nobody else is there, and nobody was lately who may come back.
    pub fn is_alone(&self, now: Instant) -> bool {
        let mut others = self.hosts.keys().filter(|host| **host != self.me.host);
        others.next().is_none() && !self.history.others_died(&self.me.host, now)
    }

    /// Whether a later boot of this host is there.
    pub fn knows_newer(&self, than: &Origin) -> bool {
        let known = self.hosts.get(&than.host);
        known.is_some_and(|known| known.origin.epoch > than.epoch)
    }

    /// Returns the boots that count, with their labels, in no order.
    pub fn live(&self) -> impl Iterator<Item = (&Origin, &Arc<Labels>)> {
        let live = self.hosts.values().filter(|member| member.is_live());
        live.map(|member| (&member.origin, &member.labels))
    }

    /// The ids that two hosts run under: the boot that counts, and the epoch of the other.
    pub fn doubled(&self) -> impl Iterator<Item = (&Origin, u64)> {
        let members = self.hosts.values();
        members.filter_map(|member| Some((&member.origin, member.double()?)))
    }

    fn receive(&mut self, now: Instant) {
        if self.is_deaf(now) {
            self.regain(now);
        }
        self.reception = Reception::Since(now);
    }

    /// Everyone gets a full round to be heard again.
    fn regain(&mut self, now: Instant) {
        for member in self.hosts.values_mut() {
            member.heard = now;
        }
        if let Some(listening) = &mut self.listening {
            listening.began = now;
        }
    }

    fn is_deaf(&self, now: Instant) -> bool {
        let own = self.hosts.get(&self.me.host);
        let interval = own.map_or(Duration::from_secs(1), |own| own.interval);
        match self.reception {
            Reception::Away | Reception::Nothing => true,
            Reception::Since(last) => now.saturating_duration_since(last) > interval * DEAF,
        }
    }

    fn beat(
        &mut self,
        from: &Origin,
        interval: Duration,
        labels: Labels,
        now: Instant,
        changes: &mut Vec<MembershipChange>,
    ) {
        if self.history.has_left(from) {
            return;
        }
        match self.hosts.get_mut(&from.host) {
            Some(known) if known.origin.epoch > from.epoch => {
                changes.extend(known.rival_beat(from.epoch, now));
            }
            Some(known) if known.origin.epoch == from.epoch => {
                changes.extend(known.beat(interval, labels, now));
            }
            _ => self.add_boot(
                Member::new(from.clone(), interval, labels, now),
                now,
                changes,
            ),
        }
    }

    /// A boot that was not there before.
    fn add_boot(
        &mut self,
        mut newcomer: Member,
        now: Instant,
        changes: &mut Vec<MembershipChange>,
    ) {
        let host = newcomer.origin.host.clone();
        let before = self.hosts.remove(&host);
        // It counts already, and is there.
        let goes_on = before.as_ref().is_some_and(Member::is_recalled);
        if let Some(older) = before.filter(|_| !goes_on) {
            newcomer.watch(older.origin.epoch, now);
            if older.is_live() {
                self.history.died(&host, now);
                changes.push(MembershipChange::Left(older.origin, Departure::Restart));
            }
        }
        let needed = if self.is_settled() && !goes_on {
            (BEATS << self.history.deaths(&host, now)).min(MOST_BEATS)
        } else {
            1
        };
        changes.extend(newcomer.needs(needed));
        self.wake = self.wake.map(|wake| wake.min(newcomer.deadline()));
        self.hosts.insert(host, newcomer);
    }

    fn goodbye(&mut self, who: &Origin, now: Instant, changes: &mut Vec<MembershipChange>) {
        self.history.left(who, now);
        let known = self.hosts.get(&who.host);
        if known.is_some_and(|member| member.origin == *who)
            && let Some(member) = self.hosts.remove(&who.host)
            && member.is_live()
        {
            changes.push(MembershipChange::Left(member.origin, Departure::Goodbye));
        }
    }

    /// Looks at what the time alone has changed, when it is due.
    fn check_time(&mut self, now: Instant, changes: &mut Vec<MembershipChange>) {
        if self.is_deaf(now) {
            self.wake = self.settle_alone(now, changes);
        } else if self.listening.is_some() || self.wake.is_none_or(|wake| wake <= now) {
            self.remove_silent(now, changes);
            let settles = self.settle(now, changes);
            let deadlines = self.hosts.values().map(Member::deadline);
            self.wake = deadlines.chain(settles).min();
        }
    }

    fn remove_silent(&mut self, now: Instant, changes: &mut Vec<MembershipChange>) {
        let silent = self
            .hosts
            .values()
            .filter(|member| member.deadline() <= now);
        let silent: Vec<HostId> = silent.map(|member| member.origin.host.clone()).collect();
        for host in silent {
            if let Some(member) = self.hosts.remove(&host)
                && member.is_live()
            {
                if !member.is_recalled() {
                    self.history.died(&host, now);
                }
                changes.push(MembershipChange::Left(member.origin, Departure::Silence));
            }
        }
        for member in self.hosts.values_mut() {
            member.forget_rival(now);
        }
    }

    /// Ends the first look around, or returns when that will be.
    fn settle(&mut self, now: Instant, changes: &mut Vec<MembershipChange>) -> Option<Instant> {
        let listening = self.listening.as_ref()?;
        let longest = self.hosts.values().map(|member| member.interval).max();
        let enough = listening.at_least.max(longest.unwrap_or_default() * LISTEN);
        let until = if listening.at_least.is_zero() {
            listening.began
        } else {
            listening.began + enough
        };
        if until > now {
            return Some(until);
        }
        if self.hosts.contains_key(&self.me.host) {
            self.listening = None;
            self.recalled = BTreeMap::new();
            changes.push(MembershipChange::Settled);
        }
        None
    }

    /// Ends the first look around without a bus, or returns when that will be.
    fn settle_alone(
        &mut self,
        now: Instant,
        changes: &mut Vec<MembershipChange>,
    ) -> Option<Instant> {
        let listening = self.listening.as_ref()?;
        let is_away = matches!(self.reception, Reception::Away);
        if !is_away || !self.recalled.contains_key(&self.me.host) {
            return None;
        }
        let interval = Beat::interval_among(self.recalled.len());
        let until = listening.began + listening.at_least.max(interval * LISTEN);
        if until > now {
            return Some(until);
        }
        for (host, labels) in mem::take(&mut self.recalled) {
            let origin = if host == self.me.host {
                self.me.clone()
            } else {
                Origin::new(host.clone(), NO_BOOT)
            };
            let known = || Member::recalled(origin, interval, labels, now);
            self.hosts.entry(host).or_insert_with(known);
        }
        self.listening = None;
        changes.push(MembershipChange::Settled);
        None
    }
}
