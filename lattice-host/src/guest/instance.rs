//! One instance of an actor, in its own store.

use super::{
    CallResult, HostedActor,
    active_calls::ActiveCalls,
    code::ExportedFunction,
    failure,
    state::{self, Guest},
    usage::InstanceUsage,
};
use crate::transcode::{Arguments, BoundExport};
use bytes::Bytes;
use lattice_core::call::{CallError, Context};
use std::sync::Arc;
use wasmtime::{AsContextMut, Error, Result, Store, component};

/// Handles that one instance may hold, such as streams and timers. A typical guest has a dozen.
const MAX_HANDLES: usize = 10_000;

pub(super) struct Instance {
    pub(super) store: Store<Guest>,
    inner: component::Instance,
    pub(super) usage: Arc<InstanceUsage>,
}

impl Instance {
    /// Creates an instance, and runs its start functions.
    pub(super) async fn start(actor: &HostedActor, calls: ActiveCalls) -> Result<Self, CallError> {
        let usage = InstanceUsage::new(actor.engine.ticks(), actor.context.limits.cpu);
        let usage = Arc::new(usage);
        let mut store =
            store(actor, calls, usage.clone()).map_err(|error| CallError::CalleeFailed {
                reason: format!("an instance could not be started: {error:#}"),
            })?;
        match usage
            .run(actor.code.pre.instantiate_async(&mut store))
            .await
        {
            Ok(inner) => Ok(Self {
                store,
                inner,
                usage,
            }),
            Err(error) => Err(failure::start_error(&error, store.data())),
        }
    }

    /// Prepares the instance for another call, with a full budget.
    pub(super) fn serve_next(&mut self, context: Context) {
        self.serve(ActiveCalls::single(context));
    }

    /// Prepares the instance for overlapping calls, each with a full budget.
    pub(super) fn serve_many(&mut self) {
        self.serve(ActiveCalls::concurrent());
    }

    fn serve(&mut self, calls: ActiveCalls) {
        let guest = self.store.data_mut();
        guest.calls = calls;
        guest.limiter.forget_denied();
        self.store.set_epoch_deadline(1);
    }

    /// Returns whether the instance has too much memory to be reused.
    pub(super) fn is_bloated(&self) -> bool {
        self.store.data().limiter.is_bloated()
    }

    /// Finds an exported function in this instance.
    pub(super) fn bind(&mut self, exported: &ExportedFunction) -> Result<BoundExport<Guest>> {
        let function = self.inner.get_func(&mut self.store, exported.index);
        let function = function
            .ok_or_else(|| Error::msg("an export of the component is not in its instance"))?;
        exported.function.bind(&self.store, function)
    }

    /// Calls an exported function. After an error, the instance can no longer be used.
    ///
    /// # Cancel safety
    /// Not cancel safe: after dropping the future, drop the instance too.
    pub(super) async fn call(
        &mut self,
        function: &BoundExport<Guest>,
        arguments: Arguments,
    ) -> CallResult {
        let result = self
            .usage
            .run(function.call(&mut self.store, arguments))
            .await;
        match result {
            Ok(result) => Ok(Bytes::from(result)),
            Err(error) => Err(self.failure(&error)),
        }
    }

    pub(super) fn failure(&self, error: &Error) -> CallError {
        failure::call_error(error, self.store.data())
    }

    /// Returns the id of the call whose task ran last, in an instance that serves several calls.
    pub(super) fn running_call(&mut self) -> Option<u64> {
        state::running_call(&mut self.store.as_context_mut()).map(|call| call.id)
    }
}

fn store(
    actor: &HostedActor,
    calls: ActiveCalls,
    usage: Arc<InstanceUsage>,
) -> Result<Store<Guest>> {
    let guest = Guest::new(actor.context.clone(), usage, calls);
    let mut store = Store::try_new(actor.code.pre.engine(), guest)?;
    store.limiter(|guest| &mut guest.limiter);
    store.set_hostcall_fuel(actor.context.limits.result.as_usize());
    store.set_max_component_handles(MAX_HANDLES);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| state::on_tick(store).map_err(Error::new));
    Ok(store)
}
