//! Connects requests with the task that drives an instance.

use super::super::flow::{Flow, Unread};
use crate::http::exchange;
use bytes::Bytes;
use http::{Request, response};
use http_body::Frame;
use lattice_core::{
    call::{CallError, Context, Turn},
    sync::Mutex,
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::sync::{Notify, SetOnce, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

/// An instance, for those who send it requests. Dropping the last handle ends it.
pub(super) struct SharedInstance {
    jobs: mpsc::UnboundedSender<Queued>,
    state: Arc<State>,
    _driver: AbortOnDropHandle<()>,
}

/// What requests and the driver share.
#[derive(Default)]
pub(super) struct State {
    /// Requests that hold a slot, until their bodies are over.
    load: AtomicUsize,
    /// Requests that have ever held one.
    started: AtomicU64,
    is_retired: AtomicBool,
    is_abandoned: AtomicBool,
    pub(super) retired: Notify,
    /// No request holds a slot any more.
    pub(super) unused: Notify,
    /// What moves in the bodies of requests that the guest has begun with.
    flows: Mutex<HashMap<u64, Arc<Flow>>>,
    end: SetOnce<End>,
}

/// How an instance ended.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// It could not be created.
    NotStarted(CallError),
    /// It was created, and ended with requests in it.
    Failed {
        /// Reported to all requests except the culprit.
        reason: Arc<str>,
        /// The request that caused it, when that is known, and its error.
        culprit: Option<(u64, CallError)>,
    },
}

/// A request for an instance.
pub(super) struct Job {
    pub(super) request: Request<exchange::Body>,
    pub(super) context: Context,
    pub(super) flow: Arc<Flow>,
}

/// A request on its way into an instance.
pub(super) struct Queued {
    pub(super) id: u64,
    pub(super) job: Job,
    pub(super) begun: Arc<AtomicBool>,
    pub(super) reply: oneshot::Sender<Answer>,
}

/// What an instance has made of a request.
pub(super) enum Answer {
    Done(Box<Result<Answered, CallError>>),
    /// The guest has not begun with it.
    NotTaken(Box<Job>),
    /// The instance has ended.
    Lost,
}

pub(super) type Answered = Result<(response::Parts, Collected), WasiError>;

/// A body, as far as it was there with the head.
pub(super) struct Collected {
    pub(super) frames: VecDeque<Frame<Bytes>>,
    pub(super) rest: Rest,
}

/// The rest of a body.
pub(super) enum Rest {
    None,
    Broken(WasiError),
    Flowing(WasiBody, Unread),
}

/// The place of a request in an instance.
pub(super) struct Slot {
    instance: Arc<SharedInstance>,
    id: u64,
    begun: Arc<AtomicBool>,
    is_answered: bool,
    /// Returned after the instance has one request less.
    _turn: Option<Turn>,
}

impl SharedInstance {
    pub(super) fn new(
        jobs: mpsc::UnboundedSender<Queued>,
        state: Arc<State>,
        driver: AbortOnDropHandle<()>,
    ) -> Arc<Self> {
        Arc::new(Self {
            jobs,
            state,
            _driver: driver,
        })
    }

    /// Returns whether it takes a request, of so many in all.
    pub(super) fn is_open(&self, in_all: u64) -> bool {
        !self.state.is_retired() && self.state.started() < in_all
    }

    pub(super) fn load(&self) -> usize {
        self.state.load()
    }
}

impl State {
    pub(super) fn load(&self) -> usize {
        self.load.load(Ordering::Acquire)
    }

    pub(super) fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// Makes the instance take no more requests.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
        self.retired.notify_waiters();
    }

    /// Retires the instance because a client gave its request up, whose task can't be cancelled.
    pub(super) fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::Release);
        self.retire();
    }

    /// Returns whether the instance ends with whatever the guest still does.
    pub(super) fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::Acquire)
    }

    pub(super) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }

    /// The guest begins with a request.
    pub(super) fn begins(&self, id: u64, flow: Arc<Flow>) {
        self.flows.lock().insert(id, flow);
    }

    /// A request is over, with its bodies.
    pub(super) fn is_over(&self, id: u64) {
        self.flows.lock().remove(&id);
    }

    /// Records how the instance ended, and breaks the bodies of its requests. Only the first time
    /// counts. Call it before the store is dropped.
    pub(super) fn ended(&self, end: End) {
        self.retire();
        if let End::Failed { reason, .. } = &end {
            let flows: Vec<Arc<Flow>> = self.flows.lock().values().cloned().collect();
            for flow in flows {
                flow.ended(Err(reason.clone()));
            }
        }
        // This fails only when an end is already recorded.
        let _ = self.end.set(end);
    }
}

impl Slot {
    /// Takes a slot. Call this with the list of instances locked, so that the load on which the
    /// choice was based is the current one.
    pub(super) fn new(instance: Arc<SharedInstance>, turn: Option<Turn>) -> Self {
        instance.state.load.fetch_add(1, Ordering::AcqRel);
        let id = instance.state.started.fetch_add(1, Ordering::Relaxed);
        Self {
            instance,
            id,
            begun: Arc::default(),
            is_answered: false,
            _turn: turn,
        }
    }

    /// Sends the request to the instance and waits for the head of the response.
    pub(super) async fn send(&mut self, job: Job) -> Answer {
        let (reply, answer) = oneshot::channel();
        let queued = Queued {
            id: self.id,
            job,
            begun: self.begun.clone(),
            reply,
        };
        // Bounded by the calls that the component may run at once.
        if let Err(mpsc::error::SendError(queued)) = self.instance.jobs.send(queued) {
            return Answer::NotTaken(Box::new(queued.job));
        }
        let answer = answer.await.unwrap_or(Answer::Lost);
        self.is_answered = true;
        answer
    }

    /// The head of the response is there.
    pub(super) fn is_answered(&mut self) {
        self.is_answered = true;
    }

    /// The client doesn't read the response to its end.
    pub(super) fn abandon(&self) {
        self.instance.state.abandon();
    }

    /// Waits for the end of the instance, and returns the error of the request.
    pub(super) async fn error(&self) -> CallError {
        match self.instance.state.end.wait().await {
            End::NotStarted(error) => error.clone(),
            End::Failed {
                culprit: Some((culprit, error)),
                ..
            } if *culprit == self.id => error.clone(),
            End::Failed { reason, .. } => CallError::InstanceLost {
                reason: reason.to_string(),
            },
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let state = &self.instance.state;
        // The receiver is gone by now, so a request that has not begun never will.
        if !self.is_answered && self.begun.load(Ordering::Acquire) {
            state.abandon();
        }
        if state.load.fetch_sub(1, Ordering::AcqRel) == 1 {
            state.unused.notify_one();
        }
    }
}
