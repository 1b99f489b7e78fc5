//! The imports of a component.

use super::{invalid, plan};
use crate::{
    actor::ActorError,
    capability::{Capabilities, HostCapability, Support},
    guest::{Guest, RemoteFunction},
    transcode::{FunctionPlan, ImportHandler, link_import},
};
use lattice_core::{
    name::{FunctionName, InterfaceName},
    types::InterfaceTypes,
};
use std::{collections::BTreeMap, sync::Arc};
use wasmtime::component::{
    Component, Linker,
    types::{ComponentInstance, ComponentItem},
};

/// The imports of a component, connected to the host or to links.
pub(super) struct Imports<'c> {
    component: &'c Component,
    pub(super) linker: Linker<Guest>,
    /// The types of the interfaces that links serve.
    pub(super) types: BTreeMap<InterfaceName, InterfaceTypes>,
}

impl<'c> Imports<'c> {
    /// Connects each import to the host if it has a capability for it, and otherwise to the target
    /// of a link, which is resolved at run time.
    pub(super) fn link(
        component: &'c Component,
        linker: Linker<Guest>,
        capabilities: &Capabilities,
    ) -> Result<Self, ActorError> {
        let mut imports = Self {
            component,
            linker,
            types: BTreeMap::new(),
        };
        for (name, item) in component.component_type().imports(component.engine()) {
            let Some(instance) = interface(name, &item.ty)? else {
                continue;
            };
            let host = match capabilities.find(name) {
                Some((_, Support::Native)) => continue,
                Some((_, Support::Missing { advice })) => {
                    return Err(ActorError::Missing {
                        import: name.to_owned(),
                        advice,
                    });
                }
                Some((capability, Support::Transcoded)) => Some(capability),
                None => None,
            };
            imports.functions(name, instance, host)?;
        }
        Ok(imports)
    }

    /// Connects the functions of an interface to the host if it has a capability for them, and to a
    /// link otherwise.
    fn functions(
        &mut self,
        name: &str,
        instance: &ComponentInstance,
        host: Option<&dyn HostCapability>,
    ) -> Result<(), ActorError> {
        let interface = InterfaceName::new(name)?;
        let mut types = InterfaceTypes::default();
        for (function, item) in instance.exports(self.component.engine()) {
            let Some((function, plan)) = plan(&interface, function, &item.ty)? else {
                continue;
            };
            let handler = if let Some(capability) = host {
                host_function(capability, &interface, &plan)?
            } else {
                let signature = plan.signature().to_owned();
                types.functions.insert(function.clone(), signature);
                remote_function(&interface, function, &plan, &item.ty)
            };
            let linked = self
                .linker
                .instance(name)
                .and_then(|mut linker| link_import(&mut linker, plan, handler));
            linked.map_err(invalid)?;
        }
        if !types.functions.is_empty() {
            self.types.insert(interface, types);
        }
        Ok(())
    }
}

/// Returns the interface of an import. `None` for one that is only a type.
fn interface<'i>(
    name: &str,
    item: &'i ComponentItem,
) -> Result<Option<&'i ComponentInstance>, ActorError> {
    let what = match item {
        ComponentItem::ComponentInstance(instance) => return Ok(Some(instance)),
        ComponentItem::Type(_) => return Ok(None),
        ComponentItem::ComponentFunc(_) | ComponentItem::CoreFunc(_) => {
            "outside of any interface the function"
        }
        ComponentItem::Module(_) => "the core module",
        ComponentItem::Component(_) => "the component",
        ComponentItem::Resource(_) => "outside of any interface the resource",
    };
    Err(ActorError::UnsupportedImport {
        import: name.to_owned(),
        what,
    })
}

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

fn remote_function(
    interface: &InterfaceName,
    function: FunctionName,
    plan: &FunctionPlan,
    item: &ComponentItem,
) -> Arc<dyn ImportHandler<Guest>> {
    Arc::new(RemoteFunction::new(interface.clone(), function, plan, item))
}
