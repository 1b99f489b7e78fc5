//! One component in service on this node: its bounded queue, its links, its calls.
//!
//! States: *serving* → *finishing* (its host leaves: it takes what calls under way still need) → *stopped* (takes nothing,
//! finishes what it has) → cut off.

use super::pending::Outcome;
use crate::{
    call::{CallError, Context, Part, Ran},
    link::{Link, LinkKey},
    name::{ComponentId, FunctionName},
    serve::{Answer, Request, Service},
    types::{ComponentTypes, Digest},
    wire::FunctionKey,
};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use std::{
    any::Any,
    collections::HashMap,
    num::NonZeroUsize,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// How much of one component runs and waits on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServeLimits {
    /// Calls that run at once; 256 by default.
    pub concurrent: NonZeroUsize,
    /// Calls that may wait for one of those to end; 1,024 by default. One more is answered `Overloaded`.
    pub queued: usize,
    /// Largest result in bytes; 16 MiB by default.
    pub result: usize,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            concurrent: NonZeroUsize::MIN.saturating_add(255),
            queued: 1_024,
            result: 16 * 1024 * 1024,
        }
    }
}

impl ServeLimits {
    /// Calls that run at once.
    pub fn concurrent(mut self, calls: NonZeroUsize) -> Self {
        self.concurrent = calls;
        self
    }

    /// Calls that may wait.
    pub fn queued(mut self, calls: usize) -> Self {
        self.queued = calls;
        self
    }

    /// Largest result in bytes.
    pub fn result(mut self, bytes: usize) -> Self {
        self.result = bytes;
        self
    }
}

pub(crate) struct Served {
    pub(crate) id: ComponentId,
    pub(crate) digest: Digest,
    pub(crate) types: Arc<ComponentTypes>,
    service: Arc<dyn Service>,
    /// Every exported function, with its interface's compatible name.
    functions: HashMap<FunctionKey, Arc<str>>,
    limits: ServeLimits,
    running: Semaphore,
    /// Calls admitted and not yet ended: running and queued.
    admitted: AtomicUsize,
    idle: watch::Sender<()>,
    state: watch::Sender<State>,
    /// Ends the calls that still run when the component is taken out of service.
    end: CancellationToken,
    gates: watch::Sender<Gates>,
}

/// The links that the service was told of, by the address of the link: asked on every call, it builds no key.
type Gates = HashMap<usize, (LinkKey, Arc<Link>, watch::Receiver<Gate>)>;

fn address(link: &Arc<Link>) -> usize {
    Arc::as_ptr(link).addr()
}

/// Whether a component takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Serving,
    /// Its host is leaving: only what calls that are under way still need.
    Finishing,
    Stopped,
}

/// How long a call waits for the service to be told of a link that the table already has.
const TELLING: Duration = Duration::from_secs(1);

/// Whether the target has accepted a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gate {
    /// It has not answered yet.
    Asking,
    Open,
    Rejected(String),
}

/// A call's place in the queue; dropping it frees the place.
pub(crate) struct Place(Arc<Served>);

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.admitted.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.send_replace(());
        }
    }
}

