//! Sending replies: a send queue per lane for each caller.

use super::{
    Transport,
    endpoint::Endpoint,
    id::ReplyAddress,
    in_flight::CallResult,
    lane::{ByLane, lane_of},
    send_queue::{Address, Destination, FlushGuard, NotQueued, SendQueue},
};
use crate::{
    call::{CallError, Part},
    entropy::HashState,
    sync::Mutex,
    wire::{Body, Kind, Lane, Origin, ReplyEnvelope},
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

/// An upper bound for the bytes of a reply envelope in addition to the result.
const ENVELOPE: usize = 64;
/// Most bytes that an error takes in a reply envelope: its text twice, and names.
const MAX_ERROR: usize = 16 * 1024;

/// The path of replies to one caller.
#[derive(Debug)]
pub(crate) struct ReplyPath {
    pub(crate) caller: Origin,
    queues: ByLane<SendQueue>,
    /// Calls of that caller that run in separate tasks.
    running: AtomicUsize,
    /// Whether it was used since the last cleanup.
    used: AtomicBool,
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

/// A call that runs in a separate task, counted by its reply path.
pub(crate) struct RunningReply(Arc<ReplyPath>);

impl RunningReply {
    pub(crate) fn new(path: Arc<ReplyPath>) -> Self {
        path.running.fetch_add(1, Ordering::Relaxed);
        Self(path)
    }

    /// Sends the reply. The last of the running calls flushes the replies that the others have
    /// queued.
    pub(crate) fn reply(self, transport: &Transport, id: u64, result: CallResult) {
        let is_last = self.0.running.load(Ordering::Relaxed) <= 1;
        match transport.push_reply(&self.0, id, result) {
            Some((guard, _)) if is_last => guard.flush(),
            guard => drop(guard),
        }
    }
}

impl Drop for RunningReply {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ReplyPath {
    fn open(endpoint: &Arc<Endpoint>, caller: &Origin) -> Self {
        let address = ReplyAddress::of_peer(endpoint.origin());
        let subject = address.subject(endpoint.subjects(), caller);
        let queues = ByLane::new(|lane| {
            let address = Address {
                to: Destination::Replies(subject.clone()),
                peer: caller.clone(),
                kind: Kind::Reply,
                lane,
            };
            SendQueue::start(endpoint.clone(), address, |_, error| {
                tracing::warn!(%error, "a frame of replies was lost; its calls end at their deadlines");
            })
        });
        Self {
            caller: caller.clone(),
            queues,
            running: AtomicUsize::new(0),
            used: AtomicBool::new(true),
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
            && self.running.load(Ordering::Relaxed) == 0
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
    /// Returns the reply path to that boot of a host, opened if there is none yet.
    pub(crate) fn reply_path(&self, caller: &Origin) -> Arc<ReplyPath> {
        let mut paths = self.replies.lock();
        if let Some(path) = paths.get(caller) {
            path.used.store(true, Ordering::Relaxed);
            return path.clone();
        }
        let path = Arc::new(ReplyPath::open(&self.endpoint, caller));
        paths.insert(caller.clone(), path.clone());
        path
    }

    /// Queues a reply. Returns the queue to flush, unless a flush is due already.
    pub(crate) fn reply(
        &self,
        path: &Arc<ReplyPath>,
        id: u64,
        result: CallResult,
    ) -> Option<ReplyFlush> {
        let (guard, lane) = self.push_reply(path, id, result)?;
        guard.disarm();
        Some(ReplyFlush {
            path: path.clone(),
            lane: Some(lane),
        })
    }

    fn push_reply<'p>(
        &self,
        path: &'p ReplyPath,
        id: u64,
        result: CallResult,
    ) -> Option<(FlushGuard<'p>, Lane)> {
        if self.is_closed() {
            // A node that has vanished sends nothing: its calls were cut off, and their callers
            // detect that by themselves.
            return None;
        }
        let outcome = self.fitting(result).map_err(CallError::shortened);
        let mut reply = ReplyEnvelope { id, outcome };
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

    /// Returns a result, or the error that it is too large for a message. The limit is the same for
    /// callers on every host.
    pub(crate) fn fitting(&self, result: CallResult) -> CallResult {
        let limit = self.endpoint.max_message();
        match result {
            Ok(result) if result.len() > limit => Err(CallError::TooLarge {
                what: Part::Result,
                limit: limit as u64,
            }),
            result => result,
        }
    }

    /// Sends one envelope to the reply subject of another host, in a separate frame.
    pub(crate) async fn reply_alone<B: Body>(&self, to: &Origin, body: &B) {
        let endpoint = &self.endpoint;
        let address = ReplyAddress::of_peer(endpoint.origin());
        let subject = address.subject(endpoint.subjects(), to);
        if let Err(error) = endpoint.send(subject, None, Some(to), body).await {
            tracing::debug!(%error, host = %to.host, "a reply was not sent");
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
