//! How many sessions each component of a node has open, so that none has all of them.

use super::Refused;
use crate::{name::ComponentId, sync::Mutex};
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

/// Most sessions that one component has open. A call with streams has one for as long as these are
/// open, and a thousand streams of one component are usual.
const OF_COMPONENT: usize = 1_024;

/// The open sessions of a node, by component. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub(super) struct ComponentShares(Arc<Shares>);

#[derive(Debug)]
struct Shares {
    most: usize,
    open: Mutex<HashMap<ComponentId, usize>>,
}

/// An open session of a component. Dropping it frees its place.
#[derive(Debug)]
pub(super) struct ComponentPlace {
    shares: Arc<Shares>,
    component: ComponentId,
}

impl ComponentShares {
    /// Those of a node that may have `in_all` sessions, of which no component gets more than half.
    pub(super) fn of(in_all: usize) -> Self {
        Self(Arc::new(Shares {
            most: OF_COMPONENT.min(in_all / 2),
            open: Mutex::default(),
        }))
    }

    /// Takes a place for a session of this component.
    ///
    /// # Errors
    /// Fails with [`Refused::TooManyOfComponent`] when it has as many as it may have.
    pub(super) fn take(&self, component: &ComponentId) -> Result<ComponentPlace, Refused> {
        let Self(shares) = self;
        let mut all = shares.open.lock();
        let open = all.entry(component.clone()).or_default();
        if *open >= shares.most {
            let most = shares.most;
            return Err(Refused::TooManyOfComponent { most });
        }
        *open += 1;
        Ok(ComponentPlace {
            shares: shares.clone(),
            component: component.clone(),
        })
    }
}

impl Drop for ComponentPlace {
    fn drop(&mut self) {
        let mut all = self.shares.open.lock();
        if let Entry::Occupied(mut open) = all.entry(self.component.clone()) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ComponentId {
        ComponentId::new(text).expect("an id")
    }

    #[test]
    fn a_component_leaves_half_of_the_places_to_others() {
        for (in_all, most) in [(10, 5), (2_047, 1_023), (16_384, 1_024)] {
            let shares = ComponentShares::of(in_all);
            let greedy: Vec<_> = (0..most).map(|_| shares.take(&id("greedy"))).collect();
            assert!(greedy.iter().all(Result::is_ok), "{in_all}");
            let refused = shares
                .take(&id("greedy"))
                .expect_err("it has all of its own");
            assert_eq!(refused, Refused::TooManyOfComponent { most });
            let other = shares.take(&id("other"));
            assert!(other.is_ok(), "{in_all}: its neighbour has none");
            drop(greedy);
            assert!(shares.take(&id("greedy")).is_ok(), "{in_all}");
        }
    }

    #[test]
    fn nothing_is_kept_of_components_without_sessions() {
        let shares = ComponentShares::of(10);
        for round in 0..100 {
            let place = shares.take(&id(&format!("c{round}")));
            assert!(place.is_ok());
        }
        assert!(shares.0.open.lock().is_empty());
    }
}
