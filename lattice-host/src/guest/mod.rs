//! Guests: the state in the store of an instance, the limits of instances, and how calls share
//! them.
//!
//! * *Fresh*: the call's own future creates an instance, calls it and drops it. Nothing is kept,
//!   and no task is spawned except inside [another guest](nesting).
//! * *Warm*, plain `func`: the call takes an idle instance, or creates one, and puts it back after
//!   a success.
//! * *Warm*, `async func`: the call is sent to an instance that is driven by its own task, together
//!   with other calls.
//!
//! * *Kept*, for components that pass streams or handles: the call is sent to an instance that is
//!   driven by its own task, or by a caller that finds it at rest, and stays for
//!   [what it has given away](kept).
//!
//! * Components that speak HTTP are in `http`, and those that use `wasi:blobstore` have it from
//!   `blobstore`.
//!
//! In the first three modes, dropping a call also drops its instance, either immediately or after
//! the other calls in it have had a second to finish.
//!
//! The calls that guests make to other components are in [`import`]. The capabilities of a host are
//! one module above, and keep their state here as a [`CapabilityState`].

mod active_calls;
mod actor;
mod aside;
#[cfg(feature = "blobstore")]
mod blobstore;
mod code;
mod concurrent;
mod exclusive;
mod extensions;
mod failure;
mod figures;
mod fresh;
mod handles;
#[cfg(feature = "http")]
mod http;
mod import;
mod instance;
mod kept;
mod limiter;
mod log;
mod log_limit;
mod nesting;
mod panic_text;
mod renewal;
mod service;
mod settings;
pub(crate) mod spans;
mod state;
mod store;
mod unserved;
mod usage;

pub(crate) use actor::ActorContext;
#[cfg(feature = "blobstore")]
pub(crate) use blobstore::{add_to_linker as add_blobstore_to_linker, types as blobstore_types};
pub(crate) use code::{ByFunction, Code, ExportedFunction, InstanceNeeds};
pub(crate) use extensions::CapabilityState;
pub(crate) use figures::{InstanceFigures, Unbusy};
pub(crate) use handles::{HandleTypes, drop_handle};
#[cfg(feature = "http")]
pub(crate) use http::{HttpExport, HttpExports, add_to_linker as add_http_to_linker};
pub(crate) use import::RemoteFunction;
pub(crate) use limiter::MAX_PARTS;
pub(crate) use log::{ActorLog, MAX_LINE};
pub(crate) use panic_text::PanicText;
pub(crate) use service::ActorService;
pub use settings::Instances;
pub(crate) use settings::Settings;
pub(crate) use state::{Guest, choose_link, context};
pub(crate) use unserved::UnservedCall;
pub use unserved::{Side, Unserved};

use crate::{
    engine::{Engine, Tenant},
    transcode::Arguments,
};
use bytes::Bytes;
use lattice_core::{
    call::{CallError, Context},
    wire::FunctionKey,
};
use std::sync::Arc;

type CallResult = Result<Bytes, CallError>;

/// An actor on one host.
pub(crate) struct HostedActor {
    pub(crate) context: Arc<ActorContext>,
    pub(crate) code: Arc<Code>,
    /// Held as long as there are instances, so that it ticks.
    pub(crate) engine: Engine,
    /// The part of the engine's room that its instances may take.
    pub(crate) tenant: Tenant,
}

impl HostedActor {
    /// Returns the error of a call to a function that it doesn't export.
    fn not_exported(&self, function: FunctionKey) -> CallError {
        CallError::NotExported {
            component: self.context.id.clone(),
            interface: String::new(),
            function: function.to_string(),
        }
    }
}

/// One call, with validated arguments.
#[derive(Clone)]
struct Call {
    function: FunctionKey,
    arguments: Arguments,
    context: Context,
}
