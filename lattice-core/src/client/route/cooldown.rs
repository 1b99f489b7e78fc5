//! Hosts that said a moment ago that they can't take calls to one component: they have too much to do, or serve it no longer, and
//! the beat that tells so is on its way. Else such a host, who answers at once, would look the least busy of all.

use crate::{name::ComponentId, wire::Origin};
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long such a host is left alone when there is another one: about the time in which a full queue gets shorter, and far more
/// than a beat takes.
const REST: Duration = Duration::from_millis(100);
/// Most that are remembered; then the oldest is forgotten.
const MOST: usize = 256;

/// Who rests; asking costs nothing while nobody does.
#[derive(Debug, Default)]
pub(crate) struct Resting {
    anyone: AtomicBool,
    who: Mutex<Who>,
}

/// And until when, the oldest first.
#[derive(Debug, Default)]
struct Who(Vec<(Origin, ComponentId, Instant)>);

impl Resting {
    /// `host` answered that it can't take calls to `component`.
    pub(crate) fn add(&self, host: &Origin, component: &ComponentId, now: Instant) {
        self.lock().add(host, component, now);
        self.anyone.store(true, Ordering::Release);
    }

    /// Whether `host` rests from `component`.
    pub(crate) fn rests(&self, host: &Origin, component: &ComponentId, now: Instant) -> bool {
        if !self.anyone.load(Ordering::Acquire) {
            return false;
        }
        let who = self.lock();
        if who.is_over(now) {
            self.anyone.store(false, Ordering::Release);
        }
        who.rests(host, component, now)
    }

    fn lock(&self) -> MutexGuard<'_, Who> {
        self.who.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Who {
    fn add(&mut self, host: &Origin, component: &ComponentId, now: Instant) {
        self.0
            .retain(|(known, of, until)| *until > now && !(known == host && of == component));
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push((host.clone(), component.clone(), now + REST));
    }

    fn rests(&self, host: &Origin, component: &ComponentId, now: Instant) -> bool {
        self.0
            .iter()
            .any(|(known, of, until)| *until > now && known == host && of == component)
    }

    /// Whether nobody rests any more.
    fn is_over(&self, now: Instant) -> bool {
        self.0.iter().all(|(_, _, until)| *until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::HostId;

    #[test]
    fn a_host_rests_from_one_component_for_a_moment() {
        let host = |n: usize| Origin::new(HostId::new(&format!("h{n}")).expect("valid"), 1);
        let component = |id| ComponentId::new(id).expect("valid");
        let (resting, now) = (Resting::default(), Instant::now());
        resting.add(&host(1), &component("a"), now);
        assert!(resting.rests(&host(1), &component("a"), now));
        assert!(!resting.rests(&host(1), &component("b"), now));
        assert!(!resting.rests(&host(2), &component("a"), now));
        assert!(!resting.rests(&host(1), &component("a"), now + REST));
        for n in 0..MOST * 2 {
            resting.add(&host(n), &component("a"), now);
        }
        assert_eq!(resting.lock().0.len(), MOST);
        assert!(!resting.rests(&host(MOST), &component("a"), now + REST));
        assert!(!resting.anyone.load(Ordering::Relaxed), "it is over");
    }
}
