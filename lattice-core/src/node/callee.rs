//! The callee's side: frames in, grants checked again, calls run, replies out.

use super::{
    Inner,
    line::token,
    outbox::{Address, Destination, Outbox},
    pending::Outcome,
    served::{Place, Served},
};
use crate::{
    bus::{Body as Carried, Message, Subscription},
    call::{CallError, Context, MAX_HOPS, Part, Ran},
    link::Link,
    name::ComponentId,
    serve::Request,
    types::Digest,
    wire::{
        Body as Envelope, CallEnvelope, Discover, Discovered, EnvelopeError, Frame, FrameWriter,
        Kind, Lane, MAX_COALESCED, Origin, Probe, ProbeAck, ReplyEnvelope, Source, envelope_id,
    },
};
use bytes::Bytes;
use futures_util::StreamExt;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What a reply envelope holds beside the result, in bytes. Generous.
const ENVELOPE: usize = 64;
/// What an error takes in a reply envelope at most: its text twice, and names.
const MAX_ERROR: usize = 16 * 1024;

/// Hosts named in one answer at most: more than a caller can use.
const MAX_KNOWN: usize = 256;

/// Both lanes of replies to one caller.
#[derive(Debug)]
pub(super) struct ReplyLine {
    small: Outbox,
    bulk: Outbox,
    /// When it was last used.
    pub(super) used: Mutex<Instant>,
}

impl ReplyLine {
    /// Waits until everything queued so far was given to the bus.
    pub(super) async fn sent(&self) {
        self.small.sent().await;
        self.bulk.sent().await;
    }

    pub(super) fn is_idle(&self, now: Instant, after: Duration) -> bool {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        now.saturating_duration_since(used) > after && self.small.is_idle() && self.bulk.is_idle()
    }
}

/// Takes calls and probes for as long as the node lives.
pub(super) async fn serve_inbox(node: Arc<Inner>, mut inbox: Subscription) {
    while let Some(message) = inbox.next().await {
        let Some(frame) = node.authentic(message) else {
            continue;
        };
        match frame.kind() {
            Kind::Call => node.take_calls(&frame),
            Kind::Probe => node.answer_probe(&frame).await,
            other => node.refuse(&format!("a frame of kind {other:?} in the inbox for calls")),
        }
    }
}

/// Answers "who serves this?" for one component, as a member of its queue group.
pub(super) async fn serve_discovery(
    node: Arc<Inner>,
    component: ComponentId,
    mut questions: Subscription,
) {
    while let Some(message) = questions.next().await {
        let Some(frame) = node.authentic(message) else {
            continue;
        };
        for envelope in frame.envelopes() {
            match Discover::decode(envelope) {
                Ok(question) if question.component == component => {
                    let found = Discovered {
                        id: question.id,
                        component: component.clone(),
                        hosts: node.known(&component),
                    };
                    node.answer(frame.sender(), &found).await;
                }
                Ok(_) => node.refuse("a question about another component"),
                Err(error) => node.refuse(&error.to_string()),
            }
        }
    }
}

impl Inner {
    /// The frame in a message, when it is one of ours, for us, and new. Everything else is counted and logged.
    pub(super) fn authentic(&self, message: Message) -> Option<Frame> {
        let Carried::Payload(bytes) = message.body else {
            return None;
        };
        let frame = match Frame::open(&self.connection.auth, bytes) {
            Ok(frame) => frame,
            Err(error) => {
                self.refuse(&error.to_string());
                return None;
            }
        };
        let for_us = match frame.target() {
            Some(target) => *target == self.origin,
            // Only a question goes to whoever hears it; what runs or ends calls names its receiver.
            None => frame.kind() == Kind::Discover,
        };
        if !for_us {
            self.refuse("a frame for another boot of a host");
            return None;
        }
        if !self.lock_replay().fresh(&frame, Instant::now()) {
            self.refuse("a frame that was seen before");
            return None;
        }
        Some(frame)
    }

    fn take_calls(self: &Arc<Self>, frame: &Frame) {
        let now = Instant::now();
        for envelope in frame.envelopes() {
            let id = envelope_id(&envelope);
            match CallEnvelope::decode(envelope) {
                Ok(call) => self.take_call(frame.sender().clone(), call, now),
                Err(error) => {
                    self.refuse(&error.to_string());
                    // A newer caller asks for something that this version doesn't know: it need not wait to learn that.
                    if let Some(id) = id {
                        let message = error.to_string();
                        self.reply(
                            frame.sender(),
                            id,
                            Err(CallError::Unrecognised {
                                ran: Ran::No,
                                message,
                            }),
                        );
                    }
                }
            }
        }
    }

