//! Where the resources of a provider live, for each component that it serves as.

use crate::flow::{Home, ResourceType};
use bytes::Bytes;
use lattice_core::{
    call::CallError,
    id::Origin,
    name::ComponentId,
    stream::{Handle, Handles},
    sync::Mutex,
};
use std::{any::TypeId, sync::Arc};

/// The instances of a provider: one for each component and node that it is served as and on.
#[derive(Debug)]
pub struct Homes {
    types: Arc<[ResourceType]>,
    most: usize,
    placed: Mutex<Vec<Arc<Home>>>,
}

/// The encoded arguments of a call, with the handles in them.
#[derive(Debug)]
pub struct Arguments {
    pub(crate) bytes: Bytes,
    pub(crate) handles: Handles,
    pub(crate) homes: Arc<Homes>,
}

impl Homes {
    /// The resources of a provider's world, of which others may hold so many.
    pub(crate) fn new(types: Vec<ResourceType>, most: usize) -> Self {
        Self {
            types: types.into(),
            most,
            placed: Mutex::default(),
        }
    }

    /// Returns the Rust type that stands for a resource, `package/interface/name`.
    pub(crate) fn rust_type(&self, resource: &str) -> Option<TypeId> {
        let ty = self.types.iter().find(|ty| ty.name() == resource)?;
        Some(ty.rust())
    }

    /// The provider is about to be served.
    pub(crate) fn add(&self, component: &ComponentId, on: &Origin) {
        let (types, most) = (self.types.clone(), self.most);
        let home = Home::new(component.clone(), on.clone(), types, most);
        self.placed.lock().push(home);
    }

    /// Returns the instance for a call: the one in which its resources live, else the last one of
    /// the component.
    ///
    /// # Errors
    /// Fails when the provider isn't served as this component.
    pub(crate) fn of_call(
        &self,
        component: &ComponentId,
        handles: &Handles,
    ) -> Result<Arc<Home>, CallError> {
        let homes = self.placed.lock();
        let used = |home: &&Arc<Home>| {
            let mut resources = handles.iter().filter_map(Handle::resource);
            resources.any(|resource| resource.at() == home.at())
        };
        let of_component = |home: &&Arc<Home>| home.at().component == *component;
        let found = homes.iter().rev().filter(of_component).find(used);
        let found = found.or_else(|| homes.iter().rev().find(of_component));
        found.cloned().ok_or_else(|| CallError::Stopping {
            component: component.clone(),
        })
    }

    /// Waits until no stream of the provider as this component is open.
    pub(crate) fn streams_ended(
        &self,
        component: &ComponentId,
    ) -> impl Future<Output = ()> + Send + use<> {
        let homes = self.placed.lock();
        let of_component = homes
            .iter()
            .filter(|home| home.at().component == *component);
        let ended: Vec<_> = of_component.map(|home| home.streams_ended()).collect();
        async move {
            for ended in ended {
                ended.await;
            }
        }
    }

    /// Returns the instance of a component on a node.
    ///
    /// # Errors
    /// Fails when the provider isn't served there.
    pub(crate) fn on(&self, component: &ComponentId, on: &Origin) -> Result<Arc<Home>, CallError> {
        let homes = self.placed.lock();
        let is_here =
            |home: &&Arc<Home>| home.at().component == *component && home.at().origin == *on;
        let found = homes.iter().rev().find(is_here).cloned();
        found.ok_or_else(|| CallError::Stopping {
            component: component.clone(),
        })
    }

    /// The provider was taken out of service as this component on this node.
    pub(crate) fn end_of(&self, component: &ComponentId, on: &Origin, reason: &str) {
        let is_over =
            |home: &mut Arc<Home>| home.at().component == *component && home.at().origin == *on;
        let ended: Vec<_> = self.placed.lock().extract_if(.., is_over).collect();
        for home in ended {
            home.end(reason);
        }
    }

    /// The provider was taken out of service.
    pub(crate) fn end(&self, reason: &str) {
        let homes = std::mem::take(&mut *self.placed.lock());
        for home in homes {
            home.end(reason);
        }
    }
}
