//! Running actors: a call comes in, an instance serves it.
//!
//! * *Fresh*: the call's own future makes an instance, calls it and drops it. Nothing is kept, and there is no task but
//!   inside of [another guest](nesting).
//! * *Warm*, plain `func`: the call takes an idle instance, or makes one, and puts it back after a success.
//! * *Warm*, `async func`: the call is handed to an instance that a task of its own drives, beside other calls.
//!
//! In all three a call that is dropped takes its instance along, at once or after its siblings have had a second.

mod active_calls;
mod actor;
mod code;
mod concurrent;
mod exclusive;
mod extensions;
mod failure;
mod fresh;
mod import;
mod instance;
mod limiter;
mod log;
mod log_limit;
mod nesting;
mod service;
mod settings;
mod state;
mod usage;

pub(crate) use actor::ActorContext;
pub(crate) use code::{Code, Export, ExportedFunction};
pub(crate) use extensions::CapabilityState;
pub(crate) use import::RemoteFunction;
pub(crate) use log::{ActorLog, MAX_LINE};
pub(crate) use service::ActorService;
pub use settings::Instances;
pub(crate) use settings::Settings;
pub(crate) use state::Guest;

use crate::{engine::Engine, transcode::Arguments};
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
    /// Held for as long as there are instances, so that it ticks.
    pub(crate) engine: Engine,
}

/// One call, with arguments that are what the function takes.
#[derive(Clone)]
struct Call {
    function: FunctionKey,
    arguments: Arguments,
    context: Context,
}
