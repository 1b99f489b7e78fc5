//! What a running provider knows about itself.

use crate::{flow, homes::Homes};
use lattice_core::{
    Lattice, call::CallError, client::Caller, name::ComponentId, serve::Site, value::Decode,
};
use std::{fmt, sync::Arc};

/// What a running provider knows about itself: one for each component that it is served as. Cheap
/// to clone.
///
/// A provider is given it by [`Provider::start`](super::Provider::start), and may keep it to make
/// calls of its own until it is [stopped](super::Provider::stop).
#[derive(Clone)]
pub struct Instance {
    site: Site,
    homes: Arc<Homes>,
}

impl Instance {
    pub(crate) fn new(site: Site, homes: Arc<Homes>) -> Self {
        Self { site, homes }
    }

    /// Returns the id of the component as which it is served.
    pub fn id(&self) -> &ComponentId {
        self.site.component()
    }

    /// Returns a handle for calls in the provider's own name, over the links whose source it is.
    pub fn caller(&self) -> Caller {
        self.site.caller()
    }

    /// Returns the lattice in which it is served.
    pub fn lattice(&self) -> &Lattice {
        self.site.lattice()
    }

    /// Makes a resource of a value, and returns the provider's own handle to it, which a call of
    /// [`caller`](Self::caller) can give to another component: for the value of a `Bucket`, a
    /// `BucketClient` of the interface that is called.
    ///
    /// # Errors
    /// Fails when the provider has stopped, when others hold as many of its resources as they may,
    /// and when `H` is the handle of another resource than `T` stands for.
    pub fn give<T: Send + Sync + 'static, H: Decode>(&self, value: T) -> Result<H, CallError> {
        let home = self.homes.on(self.site.component(), self.site.origin())?;
        flow::give(&home, Arc::new(self.caller()), value)
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instance").field(self.id()).finish()
    }
}
