//! Connects callers with the task that drives an instance.

use super::super::{Call, CallResult, HostedActor};
use lattice_core::{call::CallError, name::ComponentId};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};
use tokio::sync::{Notify, SetOnce, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

/// A caller's handle to an instance. Dropping the last one ends the instance.
pub(super) struct InstanceHandle {
    actor: Arc<HostedActor>,
    queue: mpsc::Sender<QueuedCall>,
    state: Arc<InstanceState>,
    _driver: AbortOnDropHandle<()>,
}

/// The state that callers and the driver share.
pub(super) struct InstanceState {
    /// Calls that hold a slot.
    load: AtomicUsize,
    next: AtomicU64,
    retired: AtomicBool,
    pub(super) retire: Notify,
    /// No call holds a slot any more, while others wait for the instance's room.
    pub(super) unused: Notify,
    end: SetOnce<InstanceEnd>,
}

/// How an instance ended.
#[derive(Debug, Clone)]
pub(super) enum InstanceEnd {
    /// It could not be created.
    NotStarted(CallError),
    /// It was created, and ended with calls in it.
    Failed {
        component: ComponentId,
        /// Reported to all calls except the culprit.
        reason: String,
        /// Whether the guest ended it, and not its host.
        is_crash: bool,
        /// The call that caused it, when that is known, and its error.
        culprit: Option<(u64, CallError)>,
    },
}

/// A call on its way into an instance.
pub(super) struct QueuedCall {
    pub(super) id: u64,
    pub(super) call: Call,
    pub(super) begun: Arc<AtomicBool>,
    pub(super) reply: oneshot::Sender<CallReply>,
}

pub(super) enum CallReply {
    Done(CallResult),
    /// The instance had been retired before the call began.
    NotTaken,
}

/// A caller's slot in an instance. Dropping the slot while its call runs retires the instance.
pub(super) struct CallSlot {
    handle: Arc<InstanceHandle>,
    id: u64,
    begun: Arc<AtomicBool>,
    replied: bool,
}

impl InstanceHandle {
    pub(super) fn new(
        actor: Arc<HostedActor>,
        queue: mpsc::Sender<QueuedCall>,
        state: Arc<InstanceState>,
        driver: AbortOnDropHandle<()>,
    ) -> Arc<Self> {
        Arc::new(Self {
            actor,
            queue,
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

    /// Returns whether it takes calls, and has none.
    pub(super) fn is_idle(&self) -> bool {
        self.is_open() && self.load() == 0
    }
}

impl InstanceState {
    pub(super) fn new() -> Self {
        Self {
            load: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            retire: Notify::new(),
            unused: Notify::new(),
            end: SetOnce::new(),
        }
    }

    pub(super) fn load(&self) -> usize {
        self.load.load(Ordering::Acquire)
    }

    /// Returns the number of calls that have ever held a slot.
    pub(super) fn started(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Makes the instance take no more calls.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.retire.notify_waiters();
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Records how the instance ended. Only the first time counts.
    pub(super) fn ended(&self, end: InstanceEnd) {
        self.retire();
        // This fails only when an end is already recorded.
        let _ = self.end.set(end);
    }
}

impl CallSlot {
    /// Takes a slot. Call this with the list of handles locked, so that the load on which the
    /// choice was based is the current one.
    pub(super) fn new(handle: Arc<InstanceHandle>) -> Self {
        handle.state.load.fetch_add(1, Ordering::AcqRel);
        let id = handle.state.next.fetch_add(1, Ordering::Relaxed);
        Self {
            handle,
            id,
            begun: Arc::default(),
            replied: false,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Sends the call to the instance and waits for its reply. `None` when the instance ended
    /// instead.
    pub(super) async fn send(&mut self, call: Call) -> Option<CallReply> {
        let (sender, reply) = oneshot::channel();
        let queued = QueuedCall {
            id: self.id,
            call,
            begun: self.begun.clone(),
            reply: sender,
        };
        if self.handle.queue.try_send(queued).is_err() {
            return Some(CallReply::NotTaken);
        }
        let reply = reply.await.ok();
        self.replied = true;
        reply
    }

    /// Returns whether the guest has run any of the call, or may have.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Waits for the end of the instance and returns how it ended.
    pub(super) async fn end(&self) -> InstanceEnd {
        self.handle.state.end.wait().await.clone()
    }
}

impl Drop for CallSlot {
    fn drop(&mut self) {
        // The receiver is gone by now, so a call that has not begun never will.
        if !self.replied && self.has_begun() {
            self.handle.state.retire();
        }
        let InstanceHandle { actor, state, .. } = &*self.handle;
        if state.load.fetch_sub(1, Ordering::AcqRel) == 1 && actor.tenant.is_pressed() {
            state.unused.notify_waiters();
        }
    }
}
