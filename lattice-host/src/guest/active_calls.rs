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
    }

    pub(super) fn finish(&mut self, task: GuestTaskId) {
        self.running.remove(&task);
    }

    /// Returns the call that `tasks` serve. The tasks are ordered from the newest to the oldest.
    pub(super) fn served_by(&self, tasks: &[GuestTaskId]) -> Option<&ConcurrentCall> {
        tasks.iter().find_map(|task| self.running.get(task))
    }

    /// Returns the ticks of the call that `tasks` serve, or those of the oldest task when they
    /// serve none. The tasks are ordered from the newest to the oldest.
    pub(super) fn spent(&mut self, tasks: &[GuestTaskId]) -> &mut u32 {
        let serves = tasks.iter().find(|task| self.running.contains_key(task));
        match serves.and_then(|task| self.running.get_mut(task)) {
            Some(call) => &mut call.spent,
            None => self.leftover.entry(tasks.last().copied()).or_default(),
        }
    }
}
