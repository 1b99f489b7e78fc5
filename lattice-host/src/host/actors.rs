//! The actors of a host, for its metrics.

use crate::guest::{ActorService, InstanceFigures, Unbusy};
use lattice_core::{name::ComponentId, sync::Mutex, telemetry::Metrics};
use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

/// The actors that a host has prepared and that are still there. Cheap to clone; clones share them.
#[derive(Clone, Default)]
pub(super) struct Actors(Arc<Mutex<BTreeMap<ComponentId, Known>>>);

/// What is known of one actor: of all of its versions.
#[derive(Default)]
struct Known {
    figures: Weak<InstanceFigures>,
    services: Vec<Weak<ActorService>>,
}

impl Actors {
    /// Returns what counts the instances of an actor: what counts those of its other versions, if
    /// there are some.
    pub(super) fn figures(&self, id: &ComponentId) -> Arc<InstanceFigures> {
        let mut all = self.0.lock();
        all.retain(|_, known| known.figures.strong_count() > 0);
        let known = all.entry(id.clone()).or_default();
        if let Some(figures) = known.figures.upgrade() {
            return figures;
        }
        let figures = Arc::<InstanceFigures>::default();
        known.figures = Arc::downgrade(&figures);
        figures
    }

    /// Adds a service of an actor.
    pub(super) fn add(&self, id: &ComponentId, service: &Arc<ActorService>) {
        if let Some(known) = self.0.lock().get_mut(id) {
            known.services.retain(|one| one.strong_count() > 0);
            known.services.push(Arc::downgrade(service));
        }
    }

    /// Adds the metrics of all actors.
    pub(super) fn add_metrics(&self, metrics: &mut Metrics) {
        // A service that is dropped here may drop instances, for which no lock may be held.
        let mut services = Vec::new();
        for (id, known) in &*self.0.lock() {
            let Some(figures) = known.figures.upgrade() else {
                continue;
            };
            let of_one: Vec<_> = known.services.iter().filter_map(Weak::upgrade).collect();
            services.push((id.clone(), figures, of_one));
        }
        for (id, figures, services) in services {
            let mut unbusy = Unbusy::default();
            for service in &services {
                unbusy += service.unbusy();
            }
            figures.add_metrics(id.as_str(), unbusy, metrics);
        }
    }
}
