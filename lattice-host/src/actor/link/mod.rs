//! Links a compiled component: plans its functions, connects its imports, and lists its exports.

mod exports;
#[cfg(feature = "http")]
mod http;
mod imports;
mod published;
mod resources;
mod stub;

pub(super) use resources::stay_in_instance;

use super::{ActorError, needs};
use crate::{
    capability::Capabilities,
    engine::CodeClass,
    guest::{Code, Guest},
    transcode::{FunctionPlan, Resources},
};
use bytes::Bytes;
use exports::Exports;
use imports::Imports;
use lattice_core::{
    name::{FunctionName, InterfaceName, NameError},
    types::ComponentTypes,
};
use lattice_wit::binary;
use std::sync::Arc;
use wasmtime::component::{Component, Linker, types::ComponentItem};

/// Links `component`, which was compiled from `bytes` for a class. The native capabilities are in
/// the linker.
pub(super) fn link(
    component: &Component,
    bytes: &[u8],
    (linker, class): (Linker<Guest>, CodeClass),
    capabilities: &Capabilities,
) -> Result<Code, ActorError> {
    let resources = resources::of(component, capabilities);
    let imports = Imports::link(component, linker, capabilities, &resources)?;
    let mut exports = Exports::of(component, &resources)?;
    let passes_handles = imports.passes_handles || exports.passes_handles();
    #[cfg(feature = "http")]
    http::add_types(&mut exports);
    let mut types = ComponentTypes {
        imports: imports.types,
        exports: std::mem::take(&mut exports.types),
        wit: wit(bytes, capabilities),
    };
    published::fit(&mut types, &mut exports);
    let can_be_called = exports.can_be_called();
    let mut unserved = exports.unserved;
    unserved.extend(imports.unserved);
    if !can_be_called && !unserved.is_empty() {
        return Err(ActorError::NothingToCall { unserved });
    }
    let pre = imports.linker.instantiate_pre(component);
    let pre = pre.map_err(invalid)?;
    #[cfg(feature = "http")]
    let http = http::exports(&pre, exports.http)?;
    let needs = needs::of(bytes).ok_or_else(|| ActorError::Invalid {
        reason: "what its instances need can't be found out".to_owned(),
    })?;
    Ok(Code {
        pre,
        types: Arc::new(types),
        functions: exports.functions,
        #[cfg(feature = "http")]
        http,
        handles: passes_handles.then(|| resources::handle_types(component, &resources)),
        by_host: imports.by_host,
        unserved,
        needs,
        class,
    })
}

/// Encodes the component's WIT for tools. If that fails, the component runs without it.
fn wit(component: &[u8], capabilities: &Capabilities) -> Option<Bytes> {
    match binary::of_component(component, |import| !capabilities.serve(import)) {
        Ok(bytes) => Some(bytes.into()),
        Err(error) => {
            tracing::warn!(%error, "the component's WIT is not published; tools can neither show it nor call the component with arguments as text");
            None
        }
    }
}

/// The interface under which links know the functions of a world that are in no interface.
const FUNCTIONS: &str = "lattice:world/functions";

/// Returns the name under which links know an interface. One without a package is in the package
/// `lattice:interface`.
fn interface_name(name: &str) -> Result<InterfaceName, NameError> {
    if name.contains([':', '/', '@']) {
        return InterfaceName::new(name);
    }
    InterfaceName::new(&format!("lattice:interface/{name}"))
}

/// Returns the interface of the functions of a world that are in no interface.
fn functions_of_world() -> Result<InterfaceName, ActorError> {
    InterfaceName::new(FUNCTIONS).map_err(|error| ActorError::Invalid {
        reason: error.to_string(),
    })
}

/// Plans a function of an interface. `None` for an item that is only a type.
fn plan(
    interface: &InterfaceName,
    name: &str,
    item: &ComponentItem,
    resources: &Arc<Resources>,
) -> Result<Option<(FunctionName, Arc<FunctionPlan>)>, ActorError> {
    let unsupported = |reason| ActorError::UnsupportedType {
        interface: interface.to_string(),
        function: name.to_owned(),
        reason,
    };
    let ComponentItem::ComponentFunc(ty) = item else {
        return Ok(None);
    };
    let plan = FunctionPlan::new((interface.as_str(), name), ty, resources)
        .map_err(|error| unsupported(error.to_string()))?;
    let function = FunctionName::new(name).map_err(|error| unsupported(error.to_string()))?;
    Ok(Some((function, Arc::new(plan))))
}

fn invalid(error: wasmtime::Error) -> ActorError {
    ActorError::invalid(&error)
}
