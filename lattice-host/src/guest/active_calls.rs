//! Tracks the calls that an instance is serving.

use lattice_core::{
    call::{Context, FunctionRef},
    name::{InterfaceName, LinkName},
};
use std::collections::HashMap;
use wasmtime::component::GuestTaskId;

/// The calls that an instance is serving. Its own calls are made on behalf of these.
pub(super) enum ActiveCalls {
    /// One.
    Single(SingleCall),
    /// Several that overlap.
    Concurrent(ConcurrentCalls),
}

/// The one call of an instance.
pub(super) struct SingleCall {
    pub(super) context: Context,
    /// Ticks for which it was seen running.
    pub(super) spent: u32,
    /// The links chosen for it, by interface with its compatible version.
    links: Vec<(String, LinkName)>,
}

/// Calls that one instance serves concurrently, distinguished by their tasks.
#[derive(Default)]
pub(super) struct ConcurrentCalls {
    running: HashMap<GuestTaskId, ConcurrentCall>,
    /// Ticks that belong to no call, because a task continues after its call has ended. There are
    /// at most as many entries as tasks, because task ids are reused.
    leftover: HashMap<Option<GuestTaskId>, u32>,
    /// Ticks of the destructor that runs. Each has the budget of a call.
    destructor: Option<u32>,
    /// The contexts of calls that have ended, for tasks that outlive them. There are at most as
    /// many entries as tasks, because task ids are reused.
    ended: HashMap<GuestTaskId, Context>,
    /// That of the last one.
    last_ended: Option<Context>,
}

/// One of several concurrent calls.
pub(super) struct ConcurrentCall {
    /// Identifies it to its caller.
    pub(super) id: u64,
    pub(super) context: Context,
    /// Ticks for which it was seen running.
    spent: u32,
}

impl ActiveCalls {
    pub(super) fn single(context: Context) -> Self {
        Self::Single(SingleCall {
            context,
            spent: 0,
            links: Vec::new(),
        })
    }

    pub(super) fn concurrent() -> Self {
        Self::Concurrent(ConcurrentCalls::default())
    }
}

impl SingleCall {
    /// Chooses the link for an interface, until this call ends.
    pub(super) fn choose_link(&mut self, interface: &InterfaceName, name: LinkName) {
        let compat = interface.compat();
        self.links.retain(|(chosen, _)| *chosen != compat);
        self.links.push((compat, name));
    }

    /// Returns the link chosen for the interface of `function`, or the default one.
    pub(super) fn link_for(&self, function: &FunctionRef) -> LinkName {
        let found = self
            .links
            .iter()
            .find(|(interface, _)| interface == function.compat());
        found.map(|(_, name)| name.clone()).unwrap_or_default()
    }
}

impl ConcurrentCalls {
    pub(super) fn begin(&mut self, task: GuestTaskId, id: u64, context: Context) {
        let spent = 0;
        let call = ConcurrentCall { id, context, spent };
        self.running.insert(task, call);
        self.leftover.remove(&Some(task));
        self.ended.remove(&task);
    }

    /// Records that a destructor begins to run, outside of any call, or has ended.
    pub(super) fn runs_destructor(&mut self, runs: bool) {
        self.destructor = runs.then_some(0);
    }

    pub(super) fn finish(&mut self, task: GuestTaskId) {
        if let Some(call) = self.running.remove(&task) {
            let context = call.context.outlived();
            self.ended.insert(task, context);
            self.last_ended = Some(context);
        }
    }

    /// Returns the context for a call that `tasks` make: that of the call that they serve, or
    /// served before it ended. A task that outlives its call must not begin a chain of its own,
    /// with hops and time of its own. The tasks are ordered from the newest to the oldest.
    pub(super) fn context_of(&self, tasks: &[GuestTaskId]) -> Context {
        let running = self.served_by(tasks).map(|call| call.context);
        let ended = || tasks.iter().find_map(|task| self.ended.get(task)).copied();
        running
            .or_else(ended)
            .or_else(|| self.context_of_any())
            .unwrap_or_default()
    }

    /// Returns the context of a call that no known task makes: the time of the call that has most,
    /// and the hops of the one that has most.
    fn context_of_any(&self) -> Option<Context> {
        let running = self.running.values().map(|call| call.context.outlived());
        running.chain(self.last_ended).reduce(|one, other| {
            let mut context = one;
            context.deadline = one.deadline.max(other.deadline);
            context.hops = one.hops.max(other.hops);
            context
        })
    }

    /// Returns the call that `tasks` serve. The tasks are ordered from the newest to the oldest.
    pub(super) fn served_by(&self, tasks: &[GuestTaskId]) -> Option<&ConcurrentCall> {
        tasks.iter().find_map(|task| self.running.get(task))
    }

    /// Returns the id of the call that runs, if it is the only one.
    pub(super) fn only(&self) -> Option<u64> {
        let mut running = self.running.values();
        let only = running.next()?;
        running.next().is_none().then_some(only.id)
    }

    /// Returns the ticks of the call that `tasks` serve, or those of the oldest task when they
    /// serve none. The tasks are ordered from the newest to the oldest.
    pub(super) fn spent(&mut self, tasks: &[GuestTaskId]) -> &mut u32 {
        if let Some(spent) = &mut self.destructor {
            return spent;
        }
        let serves = tasks.iter().find(|task| self.running.contains_key(task));
        match serves.and_then(|task| self.running.get_mut(task)) {
            Some(call) => &mut call.spent,
            None => self.leftover.entry(tasks.last().copied()).or_default(),
        }
    }
}
