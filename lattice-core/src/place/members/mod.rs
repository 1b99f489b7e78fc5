//! Which hosts count for placement: the pure rules of membership. They take heartbeats and the time
//! as input.
//!
//! Routing needs to know at once which hosts might serve a call, and a wrong guess costs little.
//! Placement moves replicas, so it waits for more evidence:
//!
//! ```text
//!              enough beats                goodbye, three silent intervals, a newer boot
//! ── beat ──► joining ──────────► live ──────────────────────────────────────────────────► gone
//! ```
//! * A host counts after two beats, at least half an interval apart. Each of its deaths in the last
//!   ten minutes doubles that number, up to 64, so that a host that dies often waits longer. A
//!   goodbye does not count as a death.
//! * A host that receives nothing, not even its own beats, is deaf and decides nothing. It
//!   continues with the hosts that it knew. When it receives beats again, every host gets a full
//!   round to send a beat.
//! * A host that has just started counts others after their first beat, because they may have been
//!   running for long. It should act only after it has listened for a while:
//!   [`Members::is_settled`].
//! * A host that starts while the bus is disconnected continues with the hosts that an earlier boot
//!   of it knew, if it was one of them. It does so after as long as it would have listened:
//!   [`Members::recall`]. When the bus is back, every host gets a full round to send a beat.
//! * Of two boots with the same host id, the one with the higher epoch counts as long as it beats.
//!   When both continue to beat, two hosts have the same id, which is reported as
//!   [`MembershipChange::Doubled`].
//!
//! All times are the caller's own. A sender's clock is never used.

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

/// The number of beats after which a host counts, if it has not died lately.
const BEATS: u32 = 2;
/// A host counts itself as deaf when it has received nothing for this many of its own intervals.
/// That is fewer than the three after which a host counts as dead.
const DEAF: u32 = 2;
/// The most beats that a host needs, however often it has died.
const MOST_BEATS: u32 = 64;
/// The longest time to listen. The end of a longer one may not fit the clock.
const LONGEST: Duration = Duration::from_hours(365 * 24);
/// How long a host listens before it acts, in intervals of the slowest host that it receives.
const LISTEN: u32 = 2;

/// The epoch of a host of which only the id is known. It is lower than that of any boot.
const NO_BOOT: u64 = 0;

/// A host's labels, for placement.
pub type Labels = BTreeMap<String, String>;

/// An input of the state machine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A beat came over the bus. This includes the host's own beats, which must be passed in, too.
    Beat {
        /// The boot that sent it.
        from: Origin,
        /// The time until its next beat.
        interval: Duration,
        /// Its labels.
        labels: Labels,
    },
    /// A host sent a goodbye.
    Goodbye(Origin),
    /// The connection to the bus changed.
    Bus(BusState),
    /// The instant of [`Members::wake`] has come.
    Woken,
}

/// A change of membership.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MembershipChange {
    /// A host counts from now on.
    Joined(Origin),
    /// The labels of a host that counts have changed.
    Relabelled(Origin),
    /// A host does not count any more.
    Left(Origin, Departure),
    /// Two hosts have the same id. The one with the higher epoch counts, and the other one gets no
    /// work. Give one of them another id.
    Doubled {
        /// The boot that counts.
        counts: Origin,
        /// The epoch of the other boot.
        other: u64,
    },
    /// The host has listened long enough to act.
    Settled,
}

/// Why a host does not count any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Departure {
    /// It sent a goodbye.
    Goodbye,
    /// It was silent for three intervals.
    Silence,
    /// A newer boot of the same host started.
    Restart,
}

/// The state machine of membership.
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

/// Whether this host receives anything.
#[derive(Debug)]
enum Reception {
    /// The bus is disconnected.
    Away,
    /// The bus is connected, but nothing has been received yet.
    Nothing,
    /// When something was last received.
    Since(Instant),
}

#[derive(Debug)]
struct Listening {
    began: Instant,
    at_least: Duration,
}

impl Members {
    /// Starts without any members, as seen by `me`, which starts now. It listens for at least
    /// `at_least` before it acts, and for at least two intervals of the slowest host that it
    /// receives. With zero, which is for a host that is alone, it acts after its own first beat.
    pub fn new(me: Origin, at_least: Duration, now: Instant) -> Self {
        Self {
            me,
            hosts: BTreeMap::new(),
            history: History::default(),
            reception: Reception::Nothing,
            listening: Some(Listening {
                began: now,
                at_least: at_least.min(LONGEST),
            }),
            recalled: BTreeMap::new(),
            wake: None,
        }
    }

    /// Sets the hosts that an earlier boot of this host knew last. They count if the bus stays
    /// disconnected and this host is one of them. Then this host runs its share until it receives
    /// beats of others.
    pub fn recall(&mut self, hosts: BTreeMap<HostId, Labels>) {
        self.recalled = hosts;
    }

    /// Handles an event. Returns the changes.
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
                self.beat(&from, (interval, labels), now, &mut changes);
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

    /// Returns when [`Event::Woken`] is due, or `None` if only another event can change anything.
    pub fn wake(&self) -> Option<Instant> {
        self.wake
    }

    /// Returns whether this host has listened long enough to act.
    pub fn is_settled(&self) -> bool {
        self.listening.is_none()
    }

    /// Returns whether this very boot counts. If another boot with the same id counts, nothing is
    /// placed here.
    pub fn counts_me(&self) -> bool {
        let own = self.hosts.get(&self.me.host);
        own.is_some_and(|own| own.is_live() && own.origin == self.me)
    }

    /// Returns whether no other host is known, and none has died lately that may come back.
    pub fn is_alone(&self, now: Instant) -> bool {
        let mut others = self.hosts.keys().filter(|host| **host != self.me.host);
        others.next().is_none() && !self.history.others_died(&self.me.host, now)
    }

    /// Returns whether a later boot of this host is known.
    pub fn knows_newer(&self, than: &Origin) -> bool {
        let known = self.hosts.get(&than.host);
        known.is_some_and(|known| known.origin.epoch > than.epoch)
    }

    /// Returns the boots that count, with their labels, in no order.
    pub fn live(&self) -> impl Iterator<Item = (&Origin, &Arc<Labels>)> {
        let live = self.hosts.values().filter(|member| member.is_live());
        live.map(|member| (&member.origin, &member.labels))
    }

    /// Returns the ids that two hosts have: for each, the boot that counts and the epoch of the
    /// other.
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

    /// Gives every host a full round to send another beat.
    fn regain(&mut self, now: Instant) {
        for member in self.hosts.values_mut() {
            member.last_beat = now;
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
        (interval, labels): (Duration, Labels),
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

    /// Adds a boot that was not known before.
    fn add_boot(
        &mut self,
        mut newcomer: Member,
        now: Instant,
        changes: &mut Vec<MembershipChange>,
    ) {
        let host = newcomer.origin.host.clone();
        let before = self.hosts.remove(&host);
        // A recalled host counts already, and this beat shows that it is live.
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

    /// Applies the changes that follow from the time alone, if they are due.
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

    /// Ends the initial listening, or returns when it will end.
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

    /// Ends the initial listening while the bus is disconnected, or returns when it will end.
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
