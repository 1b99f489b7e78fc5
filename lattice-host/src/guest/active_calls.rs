//! Tracks the calls that an instance is serving.

use foldhash::fast::RandomState;
use lattice_core::{
    call::{Context, FunctionRef},
    name::{InterfaceName, LinkName},
};
use std::collections::HashMap;
use wasmtime::component::GuestTaskId;

#[cfg(feature = "http")]
use super::renewal::Renewal;

/// The calls that an instance is serving. Its own calls are made on behalf of these.
pub(super) enum ActiveCalls {
    /// One.
    Single(SingleCall),
    /// Several that overlap.
    Concurrent(ConcurrentCalls),
}

/// The one call of an instance, or a destructor that runs between its calls.
pub(super) struct SingleCall {
    pub(super) context: Context,
    /// Identifies it to its caller, if calls of others wait for the instance.
    id: Option<u64>,
    spent: Spent,
    /// None for a destructor, which serves no call that a link could be chosen for.
    links: Option<ChosenLinks>,
}

/// The ticks for which a call was seen running.
#[derive(Default)]
struct Spent {
    ticks: u32,
    #[cfg(feature = "http")]
    renewal: Option<Renewal>,
}

impl Spent {
    fn ticks(&mut self) -> &mut u32 {
        #[cfg(feature = "http")]
        if self.renewal.as_ref().is_some_and(Renewal::take) {
            self.ticks = 0;
        }
        &mut self.ticks
    }
}

/// The links chosen for a call, by interface with its compatible version.
#[derive(Default)]
pub(super) struct ChosenLinks(Vec<(String, LinkName)>);

/// A map by task, which is read on every call. Their ids are wasmtime's own.
type ByTask<K, T> = HashMap<K, T, RandomState>;

/// Calls that one instance serves concurrently, distinguished by their tasks.
#[derive(Default)]
pub(super) struct ConcurrentCalls {
    running: ByTask<GuestTaskId, ConcurrentCall>,
    /// Ticks that belong to no call, because a task continues after its call has ended. There are
    /// at most as many entries as tasks, because task ids are reused.
    leftover: ByTask<Option<GuestTaskId>, u32>,
    /// Ticks of the destructor that runs. Each has the budget of a call.
    destructor: Option<u32>,
    /// The calls that have ended, for tasks that outlive them. There are at most as many entries as
    /// tasks, because task ids are reused.
    ended: ByTask<GuestTaskId, EndedCall>,
    /// The context of the last one.
    last_ended: Option<Context>,
}

/// One of several concurrent calls.
pub(super) struct ConcurrentCall {
    /// Identifies it to its caller.
    pub(super) id: u64,
    pub(super) context: Context,
    spent: Spent,
    links: ChosenLinks,
}

/// What a task that outlives its call still has of it.
struct EndedCall {
    context: Context,
    links: ChosenLinks,
}

impl ActiveCalls {
    pub(super) fn single(context: Context) -> Self {
        Self::Single(SingleCall {
            context,
            id: None,
            spent: Spent::default(),
            links: Some(ChosenLinks::default()),
        })
    }

    /// One call of an instance that serves many, one after the other.
    pub(super) fn one_of_many(id: u64, context: Context) -> Self {
        Self::Single(SingleCall {
            context,
            id: Some(id),
            spent: Spent::default(),
            links: Some(ChosenLinks::default()),
        })
    }

    pub(super) fn concurrent() -> Self {
        Self::Concurrent(ConcurrentCalls::default())
    }

    /// Returns the context for a call that `tasks` make. The tasks are ordered from the newest to
    /// the oldest.
    pub(super) fn context_of(&self, tasks: &[GuestTaskId]) -> Context {
        match self {
            Self::Single(call) => call.context,
            Self::Concurrent(calls) => calls.context_of(tasks),
        }
    }

    /// Gives all calls their CPU time anew, and the tasks that outlive theirs.
    pub(super) fn renew(&mut self) {
        match self {
            Self::Single(call) => call.spent.ticks = 0,
            Self::Concurrent(calls) => {
                for call in calls.running.values_mut() {
                    call.spent.ticks = 0;
                }
                calls.leftover.clear();
            }
        }
    }

    /// Returns the id of the call that runs, if it is the only one.
    pub(super) fn only(&self) -> Option<u64> {
        match self {
            Self::Single(call) => call.id,
            Self::Concurrent(calls) => calls.only(),
        }
    }

    /// Records that a destructor begins to run, outside of any call, or has ended. Each has the
    /// budget of a call.
    pub(super) fn runs_destructor(&mut self, runs: bool) {
        match self {
            Self::Single(call) => {
                *call = SingleCall {
                    context: call.context.outlived(),
                    id: None,
                    spent: Spent::default(),
                    links: None,
                };
            }
            Self::Concurrent(calls) => calls.destructor = runs.then_some(0),
        }
    }

    /// Returns the links chosen for the call that `tasks` serve. `None` when it isn't known which
    /// one that is.
    pub(super) fn links_of(&self, tasks: &[GuestTaskId]) -> Option<&ChosenLinks> {
        match self {
            Self::Single(call) => call.links.as_ref(),
            Self::Concurrent(calls) => calls.links_of(tasks),
        }
    }

    /// Returns the links chosen for the call that `tasks` serve, to choose one.
    pub(super) fn links_of_mut(&mut self, tasks: &[GuestTaskId]) -> Option<&mut ChosenLinks> {
        match self {
            Self::Single(call) => call.links.as_mut(),
            Self::Concurrent(calls) => calls.links_of_mut(tasks),
        }
    }
}

