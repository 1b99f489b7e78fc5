//! Receives replies to calls, probes and discovery questions, and notices of the bus that no one
//! received a frame.

use super::{
    Events, PeerConn, Transport,
    id::{PeerToken, ReplyAddress},
    in_flight::{Outcome, Reply},
    overflow::Overflow,
};
use crate::{
    budget::SMALL,
    bus::{Body as Carried, Message, Subscription},
    call::CallError,
    wire::{
        Body as _, Discovered, EnvelopeError, Frame, Kind, MAX_COALESCED, ProbeAck, ReplyEnvelope,
    },
};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use std::{sync::Arc, task::Waker};

/// Frames of replies that are read before their callers are woken.
const BATCH: usize = 64;

/// Reads replies for as long as the node lives.
pub(crate) async fn run(
    transport: Arc<Transport>,
    events: Arc<impl Events>,
    mut replies: Subscription,
) {
    let (mut batch, mut overflow) = (Batch::default(), Overflow::default());
    while let Some(message) = replies.next().await {
        transport.take_reply(&*events, message, &mut batch);
        for _ in 1..BATCH {
            let Some(Some(message)) = replies.next().now_or_never() else {
                break;
            };
            if transport.results_need_room(&message) {
                batch.wake_callers();
                tokio::task::yield_now().await;
            }
            transport.take_reply(&*events, message, &mut batch);
        }
        overflow.report(replies.dropped(), "replies");
        batch.wake_callers();
    }
}

impl Batch {
    /// Woken together, callers share a frame with their next calls.
    fn wake_callers(&mut self) {
        for caller in self.callers.drain(..) {
            caller.wake();
        }
    }
}

/// The error of a call with a result for which there is no memory beside those that were not taken
/// yet.
pub(crate) fn too_many_results() -> CallError {
    CallError::CalleeFailed {
        reason: "the call returned a result, but this process has no memory for it, because too many results were not taken yet; await calls sooner, request less, or raise `message_memory` of the connection"
            .to_owned(),
    }
}

/// Buffers of the reader, kept from batch to batch.
#[derive(Default)]
struct Batch {
    results: Vec<(u64, Outcome)>,
    /// To be woken at the end of the batch.
    callers: Vec<Waker>,
}

impl Transport {
    /// Whether callers should take their results before this message is read.
    fn results_need_room(&self, message: &Message) -> bool {
        let Carried::Payload(payload) = &message.body else {
            return false;
        };
        let results = &self.endpoint.budgets().results;
        payload.len() > MAX_COALESCED && results.held() + payload.len() > results.largest()
    }

    fn take_reply(&self, events: &impl Events, message: Message, batch: &mut Batch) {
        if message.body == Carried::NoResponders {
            return self.take_no_responders(events, &message);
        }
        let Some(frame) = self.endpoint.open(message) else {
            return;
        };
        let peers = self.peers.load();
        let peer = peers.get(frame.sender());
        if let Some(peer) = peer {
            peer.liveness.mark_received();
        }
        if frame.kind() == Kind::Reply {
            let token = peer.map_or_else(|| PeerToken::of(frame.sender()), |peer| peer.token);
            let size = frame.size();
            // Small frames are bounded by the number of calls in flight. Frames of many small
            // results get room beside large ones that wait for their callers.
            let (held, has_room) = match peer.filter(|_| size > SMALL) {
                None => (None, true),
                Some(peer) => {
                    let held = if size <= MAX_COALESCED {
                        peer.results.hold_beside(0, size)
                    } else {
                        peer.results.hold(size)
                    };
                    let held = held.map(Arc::new);
                    let has_room = held.is_some();
                    (held, has_room)
                }
            };
            let results = frame
                .envelopes()
                .filter_map(|envelope| self.result_in(envelope));
            let results = results.map(|(id, result)| match result {
                Ok(reply) if !has_room => {
                    if let Some(peer) = peer {
                        self.refuse_reply(reply, peer);
                    }
                    (id, Err(too_many_results()))
                }
                result => (id, result),
            });
            // Decoded first: callers wait while the table is locked.
            batch.results.extend(results);
            let Batch { results, callers } = batch;
            let unclaimed = self
                .in_flight
                .complete(token, results, held.as_ref(), callers);
            for result in unclaimed {
                self.streams.refuse(result, frame.sender());
            }
            return;
        }
        for envelope in frame.envelopes() {
            if let Err(error) = self.take_answer(events, &frame, envelope) {
                self.endpoint.refuse(&error.to_string());
            }
        }
    }

    fn result_in(&self, envelope: Bytes) -> Option<(u64, Outcome)> {
        match ReplyEnvelope::decode(envelope) {
            Ok(ReplyEnvelope {
                id,
                session,
                has_handles,
                outcome,
            }) => {
                let reply = |result| match session {
                    None if has_handles => Reply::Passed(result),
                    None => Reply::Whole(result),
                    Some(opening) if has_handles => Reply::PassedInSession(opening),
                    Some(opening) => Reply::InSession(opening),
                };
                Some((id, outcome.map(reply)))
            }
            Err(error) => {
                self.endpoint.refuse(&error.to_string());
                None
            }
        }
    }

    /// Drops the handles of a result for which there is no room, or refuses its session.
    fn refuse_reply(&self, reply: Reply, peer: &PeerConn) {
        match reply {
            Reply::Whole(_) => {}
            Reply::Passed(result) => self.streams.refuse(result, &peer.peer),
            Reply::InSession(opening) | Reply::PassedInSession(opening) => {
                if let Ok(sessions) = peer.sessions() {
                    sessions.refuse(opening.session);
                }
            }
        }
    }

    /// Drops the handles of results whose callers were dropped before they have taken them.
    pub(crate) fn refuse_unclaimed(&self) {
        for (token, result) in self.in_flight.take_unclaimed() {
            let peers = self.peers.load();
            // Those of a peer that is lost are found out by their owners.
            if let Some(peer) = peers.values().find(|peer| peer.token == token) {
                self.streams.refuse(result, &peer.peer);
            }
        }
    }

    fn take_answer(
        &self,
        events: &impl Events,
        frame: &Frame,
        envelope: Bytes,
    ) -> Result<(), EnvelopeError> {
        match frame.kind() {
            Kind::ProbeAck => {
                let ack = ProbeAck::decode(envelope)?;
                self.challenges.answered(frame.sender(), ack.nonce);
            }
            Kind::Discovered => events.discovered(Discovered::decode(envelope)?),
            other => {
                let what = format!("a frame of kind {other:?} among the replies");
                self.endpoint.refuse(&what);
            }
        }
        Ok(())
    }

    /// Takes a notice of the bus that no one received a frame of this node. Any client of the bus
    /// can send one, so it is only a hint, and only about a frame that carries a call in flight,
    /// about an unanswered probe, or about a question: the numbers of all of them can't be guessed.
    fn take_no_responders(&self, events: &impl Events, message: &Message) {
        let (token, frame) = match ReplyAddress::parse(&message.subject) {
            None => return,
            Some(ReplyAddress::Question(id)) => return events.question_in_doubt(id),
            Some(ReplyAddress::Peer(token, frame)) => (token, frame),
        };
        let peers = self.peers.load();
        let Some(peer) = peers.values().find(|peer| peer.token == token) else {
            return;
        };
        if self.in_flight.are_carried(token, frame) || peer.liveness.has_probed(frame) {
            self.doubt(peer);
        }
    }
}
