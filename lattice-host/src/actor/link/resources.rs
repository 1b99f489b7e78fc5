//! The resources of a component: its own, and those of others that it imports.

use super::interface_name;
use crate::{
    capability::Capabilities,
    guest::HandleTypes,
    transcode::{ResourceIndex, Resources},
};
use std::sync::Arc;
use wasmtime::component::{
    Component, ComponentExportIndex, ResourceType,
    types::{ComponentInstance, ComponentItem},
};

/// Collects the resources that the component's functions can pass. Those of interfaces that the
/// host serves itself stay in the instance.
pub(super) fn of(component: &Component, capabilities: &Capabilities) -> Arc<Resources> {
    let (ty, engine) = (component.component_type(), component.engine());
    let mut resources = Resources::default();
    let mut of_host: Vec<ResourceType> = Vec::new();
    // An import comes before what it uses of others, and imports come before exports.
    for (name, item) in ty.imports(engine) {
        let ComponentItem::ComponentInstance(instance) = &item.ty else {
            continue;
        };
        for (resource, ty) in defined(component, instance) {
            if stay_in_instance(name, capabilities) {
                of_host.push(ty);
            } else if let (Ok(name), false) = (interface_name(name), of_host.contains(&ty)) {
                resources.add(ty, name.as_str(), &resource, false);
            }
        }
    }
    for (name, item) in ty.exports(engine) {
        let ComponentItem::ComponentInstance(instance) = &item.ty else {
            continue;
        };
        for (resource, ty) in defined(component, instance) {
            if let (Ok(name), false) = (interface_name(name), of_host.contains(&ty)) {
                resources.add(ty, name.as_str(), &resource, true);
            }
        }
    }
    Arc::new(resources)
}

/// Returns whether the host itself serves the resources of an imported interface, so that they stay
/// in the instance.
pub(in crate::actor) fn stay_in_instance(import: &str, capabilities: &Capabilities) -> bool {
    capabilities.find(import).is_some() || is_http(import)
}

/// Returns whether this is an interface of `wasi:http`, whose resources are made of the host's.
/// Components made from JavaScript import it even if they don't use it.
pub(super) fn is_http(interface: &str) -> bool {
    interface.starts_with("wasi:http/")
}

/// Returns the types of handles of a component that passes some.
pub(super) fn handle_types(component: &Component, resources: &Arc<Resources>) -> HandleTypes {
    HandleTypes {
        homes: homes(component, resources),
        resources: resources.clone(),
    }
}

/// Returns the exports that define the component's own resources.
fn homes(
    component: &Component,
    resources: &Resources,
) -> Vec<(ComponentExportIndex, ResourceIndex)> {
    let mut homes: Vec<(ComponentExportIndex, ResourceIndex)> = Vec::new();
    let ty = component.component_type();
    for (name, item) in ty.exports(component.engine()) {
        let ComponentItem::ComponentInstance(instance) = &item.ty else {
            continue;
        };
        let of_interface = component.get_export_index(None, name);
        for (resource, ty) in defined(component, instance) {
            let index = resources.index(ty);
            let Some(index) = index.filter(|index| resources.get(*index).is_home) else {
                continue;
            };
            if homes.iter().any(|(_, known)| *known == index) {
                continue;
            }
            let export = component.get_export_index(of_interface.as_ref(), &resource);
            homes.extend(export.map(|export| (export, index)));
        }
    }
    homes
}

fn defined(component: &Component, instance: &ComponentInstance) -> Vec<(String, ResourceType)> {
    let items = instance.exports(component.engine());
    let resources = items.filter_map(|(name, item)| match item.ty {
        ComponentItem::Resource(ty) => Some((name.to_owned(), ty)),
        _ => None,
    });
    resources.collect()
}
