//! One instance of an actor, in a store of its own.

use super::{
    HostedActor, Outcome, failure,
    limiter::Allowance,
    state::{self, Guest, Serving},
    usage::Vitals,
};
use crate::{
    actor::Export,
    transcode::{Arguments, BoundExport},
};
use bytes::Bytes;
use lattice_core::call::{CallError, Context};
use std::sync::Arc;
use wasmtime::{AsContextMut, Error, Result, Store, component};

/// Handles that one instance may hold: streams, timers and the like. A guest has a dozen.
const MAX_HANDLES: usize = 10_000;

pub(super) struct Instance {
    pub(super) store: Store<Guest>,
    inner: component::Instance,
    pub(super) vitals: Arc<Vitals>,
}

impl Instance {
    /// Makes an instance, and runs what of it runs at the start.
    pub(super) async fn start(
        actor: &Arc<HostedActor>,
        serving: Serving,
    ) -> Result<Self, CallError> {
        let vitals = Arc::new(Vitals::new(actor.engine.ticks(), actor.limits.cpu));
        let mut store =
            store(actor, serving, vitals.clone()).map_err(|error| CallError::CalleeFailed {
                reason: format!("an instance could not be started: {error:#}"),
            })?;
        match vitals
            .watch(actor.code.pre.instantiate_async(&mut store))
            .await
        {
            Ok(inner) => Ok(Self {
                store,
                inner,
                vitals,
            }),
            Err(error) => Err(failure::start_error(&error, store.data(), actor)),
        }
    }

    /// Makes it ready to serve another call, with a full budget.
    pub(super) fn serve_next(&mut self, context: Context) {
        self.serve(Serving::one(context));
    }

    /// Makes it ready to serve calls beside each other, each with a full budget.
    pub(super) fn serve_many(&mut self) {
        self.serve(Serving::many());
    }

    fn serve(&mut self, serving: Serving) {
        let guest = self.store.data_mut();
        guest.serving = serving;
        guest.allowance.forget_denied();
        self.store.set_epoch_deadline(1);
    }

    /// Whether it had better not be used again.
    pub(super) fn is_bloated(&self) -> bool {
        self.store.data().allowance.is_bloated()
    }

    /// Finds an exported function in this instance.
    pub(super) fn bind(&mut self, export: &Export) -> Result<BoundExport<Guest>> {
        let function = self.inner.get_func(&mut self.store, export.index);
        let function = function
            .ok_or_else(|| Error::msg("an export of the component is not in its instance"))?;
        export.function.bind(&self.store, function)
    }

    /// Calls an exported function. After an error the instance is of no more use.
    ///
    /// # Cancel safety
    /// None: drop the instance too.
    pub(super) async fn call(
        &mut self,
        function: &BoundExport<Guest>,
        arguments: Arguments,
    ) -> Outcome {
        let result = self
            .vitals
            .watch(function.call(&mut self.store, arguments))
            .await;
        match result {
            Ok(result) => Ok(Bytes::from(result)),
            Err(error) => Err(self.failure(&error)),
        }
    }

    pub(super) fn failure(&self, error: &Error) -> CallError {
        failure::call_error(error, self.store.data())
    }

    /// The call whose task was running last, in an instance that serves several.
    pub(super) fn running_call(&mut self) -> Option<u64> {
        state::running(&mut self.store.as_context_mut()).map(|call| call.id)
    }
}

fn store(actor: &Arc<HostedActor>, serving: Serving, vitals: Arc<Vitals>) -> Result<Store<Guest>> {
    let guest = Guest {
        actor: actor.clone(),
        wasi: crate::capability::Wasi::default(),
        allowance: Allowance::new(&actor.limits),
        vitals,
        serving,
    };
    let mut store = Store::try_new(actor.code.pre.engine(), guest)?;
    store.limiter(|guest| &mut guest.allowance);
    store.set_hostcall_fuel(actor.limits.result.as_usize());
    store.set_max_component_handles(MAX_HANDLES);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| state::on_tick(store).map_err(Error::new));
    Ok(store)
}