    fn take_call(self: &Arc<Self>, from: Origin, call: CallEnvelope, now: Instant) {
        let mut context = Context::new(call.deadline_left);
        context.deadline = now + call.deadline_left;
        context.hops = call.hops;
        context.trace = call.trace;
        let (id, target) = (call.id, call.target.clone());
        let admitted = match self.served(&target) {
            None => Err(CallError::NotServed { component: target }),
            Some(_) if call.hops > MAX_HOPS => Err(CallError::TooManyHops { limit: MAX_HOPS }),
            Some(served) => served.admit(&context).map(|place| (served, place)),
        };
        let (served, place) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => return self.reply(&from, id, Err(error)),
        };
        let node = self.clone();
        let work = async move {
            let outcome = node.run(&served, &place, call, context).await;
            node.reply(&from, id, outcome);
            // Only now is the call over: whoever waits for the last one may flush the replies next.
            drop(place);
        };
        let end = self.end.clone();
        self.tasks
            .spawn(async move { end.run_until_cancelled(work).await });
    }

    async fn run(
        &self,
        served: &Served,
        place: &Place,
        call: CallEnvelope,
        context: Context,
    ) -> Outcome {
        let link = self.granted(served, &call, context.deadline).await?;
        let CallEnvelope {
            target: component,
            function,
            source,
            args,
            ..
        } = call;
        served
            .run(
                place,
                Request {
                    component,
                    function,
                    source,
                    link,
                    args,
                    context,
                },
            )
            .await
    }

    /// Checks the grant again, from this host's own table.
    async fn granted(
        &self,
        served: &Served,
        call: &CallEnvelope,
        deadline: Instant,
    ) -> Result<Option<Arc<Link>>, CallError> {
        let Some(interface) = served.interface_of(call.function) else {
            // The caller knows the names and fills them in.
            return Err(CallError::NotExported {
                component: served.id.clone(),
                interface: String::new(),
                function: String::new(),
            });
        };
        let source = match &call.source {
            Source::Component(source) => source,
            Source::Operator => return self.operator_may(&served.id).map(|()| None),
            _ => return Err(CallError::OperatorDenied),
        };
        let replica = &self.connection.replica;
        replica
            .wait_for(call.incarnation, call.link_revision, deadline)
            .await
            .map_err(|_| CallError::LinkTableBehind)?;
        let table = replica.links();
        let grant = table
            .resolve(source, interface, &call.link)
            .filter(|grant| grant.link.target == served.id);
        match grant {
            Some(grant) => Ok(Some(grant.link.clone())),
            None => Err(CallError::NotLinked {
                source_id: source.clone(),
                interface: interface.to_owned(),
                link: call.link.clone(),
            }),
        }
    }

    /// Calls in the name of nobody are always told of, and can be switched off.
    pub(super) fn operator_may(&self, component: &ComponentId) -> Result<(), CallError> {
        if !self.connection.operator_calls {
            return Err(CallError::OperatorDenied);
        }
        tracing::info!(host = %self.origin.host, %component, "an operator calls");
        Ok(())
    }

    fn reply(&self, to: &Origin, id: u64, outcome: Outcome) {
        if self.gone.load(std::sync::atomic::Ordering::Acquire) {
            // Whoever vanished says nothing any more: how the cut-off calls ended here is for nobody.
            return;
        }
        let limit = self.connection.max_message();
        let outcome = match outcome {
            Ok(result) if result.len() > limit => Err(CallError::TooLarge {
                what: Part::Result,
                limit: limit as u64,
            }),
            outcome => outcome.map_err(CallError::shortened),
        };
        let reply = ReplyEnvelope { id, outcome };
        let line = self.reply_line(to);
        let size = reply.outcome.as_ref().map_or(MAX_ERROR, Bytes::len) + ENVELOPE;
        let outbox = if size > MAX_COALESCED {
            &line.bulk
        } else {
            &line.small
        };
        if outbox
            .push(size, |buffer| reply.encode_into(buffer), |_| {})
            .is_err()
        {
            // A caller that doesn't drain its replies is not heard either: its own deadline ends the call.
            self.refuse(&format!(
                "a reply to `{}`, whose queue of replies is full",
                to.host
            ));
        }
    }

    fn reply_line(&self, to: &Origin) -> Arc<ReplyLine> {
        let mut lines = self.lock_replies();
        if let Some(line) = lines.get(to) {
            *line.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
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
        let line = ReplyLine {
            small: outbox(Lane::Small),
            bulk: outbox(Lane::Bulk),
            used: Mutex::new(Instant::now()),
        };
        let line = Arc::new(line);
        lines.insert(to.clone(), line.clone());
        line
    }

    async fn answer_probe(&self, frame: &Frame) {
        for envelope in frame.envelopes() {
            match Probe::decode(envelope) {
                Ok(probe) => {
                    let ack = ProbeAck {
                        nonce: probe.nonce,
                        epoch: self.origin.epoch,
                    };
                    self.answer(frame.sender(), &ack).await;
                }
                Err(error) => self.refuse(&error.to_string()),
            }
        }
    }

    fn known(&self, component: &ComponentId) -> Vec<(Origin, Digest)> {
        let peers = self.connection.presence.peers();
        let mut hosts: Vec<_> = peers
            .serving(component)
            .iter()
            .filter(|origin| *origin != &self.origin)
            .filter_map(|origin| Some((origin.clone(), peers.digest(component)?)))
            .collect();
        hosts.truncate(MAX_KNOWN);
        hosts.extend(
            self.served(component)
                .map(|served| (self.origin.clone(), served.digest)),
        );
        hosts
    }

    async fn answer<B: Envelope>(&self, to: &Origin, answer: &B) {
        let subject = self
            .connection
            .subjects
            .reply(&to.host, to.epoch, token(&self.origin), 0);
        let sent = match self.lone_frame(Some(to), answer) {
            Ok(frame) => self
                .connection
                .bus
                .publish(subject, None, frame)
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = sent {
            tracing::debug!(error, host = %to.host, "an answer was not sent");
        }
    }

    /// A frame with one envelope, outside of any outbox.
    pub(super) fn lone_frame<B: Envelope>(
        &self,
        to: Option<&Origin>,
        body: &B,
    ) -> Result<Bytes, EnvelopeError> {
        let sequence = self.next_sequence();
        FrameWriter::message(
            &self.connection.auth,
            self.origin.clone(),
            to.cloned(),
            sequence,
            body,
        )
    }
}
