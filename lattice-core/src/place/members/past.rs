//! What is remembered of hosts that died or left.

use super::BEATS;
use crate::{name::HostId, wire::Origin};
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// How long a death counts, and how long the boot of a goodbye is kept from coming back by a late beat.
const REMEMBERED: Duration = Duration::from_mins(10);
/// Deaths of one host that are told apart: after these it needs the most beats anyway.
const DEATHS: usize = 5;
/// Hosts that are remembered.
const HOSTS: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Past {
    hosts: HashMap<HostId, Life>,
}

#[derive(Debug)]
struct Life {
    deaths: VecDeque<Instant>,
    left: Option<u64>,
    latest: Instant,
}

impl Past {
    pub(super) fn died(&mut self, host: &HostId, now: Instant) {
        let life = self.life(host, now);
        if life.deaths.len() == DEATHS {
            life.deaths.pop_front();
        }
        life.deaths.push_back(now);
    }

    pub(super) fn left(&mut self, who: &Origin, now: Instant) {
        let life = self.life(&who.host, now);
        life.left = life.left.max(Some(who.epoch));
    }

    /// How often it has died lately.
    pub(super) fn deaths(&self, host: &HostId, now: Instant) -> u32 {
        let lately = |at: &&Instant| now.saturating_duration_since(**at) < REMEMBERED;
        let life = self.hosts.get(host);
        life.map_or(0, |life| life.deaths.iter().filter(lately).count() as u32)
    }

    /// Whether a host but this one has died lately.
    pub(super) fn others_died(&self, me: &HostId, now: Instant) -> bool {
        let mut others = self.hosts.keys().filter(|host| *host != me);
        others.any(|host| self.deaths(host, now) > 0)
    }

    /// Whether this boot said goodbye.
    pub(super) fn has_left(&self, who: &Origin) -> bool {
        let life = self.hosts.get(&who.host);
        life.is_some_and(|life| life.left == Some(who.epoch))
    }

    fn life(&mut self, host: &HostId, now: Instant) -> &mut Life {
        if self.hosts.len() >= HOSTS && !self.hosts.contains_key(host) {
            self.make_room(now);
        }
        let life = self.hosts.entry(host.clone()).or_insert_with(|| Life {
            deaths: VecDeque::new(),
            left: None,
            latest: now,
        });
        life.latest = now;
        life
    }

    fn make_room(&mut self, now: Instant) {
        self.hosts
            .retain(|_, life| now.saturating_duration_since(life.latest) < REMEMBERED);
        let oldest = self.hosts.iter().min_by_key(|(_, life)| life.latest);
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
