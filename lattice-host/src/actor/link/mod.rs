//! Links a compiled component: plans its functions, connects its imports, and lists its exports.

mod exports;
mod imports;

use super::ActorError;
use crate::{
    capability::Capabilities,
    guest::{Code, Guest},
    limits::ByteSize,
    transcode::FunctionPlan,
};
use bytes::Bytes;
use exports::Exports;
use imports::Imports;
use lattice_core::{
    name::{FunctionName, InterfaceName},
    types::ComponentTypes,
};
use lattice_wit::binary;
use std::sync::Arc;
use wasmtime::component::{Component, Linker, types::ComponentItem};

/// Bytes in a page of linear memory.
const PAGE: u64 = 64 << 10;

/// Links `component`, which was compiled from `bytes`. The native capabilities are in `linker`.
pub(super) fn link(
    component: &Component,
    bytes: &[u8],
    linker: Linker<Guest>,
    capabilities: &Capabilities,
) -> Result<Code, ActorError> {
    let imports = Imports::link(component, linker, capabilities)?;
    let exports = Exports::of(component)?;
    let types = ComponentTypes {
        imports: imports.types,
        exports: exports.types,
        wit: wit(bytes, capabilities),
    };
    let pages = component
        .resources_required()
        .and_then(|needs| needs.max_initial_memory_size)
        .unwrap_or(0);
    let pre = imports.linker.instantiate_pre(component);
    let pre = pre.map_err(invalid)?;
    let initial_memory = ByteSize::bytes(pages.saturating_mul(PAGE));
    Ok(Code::new(pre, types, exports.by_name, initial_memory))
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

/// Plans a function of an interface. `None` for an item that is only a type.
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

fn invalid(error: wasmtime::Error) -> ActorError {
    ActorError::Invalid {
        reason: format!("{error:#}"),
    }
}
