//! Guests: what the store of an instance holds, how instances are limited, and how calls share
//! them.
//!
//! * *Fresh*: the call's own future makes an instance, calls it and drops it. Nothing is kept, and
//!   no task is spawned except inside [another guest](nesting).
//! * *Warm*, plain `func`: the call takes an idle instance, or makes one, and puts it back after a
//!   success.
//! * *Warm*, `async func`: the call is sent to an instance that a task of its own drives, together
//!   with other calls.
//!
//! In all three, dropping a call also drops its instance: at once, or after the other calls in it
//! have had a second.
//!
//! The calls that guests make to other components are in [`import`]. What a host gives to guests by
//! itself is one module above, and keeps its state here as a [`CapabilityState`].

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
