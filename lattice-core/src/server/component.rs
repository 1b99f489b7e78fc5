//! One component in service on this node: its calls, and the links that lead to it.
//!
//! States: *serving* → *finishing* (its host leaves: it takes only what running calls still need) →
//! *stopped* (takes no calls, finishes running ones) → cut off.

use super::{
    blocking::Blocking,
    life::Life,
    limits::ServeLimits,
    link_admission::{LinkAdmission, LinkState},
    meter::{Meter, Tally},
    queue::{Arguments, CallQueue, QueueSlot},
};
use crate::{
    auth::Auth,
    budget::Budget,
    call::{CallError, Context, FunctionRef, HandlePlaces},
    drained::CutOff,
    id::Fence,
    link::{Link, LinkKey},
    measure::{CallTimes, Methods},
    name::{ComponentId, FunctionName},
    quantity::ByteSize,
    serve::{ProcessUsage, Service},
    trace,
    types::{ComponentTypes, Digest},
    wire::FunctionKey,
};
use foldhash::fast::RandomState;
use futures_util::FutureExt as _;
use std::{
    collections::HashMap,
    ops::Deref,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// A component in service.
pub(crate) struct RunningComponent {
    pub(crate) id: ComponentId,
    /// The fence of its lease, if it needs one.
    pub(crate) fence: Option<Fence>,
    pub(crate) exports: Exports,
    pub(crate) life: Life,
    /// Opens the tokens of portable resources.
    pub(super) auth: Auth,
    queue: CallQueue,
    /// Largest result in bytes.
    pub(super) max_result: ByteSize,
    phase: AtomicU8,
    /// Ends what is done for it when the component is taken out of service, and the calls that have
    /// not begun. Those that have are [among the waiting ones](CallQueue::waiting).
    pub(super) end: CancellationToken,
    pub(super) links: LinkAdmission,
    pub(crate) meter: Meter,
    pub(super) blocking: Blocking,
}

/// The exports of a component.
pub(crate) struct Exports {
    pub(crate) types: Arc<ComponentTypes>,
    pub(crate) digest: Digest,
    functions: HashMap<FunctionKey, Exported, RandomState>,
    /// Those of them by which portable resources are made anew: one for each interface, if the
    /// component has any.
    pub(super) restoring: Vec<FunctionKey>,
}

/// An exported function.
struct Exported {
    /// The compatible name of its interface.
    interface: Arc<str>,
    /// What traces and metrics call it.
    method: Arc<str>,
    places: HandlePlaces,
}

/// Whether a component takes calls. It only ever moves down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Phase {
    Serving,
    /// Its host is leaving: it takes only what running calls still need.
    Finishing,
    Stopped,
}

impl Exports {
    fn new(service: &dyn Service) -> Self {
        let types = service.types();
        let mut functions: HashMap<FunctionKey, Exported, RandomState> = types
            .exports
            .iter()
            .flat_map(|(interface, functions)| {
                let compat: Arc<str> = interface.compat().into();
                let signatures =
                    move |name| functions.signatures(name).map(move |text| (name, text));
                let exported = move |(name, text): (&FunctionName, &str)| {
                    let exported = Exported {
                        interface: compat.clone(),
                        method: trace::method_of(interface, name).into(),
                        places: HandlePlaces::of(text),
                    };
                    (FunctionKey::new(interface, name, text), exported)
                };
                functions
                    .functions
                    .keys()
                    .flat_map(signatures)
                    .map(exported)
            })
            .collect();
        let mut restoring = Vec::new();
        if service.restores() {
            for interface in types.exports.keys() {
                let function = FunctionRef::restoring(interface.clone());
                let exported = Exported {
                    interface: function.compat().into(),
                    method: trace::method(&function).into(),
                    places: function.places(),
                };
                functions.insert(function.key(), exported);
                restoring.push(function.key());
            }
        }
        Self {
            digest: types.digest(),
            types,
            functions,
            restoring,
        }
    }

    /// The compatible name of the interface that exports `function`.
    pub(crate) fn interface_of(&self, function: FunctionKey) -> Option<&str> {
        let exported = self.functions.get(&function);
        exported.map(|exported| &*exported.interface)
    }

    /// What traces and metrics call `function`: its interface, without a version, and its name.
    pub(crate) fn method_of(&self, function: FunctionKey) -> Option<&Arc<str>> {
        let exported = self.functions.get(&function);
        exported.map(|exported| &exported.method)
    }

    /// The names of all functions, as traces and metrics have them.
    fn methods(&self) -> impl Iterator<Item = (FunctionKey, Arc<str>)> {
        let functions = self.functions.iter();
        functions.map(|(function, exported)| (*function, exported.method.clone()))
    }

    /// Where the type of `function` has places for handles. `None` if it isn't exported.
    pub(super) fn places_of(&self, function: FunctionKey) -> Option<HandlePlaces> {
        let exported = self.functions.get(&function);
        exported.map(|exported| exported.places)
    }
}

impl RunningComponent {
    pub(super) fn new(
        id: ComponentId,
        service: Arc<dyn Service>,
        limits: ServeLimits,
        fence: Option<Fence>,
        (budget, auth): (&Budget, &Auth),
    ) -> Self {
        Self {
            id,
            fence,
            exports: Exports::new(&*service),
            life: Life::new(service),
            auth: auth.clone(),
            queue: CallQueue::new(&limits, budget),
            max_result: limits.result,
            phase: AtomicU8::new(Phase::Serving as u8),
            end: CancellationToken::new(),
            links: LinkAdmission::default(),
            meter: Meter::new(),
            blocking: Blocking::default(),
        }
    }

