//! Strays: hosts on the same bus that see another store, for example because one of them was
//! started without the JetStream domain of the others. They would never run what is declared here.
//! Pure except for logging.

use crate::{name::HostId, store::Incarnation, wire::Origin};
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// How long a host that used the same store may use another one before it is excluded. When a store
/// is re-created, hosts notice it within seconds of each other.
const PATIENCE: Duration = Duration::from_secs(10);

/// The stores that hosts use, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Strays(HashMap<HostId, Seen>);

#[derive(Debug)]
struct Seen {
    epoch: u64,
    /// Whether this boot of the host has named the same store as this process.
    has_agreed: bool,
    differs_since: Option<Instant>,
    is_stray: bool,
}

impl Strays {
    /// Handles the store that a heartbeat names. Returns whether the host has become a stray or has
    /// stopped being one.
    pub(super) fn heard(
        &mut self,
        from: &Origin,
        theirs: Incarnation,
        ours: Incarnation,
        now: Instant,
    ) -> bool {
        let fresh = Seen {
            epoch: from.epoch,
            has_agreed: false,
            differs_since: None,
            is_stray: false,
        };
        let seen = self.0.entry(from.host.clone()).or_insert(fresh);
        if seen.epoch == from.epoch && theirs == Incarnation::default() {
            // It follows no store now, and is judged by the one that it named before.
            return false;
        }
        if seen.epoch != from.epoch {
            seen.epoch = from.epoch;
            seen.has_agreed = false;
            seen.differs_since = None;
        }
        if !theirs.differs_from(ours) {
            seen.has_agreed |= theirs == ours;
            seen.differs_since = None;
            return std::mem::replace(&mut seen.is_stray, false);
        }
        let since = *seen.differs_since.get_or_insert(now);
        let is_new = !seen.has_agreed || now.saturating_duration_since(since) >= PATIENCE;
        if seen.is_stray || !is_new {
            return false;
        }
        seen.is_stray = true;
        tracing::warn!(host = %from.host, theirs = theirs.0, ours = ours.0, "a host on this bus uses another store, so it takes no share of what is declared here; start it, or this host, with the JetStream domain of the store that was meant");
        true
    }

    /// Returns whether a host uses another store.
    pub(super) fn contains(&self, host: &HostId) -> bool {
        self.0.get(host).is_some_and(|seen| seen.is_stray)
    }

    /// Returns the number of known hosts.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Removes the hosts for which `keep` returns false.
    pub(super) fn retain(&mut self, keep: impl Fn(&HostId) -> bool) {
        self.0.retain(|host, _| keep(host));
    }

    /// Removes a host that has left.
    pub(super) fn forget(&mut self, host: &HostId) {
        self.0.remove(host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Incarnation = Incarnation(1);
    const OTHER: Incarnation = Incarnation(2);

    #[test]
    fn a_host_that_starts_on_another_store_is_a_stray_until_it_uses_the_same_one() {
        let (mut strays, now) = (Strays::default(), Instant::now());
        let host = HostId::new("edge").expect("a host");
        let boot = |epoch| Origin::new(host.clone(), epoch);
        assert!(!strays.heard(&boot(1), Incarnation::default(), OURS, now));
        assert!(strays.heard(&boot(1), OTHER, OURS, now));
        assert!(!strays.heard(&boot(1), OTHER, OURS, now), "reported once");
        assert!(strays.contains(&host));
        assert!(!strays.heard(&boot(1), Incarnation::default(), OURS, now));
        assert!(strays.contains(&host), "it only lost its own");
        assert!(strays.heard(&boot(2), OURS, OURS, now));
        assert!(!strays.contains(&host));
    }

    #[test]
    fn when_a_store_is_created_again_hosts_have_time_to_follow() {
        let (mut strays, now) = (Strays::default(), Instant::now());
        let host = HostId::new("edge").expect("a host");
        let boot = Origin::new(host.clone(), 1);
        assert!(!strays.heard(&boot, OURS, OURS, now));
        let second = Duration::from_secs(1);
        assert!(!strays.heard(&boot, OURS, OTHER, now + second));
        assert!(!strays.heard(&boot, OURS, OTHER, now + 10 * second));
        assert!(!strays.heard(&boot, OTHER, OTHER, now + 10 * second));
        assert!(!strays.contains(&host));
        assert!(!strays.heard(&boot, OURS, OTHER, now + 20 * second));
        assert!(strays.heard(&boot, OURS, OTHER, now + 30 * second));
    }
}
