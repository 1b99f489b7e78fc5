//! The imports of a component.

use super::{functions_of_world, interface_name, invalid, plan, resources::is_http, stub::Stubs};
use crate::{
    actor::ActorError,
    capability::{Capabilities, HostCapability, Support},
    guest::{Guest, RemoteFunction, Side, Unserved, UnservedCall, drop_handle},
    transcode::{FunctionPlan, ImportHandler, Resources, link_import},
};
use lattice_core::{name::InterfaceName, types::InterfaceTypes};
use std::{collections::BTreeMap, sync::Arc};
use wasmtime::component::{
    Component, Linker, LinkerInstance, ResourceType,
    types::{ComponentInstance, ComponentItem},
};

/// The imports of a component, connected to the host or to links.
pub(super) struct Imports<'c> {
    component: &'c Component,
    pub(super) linker: Linker<Guest>,
    /// The interfaces that the host serves.
    pub(super) by_host: Vec<String>,
    /// The types of the interfaces that links serve.
    pub(super) types: BTreeMap<InterfaceName, InterfaceTypes>,
    pub(super) unserved: Vec<Unserved>,
    /// Whether functions that links serve take or return streams or handles.
    pub(super) passes_handles: bool,
    resources: &'c Arc<Resources>,
    stubs: Stubs,
}

/// The items of an interface, or of a world.
type Items = Vec<(String, ComponentItem)>;

/// Where an import is.
#[derive(Clone, Copy)]
enum At<'n> {
    World,
    /// In the interface with this name, as the component has it.
    Interface(&'n str),
}

impl At<'_> {
    fn linker(self, linker: &mut Linker<Guest>) -> wasmtime::Result<LinkerInstance<'_, Guest>> {
        match self {
            Self::World => Ok(linker.root()),
            Self::Interface(name) => linker.instance(name),
        }
    }
}

impl<'c> Imports<'c> {
    /// Connects each import to the host if it has a capability for it, and otherwise to the target
    /// of a link, which is resolved at run time. What neither can serve traps when it is called.
    pub(super) fn link(
        component: &'c Component,
        linker: Linker<Guest>,
        capabilities: &Capabilities,
        resources: &'c Arc<Resources>,
    ) -> Result<Self, ActorError> {
        let mut imports = Self {
            component,
            linker,
            by_host: Vec::new(),
            types: BTreeMap::new(),
            unserved: Vec::new(),
            passes_handles: false,
            resources,
            stubs: Stubs::default(),
        };
        let mut of_world = Items::new();
        for (name, item) in component.component_type().imports(component.engine()) {
            match &item.ty {
                ComponentItem::ComponentInstance(instance) => {
                    imports.interface(name, &item.ty, instance, capabilities)?;
                }
                ComponentItem::Type(_) => {}
                // A world that uses the resource of an interface imports it a second time.
                ComponentItem::Resource(resource) if imports.stubs.knows(resource) => {}
                ComponentItem::ComponentFunc(_) => of_world.push((name.to_owned(), item.ty)),
                _ => {
                    let reason = "it isn't in an interface, and links are for interfaces; import it from a WIT interface";
                    imports.unserved(name, &item.ty, reason.to_owned())?;
                }
            }
        }
        if !of_world.is_empty() {
            imports.connect_link(At::World, functions_of_world()?, of_world)?;
        }
        Ok(imports)
    }

    fn interface(
        &mut self,
        name: &str,
        item: &ComponentItem,
        instance: &ComponentInstance,
        capabilities: &Capabilities,
    ) -> Result<(), ActorError> {
        let host = match capabilities.find(name) {
            Some((_, Support::Native)) => {
                self.by_host.push(name.to_owned());
                self.note_resources(instance);
                return Ok(());
            }
            #[cfg(any(feature = "blobstore", feature = "http"))]
            Some((capability, Support::Linked)) => {
                self.note_resources(instance);
                return match interface_name(name) {
                    Ok(interface) => {
                        let types = capability.linked(&interface);
                        self.types.insert(interface, types);
                        Ok(())
                    }
                    Err(error) => self.unserved(name, item, error.to_string()),
                };
            }
            Some((_, Support::Missing { advice, feature })) => {
                return Err(ActorError::Missing {
                    import: name.to_owned(),
                    advice,
                    feature,
                });
            }
            Some((capability, Support::Transcoded)) => Some(capability),
            None => None,
        };
        match (interface_name(name), host) {
            (Ok(interface), Some(capability)) => {
                self.by_host.push(name.to_owned());
                self.connect_host(&interface, instance, capability)
            }
            (Ok(interface), None) => {
                let items = instance.exports(self.component.engine());
                let items = items.map(|(name, item)| (name.to_owned(), item.ty));
                let items = items.collect();
                self.connect_link(At::Interface(name), interface, items)
            }
            (Err(error), _) => self.unserved(name, item, error.to_string()),
        }
    }

    /// Takes note of the resources of an interface that is in the linker already.
    fn note_resources(&mut self, instance: &ComponentInstance) {
        for (_, item) in instance.exports(self.component.engine()) {
            if let ComponentItem::Resource(resource) = item.ty {
                self.stubs.note(resource);
            }
        }
    }

