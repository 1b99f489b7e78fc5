//! Where a service runs.

use super::LeaseDeadline;
use crate::{
    id::{Fence, Origin},
    name::ComponentId,
};
use std::{any::Any, fmt, sync::Arc};

/// Where a service runs, and as which component, as it is told when it starts. Cheap to clone.
///
/// It keeps the node's client and the lattice, so a service should drop it when it
/// [stops](super::Service::stopped).
#[derive(Clone)]
pub struct Site {
    component: ComponentId,
    origin: Origin,
    /// What the layers above know of the node: how to call from it, and its lattice.
    node: Arc<dyn Any + Send + Sync>,
    lease: Option<(Fence, LeaseDeadline)>,
}

impl Site {
    pub(crate) fn new(
        component: ComponentId,
        origin: Origin,
        node: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self {
            component,
            origin,
            node,
            lease: None,
        }
    }

    /// Adds the lease under which the service runs.
    pub(super) fn under(mut self, fence: Fence, until: LeaseDeadline) -> Self {
        self.lease = Some((fence, until));
        self
    }

    /// Returns the lease under which the service runs, with its fence, if it runs once.
    #[doc(hidden)]
    pub fn lease(&self) -> Option<&(Fence, LeaseDeadline)> {
        self.lease.as_ref()
    }

    /// Returns the component as which the service runs.
    pub fn component(&self) -> &ComponentId {
        &self.component
    }

    /// Returns the host id and the boot of the node on which it runs.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns what the layers above know of the node.
    pub(crate) fn node(&self) -> &(dyn Any + Send + Sync) {
        &*self.node
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("component", &self.component)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}
