//! The resource types of a component.
//!
//! Wasmtime's types of resources have no names and no order, only equality. One resource is seen
//! under several names when interfaces `use` it; the first name counts, which is the one under
//! which it is defined.

use std::sync::Arc;

use wasmtime::component::ResourceType;

/// Index of a resource type of one component. It is also the number under which the component's
/// stores know a resource that others own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResourceIndex(pub(crate) u32);

/// A resource type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    /// `package/interface/name`, without a version.
    pub(crate) name: Arc<str>,
    /// Whether the component defines it and exports it. Others own it if not.
    pub(crate) is_home: bool,
}

/// The resource types of a component.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    types: Vec<ResourceType>,
    resources: Vec<Resource>,
}

impl Resources {
    /// Adds a resource under a name of its interface, unless it is known.
    pub(crate) fn add(&mut self, ty: ResourceType, interface: &str, name: &str, is_home: bool) {
        if self.index(ty).is_some() {
            return;
        }
        let interface = interface.split('@').next().unwrap_or_default();
        self.types.push(ty);
        self.resources.push(Resource {
            name: format!("{interface}/{name}").into(),
            is_home,
        });
    }

    /// Returns the index of a type, as the component's own description has it.
    pub(crate) fn index(&self, ty: ResourceType) -> Option<ResourceIndex> {
        let found = self.types.iter().position(|known| *known == ty);
        found.map(|index| ResourceIndex(index as u32))
    }

    /// Returns the resource with this index, which is one of this component.
    pub(crate) fn get(&self, ResourceIndex(index): ResourceIndex) -> &Resource {
        &self.resources[index as usize]
    }

    /// Returns all resources, with their indexes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ResourceIndex, &Resource)> {
        let indexes = (0..).map(ResourceIndex);
        indexes.zip(&self.resources)
    }
}
