//! What a service can do where it runs: call in the name of its component, and use the lattice.

use super::Lattice;
use crate::{
    client::{Caller, Client, ClientHandle},
    id::Source,
    membership::Announce,
    node::Node,
    serve::Site,
};
use std::{
    any::Any,
    sync::{Arc, Weak},
};

/// What a site knows of its node.
struct SiteNode {
    client: Arc<Client>,
    lattice: Lattice,
}

impl Site {
    /// Returns a handle for calls in the component's own name, through the links whose source it
    /// is. Its calls leave from the node on which the service runs.
    pub fn caller(&self) -> Caller {
        let client = ClientHandle::Ready(self.known().client.clone());
        Caller::new(client, Source::Component(self.component().clone()))
    }

    /// Returns the lattice of the node on which the service runs.
    pub fn lattice(&self) -> &Lattice {
        &self.known().lattice
    }

    fn known(&self) -> &SiteNode {
        self.node()
            .downcast_ref()
            .unwrap_or_else(|| unreachable!("every site is made by `attach`"))
    }
}

/// Lets `node`, which has just joined `lattice`, make sites.
pub(super) fn attach(node: &Node, lattice: &Lattice, announce: Announce) {
    let parts = Arc::downgrade(node.parts());
    // The process's own node belongs to the lattice, which must not belong to the node in turn.
    let (kept, shared) = match announce {
        Announce::Always => (Some(lattice.clone()), Weak::new()),
        Announce::OnceServing => (None, Arc::downgrade(&lattice.0)),
    };
    node.parts().server.set_home(Box::new(move || {
        let lattice = kept.clone().or_else(|| shared.upgrade().map(Lattice))?;
        let client = parts.upgrade()?.client.clone();
        let node: Arc<dyn Any + Send + Sync> = Arc::new(SiteNode { client, lattice });
        Some(node)
    }));
}
