//! One member of the lattice on the bus: its identity, the frames that it accepts, and the numbers
//! of the frames that it sends.
//!
//! Every frame that this process receives passes [`Receiver::open`], and every one that is sent
//! outside of a [send queue](super::send_queue) is sealed here. So this is the one place that knows
//! keys, sequence numbers and replay guards.

use super::{
    id::ReplyAddress,
    receiver::{Accepts, Boot, Guard, Receiver, Refused},
};
use crate::{
    auth::Auth,
    budget::{Budget, Budgets},
    bus::{Bus, BusError, Message, Subscription},
    entropy,
    replay::ReplayGuard,
    subject::{Subject, Subjects},
    wire::{Body, EnvelopeError, Frame, FrameWriter, Kind, Lane, MAX_COALESCED, Origin},
};
use bytes::Bytes;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// An upper bound for the bytes that a frame adds to its largest envelope: heads, names, tag.
const OVERHEAD: usize = 1_024;

/// A member of the lattice on the bus: a node, or an observer that only sends requests and reads
/// the replies.
#[derive(Debug)]
pub(crate) struct Endpoint<G = ReplayGuard> {
    origin: Origin,
    auth: Auth,
    bus: Arc<dyn Bus>,
    subjects: Subjects,
    budgets: Budgets,
    /// Arguments or a result of so many bytes fit a message, without a look at the bus.
    always_fits: usize,
    receiver: Receiver<G>,
    sequence: AtomicU64,
    /// Messages that were received and not acted on.
    refused: AtomicU64,
}

/// Why a frame was not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// It does not fit a frame.
    #[error(transparent)]
    Encode(#[from] EnvelopeError),
    /// The bus did not take it.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// The medium of an endpoint: a bus, the lattice's subjects on it, and the key of its frames. Cheap
/// to clone.
#[derive(Debug, Clone)]
pub(crate) struct Medium {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) subjects: Subjects,
    pub(crate) auth: Auth,
    /// How much memory messages on it may take.
    pub(crate) budgets: Budgets,
}

impl<G: Guard> Endpoint<G> {
    /// The endpoint of one boot of a host.
    pub(crate) fn new(medium: Medium, origin: Origin, accepts: Accepts) -> Self {
        let Medium {
            bus,
            subjects,
            auth,
            budgets,
        } = medium;
        Self {
            origin,
            receiver: Receiver::new(auth.clone(), accepts),
            always_fits: bus
                .max_payload()
                .saturating_sub(OVERHEAD)
                .min(MAX_COALESCED),
            auth,
            bus,
            subjects,
            budgets,
            sequence: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// An endpoint under a random identity, for a reader that sends requests but isn't a host.
    pub(crate) fn observer(medium: Medium, accepts: Accepts) -> Self {
        let boot = Origin::new(entropy::host_id(), entropy::since_1970().as_millis() as u64);
        Self::new(medium, boot, accepts)
    }

    /// The boot of the host that it is.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(crate) fn bus(&self) -> &Arc<dyn Bus> {
        &self.bus
    }

    pub(crate) fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    pub(crate) fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// The largest arguments or result that fit a message, in bytes.
    pub(crate) fn max_message(&self) -> usize {
        let payload = self.bus.max_payload().saturating_sub(OVERHEAD);
        payload.min(self.budgets.sending.largest())
    }

    /// Whether arguments or a result of `size` bytes don't fit a message.
    pub(crate) fn needs_session(&self, size: usize) -> bool {
        size > self.always_fits && size > self.max_message()
    }

    /// The largest arguments or result of a call, in bytes: sessions carry those that don't fit a
    /// message. It is what one call may take of the memory for messages.
    pub(crate) fn max_value(&self) -> usize {
        let Budgets {
            calls,
            sending,
            results,
            ..
        } = &self.budgets;
        let budgets = [calls, sending, results];
        budgets.map(Budget::largest).into_iter().min().unwrap_or(0)
    }

    /// Subscribes; of more than `capacity` waiting messages, or of more bytes than its share, the
    /// bus drops some.
    pub(crate) async fn subscribe(
        &self,
        subject: Subject,
        capacity: usize,
    ) -> Result<Subscription, BusError> {
        let subscription = self.bus.subscribe(subject, capacity).await?;
        subscription.share(&self.budgets.received);
        Ok(subscription)
    }

    /// Opens a message: returns its frame if it is authentic, acceptable here and new.
    pub(crate) fn try_open(&self, message: Message) -> Result<(Frame, Boot), Refused> {
        self.receiver.open(Some(&self.origin), message)
    }

    /// The same, but counts and logs refused messages, for a receiver that ignores them.
    pub(crate) fn open(&self, message: Message) -> Option<Frame> {
        match self.try_open(message) {
            Ok((frame, _)) => Some(frame),
            Err(Refused::NoPayload) => None,
            Err(refused) => {
                self.refuse(&refused.to_string());
                None
            }
        }
    }

    /// Counts a message that is not acted on, and logs the first of every power of two.
    pub(crate) fn refuse(&self, what: &str) {
        let count = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(host = %self.origin.host, count, "refused {what}");
        }
    }

    /// Messages that were refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Returns the next number for a frame outside of send queues.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Seals a frame with one envelope, for `to` or for all members.
    pub(crate) fn seal<B: Body>(
        &self,
        to: Option<&Origin>,
        body: &B,
    ) -> Result<Bytes, EnvelopeError> {
        let (origin, sequence) = (self.origin.clone(), self.next_sequence());
        FrameWriter::message(&self.auth, origin, to.cloned(), sequence, body)
    }

    /// A frame of several envelopes for all members, to be [sealed](Self::seal_writer).
    pub(crate) fn writer(&self, kind: Kind, lane: Lane) -> FrameWriter {
        FrameWriter::new(self.origin.clone(), None, kind, lane)
    }

    /// Seals a frame outside of send queues.
    pub(crate) fn seal_writer(&self, writer: FrameWriter) -> Bytes {
        writer.seal(&self.auth, self.next_sequence())
    }

    /// Seals a frame whose number its send queue has given.
    pub(super) fn seal_numbered(&self, writer: FrameWriter, number: u64) -> Bytes {
        writer.seal(&self.auth, number)
    }

    /// Sends one envelope to the reply subject of another host, in a separate frame.
    pub(crate) async fn reply_alone<B: Body>(&self, to: &Origin, body: &B) {
        let subject = ReplyAddress::of_peer(&self.origin).subject(&self.subjects, to);
        if let Err(error) = self.send(subject, None, Some(to), body).await {
            tracing::debug!(%error, host = %to.host, "a reply was not sent");
        }
    }

    /// Sends one envelope in a separate frame.
    pub(crate) async fn send<B: Body>(
        &self,
        subject: Subject,
        reply: Option<Subject>,
        to: Option<&Origin>,
        body: &B,
    ) -> Result<(), SendError> {
        let frame = self.seal(to, body)?;
        Ok(self.bus.publish(subject, reply, frame).await?)
    }
}

impl Endpoint {
    /// Keeps the replay windows of hosts that are known to be live, however long they are silent
    /// here.
    pub(crate) fn keep<'o>(&self, live: impl Iterator<Item = &'o Origin>) {
        self.receiver.keep(live);
    }
}
