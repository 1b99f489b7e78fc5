//! Functions that the host serves from wire bytes, in the same encoding as all other calls.

use super::{HostCapability, Support};
use crate::{
    guest::Guest,
    transcode::{FunctionPlan, ImportHandler, ReplyFuture},
};
use bytes::Bytes;
use lattice_core::{
    name::InterfaceName,
    value::{self, Decode, Encode},
};
use std::{future::ready, sync::Arc};
use wasmtime::{Error, StoreContextMut};

/// A capability that consists of one interface, whose functions the host serves from wire bytes.
pub(super) struct HostInterface {
    /// The names of the interface, without a version. Every version is served, because drafts have
    /// been published under several versions. A component that expects another signature is refused
    /// when it is loaded.
    pub(super) names: &'static [&'static str],
    pub(super) functions: &'static [HostFunction],
}

/// A function that the host serves from wire bytes.
pub(crate) struct HostFunction {
    pub(super) name: &'static str,
    pub(super) signature: &'static str,
    pub(super) serve: fn(StoreContextMut<'_, Guest>, &Bytes) -> wasmtime::Result<Bytes>,
}

/// The component was built against another version of a host's interface.
#[derive(Debug)]
pub(crate) struct Mismatch {
    /// The signature that the host has instead.
    pub(crate) found: &'static str,
}

impl HostCapability for HostInterface {
    fn support(&self, import: &str) -> Option<Support> {
        let import = InterfaceName::new(import).ok()?;
        let is_served = self.names.contains(&import.path());
        is_served.then_some(Support::Transcoded)
    }

    fn functions(&self) -> &'static [HostFunction] {
        self.functions
    }
}

impl dyn HostCapability + '_ {
    /// Returns the handler of an imported function of a [transcoded](super::Support::Transcoded)
    /// interface.
    ///
    /// # Errors
    /// Fails when the component was built against another signature, or imports a function that
    /// doesn't exist.
    pub(crate) fn handler(
        &self,
        plan: &FunctionPlan,
    ) -> Result<Arc<dyn ImportHandler<Guest>>, Mismatch> {
        let named = |function: &&HostFunction| function.name == plan.name();
        match self.functions().iter().find(named) {
            Some(function) if function.signature == plan.signature() => {
                Ok(Arc::new(Handler(function)))
            }
            Some(function) => Err(Mismatch {
                found: function.signature,
            }),
            None => Err(Mismatch {
                found: "no function",
            }),
        }
    }
}

struct Handler(&'static HostFunction);

impl ImportHandler<Guest> for Handler {
    fn call(&self, store: StoreContextMut<'_, Guest>, arguments: Bytes) -> ReplyFuture {
        let serve = self.0.serve;
        Box::pin(ready(serve(store, &arguments)))
    }
}

pub(super) fn decode<T: Decode>(arguments: &Bytes) -> wasmtime::Result<T> {
    value::from_bytes(arguments).map_err(Error::new)
}

pub(super) fn encode(result: &impl Encode) -> wasmtime::Result<Bytes> {
    value::to_bytes(result).map_err(Error::new)
}