impl Served {
    pub(crate) fn new(id: ComponentId, service: Arc<dyn Service>, limits: ServeLimits) -> Self {
        let types = service.types();
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
            id,
            digest: types.digest(),
            types,
            service,
            functions,
            limits,
            running: Semaphore::new(limits.concurrent.get().min(Semaphore::MAX_PERMITS)),
            admitted: AtomicUsize::new(0),
            idle: watch::Sender::new(()),
            state: watch::Sender::new(State::Serving),
            end: CancellationToken::new(),
            gates: watch::Sender::new(HashMap::new()),
        }
    }

    /// A place in the queue, or why there is none.
    pub(crate) fn admit(self: &Arc<Self>, context: &Context) -> Result<Place, CallError> {
        let most = self
            .limits
            .concurrent
            .get()
            .saturating_add(self.limits.queued);
        let admitted = self
            .admitted
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| {
                (now < most).then_some(now + 1)
            });
        if admitted.is_err() {
            return Err(CallError::Overloaded {
                component: self.id.clone(),
            });
        }
        // Counted first, asked then: whoever drains sees either the count or the refusal.
        let place = Place(self.clone());
        let open = match *self.state.borrow() {
            State::Serving => true,
            State::Finishing => context.hops > 0,
            State::Stopped => false,
        };
        if open {
            Ok(place)
        } else {
            Err(CallError::Stopping {
                component: self.id.clone(),
            })
        }
    }

    /// The compatible name of the interface that exports `function`.
    pub(crate) fn interface_of(&self, function: FunctionKey) -> Option<&str> {
        self.functions.get(&function).map(|compat| &**compat)
    }

    /// Calls admitted and not yet ended.
    pub(crate) fn in_flight(&self) -> usize {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Runs a call that has a place: waits for its link and its turn, then for the service, all by the deadline.
    pub(crate) async fn run(&self, _place: &Place, request: Request) -> Outcome {
        let deadline = request.context.deadline;
        let late = CallError::DeadlineExceeded { ran: Ran::No };
        if Instant::now() >= deadline {
            return Err(late);
        }
        // Before its turn: a link that its provider is slow to accept holds up nobody else.
        if let Some(link) = &request.link {
            self.pass_gate(link, deadline).await?;
        }
        let _turn = match self.running.try_acquire() {
            Ok(turn) => turn,
            Err(_) => match timeout_at(deadline, self.running.acquire()).await {
                Ok(Ok(turn)) => turn,
                Ok(Err(_)) => {
                    return Err(CallError::Stopping {
                        component: self.id.clone(),
                    });
                }
                Err(_) => return Err(late),
            },
        };
        let link = request.link.clone();
        let answer = std::panic::catch_unwind(AssertUnwindSafe(|| self.service.call(request)))
            .map_err(panicked)?;
        let result = match answer {
            Answer::Ready(result) => result,
            Answer::Later(future) => self.finish(future, deadline).await,
        };
        self.check_size(result.map_err(|error| self.as_own(error, link.as_deref()))?)
    }

    async fn finish(&self, future: BoxFuture<'static, Outcome>, deadline: Instant) -> Outcome {
        let run = timeout_at(deadline, AssertUnwindSafe(future).catch_unwind());
        match self.end.run_until_cancelled(run).await {
            Some(Ok(Ok(result))) => result,
            Some(Ok(Err(panic))) => Err(panicked(panic)),
            Some(Err(_)) => Err(CallError::DeadlineExceeded { ran: Ran::Maybe }),
            None => Err(CallError::InstanceLost {
                reason: "it was taken out of service".to_owned(),
            }),
        }
    }

    /// What the service says of a call that it was given. An error of a call that it made itself is its own failure: it
    /// has run, whatever that call did.
    fn as_own(&self, error: CallError, link: Option<&Link>) -> CallError {
        match error {
            CallError::BadArguments { .. }
            | CallError::NotExported { .. }
            | CallError::OperatorDenied => error,
            CallError::Overloaded { ref component } | CallError::Stopping { ref component }
                if *component == self.id =>
            {
                error
            }
            CallError::LinkRejected { ref source_id, .. }
                if link.is_some_and(|link| link.source == *source_id) =>
            {
                error
            }
            CallError::DeadlineExceeded { .. } => CallError::DeadlineExceeded { ran: Ran::Maybe },
            CallError::TooLarge {
                what: Part::Arguments,
                ..
            } => CallError::CalleeFailed {
                reason: error.to_string(),
            },
            error if error.ran() == Ran::No => CallError::CalleeFailed {
                reason: error.to_string(),
            },
            error => error,
        }
    }

    fn check_size(&self, result: Bytes) -> Outcome {
        if result.len() > self.limits.result {
            return Err(CallError::TooLarge {
                what: Part::Result,
                limit: self.limits.result as u64,
            });
        }
        Ok(result)
    }

    async fn pass_gate(&self, link: &Arc<Link>, deadline: Instant) -> Result<(), CallError> {
        let told = |gates: &Gates| gates.get(&address(link)).map(|(_, _, gate)| gate.clone());
        let found = told(&self.gates.borrow());
        let mut gate = match found {
            Some(gate) if *gate.borrow() == Gate::Open => return Ok(()),
            Some(gate) => gate,
            None => {
                let mut gates = self.gates.subscribe();
                let wait = gates.wait_for(|gates| told(gates).is_some());
                match timeout_at(deadline.min(Instant::now() + TELLING), wait).await {
                    Ok(Ok(gates)) => told(&gates).ok_or(CallError::LinkTableBehind)?,
                    _ => return Err(CallError::LinkTableBehind),
                }
            }
        };
        let state = match timeout_at(deadline, gate.wait_for(|state| *state != Gate::Asking)).await
        {
            Ok(Ok(state)) => state.clone(),
            Ok(Err(_)) => return Err(CallError::LinkTableBehind),
            Err(_) => return Err(CallError::DeadlineExceeded { ran: Ran::No }),
        };
        match state {
            Gate::Rejected(reason) => Err(CallError::LinkRejected {
                source_id: link.source.clone(),
                link: link.name.clone(),
                reason,
            }),
            _ => Ok(()),
        }
    }

    /// Tells the service of a link; the answer is for the link's status. Calls over the link wait for it from here on,
    /// not only from the first poll on.
    pub(crate) fn link(
        self: &Arc<Self>,
        link: Arc<Link>,
        within: Duration,
    ) -> impl Future<Output = Gate> + Send + use<> {
        let (state, gate) = watch::channel(Gate::Asking);
        self.gates.send_modify(|gates| {
            let key = link.key();
            gates.retain(|_, (known, _, _)| *known != key);
            gates.insert(address(&link), (key, link.clone(), gate));
        });
        // Asked at once: what the service hears of a link comes in the order of its changes.
        let asked = std::panic::catch_unwind(AssertUnwindSafe(|| self.service.linked(link)));
        async move {
            let ask = AssertUnwindSafe(async {
                match asked {
                    Ok(answer) => answer.await,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            })
            .catch_unwind();
            let answer = match tokio::time::timeout(within, ask).await {
                Ok(Ok(Ok(()))) => Gate::Open,
                Ok(Ok(Err(reason))) => Gate::Rejected(reason),
                Ok(Err(panic)) => {
                    Gate::Rejected(format!("the provider panicked: {}", panic_text(&*panic)))
                }
                Err(_) => {
                    Gate::Rejected(format!("the provider did not accept it within {within:?}"))
                }
            };
            state.send_replace(answer.clone());
            answer
        }
    }

    /// Every link that the service was told of.
    pub(crate) fn told(&self) -> Vec<(LinkKey, Arc<Link>)> {
        self.gates
            .borrow()
            .values()
            .map(|(key, link, _)| (key.clone(), link.clone()))
            .collect()
    }

    /// Tells the service that a link is gone.
    pub(crate) fn unlink(&self, key: &LinkKey) {
        let removed = self.gates.send_if_modified(|gates| {
            let before = gates.len();
            gates.retain(|_, (known, _, _)| known != key);
            gates.len() < before
        });
        if removed {
            let told = std::panic::catch_unwind(AssertUnwindSafe(|| self.service.unlinked(key)));
            if told.is_err() {
                tracing::error!(component = %self.id, link = %key, "the provider panicked while a link was taken away");
            }
        }
    }

    /// Whether it takes calls from others.
    pub(crate) fn is_serving(&self) -> bool {
        *self.state.borrow() == State::Serving
    }

    /// Takes only what calls under way still need.
    pub(crate) fn finish_up(&self) {
        self.state.send_if_modified(|state| {
            std::mem::replace(state, (*state).max(State::Finishing)) != *state
        });
    }

    /// Takes no new calls.
    pub(crate) fn stop(&self) {
        self.state.send_replace(State::Stopped);
    }

    /// Ends the calls that still run.
    pub(crate) fn cut_off(&self) {
        self.stop();
        self.end.cancel();
    }

    /// Waits until no call runs or waits here.
    pub(crate) async fn idle(&self) {
        let mut idle = self.idle.subscribe();
        while self.admitted.load(Ordering::SeqCst) > 0 {
            if idle.changed().await.is_err() {
                return;
            }
        }
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> CallError {
    CallError::CalleeFailed {
        reason: format!("it panicked: {}", panic_text(&*panic)),
    }
}

/// The message of a panic, when it has one.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
