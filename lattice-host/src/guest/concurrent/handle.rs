//! Between the callers and the task that drives an instance.

use super::super::{Call, Outcome};
use lattice_core::{call::CallError, name::ComponentId};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};
use tokio::sync::{Notify, SetOnce, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

/// An instance, as its callers know it. The last one of them ends it.
pub(super) struct Line {
    jobs: mpsc::Sender<Job>,
    state: Arc<State>,
    _driver: AbortOnDropHandle<()>,
}

/// What both sides see.
pub(super) struct State {
    /// Calls that have a place.
    load: AtomicUsize,
    next: AtomicU64,
    retired: AtomicBool,
    pub(super) retire: Notify,
    end: SetOnce<End>,
}

/// How an instance ended.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// It could not be made.
    NotStarted(CallError),
    /// It was made, and ended with calls in it.
    Failed {
        component: ComponentId,
        /// What all but the culprit are told.
        reason: String,
        /// The call whose doing it was, when that is known, and its answer.
        culprit: Option<(u64, CallError)>,
    },
}

/// A call on its way into an instance.
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) call: Call,
    pub(super) begun: Arc<AtomicBool>,
    pub(super) reply: oneshot::Sender<Reply>,
}

pub(super) enum Reply {
    Done(Outcome),
    /// The instance had been retired before the call began.
    NotTaken,
}

/// A caller's place in an instance. Dropping it while its call runs retires the instance.
pub(super) struct Place {
    line: Arc<Line>,
    id: u64,
    begun: Arc<AtomicBool>,
    answered: bool,
}

impl Line {
    pub(super) fn new(
        jobs: mpsc::Sender<Job>,
        state: Arc<State>,
        driver: AbortOnDropHandle<()>,
    ) -> Arc<Self> {
        Arc::new(Self {
            jobs,
            state,
            _driver: driver,
        })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.state.retired.load(Ordering::Acquire)
    }

    pub(super) fn load(&self) -> usize {
        self.state.load()
    }
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            load: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            retire: Notify::new(),
            end: SetOnce::new(),
        }
    }

    pub(super) fn load(&self) -> usize {
        self.load.load(Ordering::Acquire)
    }

    /// Calls that ever had a place.
    pub(super) fn started(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// No more calls.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.retire.notify_waiters();
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Says how it ended; only the first time counts.
    pub(super) fn ended(&self, end: End) {
        self.retire();
        // It has been said before.
        let _ = self.end.set(end);
    }
}

impl Place {
    /// Call it with the list of lines locked, so that the load that the choice was made by is the load that counts.
    pub(super) fn new(line: Arc<Line>) -> Self {
        line.state.load.fetch_add(1, Ordering::AcqRel);
        let id = line.state.next.fetch_add(1, Ordering::Relaxed);
        Self {
            line,
            id,
            begun: Arc::default(),
            answered: false,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Hands the call over and waits for its answer; `None` when the instance ended instead.
    pub(super) async fn ask(&mut self, call: Call) -> Option<Reply> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            id: self.id,
            call,
            begun: self.begun.clone(),
            reply,
        };
        if self.line.jobs.try_send(job).is_err() {
            return Some(Reply::NotTaken);
        }
        let answer = answer.await.ok();
        self.answered = true;
        answer
    }

    /// Whether the guest has, or may have, run any of it.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// How the instance ended, once it has.
    pub(super) async fn end(&self) -> End {
        self.line.state.end.wait().await.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The receiver is gone by now, so a job that has not begun never will.
        if !self.answered && self.has_begun() {
            self.line.state.retire();
        }
        self.line.state.load.fetch_sub(1, Ordering::AcqRel);
    }
}
