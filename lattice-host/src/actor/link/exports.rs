//! The exports of a component.

use super::plan;
use crate::{
    actor::ActorError,
    guest::{Export, ExportedFunction},
    transcode::ExportFunction,
};
use lattice_core::{name::InterfaceName, types::InterfaceTypes, wire::FunctionKey};
use std::{collections::BTreeMap, sync::Arc};
use wasmtime::component::{
    Component,
    types::{ComponentInstance, ComponentItem},
};

/// The exports of a component.
#[derive(Default)]
pub(super) struct Exports {
    pub(super) by_name: Vec<(String, Export)>,
    /// The types of the interfaces that can be called.
    pub(super) types: BTreeMap<InterfaceName, InterfaceTypes>,
}

impl Exports {
    /// Lists the exports of `component`.
    pub(super) fn of(component: &Component) -> Result<Self, ActorError> {
        let mut exports = Self::default();
        for (name, item) in component.component_type().exports(component.engine()) {
            let export = match &item.ty {
                ComponentItem::ComponentInstance(instance) => {
                    exports.interface(component, name, instance)?
                }
                ComponentItem::Type(_) => continue,
                _ => Export::Unreachable,
            };
            exports.by_name.push((name.to_owned(), export));
        }
        Ok(exports)
    }

    fn interface(
        &mut self,
        component: &Component,
        name: &str,
        instance: &ComponentInstance,
    ) -> Result<Export, ActorError> {
        let interface = InterfaceName::new(name)?;
        let mut types = InterfaceTypes::default();
        let mut functions = Vec::new();
        let of_interface = component.get_export_index(None, name);
        for (name, item) in instance.exports(component.engine()) {
            let Some((function, plan)) = plan(&interface, name, &item.ty)? else {
                continue;
            };
            let Some(index) = component.get_export_index(of_interface.as_ref(), name) else {
                continue;
            };
            let signature = plan.signature().to_owned();
            functions.push((
                FunctionKey::new(&interface, &function, &signature),
                Arc::new(ExportedFunction {
                    index,
                    function: ExportFunction::new(plan),
                }),
            ));
            types.functions.insert(function, signature);
        }
        self.types.insert(interface, types);
        Ok(Export::Transcoded(functions))
    }
}
