//! A component, compiled and linked: everything that is known of it before the first call.

use super::ActorError;
use crate::{
    capability,
    engine::Side,
    guest::Guest,
    guest::RemoteFunction,
    limits::ByteSize,
    transcode::{ExportFunction, FunctionPlan, ImportHandler, link_import},
};
use bytes::Bytes;
use lattice_core::{
    name::{FunctionName, InterfaceName},
    types::{ComponentTypes, InterfaceTypes},
    wire::FunctionKey,
};
use lattice_wit::binary;
use std::{collections::HashMap, sync::Arc};
use wasmtime::{
    Engine,
    component::{
        Component, ComponentExportIndex, InstancePre, Linker,
        types::{ComponentInstance, ComponentItem},
    },
};

/// Bytes in a page of linear memory.
const PAGE: u64 = 64 << 10;

/// A component that can be instantiated.
pub(crate) struct Code {
    pub(crate) pre: InstancePre<Guest>,
    pub(crate) types: Arc<ComponentTypes>,
    pub(crate) exports: HashMap<FunctionKey, Arc<Export>>,
    /// Exports that nobody can call: they are in no interface, and interfaces are what links are for.
    pub(crate) unreachable: Vec<String>,
    starts_with: ByteSize,
}

/// A function that others may call.
pub(crate) struct Export {
    pub(crate) index: ComponentExportIndex,
    pub(crate) function: ExportFunction<Guest>,
}

impl Code {
    /// `component` is compiled from `bytes`.
    pub(crate) fn new(
        side: &Side,
        component: &Component,
        bytes: &[u8],
    ) -> Result<Self, ActorError> {
        let mut types = ComponentTypes::default();
        let mut linker = side.linker.clone();
        for (name, item) in component.component_type().imports(&side.wasmtime) {
            import(&side.wasmtime, &mut linker, &mut types, name, &item.ty)?;
        }
        let (mut exports, mut unreachable) = (HashMap::new(), Vec::new());
        for (name, item) in component.component_type().exports(&side.wasmtime) {
            match &item.ty {
                ComponentItem::ComponentInstance(instance) => {
                    let interface = InterfaceName::new(name)?;
                    let functions = export(
                        &side.wasmtime,
                        component,
                        &mut exports,
                        &interface,
                        instance,
                    )?;
                    types.exports.insert(interface, functions);
                }
                ComponentItem::Type(_) => {}
                _ => unreachable.push(name.to_owned()),
            }
        }
        types.wit = wit(bytes);
        let pages = component
            .resources_required()
            .and_then(|needs| needs.max_initial_memory_size)
            .unwrap_or(0);
        let pre = linker.instantiate_pre(component);
        let pre = pre.map_err(|error| ActorError::Invalid {
            reason: format!("{error:#}"),
        })?;
        Ok(Self {
            pre,
            types: Arc::new(types),
            exports,
            unreachable,
            starts_with: ByteSize::bytes(pages.saturating_mul(PAGE)),
        })
    }

    /// Refuses a component whose instances could not even start.
    pub(crate) fn check_memory(&self, limit: ByteSize) -> Result<(), ActorError> {
        if self.starts_with > limit {
            return Err(ActorError::TooMuchMemory {
                needs: self.starts_with,
                limit,
            });
        }
        Ok(())
    }
}

/// What tools are told of the component. It runs without that too.
fn wit(component: &[u8]) -> Option<Bytes> {
    match binary::of_component(component, |import| !capability::serves(import)) {
        Ok(bytes) => Some(bytes.into()),
        Err(error) => {
            tracing::warn!(%error, "a component's WIT is not published: tools can't show it, nor call it with arguments as text");
            None
        }
    }
}

/// Links one import: to the host when it is built in, else to whatever a link leads to at run time.
fn import(
    engine: &Engine,
    linker: &mut Linker<Guest>,
    types: &mut ComponentTypes,
    name: &str,
    item: &ComponentItem,
) -> Result<(), ActorError> {
    let unsupported = |what| {
        Err(ActorError::UnsupportedImport {
            import: name.to_owned(),
            what,
        })
    };
    let instance = match item {
        ComponentItem::ComponentInstance(instance) => instance,
        ComponentItem::Type(_) => return Ok(()),
        ComponentItem::ComponentFunc(_) | ComponentItem::CoreFunc(_) => {
            return unsupported("outside of any interface the function");
        }
        ComponentItem::Module(_) => return unsupported("the core module"),
        ComponentItem::Component(_) => return unsupported("the component"),
        ComponentItem::Resource(_) => return unsupported("outside of any interface the resource"),
    };
    if capability::is_wasi(name) {
        return Ok(());
    }
    if let Some(advice) = capability::missing(name) {
        return Err(ActorError::Missing {
            import: name.to_owned(),
            advice,
        });
    }
    let interface = InterfaceName::new(name)?;
    let mut functions = InterfaceTypes::default();
    for (function, item) in instance.exports(engine) {
        let Some((function, plan)) = plan(&interface, function, &item.ty)? else {
            continue;
        };
        let handler: Arc<dyn ImportHandler<Guest>> =
            if let Some(handler) = capability::function(&interface, &plan)? {
                handler
            } else {
                functions
                    .functions
                    .insert(function.clone(), plan.signature().to_owned());
                Arc::new(RemoteFunction::new(
                    interface.clone(),
                    function,
                    &plan,
                    &item.ty,
                ))
            };
        let linked = linker
            .instance(name)
            .and_then(|mut linker| link_import(&mut linker, plan, handler));
        linked.map_err(|error| ActorError::Invalid {
            reason: format!("{error:#}"),
        })?;
    }
    if !functions.functions.is_empty() {
        types.imports.insert(interface, functions);
    }
    Ok(())
}

fn export(
    engine: &Engine,
    component: &Component,
    exports: &mut HashMap<FunctionKey, Arc<Export>>,
    interface: &InterfaceName,
    instance: &ComponentInstance,
) -> Result<InterfaceTypes, ActorError> {
    let mut functions = InterfaceTypes::default();
    let of_interface = component.get_export_index(None, interface.as_str());
    for (name, item) in instance.exports(engine) {
        let Some((function, plan)) = plan(interface, name, &item.ty)? else {
            continue;
        };
        let Some(index) = component.get_export_index(of_interface.as_ref(), name) else {
            continue;
        };
        exports.insert(
            FunctionKey::new(interface, &function, plan.signature()),
            Arc::new(Export {
                index,
                function: ExportFunction::new(plan.clone()),
            }),
        );
        functions
            .functions
            .insert(function, plan.signature().to_owned());
    }
    Ok(functions)
}

/// The plan of a function in an interface; `None` for what is only a type.
fn plan(
    interface: &InterfaceName,
    name: &str,
    item: &ComponentItem,
) -> Result<Option<(FunctionName, Arc<FunctionPlan>)>, ActorError> {
    let unsupported = |reason| ActorError::UnsupportedType {
        interface: interface.to_string(),
        function: name.to_owned(),
        reason,
    };
    let ty = match item {
        ComponentItem::ComponentFunc(ty) => ty,
        ComponentItem::Resource(_) => {
            return Err(unsupported(format!(
                "interface `{interface}` has the resource `{name}`, which isn't supported yet; use an interface made of plain values"
            )));
        }
        _ => return Ok(None),
    };
    let plan = FunctionPlan::new(interface.as_str(), name, ty)
        .map_err(|error| unsupported(error.to_string()))?;
    Ok(Some((FunctionName::new(name)?, Arc::new(plan))))
}
