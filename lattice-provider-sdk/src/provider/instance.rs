//! What a running provider knows about itself.

use lattice_core::{Lattice, client::Caller, name::ComponentId, serve::Site};
use std::fmt;

/// What a running provider knows about itself: one for each component that it is served as. Cheap
/// to clone.
///
/// A provider is given it by [`Provider::start`](super::Provider::start), and may keep it to make
/// calls of its own until it is [stopped](super::Provider::stop).
#[derive(Clone)]
pub struct Instance(Site);

impl Instance {
    pub(crate) fn new(site: Site) -> Self {
        Self(site)
    }

    /// Returns the id of the component as which it is served.
    pub fn id(&self) -> &ComponentId {
        self.0.component()
    }

    /// Returns a handle for calls in the provider's own name, over the links whose source it is.
    pub fn caller(&self) -> Caller {
        self.0.caller()
    }

    /// Returns the lattice in which it is served.
    pub fn lattice(&self) -> &Lattice {
        self.0.lattice()
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instance").field(self.id()).finish()
    }
}
