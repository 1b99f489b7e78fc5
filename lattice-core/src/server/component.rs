//! One component in service on this node: its calls, and the links that lead to it.
//!
//! States: *serving* → *finishing* (its host leaves: it takes only what running calls still need) →
//! *stopped* (takes no calls, finishes running ones) → cut off.

use super::{
    blocking::Blocking,
    limits::ServeLimits,
    link_admission::{LinkAdmission, LinkState},
    meter::{CallTimer, Meter},
    queue::{Arguments, CallQueue, QueueSlot},
};
use crate::{
    budget::Budget,
    call::{CallError, Context, Ran, Turn},
    id::Fence,
    link::{Link, LinkKey},
    name::{ComponentId, FunctionName},
    panic::panic_text,
    quantity::ByteSize,
    serve::{Answer, Request, Service},
    stream::Body,
    types::{ComponentTypes, Digest},
    wire::FunctionKey,
};
use bytes::Bytes;
use foldhash::fast::RandomState;
use futures_util::{FutureExt, future::BoxFuture};
use std::{
    any::Any,
    collections::HashMap,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// A component in service.
pub(crate) struct RunningComponent {
    pub(crate) id: ComponentId,
    /// The fence of its lease, if it needs one.
    pub(crate) fence: Option<Fence>,
    pub(crate) exports: Exports,
    service: Arc<dyn Service>,
    queue: CallQueue,
    /// Largest result in bytes.
    pub(super) max_result: ByteSize,
    phase: AtomicU8,
    /// Ends the calls that still run when the component is taken out of service.
    end: CancellationToken,
    links: LinkAdmission,
    pub(crate) meter: Meter,
    pub(super) blocking: Blocking,
}

/// The exports of a component.
pub(crate) struct Exports {
    pub(crate) types: Arc<ComponentTypes>,
    pub(crate) digest: Digest,
    /// Every exported function, with its interface's compatible name.
    functions: HashMap<FunctionKey, Arc<str>, RandomState>,
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

/// How a call ended.
pub(crate) type Outcome = Result<Body, CallError>;

/// How far a call got without waiting.
pub(crate) enum Progress {
    /// To its end.
    Done(Outcome),
    /// The service takes time.
    Running(RunningCall),
    /// The call has to wait for its link or its turn first.
    Waiting(Request, CallTimer),
}

/// A call that the service works on.
pub(crate) struct RunningCall {
    work: Work,
    link: Option<Arc<Link>>,
    context: Context,
    timer: CallTimer,
    _turn: Turn,
}

/// The work of a service on one call.
enum Work {
    Plain(BoxFuture<'static, Result<Bytes, CallError>>),
    Passing(BoxFuture<'static, Outcome>),
}

impl Future for Work {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Outcome> {
        match self.get_mut() {
            Self::Plain(work) => work.poll_unpin(cx).map_ok(Body::from),
            Self::Passing(work) => work.poll_unpin(cx),
        }
    }
}

impl Exports {
    fn new(types: Arc<ComponentTypes>) -> Self {
        let functions = types
            .exports
            .iter()
            .flat_map(|(interface, functions)| {
                let compat: Arc<str> = interface.compat().into();
                let key = move |(name, text): (&FunctionName, &String)| {
                    (FunctionKey::new(interface, name, text), compat.clone())
                };
                functions.functions.iter().map(key)
            })
            .collect();
        Self {
            digest: types.digest(),
            types,
            functions,
        }
    }

    /// The compatible name of the interface that exports `function`.
    pub(crate) fn interface_of(&self, function: FunctionKey) -> Option<&str> {
        self.functions.get(&function).map(|compat| &**compat)
    }
}

impl RunningComponent {
    pub(super) fn new(
        id: ComponentId,
        service: Arc<dyn Service>,
        limits: ServeLimits,
        fence: Option<Fence>,
        budget: &Budget,
    ) -> Self {
        Self {
            id,
            fence,
            exports: Exports::new(service.types()),
            service,
            queue: CallQueue::new(&limits, budget),
            max_result: limits.result,
            phase: AtomicU8::new(Phase::Serving as u8),
            end: CancellationToken::new(),
            links: LinkAdmission::default(),
            meter: Meter::new(),
            blocking: Blocking::default(),
        }
    }

    pub(super) fn service(&self) -> &dyn Service {
        &*self.service
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

    /// Returns a place in the queue for a call with `arguments`, or why there is none.
    pub(crate) fn admit(
        self: &Arc<Self>,
        context: &Context,
        arguments: Arguments,
    ) -> Result<QueueSlot, CallError> {
        // Counted before the phase is read: a drain sees either the count or the refusal.
        let (slot, room) = CallQueue::enter(self, arguments);
        if let Some(error) = room.error(&self.id) {
            self.meter.refused();
            return Err(error);
        }
        if self.takes(context) {
            Ok(slot)
        } else {
            self.meter.refused();
            Err(self.stopping())
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

    /// Runs an admitted call: waits for its link and its turn, then for the service, all by the
    /// deadline.
    pub(crate) async fn run(&self, request: Request, now: Instant) -> Outcome {
        self.finish(self.begin(request, now)).await
    }

    /// Brings a call that has begun to its end.
    pub(crate) async fn finish(&self, progress: Progress) -> Outcome {
        match progress {
            Progress::Done(result) => result,
            Progress::Running(call) => self.wait_for(call).await,
            Progress::Waiting(request, timer) => Box::pin(self.wait_and_run(request, timer)).await,
        }
    }

    /// Runs an admitted call as far as it goes without waiting.
    pub(crate) fn begin(&self, mut request: Request, now: Instant) -> Progress {
        let timer = self.meter.call(now);
        if now >= request.context.deadline {
            let late = Err(CallError::DeadlineExceeded { ran: Ran::No });
            return Progress::Done(self.meter.end(timer, late));
        }
        if let Some(link) = &request.link
            && !self.links.is_open(link)
        {
            return Progress::Waiting(request, timer.waits());
        }
        match self.queue.try_turn(&mut request.context) {
            Some(turn) => {
                let progress = self.start(request, timer, turn);
                if timer.is_timed() {
                    self.blocking.noticed(&self.id, now.elapsed());
                }
                progress
            }
            None => Progress::Waiting(request, timer.waits()),
        }
    }

    async fn wait_and_run(&self, mut request: Request, timer: CallTimer) -> Outcome {
        let deadline = request.context.deadline;
        let waits = async {
            // Before its turn, so that a link which its provider is slow to accept doesn't delay
            // other calls.
            if let Some(link) = &request.link {
                self.links.pass(link, deadline).await?;
            }
            let turn = self.queue.turn(&self.id, &mut request.context);
            match timeout_at(deadline, turn).await {
                Ok(turn) => turn,
                Err(_) => Err(CallError::DeadlineExceeded { ran: Ran::No }),
            }
        };
        let turn = match self.end.run_until_cancelled(waits).await {
            Some(turn) => turn,
            None => Err(self.stopping()),
        };
        match turn {
            Ok(turn) => self.finish(self.start(request, timer, turn)).await,
            Err(error) => self.meter.end(timer, Err(error)),
        }
    }

    fn start(&self, request: Request, timer: CallTimer, turn: Turn) -> Progress {
        let (link, context) = (request.link.clone(), request.context);
        let call = || context.enter(|| self.service.call(request));
        let called = std::panic::catch_unwind(AssertUnwindSafe(call));
        let work = match called.map_err(panicked) {
            Ok(Answer::Ready(result)) => {
                let result = self.checked(result.map(Body::from), link.as_deref());
                return Progress::Done(self.meter.end(timer, result));
            }
            Ok(Answer::Later(work)) => Work::Plain(work),
            Ok(Answer::Passing(work)) => Work::Passing(work),
            Err(error) => return Progress::Done(self.meter.end(timer, Err(error))),
        };
        Progress::Running(RunningCall {
            work,
            link,
            context,
            timer: timer.waits(),
            _turn: turn,
        })
    }

    async fn wait_for(&self, call: RunningCall) -> Outcome {
        let timer = call.timer;
        let result = self.result_of(call).await;
        self.meter.end(timer, result)
    }

    async fn result_of(&self, call: RunningCall) -> Outcome {
        let RunningCall {
            work,
            link,
            context,
            _turn,
            ..
        } = call;
        let work = self.blocking.watch(&self.id, context.scope(work));
        let work = AssertUnwindSafe(work);
        let run = timeout_at(context.deadline, work.catch_unwind());
        let result = match self.end.run_until_cancelled(run).await {
            Some(Ok(Ok(result))) => result,
            Some(Ok(Err(panic))) => return Err(panicked(panic)),
            Some(Err(_)) => return Err(CallError::DeadlineExceeded { ran: Ran::Maybe }),
            None => {
                return Err(CallError::InstanceLost {
                    reason: "it was taken out of service".to_owned(),
                });
            }
        };
        self.checked(result, link.as_deref())
    }

    /// Passes a link to the service, and returns whether it accepts it.
    pub(crate) fn link(
        self: &Arc<Self>,
        link: Arc<Link>,
        within: Duration,
    ) -> impl Future<Output = LinkState> + Send + use<> {
        let decision = self.links.offer(&*self.service, link, within);
        let component = self.clone();
        async move { component.links.settle(decision.await) }
    }

    /// Every link that was passed to the service.
    pub(crate) fn links(&self) -> Vec<(LinkKey, Arc<Link>)> {
        self.links.all()
    }

    /// Informs the service that a link is gone.
    pub(crate) fn unlink(&self, key: &LinkKey) {
        if !self.links.remove(key) {
            return;
        }
        let notified = std::panic::catch_unwind(AssertUnwindSafe(|| self.service.unlinked(key)));
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
    }

    /// Waits until no call runs or waits here.
    pub(crate) async fn idle(&self) {
        self.queue.idle().await;
    }
}

/// The error of a call whose callee panicked. Shortened, because a chain of calls in which each
/// callee panics with the error of the next would make a reason that doubles with each hop.
fn panicked(panic: Box<dyn Any + Send>) -> CallError {
    let reason = format!("it panicked: {}", panic_text(&*panic));
    CallError::CalleeFailed { reason }.shortened()
}