    /// Records its calls by method, while that is on.
    pub(super) fn timed_in(mut self, times: &Arc<CallTimes>) -> Self {
        self.meter
            .record_in(Methods::of(self.exports.methods(), times));
        self
    }

    pub(super) fn service(&self) -> &dyn Service {
        self.life.service()
    }

    /// What is known of the process that serves in its place, if one does.
    pub(crate) fn process(&self) -> Option<ProcessUsage> {
        self.service().process()
    }

    pub(super) fn queue(&self) -> &CallQueue {
        &self.queue
    }

    /// Whether a call with this fence is meant for this very component. A caller may not know the
    /// fence.
    pub(super) fn is_meant_by(&self, fence: Option<Fence>) -> bool {
        match (self.fence, fence) {
            (Some(own), Some(meant)) => own == meant,
            _ => true,
        }
    }

    /// Returns a place in the queue of `component` for a call with `arguments`, or why there is
    /// none.
    pub(crate) fn admit<C: Deref<Target = Self>>(
        component: C,
        context: &Context,
        arguments: Arguments,
    ) -> Result<QueueSlot<C>, CallError> {
        // Counted before the phase is read: a drain sees either the count or the refusal.
        let (slot, room) = CallQueue::enter(component, arguments);
        let component = slot.component();
        if let Some(error) = room.error(&component.id) {
            component.meter.refused();
            return Err(error);
        }
        if component.takes(context) {
            Ok(slot)
        } else {
            component.meter.refused();
            Err(component.stopping())
        }
    }

    /// Whether a call is admitted now, if there is room.
    pub(crate) fn takes(&self, context: &Context) -> bool {
        match self.phase() {
            Phase::Serving => true,
            Phase::Finishing => context.hops > 0,
            Phase::Stopped => false,
        }
    }

    /// Waits for what an admitted call needs before it can begin, unless the component is cut off.
    pub(super) async fn unless_cut_off<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, CallError> {
        let done = self.end.run_until_cancelled(work).await;
        done.ok_or_else(|| self.stopping())
    }

    /// Calls admitted and not yet ended.
    pub(crate) fn in_flight(&self) -> usize {
        self.queue.len()
    }

    /// Calls that run now, and calls that wait for their turn.
    pub(crate) fn running_and_waiting(&self) -> (usize, usize) {
        self.queue.running_and_waiting()
    }

    /// Bytes of the arguments of the calls that run or wait.
    pub(crate) fn argument_bytes(&self) -> usize {
        self.queue.argument_bytes()
    }

    /// Passes a link to the service, and returns whether it accepts it.
    pub(crate) fn link(
        self: &Arc<Self>,
        link: Arc<Link>,
        within: Duration,
    ) -> impl Future<Output = LinkState> + Send + use<> {
        let decision = self.links.offer(self.service(), link, within);
        let component = self.clone();
        async move { component.links.settle(decision.await) }
    }

    /// Every link that was passed to the service.
    pub(crate) fn links(&self) -> Vec<(LinkKey, Arc<Link>)> {
        self.links.all()
    }

    /// Every link that was passed to the service, and the calls that came over it.
    pub(crate) fn calls_by_link(&self) -> Vec<(Arc<Link>, Arc<Tally>)> {
        self.links.calls()
    }

    /// Informs the service that a link is gone.
    pub(crate) fn unlink(&self, key: &LinkKey) {
        if !self.links.remove(key) {
            return;
        }
        let notified = std::panic::catch_unwind(AssertUnwindSafe(|| self.service().unlinked(key)));
        if notified.is_err() {
            tracing::error!(component = %self.id, link = %key, "the provider panicked while a link was removed");
        }
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Serving,
            1 => Phase::Finishing,
            _ => Phase::Stopped,
        }
    }

    /// Returns the error that it takes no more calls.
    pub(super) fn stopping(&self) -> CallError {
        CallError::Stopping {
            component: self.id.clone(),
        }
    }

    /// Whether it takes calls from others.
    pub(crate) fn is_serving(&self) -> bool {
        self.phase() == Phase::Serving
    }

    /// From now on, takes only what running calls still need.
    pub(crate) fn finish_up(&self) {
        self.phase
            .fetch_max(Phase::Finishing as u8, Ordering::SeqCst);
    }

    /// From now on, takes no new calls.
    pub(crate) fn stop(&self) {
        self.phase.fetch_max(Phase::Stopped as u8, Ordering::SeqCst);
    }

    /// Ends the calls that still run.
    pub(crate) fn cut_off(&self) {
        self.stop();
        self.end.cancel();
        self.queue.waiting().cut_off();
    }

    /// Whether what still ran was ended. Its service stops then, or has stopped.
    pub(super) fn is_cut_off(&self) -> bool {
        self.end.is_cancelled()
    }

    /// Waits until no call runs or waits here.
    pub(crate) async fn idle(&self) {
        self.queue.idle().await;
    }

    /// Returns what would be cut off now. All streams of earlier calls count as one.
    pub(super) fn unfinished(&self) -> CutOff {
        let has_streams = self.streams_ended().now_or_never().is_none();
        CutOff {
            calls: self.in_flight(),
            streams: usize::from(has_streams),
            requests: 0,
        }
    }

    /// Waits until the streams of earlier calls have ended that break with the component.
    pub(crate) async fn streams_ended(&self) {
        self.service().streams_ended(&self.id).await;
    }
}
