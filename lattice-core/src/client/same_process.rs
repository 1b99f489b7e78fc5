//! The hosts that one program has joined a lattice with.
//!
//! A program that embeds a host and calls from outside of any component, in its own name or in that of a component of its
//! own, gets to what its own hosts serve without a message, as a component there would.

use crate::name::ComponentId;
use crate::node::Inner;
use crate::server::component::Served;
use arc_swap::ArcSwap;
use std::{
    fmt,
    sync::{Arc, Weak},
};

/// The hosts of one program. Cheap to clone; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Beside(Arc<ArcSwap<Vec<Weak<Inner>>>>);

impl Beside {
    /// One host more; those that are gone are forgotten.
    pub(crate) fn add(&self, host: &Arc<Inner>) {
        self.0.rcu(|hosts| {
            let mut hosts = Vec::clone(hosts);
            hosts.retain(|host| host.strong_count() > 0);
            hosts.push(Arc::downgrade(host));
            hosts
        });
    }

    /// The component on the least busy of the hosts that serve it, of those that are usable.
    pub(crate) fn served(
        &self,
        component: &ComponentId,
        usable: impl Fn(&Inner, &Served) -> bool,
    ) -> Option<(Arc<Inner>, Arc<Served>)> {
        let hosts = self.0.load();
        hosts
            .iter()
            .filter_map(Weak::upgrade)
            .filter_map(|host| Some((host.clone(), host.served(component)?)))
            .filter(|(host, served)| usable(host, served))
            .min_by_key(|(_, served)| served.in_flight())
    }
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Beside({})", self.0.load().len())
    }
}
