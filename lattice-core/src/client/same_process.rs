//! The hosts that this process has joined a lattice with.
//!
//! Calls that a program makes outside of any component reach the components of its own hosts
//! without a message, as calls between components there do.

use crate::{
    name::ComponentId,
    server::{Server, component::RunningComponent},
};
use arc_swap::ArcSwap;
use std::{
    fmt,
    sync::{Arc, Weak},
};

/// The hosts of one process. Cheap to clone; clones share them.
#[derive(Clone, Default)]
pub(crate) struct SameProcess(Arc<ArcSwap<Vec<Weak<Server>>>>);

impl SameProcess {
    /// Adds a host, and removes those that have left.
    pub(crate) fn add(&self, host: &Arc<Server>) {
        self.0.rcu(|hosts| {
            let mut hosts = Vec::clone(hosts);
            hosts.retain(|host| host.strong_count() > 0);
            hosts.push(Arc::downgrade(host));
            hosts
        });
    }

    /// Returns the component on the least busy of the hosts that serve it, among the usable ones.
    pub(super) fn component(
        &self,
        id: &ComponentId,
        usable: impl Fn(&Server, &RunningComponent) -> bool,
    ) -> Option<(Arc<Server>, Arc<RunningComponent>)> {
        let hosts = self.0.load();
        hosts
            .iter()
            .filter_map(Weak::upgrade)
            .filter_map(|host| Some((host.clone(), host.component(id)?)))
            .filter(|(host, component)| usable(host, component))
            .min_by_key(|(_, component)| component.in_flight())
    }
}

impl fmt::Debug for SameProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SameProcess({})", self.0.load().len())
    }
}
