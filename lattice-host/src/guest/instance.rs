//! One instance of an actor, in its own store.

use super::{
    CallResult, HostedActor,
    active_calls::ActiveCalls,
    code::ExportedFunction,
    failure,
    figures::LiveInstance,
    handles::HandleTable,
    kept::Home,
    state::{self, Guest},
    store::GuestStore,
    usage::InstanceUsage,
};
use crate::{
    engine::Place,
    transcode::{Arguments, BoundExport},
};
use lattice_core::{
    call::{CallError, Context},
    stream::{InstanceRef, next_instance},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};
use wasmtime::{AsContextMut, Error, PoolConcurrencyLimitError, Result, Store, component};

/// Handles that one instance may hold, such as streams and timers, besides as many as others may
/// hold of its own. A typical guest has a dozen.
const MAX_HANDLES: usize = 10_000;

/// The most time that is kept back from a call's deadline, for the answer that there was no room.
const ANSWER: Duration = Duration::from_millis(100);
/// The longest time after which an instance that found no free stack is tried again.
const AGAIN: Duration = Duration::from_millis(10);

pub(super) struct Instance {
    pub(super) store: GuestStore,
    pub(super) inner: component::Instance,
    pub(super) usage: Arc<InstanceUsage>,
    /// After the store, so that the room is free only when the memory is.
    place: Place,
    _live: LiveInstance,
}

impl HostedActor {
    /// Waits for room for an instance, which the call with this context needs.
    ///
    /// # Errors
    /// Fails with [`CallError::Overloaded`] shortly before the call's deadline.
    pub(super) async fn place(&self, context: &mut Context) -> Result<Place, CallError> {
        let needs = self.code.needs.room(self.code.class.slots);
        if let Some(place) = self.tenant.try_place(needs, context) {
            return Ok(place);
        }
        let until = self.answer_by(context);
        let id = &self.context.id;
        // Boxed, so that a call which finds room carries no state of one that waits.
        Box::pin(self.tenant.place(needs, id, context, until)).await
    }

    /// Returns when a call that has not begun must fail, so that its caller still hears why.
    fn answer_by(&self, context: &Context) -> Instant {
        let now = Instant::now();
        let left = context.deadline.saturating_duration_since(now);
        let left = self.context.limits.wall.map_or(left, |wall| left.min(wall));
        now + left - (left / 10).min(ANSWER)
    }
}

impl Instance {
    /// Creates an instance at its place, and runs its start functions. The call with this context
    /// needs it.
    pub(super) async fn start(
        actor: &HostedActor,
        place: Place,
        context: &Context,
        calls: fn(Context) -> ActiveCalls,
        home: Option<&Arc<Home>>,
    ) -> Result<Self, CallError> {
        let mut until = None;
        loop {
            let freed = actor.tenant.freed();
            let usage = InstanceUsage::new(
                actor.engine.ticks(),
                &actor.context.limits,
                actor.tenant.memory().clone(),
            );
            let usage = Arc::new(usage);
            let store = store(actor, &place, calls(*context), usage.clone());
            let mut store = store.map_err(|error| CallError::CalleeFailed {
                reason: format!("an instance could not be started: {error:#}"),
            })?;
            store.data_mut().handles = handles(actor, home).map(Box::new);
            let started = usage
                .run(actor.code.pre.instantiate_async(&mut store))
                .await;
            let started = started.and_then(|inner| know_resources(actor, &mut store, &inner));
            match started {
                Ok(inner) => {
                    return Ok(Self {
                        store,
                        inner,
                        usage,
                        place,
                        _live: actor.context.figures.start(),
                    });
                }
                // Instances with many calls at once may have all stacks of the engine.
                Err(error) if error.is::<PoolConcurrencyLimitError>() => {
                    let until = *until.get_or_insert_with(|| actor.answer_by(context));
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(failure::start_error(&error, store.data()));
                    }
                    drop(store);
                    // It is tried again in any case, because a stack is also free before its
                    // instance ends.
                    let _ = timeout(AGAIN.min(left), freed).await;
                }
                Err(error) => return Err(failure::start_error(&error, store.data())),
            }
        }
    }

    /// Makes this the instance of the call with this context, which did not start it.
    pub(super) fn pass_to(&mut self, context: &mut Context) {
        self.place.pass_to(context);
    }

    /// Prepares the instance for another call, with a full budget.
    pub(super) fn serve_next(&mut self, context: Context) {
        self.serve(ActiveCalls::single(context));
    }

    /// Prepares the instance for overlapping calls, each with a full budget.
    pub(super) fn serve_many(&mut self) {
        self.serve(ActiveCalls::concurrent());
    }

    /// Prepares the instance for these calls, each with a full budget.
    pub(super) fn serve(&mut self, calls: ActiveCalls) {
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
        result.map_err(|error| self.failure(&error))
    }

    pub(super) fn failure(&self, error: &Error) -> CallError {
        failure::call_error(error, self.store.data())
    }

    /// Returns the id of the call whose task ran last, in an instance that serves several calls.
    pub(super) fn running_call(&mut self) -> Option<u64> {
        state::running_call(&mut self.store.as_context_mut()).map(|call| call.id)
    }

    /// Returns the id of the call whose task ran last, or else of the only one that runs.
    pub(super) fn culprit(&mut self) -> Option<u64> {
        let last = self.running_call();
        last.or_else(|| self.store.data().calls.only())
    }
}

/// Learns the types of the instance's own resources, if it passes handles.
fn know_resources(
    actor: &HostedActor,
    store: &mut Store<Guest>,
    inner: &component::Instance,
) -> Result<component::Instance> {
    if let (Some(types), true) = (&actor.code.handles, store.data().handles.is_some()) {
        for (export, index) in &types.homes {
            let ty = inner.get_resource(&mut *store, export);
            let ty =
                ty.ok_or_else(|| Error::msg("a resource of the component is not in its instance"))?;
            store.data_mut().handles()?.know(ty, *index);
        }
    }
    Ok(*inner)
}

/// Returns a table for the handles of an instance, if its component passes any. An instance without
/// a home of its own serves requests of HTTP.
fn handles(actor: &HostedActor, home: Option<&Arc<Home>>) -> Option<HandleTable> {
    let types = actor.code.handles.as_ref()?;
    let home = match home {
        Some(home) => home.clone(),
        None => Home::of_requests(InstanceRef {
            origin: actor.context.caller.origin()?.clone(),
            component: actor.context.id.clone(),
            instance: next_instance(),
        }),
    };
    Some(HandleTable::new(home, types.resources.clone()))
}

fn store(
    actor: &HostedActor,
    place: &Place,
    calls: ActiveCalls,
    usage: Arc<InstanceUsage>,
) -> Result<GuestStore> {
    let memory = place.memory().clone();
    // What no limit counts; room for it was taken with the place.
    memory.begin(actor.code.needs.fixed() as usize);
    let guest = Guest::new(actor.context.clone(), memory, usage, calls);
    let mut store = Store::try_new(actor.code.pre.engine(), guest)?;
    store.limiter(|guest| &mut guest.limiter);
    store.set_hostcall_fuel(actor.context.limits.result.as_usize());
    let handles = actor.context.limits.handles.get();
    store.set_max_component_handles(handles.saturating_add(MAX_HANDLES));
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| state::on_tick(store).map_err(Error::new));
    Ok(GuestStore::new(store))
}
