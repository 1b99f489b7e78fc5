//! Where calls that belong together go.
//!
//! A component that has been given streams or handles by an instance of another, or has given it
//! some, keeps something for it in one of its replicas. The later calls of that instance go there
//! too, as long as that replica is there.

use crate::{id::Origin, name::ComponentId, sync::Mutex};
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// Instances whose calls are remembered. An instance that keeps something takes megabytes, so no
/// host has as many.
const INSTANCES: usize = 65_536;
/// Components that are remembered of each.
const TARGETS: usize = 64;

/// The boots on which components have something to do with instances of this process.
#[derive(Debug, Default)]
pub(super) struct Affinity(Mutex<ByInstance>);

/// The targets of each instance. Its numbers are this process's own, and read on every call.
type ByInstance = HashMap<u64, Vec<(ComponentId, Origin)>, RandomState>;

impl Affinity {
    /// Returns where this instance was last served by `target`, if they have passed handles.
    pub(super) fn of(&self, instance: u64, target: &ComponentId) -> Option<Origin> {
        let known = self.0.lock();
        let targets = known.get(&instance)?.iter();
        let mut found = targets.filter(|(known, _)| known == target);
        found.next().map(|(_, origin)| origin.clone())
    }

    /// Remembers where this instance was served.
    pub(super) fn remember(&self, instance: u64, target: &ComponentId, origin: &Origin) {
        let mut known = self.0.lock();
        if known.len() >= INSTANCES && !known.contains_key(&instance) {
            return;
        }
        let targets = known.entry(instance).or_default();
        if let Some((_, known)) = targets.iter_mut().find(|(known, _)| known == target) {
            // Nearly always it is there already.
            if known != origin {
                known.clone_from(origin);
            }
            return;
        }
        if targets.len() >= TARGETS {
            targets.remove(0);
        }
        targets.push((target.clone(), origin.clone()));
    }

    /// Forgets an instance that has ended.
    pub(super) fn forget(&self, instance: u64) {
        self.0.lock().remove(&instance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::HostId;

    #[test]
    fn affinities_are_bounded_and_forgotten_with_their_instance() {
        let affinity = Affinity::default();
        let at = |epoch| Origin::new(HostId::new("host").expect("an id"), epoch);
        let target = |n| ComponentId::new(&format!("c{n}")).expect("an id");
        for n in 0..=TARGETS {
            affinity.remember(1, &target(n), &at(1));
        }
        affinity.remember(1, &target(7), &at(2));
        assert_eq!(affinity.of(1, &target(0)), None, "the oldest");
        assert_eq!(affinity.of(1, &target(7)), Some(at(2)));
        assert_eq!(affinity.of(2, &target(7)), None);
        affinity.forget(1);
        assert_eq!(affinity.of(1, &target(7)), None);
        for n in 0..INSTANCES as u64 + 5 {
            affinity.remember(n, &target(0), &at(1));
        }
        assert_eq!(affinity.0.lock().len(), INSTANCES);
    }
}