impl SingleCall {
    /// Returns the ticks for which it was seen running.
    pub(super) fn spent(&mut self) -> &mut u32 {
        self.spent.ticks()
    }

    /// Lets the CPU time of the call be renewed.
    #[cfg(feature = "http")]
    pub(super) fn renewed_by(&mut self, renewal: Renewal) {
        self.spent.renewal = Some(renewal);
    }
}

impl ChosenLinks {
    /// Chooses the link for an interface. A later choice replaces an earlier one.
    pub(super) fn choose(&mut self, interface: &InterfaceName, name: LinkName) {
        let compat = interface.compat();
        self.0.retain(|(chosen, _)| *chosen != compat);
        self.0.push((compat, name));
    }

    /// Returns the link chosen for the interface of `function`.
    pub(super) fn link_for(&self, function: &FunctionRef) -> Option<&LinkName> {
        let mut chosen = self.0.iter();
        let found = chosen.find(|(interface, _)| interface == function.compat());
        found.map(|(_, name)| name)
    }
}

impl ConcurrentCalls {
    pub(super) fn begin(&mut self, task: GuestTaskId, id: u64, context: Context) {
        let call = ConcurrentCall {
            id,
            context,
            spent: Spent::default(),
            links: ChosenLinks::default(),
        };
        self.running.insert(task, call);
        self.leftover.remove(&Some(task));
        self.ended.remove(&task);
    }

    /// Lets the CPU time of the call that a task serves be renewed.
    #[cfg(all(feature = "http", feature = "p3"))]
    pub(super) fn renewed_by(&mut self, task: GuestTaskId, renewal: Renewal) {
        if let Some(call) = self.running.get_mut(&task) {
            call.spent.renewal = Some(renewal);
        }
    }

    /// Records that a call has ended, unless its task serves another one by now.
    #[cfg(all(feature = "http", feature = "p3"))]
    pub(super) fn finish_call(&mut self, task: GuestTaskId, id: u64) {
        if self.running.get(&task).is_some_and(|call| call.id == id) {
            self.finish(task);
        }
    }

    pub(super) fn finish(&mut self, task: GuestTaskId) {
        if let Some(call) = self.running.remove(&task) {
            let context = call.context.outlived();
            let links = call.links;
            self.ended.insert(task, EndedCall { context, links });
            self.last_ended = Some(context);
        }
    }

    /// Returns the context for a call that `tasks` make: that of the call that they serve, or
    /// served before it ended. A task that outlives its call must not begin a chain of its own,
    /// with hops and time of its own. The tasks are ordered from the newest to the oldest.
    fn context_of(&self, tasks: &[GuestTaskId]) -> Context {
        let running = self.served_by(tasks).map(|call| call.context);
        let ended = || tasks.iter().find_map(|task| self.ended.get(task));
        running
            .or_else(|| ended().map(|call| call.context))
            .or_else(|| self.context_of_any())
            .unwrap_or_default()
    }

    /// Returns the task of the only call that any code can belong to, if there is only one: one
    /// call runs, none has ended whose tasks may go on, and no destructor runs.
    pub(super) fn only_task(&self) -> Option<GuestTaskId> {
        let mut running = self.running.keys();
        let only = running.next()?;
        let is_only = running.next().is_none() && self.ended.is_empty();
        (is_only && self.destructor.is_none()).then_some(*only)
    }

    /// Returns the context of a call that no known task makes: the time of the call that has most,
    /// and the hops of the one that has most.
    fn context_of_any(&self) -> Option<Context> {
        let running = self.running.values().map(|call| call.context.outlived());
        running.chain(self.last_ended).reduce(|one, other| {
            let mut context = one;
            context.deadline = one.deadline.max(other.deadline);
            context.hops = one.hops.max(other.hops);
            if one.trace != other.trace {
                context.trace = None;
            }
            context
        })
    }

    /// Returns the call that `tasks` serve. The tasks are ordered from the newest to the oldest.
    pub(super) fn served_by(&self, tasks: &[GuestTaskId]) -> Option<&ConcurrentCall> {
        tasks.iter().find_map(|task| self.running.get(task))
    }

    /// Returns the links chosen for the call that `tasks` serve, or served before it ended: a task
    /// that outlives its call must not call others than those that were chosen for it.
    fn links_of(&self, tasks: &[GuestTaskId]) -> Option<&ChosenLinks> {
        let running = self.served_by(tasks).map(|call| &call.links);
        let ended = || self.ended.get(&self.outliving(tasks)?);
        running.or_else(|| ended().map(|call| &call.links))
    }

    fn links_of_mut(&mut self, tasks: &[GuestTaskId]) -> Option<&mut ChosenLinks> {
        if let Some(task) = tasks.iter().find(|task| self.running.contains_key(task)) {
            return self.running.get_mut(task).map(|call| &mut call.links);
        }
        let outliving = self.outliving(tasks)?;
        self.ended.get_mut(&outliving).map(|call| &mut call.links)
    }

    /// Returns the task that may outlive its call: the oldest one, which the host has started. The
    /// others, and that of a destructor, are of no call, and may have the id of an ended one.
    fn outliving(&self, tasks: &[GuestTaskId]) -> Option<GuestTaskId> {
        let is_of_a_call = self.destructor.is_none();
        tasks.last().copied().filter(|_| is_of_a_call)
    }

    /// Returns the id of the call that runs, if it is the only one.
    fn only(&self) -> Option<u64> {
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
            Some(call) => call.spent.ticks(),
            None => self.leftover.entry(tasks.last().copied()).or_default(),
        }
    }
}
