//! The shared list of hosts that are avoided for a moment.

use super::route::Cooling;
use crate::{name::ComponentId, sync::Mutex, wire::Origin};
use std::sync::{
    MutexGuard,
    atomic::{AtomicBool, Ordering},
};
use tokio::time::Instant;

/// The hosts to avoid for each component. A lookup costs nothing while the list is empty.
#[derive(Debug, Default)]
pub(super) struct Cooldowns {
    any: AtomicBool,
    hosts: Mutex<Cooling>,
}

impl Cooldowns {
    /// Records that `host` can't take calls to `component`.
    pub(super) fn add(&self, host: &Origin, component: &ComponentId, now: Instant) {
        self.lock().add(host, component, now);
        self.any.store(true, Ordering::Release);
    }

    /// Whether to avoid `host` for `component`.
    pub(super) fn contains(&self, host: &Origin, component: &ComponentId, now: Instant) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let hosts = self.lock();
        if hosts.is_over(now) {
            self.any.store(false, Ordering::Release);
        }
        hosts.contains(host, component, now)
    }

    fn lock(&self) -> MutexGuard<'_, Cooling> {
        self.hosts.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{client::route::COOLDOWN, name::HostId};

    #[test]
    fn lookups_skip_the_lock_when_the_last_cooldown_is_over() {
        let host = Origin::new(HostId::new("h1").expect("valid"), 1);
        let component = ComponentId::new("a").expect("valid");
        let (cooldowns, now) = (Cooldowns::default(), Instant::now());
        assert!(!cooldowns.contains(&host, &component, now));
        cooldowns.add(&host, &component, now);
        assert!(cooldowns.contains(&host, &component, now));
        assert!(!cooldowns.contains(&host, &component, now + COOLDOWN));
        assert!(!cooldowns.any.load(Ordering::Relaxed), "it is over");
    }
}
