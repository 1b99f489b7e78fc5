//! The way back: replies to one caller, in both lanes.

use crate::node::Inner;
use crate::transport::in_flight::Outcome;
use crate::transport::peer::{lane, token};
use crate::transport::send_queue::{Address, Destination, Duty, NotQueued, Outbox};
use crate::{
    call::CallError,
    wire::{Kind, Lane, Origin, ReplyEnvelope},
};
use bytes::{Bytes, BytesMut};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// What a reply envelope holds beside the result, in bytes. Generous.
const ENVELOPE: usize = 64;
/// What an error takes in a reply envelope at most: its text twice, and names.
const MAX_ERROR: usize = 16 * 1024;

/// Both lanes of replies to one caller.
#[derive(Debug)]
pub(crate) struct ReplyLine {
    pub(crate) peer: Origin,
    small: Outbox,
    bulk: Outbox,
    /// Calls of that caller that run in tasks of their own.
    running: AtomicUsize,
    /// Since the last look.
    used: AtomicBool,
}

/// A call that runs in a task of its own, as its reply line counts it.
pub(crate) struct Replying(Arc<ReplyLine>);

impl Replying {
    pub(crate) fn new(line: Arc<ReplyLine>) -> Self {
        line.running.fetch_add(1, Ordering::Relaxed);
        Self(line)
    }

    /// Answers the call; the last one of those under way takes what others have left, at once.
    pub(crate) fn reply(self, node: &Inner, id: u64, outcome: Outcome) {
        let last = self.0.running.load(Ordering::Relaxed) <= 1;
        if let Some(due) = node.reply(&self.0, id, outcome) {
            if last {
                self.0.lane(due).drain();
            } else {
                self.0.lane(due).wake();
            }
        }
    }
}

impl Drop for Replying {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ReplyLine {
    pub(crate) fn lane(&self, lane: Lane) -> &Outbox {
        match lane {
            Lane::Bulk => &self.bulk,
            Lane::Small => &self.small,
        }
    }

    /// Waits until everything queued so far was given to the bus.
    pub(crate) async fn sent(&self) {
        self.small.sent().await;
        self.bulk.sent().await;
    }

    /// Whether nothing came over it since the last time that this was asked, and nothing waits.
    pub(crate) fn is_unused(&self) -> bool {
        !self.used.swap(false, Ordering::Relaxed)
            && self.running.load(Ordering::Relaxed) == 0
            && self.small.is_idle()
            && self.bulk.is_idle()
    }

    fn push(&self, reply: &ReplyEnvelope) -> Result<Option<Lane>, NotQueued> {
        let size = reply.outcome.as_ref().map_or(MAX_ERROR, Bytes::len) + ENVELOPE;
        let lane = lane(size);
        let encode = |(): &(), buffer: &mut BytesMut| reply.encode_into(buffer);
        let ((), duty) = self.lane(lane).push(size, |_| Some(()), encode)?;
        Ok((duty == Duty::Drain).then_some(lane))
    }
}

impl Inner {
    /// Queues a reply; answers the lane that the one who asked has to drain, if any.
    #[must_use]
    pub(crate) fn reply(&self, line: &ReplyLine, id: u64, outcome: Outcome) -> Option<Lane> {
        if self.gone.load(Ordering::Acquire) {
            // Whoever vanished says nothing any more: how the cut-off calls ended here is for nobody.
            return None;
        }
        let outcome = self.sendable(outcome).map_err(CallError::shortened);
        let mut reply = ReplyEnvelope { id, outcome };
        let mut pushed = line.push(&reply);
        if pushed == Err(NotQueued::Full) && reply.outcome.is_ok() {
            reply.outcome = Err(CallError::CalleeFailed {
                reason: "its host has too many results waiting for this caller; fetch them more slowly, or ask for less"
                    .to_owned(),
            });
            pushed = line.push(&reply);
        }
        pushed.unwrap_or_else(|_| {
            // A caller that takes not even errors is not heard either: its own deadline ends the call.
            self.refuse(&format!(
                "a reply to `{}`, whose queue of replies is full",
                line.peer.host
            ));
            None
        })
    }

    /// The line of replies to that boot of a host, opened when there is none yet.
    pub(crate) fn reply_line(&self, to: &Origin) -> Arc<ReplyLine> {
        let mut lines = self.lock_replies();
        if let Some(line) = lines.get(to) {
            line.used.store(true, Ordering::Relaxed);
            return line.clone();
        }
        let connection = &self.connection;
        let subject = connection
            .subjects
            .reply(&to.host, to.epoch, token(&self.origin), 0);
        let outbox = |lane| {
            let address = Address {
                to: Destination::Replies(subject.clone()),
                from: self.origin.clone(),
                peer: to.clone(),
                kind: Kind::Reply,
                lane,
            };
            let lost = |_, error| tracing::warn!(%error, "a frame of replies was lost; its calls end at their deadline");
            Outbox::start(
                address,
                connection.bus.clone(),
                connection.auth.clone(),
                lost,
            )
        };
        let line = Arc::new(ReplyLine {
            peer: to.clone(),
            small: outbox(Lane::Small),
            bulk: outbox(Lane::Bulk),
            running: AtomicUsize::new(0),
            used: AtomicBool::new(true),
        });
        lines.insert(to.clone(), line.clone());
        line
    }
}
