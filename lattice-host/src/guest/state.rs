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
    call::{CallError, Context, FunctionRef},
    name::{InterfaceName, LinkName},
    serve::CallerInstance,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use wasmtime::{
    StoreContextMut, UpdateDeadline,
    component::{GuestTaskId, ResourceTable},
};

/// Most resources that host capabilities give to one guest. The table is the host's memory, which
/// the limit on the guest's own doesn't count.
const MAX_RESOURCES: usize = 16_384;

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
    /// Whether it was counted as one that failed.
    has_failed: AtomicBool,
}

impl Guest {
    pub(super) fn new(
        actor: Arc<ActorContext>,
        memory: Arc<MemoryLease>,
        usage: Arc<InstanceUsage>,
        calls: ActiveCalls,
    ) -> Self {
        let mut table = ResourceTable::default();
        table.set_max_capacity(MAX_RESOURCES);
        Self {
            extensions: Extensions::default(),
            table,
            limiter: InstanceLimiter::new(&actor.limits, memory),
            usage,
            calls,
            panic_text: PanicText::default(),
            handles: None,
            has_failed: AtomicBool::new(false),
            actor,
        }
    }

    /// Returns the state of a host capability in this store, and the table of its resources.
    pub(crate) fn capability<S: CapabilityState>(&mut self) -> (&mut S, &mut ResourceTable) {
        let state = self.extensions.get_or_new(&self.actor, &self.panic_text);
        (state, &mut self.table)
    }

    /// Returns the table of the resources that host capabilities have given to the guest.
    #[cfg(feature = "blobstore")]
    pub(super) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Returns the state of a host capability in this store, if the guest has used it.
    #[cfg(feature = "http")]
    pub(super) fn used_capability<S: CapabilityState>(&mut self) -> Option<&mut S> {
        self.extensions.used()
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
        self.calls.runs_destructor(runs);
    }

    /// Counts the instance as one that ended with this error. Only the first one counts.
    pub(super) fn note_failure(&self, error: &CallError) {
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            self.actor.figures.failed(error);
        }
    }

    /// Returns what others are told of the instance that calls them.
    pub(super) fn as_caller(&self) -> CallerInstance {
        match &self.handles {
            Some(table) => CallerInstance::Instance(table.home().number()),
            None => CallerInstance::Here,
        }
    }
}

/// Chooses the link for an interface, for the call that the running task serves. Other calls that
/// the instance serves keep theirs.
///
/// # Errors
/// Fails when the component does not import the interface, or it isn't known which call the task
/// serves.
pub(crate) fn choose_link(
    store: &mut StoreContextMut<'_, Guest>,
    interface: &InterfaceName,
    name: LinkName,
) -> Result<(), String> {
    if store.data().actor.types.import(interface).is_none() {
        return Err(format!("this component does not import `{interface}`"));
    }
    let tasks = tasks(store);
    let Some(links) = store.data_mut().calls.links_of_mut(&tasks) else {
        let reason = "this code serves no call that a link could be chosen for, as in a destructor; choose the link in the function that is called";
        return Err(reason.to_owned());
    };
    links.choose(interface, name);
    Ok(())
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

/// Returns the context of a call of `function` that the running task makes, and the link, if one
/// was chosen for the interface.
pub(super) fn outgoing(
    store: &mut StoreContextMut<'_, Guest>,
    function: &FunctionRef,
) -> (Option<LinkName>, Context) {
    let tasks = tasks(store);
    let calls = &store.data().calls;
    let chosen = calls.links_of(&tasks);
    let link = chosen.and_then(|links| links.link_for(function));
    (link.cloned(), calls.context_of(&tasks))
}

/// Returns the context of the call that the running task serves.
pub(crate) fn context(store: &mut StoreContextMut<'_, Guest>) -> Context {
    let tasks = tasks(store);
    store.data().calls.context_of(&tasks)
}

/// Charges the current tick to the call that the guest is serving. Without a tick, the guest yields
/// if its turn is over.
pub(super) fn on_tick(mut store: StoreContextMut<'_, Guest>) -> Result<UpdateDeadline, CpuOverrun> {
    let usage = store.data().usage.clone();
    if usage.was_running() {
        return usage.charge(spent(&mut store));
    }
    Ok(usage.next_deadline())
}

/// Counts a call that the guest makes, with so many bytes of arguments, towards its turn, and
/// interrupts the guest when its turn is over.
pub(super) fn count_call(store: &StoreContextMut<'_, Guest>, bytes: usize) {
    if store.data().usage.ends_turn(bytes) {
        // Code that runs has read its own deadline already, and notices only that the epoch moves.
        // Other guests are interrupted as well, see that no tick has passed, and continue.
        store.engine().increment_epoch();
    }
}

/// Charges what the host has copied for the running task to the call that it serves.
pub(super) fn charge_copies(store: &mut StoreContextMut<'_, Guest>) {
    let usage = store.data().usage.clone();
    if usage.has_copied() {
        usage.charge_copies(spent(store));
    }
}

/// Returns the ticks of the call that the running task serves, since its CPU time was renewed.
fn spent<'s>(store: &'s mut StoreContextMut<'_, Guest>) -> &'s mut u32 {
    let tasks = tasks(store);
    let guest = store.data_mut();
    let table = guest.handles.as_deref_mut();
    if table.is_some_and(HandleTable::renews) {
        guest.calls.renew();
    }
    match &mut guest.calls {
        ActiveCalls::Single(call) => call.spent(),
        ActiveCalls::Concurrent(calls) => calls.spent(&tasks),
    }
}

/// Returns the running task and those that wait for it, from the newest to the oldest. Returns none
/// for an instance that serves one call, which all of its tasks serve.
///
/// Asking wasmtime makes it set up a task that it would otherwise do without, which a call notices.
fn tasks(store: &mut StoreContextMut<'_, Guest>) -> Vec<GuestTaskId> {
    match &store.data().calls {
        ActiveCalls::Single(_) => return Vec::new(),
        ActiveCalls::Concurrent(calls) => {
            if let Some(only) = calls.only_task() {
                return vec![only];
            }
        }
    }
    let stack = store.async_call_stack();
    stack.map(Iterator::collect).unwrap_or_default()
}
