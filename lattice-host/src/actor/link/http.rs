//! Components that serve HTTP.

use super::{exports::Exports, invalid};
use crate::{
    actor::ActorError,
    guest::{Guest, HttpExport, HttpExports},
    http::exchange::{SERVED_AS, handle_types},
};
use lattice_core::name::InterfaceName;
use wasmtime::component::InstancePre;
use wasmtime_wasi_http::p2;
#[cfg(feature = "p3")]
use wasmtime_wasi_http::p3;

const INCOMING: &str = "wasi:http/incoming-handler";
#[cfg(feature = "p3")]
const HANDLER: &str = "wasi:http/handler";

/// Returns whether this is an interface by which a component serves HTTP.
pub(super) fn is_served(interface: &InterfaceName) -> bool {
    let version = interface.version().filter(|version| version.pre.is_empty());
    let version = version.map(|version| (version.major, version.minor));
    match (interface.path(), version) {
        (INCOMING, Some((0, 2))) => true,
        #[cfg(feature = "p3")]
        (HANDLER, Some((0, 3))) => true,
        _ => false,
    }
}

/// Adds the interfaces under which others call a component that serves HTTP.
pub(super) fn add_types(exports: &mut Exports) {
    if !exports.http.is_empty() {
        exports.types.extend(handle_types(SERVED_AS));
    }
}

/// Returns what of the component serves HTTP, if it does. One with both versions serves it by the
/// newer one.
pub(super) fn exports(
    pre: &InstancePre<Guest>,
    interfaces: Vec<InterfaceName>,
) -> Result<Option<HttpExports>, ActorError> {
    if interfaces.is_empty() {
        return Ok(None);
    }
    #[cfg(feature = "p3")]
    if interfaces
        .iter()
        .any(|interface| interface.path() == HANDLER)
    {
        let export = p3::bindings::ServiceIndices::new(pre).map_err(invalid)?;
        let export = HttpExport::Handler(export);
        return Ok(Some(HttpExports { export, interfaces }));
    }
    let export = p2::bindings::ProxyIndices::new(pre).map_err(invalid)?;
    let export = HttpExport::Incoming(export);
    Ok(Some(HttpExports { export, interfaces }))
}
