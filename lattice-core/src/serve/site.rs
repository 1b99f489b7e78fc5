//! Where a service runs.

use crate::{id::Origin, name::ComponentId};
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
        }
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
