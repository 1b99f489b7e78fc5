//! Recent deaths and goodbyes of hosts.

use super::BEATS;
use crate::{name::HostId, wire::Origin};
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// How long a death counts, and how long a late beat can't bring back a boot that sent a goodbye.
const REMEMBERED: Duration = Duration::from_mins(10);
/// The most deaths that are recorded for one host. With this many, it needs the most beats anyway.
const DEATHS: usize = 5;
/// The most hosts that are recorded.
const HOSTS: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct History {
    hosts: HashMap<HostId, HostHistory>,
}

#[derive(Debug)]
struct HostHistory {
    deaths: VecDeque<Instant>,
    left: Option<u64>,
    latest: Instant,
}

impl History {
    pub(super) fn died(&mut self, host: &HostId, now: Instant) {
        let history = self.history(host, now);
        if history.deaths.len() == DEATHS {
            history.deaths.pop_front();
        }
        history.deaths.push_back(now);
    }

    pub(super) fn left(&mut self, who: &Origin, now: Instant) {
        let history = self.history(&who.host, now);
        history.left = history.left.max(Some(who.epoch));
    }

    /// Returns how often the host has died within the last ten minutes.
    pub(super) fn deaths(&self, host: &HostId, now: Instant) -> u32 {
        let lately = |at: &&Instant| now.saturating_duration_since(**at) < REMEMBERED;
        let history = self.hosts.get(host);
        history.map_or(0, |history| {
            history.deaths.iter().filter(lately).count() as u32
        })
    }

    /// Returns whether another host has died within the last ten minutes.
    pub(super) fn others_died(&self, me: &HostId, now: Instant) -> bool {
        let mut others = self.hosts.keys().filter(|host| *host != me);
        others.any(|host| self.deaths(host, now) > 0)
    }

    /// Returns whether this boot sent a goodbye.
    pub(super) fn has_left(&self, who: &Origin) -> bool {
        let history = self.hosts.get(&who.host);
        history.is_some_and(|history| history.left == Some(who.epoch))
    }

    fn history(&mut self, host: &HostId, now: Instant) -> &mut HostHistory {
        if self.hosts.len() >= HOSTS && !self.hosts.contains_key(host) {
            self.make_room(now);
        }
        let history = self
            .hosts
            .entry(host.clone())
            .or_insert_with(|| HostHistory {
                deaths: VecDeque::new(),
                left: None,
                latest: now,
            });
        history.latest = now;
        history
    }

    fn make_room(&mut self, now: Instant) {
        self.hosts
            .retain(|_, history| now.saturating_duration_since(history.latest) < REMEMBERED);
        let oldest = self.hosts.iter().min_by_key(|(_, history)| history.latest);
        if self.hosts.len() >= HOSTS
            && let Some(oldest) = oldest.map(|(host, _)| host.clone())
        {
            self.hosts.remove(&oldest);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }
}

const _: () = assert!(BEATS << DEATHS == super::MOST_BEATS);