    /// Connects the functions of an interface to a capability of the host.
    fn connect_host(
        &mut self,
        interface: &InterfaceName,
        instance: &ComponentInstance,
        capability: &dyn HostCapability,
    ) -> Result<(), ActorError> {
        for (function, item) in instance.exports(self.component.engine()) {
            let planned = plan(interface, function, &item.ty, self.resources)?;
            let Some((_, plan)) = planned else {
                continue;
            };
            let handler = host_function(capability, interface, &plan)?;
            self.define(At::Interface(interface.as_str()), plan, handler)?;
        }
        Ok(())
    }

    /// Connects the functions of an interface to a link. A function whose type has no wire form
    /// traps when it is called.
    fn connect_link(
        &mut self,
        at: At<'_>,
        interface: InterfaceName,
        items: Items,
    ) -> Result<(), ActorError> {
        let mut types = InterfaceTypes::default();
        let (mut unserved, mut of_http, mut reason) = (Vec::new(), None, String::new());
        for (name, item) in &items {
            if let ComponentItem::Resource(ty) = item {
                if is_http(interface.as_str()) && !self.stubs.knows(ty) {
                    of_http = Some(name.clone());
                }
                self.resource((at, &interface), name, *ty, item)?;
                continue;
            }
            match plan(&interface, name, item, self.resources) {
                Ok(None) => {}
                Ok(Some((function, plan))) => {
                    self.passes_handles |= plan.passes_handles();
                    let signature = plan.signature().to_owned();
                    types.functions.insert(function.clone(), signature);
                    let remote = RemoteFunction::new(interface.clone(), function, &plan, item);
                    self.define(at, plan, Arc::new(remote))?;
                }
                Err(error) => {
                    reason = error.to_string();
                    self.stub((at, &interface), name, item, reason.clone())?;
                    unserved.push(name.clone());
                }
            }
        }
        if let Some(resource) = of_http {
            reason = format!("it has the resource `{resource}` of HTTP; {HTTP_ADVICE}");
        }
        if !reason.is_empty() {
            self.unserved.push(Unserved {
                side: Side::Import,
                name: interface.to_string(),
                functions: unserved,
                reason,
            });
        }
        if !types.functions.is_empty() {
            self.types.insert(interface, types);
        }
        Ok(())
    }

    /// Defines a resource of another component. One that several interfaces have is the same in
    /// each.
    fn resource(
        &mut self,
        (at, interface): (At<'_>, &InterfaceName),
        name: &str,
        ty: ResourceType,
        item: &ComponentItem,
    ) -> Result<(), ActorError> {
        let Some(index) = self.resources.index(ty) else {
            // One of the host's, under another name.
            return self.stub((at, interface), name, item, String::new());
        };
        self.stubs.note(ty);
        let ty = ResourceType::host_dynamic(index.0);
        let mut linker = at.linker(&mut self.linker).map_err(invalid)?;
        linker.resource(name, ty, drop_handle).map_err(invalid)
    }

    fn define(
        &mut self,
        at: At<'_>,
        plan: Arc<FunctionPlan>,
        handler: Arc<dyn ImportHandler<Guest>>,
    ) -> Result<(), ActorError> {
        let linked = at
            .linker(&mut self.linker)
            .and_then(|mut linker| link_import(&mut linker, plan, handler));
        linked.map_err(invalid)
    }

    /// Defines an item of an interface, so that it traps when it is called.
    fn stub(
        &mut self,
        (at, interface): (At<'_>, &InterfaceName),
        name: &str,
        item: &ComponentItem,
        reason: String,
    ) -> Result<(), ActorError> {
        let call = UnservedCall {
            import: format!("{interface}#{name}"),
            reason,
        };
        let mut linker = at.linker(&mut self.linker).map_err(invalid)?;
        let engine = self.component.engine();
        self.stubs.define(&mut linker, (name, item), &call, engine)
    }

    /// Defines an import that isn't a named interface, so that it traps when it is called.
    fn unserved(
        &mut self,
        name: &str,
        item: &ComponentItem,
        reason: String,
    ) -> Result<(), ActorError> {
        let call = UnservedCall {
            import: name.to_owned(),
            reason: reason.clone(),
        };
        let engine = self.component.engine();
        self.stubs
            .define(&mut self.linker.root(), (name, item), &call, engine)?;
        self.unserved.push(Unserved {
            side: Side::Import,
            name: name.to_owned(),
            functions: Vec::new(),
            reason,
        });
        Ok(())
    }
}

/// What to do about imports of `wasi:http` that the host doesn't serve.
#[cfg(feature = "http")]
const HTTP_ADVICE: &str = "import `wasi:http/outgoing-handler` to make requests";
#[cfg(not(feature = "http"))]
const HTTP_ADVICE: &str = "build the host with the feature `http`";

fn host_function(
    capability: &dyn HostCapability,
    interface: &InterfaceName,
    plan: &FunctionPlan,
) -> Result<Arc<dyn ImportHandler<Guest>>, ActorError> {
    capability
        .handler(plan)
        .map_err(|mismatch| ActorError::BuiltinMismatch {
            interface: interface.to_string(),
            function: plan.name().to_owned(),
            expected: plan.signature().to_owned(),
            found: mismatch.found.to_owned(),
        })
}
