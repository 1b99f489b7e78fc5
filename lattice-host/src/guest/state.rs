//! The state in the store of one instance.

use super::{
    active_calls::{ActiveCalls, ConcurrentCall},
    actor::ActorContext,
    extensions::{CapabilityState, Extensions},
    handles::HandleTable,
    limiter::InstanceLimiter,
    panic_text::PanicText,
    usage::{CpuOverrun, InstanceUsage},
};
use crate::engine::MemoryLease;
use lattice_core::{
    call::Context,
    name::{InterfaceName, LinkName},
    serve::CallerInstance,
};
use std::sync::Arc;
use wasmtime::{
    StoreContextMut, UpdateDeadline,
    component::{GuestTaskId, ResourceTable},
};

/// The state in the store of one instance.
pub(crate) struct Guest {
    pub(crate) actor: Arc<ActorContext>,
    extensions: Extensions,
    /// Resources that host capabilities have given to the guest.
    table: ResourceTable,
    pub(super) limiter: InstanceLimiter,
    pub(super) usage: Arc<InstanceUsage>,
    pub(super) calls: ActiveCalls,
    pub(super) panic_text: PanicText,
    /// The handles that it passes, if its component passes any.
    pub(super) handles: Option<Box<HandleTable>>,
}

impl Guest {
    pub(super) fn new(
        actor: Arc<ActorContext>,
        memory: Arc<MemoryLease>,
        usage: Arc<InstanceUsage>,
        calls: ActiveCalls,
    ) -> Self {
        Self {
            extensions: Extensions::default(),
            table: ResourceTable::default(),
            limiter: InstanceLimiter::new(&actor.limits, memory),
            usage,
            calls,
            panic_text: PanicText::default(),
            handles: None,
            actor,
        }
    }

    /// Returns the state of a host capability in this store, and the table of its resources.
    pub(crate) fn capability<S: CapabilityState>(&mut self) -> (&mut S, &mut ResourceTable) {
        let state = self.extensions.get_or_new(&self.actor, &self.panic_text);
        (state, &mut self.table)
    }

    /// Records that a task serves one more call.
    pub(super) fn begin(&mut self, task: GuestTaskId, id: u64, context: Context) {
        if let ActiveCalls::Concurrent(calls) = &mut self.calls {
            calls.begin(task, id, context);
        }
    }

    /// Records that a call has ended.
    pub(super) fn finish(&mut self, task: GuestTaskId) {
        if let ActiveCalls::Concurrent(calls) = &mut self.calls {
            calls.finish(task);
        }
        self.limiter.forget_denied();
    }

    /// Records that a destructor begins to run, outside of any call, or has ended.
    pub(super) fn runs_destructor(&mut self, runs: bool) {
        if let ActiveCalls::Concurrent(calls) = &mut self.calls {
            calls.runs_destructor(runs);
        }
    }

    /// Returns what others are told of the instance that calls them.
    pub(super) fn as_caller(&self) -> CallerInstance {
        match &self.handles {
            Some(table) => CallerInstance::Instance(table.home().number()),
            None => CallerInstance::Here,
        }
    }

    /// Chooses the link for an interface, for the call being served.
    ///
    /// # Errors
    /// Fails when the component does not import the interface, or the instance serves several
    /// calls.
    pub(crate) fn choose_link(
        &mut self,
        interface: &InterfaceName,
        name: LinkName,
    ) -> Result<(), String> {
        if self.actor.types.import(interface).is_none() {
            return Err(format!("this component does not import `{interface}`"));
        }
        let ActiveCalls::Single(call) = &mut self.calls else {
            let reason = "this instance serves several calls at once; run the actor with fresh instances to choose links";
            return Err(reason.to_owned());
        };
        call.choose_link(interface, name);
        Ok(())
    }
}

/// Returns the call that the running task serves, in an instance that serves several calls.
pub(super) fn running_call<'s>(
    store: &'s mut StoreContextMut<'_, Guest>,
) -> Option<&'s ConcurrentCall> {
    let tasks = tasks(store);
    match &store.data().calls {
        ActiveCalls::Single(_) => None,
        ActiveCalls::Concurrent(calls) => calls.served_by(&tasks),
    }
}

/// Returns the context of a call that the running task makes.
pub(super) fn running_context(store: &mut StoreContextMut<'_, Guest>) -> Context {
    let tasks = tasks(store);
    match &store.data().calls {
        ActiveCalls::Single(call) => call.context,
        ActiveCalls::Concurrent(calls) => calls.context_of(&tasks),
    }
}

/// Charges the current tick to the call that the guest is serving.
pub(super) fn on_tick(mut store: StoreContextMut<'_, Guest>) -> Result<UpdateDeadline, CpuOverrun> {
    let usage = store.data().usage.clone();
    if !usage.was_running() {
        return Ok(UpdateDeadline::Continue(1));
    }
    usage.charge(spent(&mut store))
}

/// Charges what the host has copied for the running task to the call that it serves.
pub(super) fn charge_copies(store: &mut StoreContextMut<'_, Guest>) {
    let usage = store.data().usage.clone();
    if usage.has_copied() {
        usage.charge_copies(spent(store));
    }
}

/// Returns the ticks of the call that the running task serves.
fn spent<'s>(store: &'s mut StoreContextMut<'_, Guest>) -> &'s mut u32 {
    let tasks = tasks(store);
    match &mut store.data_mut().calls {
        ActiveCalls::Single(call) => &mut call.spent,
        ActiveCalls::Concurrent(calls) => calls.spent(&tasks),
    }
}

/// Returns the running task and those that wait for it, from the newest to the oldest.
fn tasks(store: &mut StoreContextMut<'_, Guest>) -> Vec<GuestTaskId> {
    let stack = store.async_call_stack();
    stack.map(Iterator::collect).unwrap_or_default()
}
