//! The exports of a component.

use super::plan;
use crate::{
    actor::ActorError,
    guest::{ExportedFunction, Side, Unserved},
    transcode::{ExportFunction, Resources},
};
use lattice_core::{name::InterfaceName, types::InterfaceTypes, wire::FunctionKey};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use wasmtime::component::{
    Component,
    types::{ComponentInstance, ComponentItem},
};

/// The exports of a component.
#[derive(Default)]
pub(super) struct Exports {
    pub(super) functions: HashMap<FunctionKey, Arc<ExportedFunction>>,
    /// The types of the interfaces that can be called.
    pub(super) types: BTreeMap<InterfaceName, InterfaceTypes>,
    pub(super) unserved: Vec<Unserved>,
}

impl Exports {
    /// Lists the exports of `component`.
    pub(super) fn of(
        component: &Component,
        resources: &Arc<Resources>,
    ) -> Result<Self, ActorError> {
        let mut exports = Self::default();
        for (name, item) in component.component_type().exports(component.engine()) {
            match &item.ty {
                ComponentItem::ComponentInstance(instance) => match InterfaceName::new(name) {
                    Ok(interface) => {
                        exports.interface(component, interface, instance, resources)?
                    }
                    Err(error) => {
                        exports.unserved(name, super::nameless(name, &error));
                    }
                },
                ComponentItem::Type(_) | ComponentItem::Resource(_) => {}
                _ => {
                    let reason = "it isn't in an interface, and links are for interfaces; export it from a WIT interface";
                    exports.unserved(name, reason.to_owned());
                }
            }
        }
        Ok(exports)
    }

    fn interface(
        &mut self,
        component: &Component,
        interface: InterfaceName,
        instance: &ComponentInstance,
        resources: &Arc<Resources>,
    ) -> Result<(), ActorError> {
        let mut types = InterfaceTypes::default();
        let (mut unserved, mut reason) = (Vec::new(), String::new());
        let of_interface = component.get_export_index(None, interface.as_str());
        for (name, item) in instance.exports(component.engine()) {
            let (function, plan) = match plan(&interface, name, &item.ty, resources) {
                Ok(Some(planned)) => planned,
                Ok(None) => continue,
                Err(error) => {
                    reason = error.to_string();
                    unserved.push(name.to_owned());
                    continue;
                }
            };
            let Some(index) = component.get_export_index(of_interface.as_ref(), name) else {
                continue;
            };
            let signature = plan.signature().to_owned();
            let key = FunctionKey::new(&interface, &function, &signature);
            let exported = ExportedFunction {
                index,
                function: ExportFunction::new(plan),
            };
            if let Some(other) = self.functions.insert(key, Arc::new(exported)) {
                return Err(ActorError::SameFunction {
                    function: name.to_owned(),
                    one: other.function.plan().interface().to_owned(),
                    other: interface.to_string(),
                });
            }
            types.functions.insert(function, signature);
        }
        if !unserved.is_empty() {
            self.unserved.push(Unserved {
                side: Side::Export,
                name: interface.to_string(),
                functions: unserved,
                reason,
            });
        }
        self.types.insert(interface, types);
        Ok(())
    }

    /// Returns whether functions take or return streams or handles.
    pub(super) fn passes_handles(&self) -> bool {
        let mut functions = self.functions.values();
        functions.any(|exported| exported.function.plan().passes_handles())
    }

    fn unserved(&mut self, name: &str, reason: String) {
        self.unserved.push(Unserved {
            side: Side::Export,
            name: name.to_owned(),
            functions: Vec::new(),
            reason,
        });
    }
}
