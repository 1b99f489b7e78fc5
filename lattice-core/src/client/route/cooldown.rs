//! Hosts to avoid for a moment: they have reported that they can't take calls to one component,
//! because they are overloaded or no longer serve it, and the beat that reports this may not have
//! arrived yet. Such a host replies at once, and so would look the least busy of all.

use crate::{name::ComponentId, wire::Origin};
use std::time::Duration;
use tokio::time::Instant;

/// How long such a host is avoided if there is another one: about the time in which a full queue
/// gets shorter, and far more than a beat takes.
pub(crate) const COOLDOWN: Duration = Duration::from_millis(100);
/// The most entries. Beyond that, the oldest is removed.
const MOST: usize = 256;

/// Which hosts are avoided for which component, and until when, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Cooling(Vec<(Origin, ComponentId, Instant)>);

impl Cooling {
    /// Avoids `host` for `component` for a moment.
    pub(crate) fn add(&mut self, host: &Origin, component: &ComponentId, now: Instant) {
        self.0
            .retain(|(known, of, until)| *until > now && !(known == host && of == component));
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0
            .push((host.clone(), component.clone(), now + COOLDOWN));
    }

    /// Whether to avoid `host` for `component`.
    pub(crate) fn contains(&self, host: &Origin, component: &ComponentId, now: Instant) -> bool {
        self.0
            .iter()
            .any(|(known, of, until)| *until > now && known == host && of == component)
    }

    /// Whether no host is avoided any more.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.0.iter().all(|(_, _, until)| *until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::HostId;

    #[test]
    fn a_cooldown_ends_and_applies_to_one_component_of_a_host() {
        let host = |n: usize| Origin::new(HostId::new(&format!("h{n}")).expect("valid"), 1);
        let component = |id| ComponentId::new(id).expect("valid");
        let (mut cooling, now) = (Cooling::default(), Instant::now());
        cooling.add(&host(1), &component("a"), now);
        assert!(cooling.contains(&host(1), &component("a"), now));
        assert!(!cooling.contains(&host(1), &component("b"), now));
        assert!(!cooling.contains(&host(2), &component("a"), now));
        assert!(!cooling.contains(&host(1), &component("a"), now + COOLDOWN));
        for n in 0..MOST * 2 {
            cooling.add(&host(n), &component("a"), now);
        }
        assert_eq!(cooling.0.len(), MOST);
        assert!(!cooling.contains(&host(MOST), &component("a"), now + COOLDOWN));
        assert!(cooling.is_over(now + COOLDOWN));
    }
}
