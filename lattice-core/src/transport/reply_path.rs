//! Sending replies: a send queue per lane for each caller.

use super::{
    Transport,
    endpoint::Endpoint,
    id::ReplyAddress,
    in_flight::CallResult,
    lane::{ByLane, lane_of},
    send_queue::{Address, Destination, FlushGuard, NotQueued, SendQueue, Then},
    session::{Broken, Seen},
};
use crate::{
    budget::{Held, Share},
    call::{CallError, Part},
    entropy::HashState,
    sync::Mutex,
    wire::{Kind, Lane, Opening, Origin, ReplyEnvelope},
};
use bytes::{Bytes, BytesMut};
use std::{
    collections::HashMap,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::task::AbortHandle;

/// An upper bound for the bytes of a reply envelope in addition to the result.
const ENVELOPE: usize = 64;
/// Most bytes that an error takes in a reply envelope: its text twice, and names.
const MAX_ERROR: usize = 16 * 1024;

/// The path of replies to one caller.
#[derive(Debug)]
pub(crate) struct ReplyPath {
    pub(crate) caller: Origin,
    /// Spreads callers over what takes their calls. Several may have the same.
    pub(crate) number: usize,
    queues: ByLane<SendQueue>,
    /// Calls of that caller that run in separate tasks, by their ids.
    running: Mutex<HashMap<u64, Option<AbortHandle>, HashState>>,
    /// The sessions that its calls have opened. They are known here for longer than the connection
    /// lasts, so that a call which is sent again is never taken again.
    opened: Mutex<Seen>,
    /// Whether it was used since the last cleanup.
    used: AtomicBool,
    /// The bytes of frames of that caller whose calls were not all taken yet.
    pub(crate) waiting_bytes: WaitingBytes,
    /// The memory of its frames until their calls have ended.
    frames: Share,
    /// The memory of the arguments that its calls have announced and send in sessions.
    announced: Share,
}

/// Bytes of frames that wait.
#[derive(Debug, Default)]
pub(crate) struct WaitingBytes(AtomicUsize);

impl WaitingBytes {
    pub(crate) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A queued reply that has to be flushed: at once, or by the queue's task when this is dropped.
#[must_use = "dropping it leaves the flush to the queue's task"]
pub(crate) struct ReplyFlush {
    path: Arc<ReplyPath>,
    /// `None` once it is flushed.
    lane: Option<Lane>,
}

impl ReplyFlush {
    /// Sends the queued replies, as far as the bus takes them at once.
    pub(crate) fn flush(mut self) {
        if let Some(lane) = self.lane.take() {
            self.path.queues[lane].flush();
        }
    }
}

impl Drop for ReplyFlush {
    fn drop(&mut self) {
        if let Some(lane) = self.lane {
            self.path.queues[lane].wake();
        }
    }
}

/// A call that runs in a separate task, known to its reply path.
pub(crate) struct RunningReply {
    path: Arc<ReplyPath>,
    id: u64,
}

impl RunningReply {
    /// The caller.
    pub(super) fn caller(&self) -> &Origin {
        &self.path.caller
    }

    /// Sends the reply that opens the session with the result. It can be sent again.
    pub(super) fn open_session(
        &self,
        opening: Opening,
        has_handles: bool,
    ) -> Result<(), NotQueued> {
        let reply = ReplyEnvelope {
            id: self.id,
            session: Some(opening),
            has_handles,
            outcome: Ok(Bytes::new()),
        };
        if let Some((guard, _)) = self.path.push(&reply)? {
            guard.flush();
        }
        Ok(())
    }

    /// Sends the reply. The last of the running calls flushes the replies that the others have
    /// queued.
    pub(crate) fn reply(self, transport: &Transport, result: CallResult) {
        self.send(transport, ReplyEnvelope::plain(self.id, result));
    }

    /// Sends a result that has handles in it.
    pub(super) fn reply_passed(self, transport: &Transport, result: Bytes) {
        let reply = ReplyEnvelope {
            has_handles: true,
            ..ReplyEnvelope::plain(self.id, Ok(result))
        };
        self.send(transport, reply);
    }

    fn send(&self, transport: &Transport, reply: ReplyEnvelope) {
        let is_last = self.path.running.lock().len() <= 1;
        match transport.push_reply(&self.path, reply) {
            Some((guard, _)) if is_last => guard.flush(),
            guard => drop(guard),
        }
    }
}

impl Drop for RunningReply {
    fn drop(&mut self) {
        self.path.running.lock().remove(&self.id);
    }
}

impl ReplyPath {
    fn open(endpoint: &Arc<Endpoint>, caller: &Origin, number: usize) -> Self {
        let address = ReplyAddress::of_peer(endpoint.origin());
        let subject = address.subject(endpoint.subjects(), caller);
        let queues = ByLane::new(|lane| {
            let address = Address {
                to: Destination::Unreported(subject.clone()),
                peer: caller.clone(),
                kind: Kind::Reply,
                lane,
            };
            SendQueue::start(endpoint.clone(), address, |lost| {
                tracing::warn!(error = %lost.error, "a frame of replies was lost; its calls end at their deadlines");
            })
        });
        Self {
            caller: caller.clone(),
            number,
            queues,
            running: Mutex::default(),
            opened: Mutex::default(),
            used: AtomicBool::new(true),
            waiting_bytes: WaitingBytes::default(),
            frames: Share::of(&endpoint.budgets().calls),
            announced: Share::of(&endpoint.budgets().calls),
        }
    }

    /// Holds the memory of a frame of that caller, if there is room. Only waiting frames count for
    /// the caller: a component that doesn't finish its calls uses its own share, and delays no
    /// calls to others.
    pub(crate) fn hold(&self, bytes: usize) -> Option<Held> {
        self.frames.hold_beside(self.waiting_bytes.bytes(), bytes)
    }

    /// Holds the memory of arguments that a call of that caller has announced, if there is room.
    pub(crate) fn announce(&self, bytes: usize) -> Option<Held> {
        self.announced.hold(bytes)
    }

    /// Takes a session that a call opens. Returns false if that call was taken before.
    pub(crate) fn opens(&self, session: u64) -> bool {
        self.opened.lock().mark(session)
    }

    /// Starts a task that runs a call.
    pub(crate) fn run(self: &Arc<Self>, id: u64, start: impl FnOnce(RunningReply) -> AbortHandle) {
        self.running.lock().insert(id, None);
        let path = self.clone();
        let task = start(RunningReply { path, id });
        // It may have ended already.
        if let Some(running) = self.running.lock().get_mut(&id) {
            *running = Some(task);
        }
    }

    /// Ends a call that runs in a task of its own, without a reply: no one waits for it.
    pub(crate) fn cancel(&self, id: u64) {
        let task = self.running.lock().remove(&id);
        if let Some(Some(task)) = task {
            task.abort();
        }
    }

    /// Waits until everything queued so far was given to the bus.
    async fn sent(&self) {
        for queue in self.queues.iter() {
            queue.sent().await;
        }
    }

    /// Whether it was not used since the last call of this function, and nothing is queued or runs.
    fn is_unused(&self) -> bool {
        !self.used.swap(false, Ordering::Relaxed)
            && self.running.lock().is_empty()
            && self.queues.iter().all(SendQueue::is_idle)
    }

    fn push(&self, reply: &ReplyEnvelope) -> Result<Option<(FlushGuard<'_>, Lane)>, NotQueued> {
        let size = reply.outcome.as_ref().map_or(MAX_ERROR, Bytes::len) + ENVELOPE;
        let lane = lane_of(size);
        let encode = |(): &(), buffer: &mut BytesMut| reply.encode_into(buffer);
        let ((), guard) = self.queues[lane].push(size, |_| Some(()), encode)?;
        Ok(guard.map(|guard| (guard, lane)))
    }
}

/// The reply paths of one node.
#[derive(Debug, Default)]
pub(super) struct ReplyPaths(Mutex<HashMap<Origin, Arc<ReplyPath>, HashState>>);

impl ReplyPaths {
    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Arc<ReplyPath>, HashState>> {
        self.0.lock()
    }

    /// Closes paths that were not used since the last time.
    pub(super) fn close_unused(&self) {
        self.lock().retain(|_, path| {
            // A holder of it is about to reply.
            Arc::strong_count(path) > 1 || !path.is_unused()
        });
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }
}

impl Transport {
    /// Ends the calls of the callers for which `is_lost`. They get an error, in case they are not
    /// lost after all.
    pub(crate) fn callers_lost(&self, is_lost: impl Fn(&Origin) -> bool) {
        for conn in self.peers.load().values() {
            if is_lost(&conn.peer) {
                conn.sessions.fail_all(Broken::PeerLost, Then::GoOn);
            }
        }
        let paths = self.replies.lock();
        let lost = paths.values().filter(|path| is_lost(&path.caller));
        let lost: Vec<_> = lost.cloned().collect();
        drop(paths);
        for path in lost {
            let running = std::mem::take(&mut *path.running.lock());
            if !running.is_empty() {
                let (host, calls) = (&path.caller.host, running.len());
                tracing::info!(%host, calls, "a caller was lost: its calls are ended");
            }
            for (id, task) in running {
                if let Some(task) = task {
                    task.abort();
                }
                let error = CallError::InstanceLost {
                    reason: "the host of its caller was lost".to_owned(),
                };
                drop(self.push_reply(&path, ReplyEnvelope::plain(id, Err(error))));
            }
        }
    }

    /// Returns the reply path to that boot of a host, opened if there is none yet.
    pub(crate) fn reply_path(&self, caller: &Origin) -> Arc<ReplyPath> {
        let mut paths = self.replies.lock();
        if let Some(path) = paths.get(caller) {
            path.used.store(true, Ordering::Relaxed);
            return path.clone();
        }
        let path = Arc::new(ReplyPath::open(&self.endpoint, caller, paths.len()));
        paths.insert(caller.clone(), path.clone());
        path
    }

    /// Whether a result needs a session.
    pub(crate) fn needs_session(&self, result: &Bytes) -> bool {
        let size = result.len();
        self.endpoint.needs_session(size) && size <= self.endpoint.max_value()
    }

    /// Queues a reply. Returns the queue to flush, unless a flush is due already.
    pub(crate) fn reply(
        &self,
        path: &Arc<ReplyPath>,
        id: u64,
        result: CallResult,
    ) -> Option<ReplyFlush> {
        let (guard, lane) = self.push_reply(path, ReplyEnvelope::plain(id, result))?;
        guard.disarm();
        Some(ReplyFlush {
            path: path.clone(),
            lane: Some(lane),
        })
    }

    fn push_reply<'p>(
        &self,
        path: &'p ReplyPath,
        mut reply: ReplyEnvelope,
    ) -> Option<(FlushGuard<'p>, Lane)> {
        if self.is_closed() {
            // A node that has vanished sends nothing: its calls were cut off, and their callers
            // detect that by themselves.
            return None;
        }
        reply.outcome = self.fitting(reply.outcome).map_err(CallError::shortened);
        let mut pushed = path.push(&reply);
        if matches!(pushed, Err(NotQueued::Full)) && reply.outcome.is_ok() {
            reply.outcome = Err(CallError::CalleeFailed {
                reason: "its host has too many results waiting for this caller; fetch them more slowly, or ask for less"
                    .to_owned(),
            });
            pushed = path.push(&reply);
        }
        pushed.unwrap_or_else(|_| {
            // Not even an error can be sent: the caller's own deadline ends the call.
            self.endpoint.refuse(&format!(
                "a reply to `{}`, whose queue of replies is full",
                path.caller.host
            ));
            None
        })
    }

    /// Returns a result, or the error that it is too large. The limit is the same for callers on
    /// every host.
    pub(crate) fn fitting(&self, result: CallResult) -> CallResult {
        let limit = self.endpoint.max_value();
        match result {
            Ok(result) if result.len() > limit => Err(CallError::TooLarge {
                what: Part::Result,
                limit: limit as u64,
            }),
            result => result,
        }
    }

    /// Waits until every queued reply was given to the bus, and the bus has sent it.
    pub(crate) async fn flush_replies(&self, within: Duration) {
        let paths: Vec<_> = self.replies.lock().values().cloned().collect();
        let flushed = async {
            for path in paths {
                path.sent().await;
            }
            self.endpoint.bus().flush().await
        };
        match tokio::time::timeout(within, flushed).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the last replies may not have been sent"),
            Err(_) => tracing::debug!("the last replies were not sent in time"),
        }
    }
}
