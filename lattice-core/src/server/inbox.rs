//! The callee's side: frames in, grants checked again, calls run, replies out.
//!
//! A call runs where its frame was read, as far as it goes without waiting: what a provider answers at once costs no task,
//! and all replies to a batch of frames leave together. What takes time goes on in a task of its own.

use crate::node::Inner;
use crate::server::component::{Begun, Place, Served};
use crate::transport::in_flight::Outcome;
use crate::transport::peer::token;
use crate::transport::reply_path::{ReplyLine, Replying};
use crate::{
    bus::{Body as Carried, Message, Subscription},
    call::{CallError, Context, MAX_HOPS, Ran},
    link::Link,
    name::ComponentId,
    serve::Request,
    types::Digest,
    wire::{
        Body as Envelope, CallEnvelope, Discover, Discovered, EnvelopeError, Frame, FrameWriter,
        Kind, Lane, Names, Origin, Probe, ProbeAck, Source, envelope_id,
    },
};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// Hosts named in one answer at most: more than a caller can use.
const MAX_KNOWN: usize = 256;
/// Frames taken in before their replies are sent.
const BATCH: usize = 64;
/// A frame that takes longer holds up everyone whose frames wait behind it: some provider computes where it should not. Well
/// over what a busy machine adds by itself.
const SLOW: Duration = Duration::from_millis(20);
/// For so many frames after a slow one, every call gets a task of its own.
const WARY: u32 = 256;

/// Takes calls and probes for as long as the node lives.
pub(crate) async fn serve_inbox(node: Arc<Inner>, mut inbox: Subscription) {
    let mut desk = Desk::default();
    while let Some(message) = inbox.next().await {
        node.take_message(message, &mut desk).await;
        for _ in 1..BATCH {
            let Some(Some(message)) = inbox.next().now_or_never() else {
                break;
            };
            node.take_message(message, &mut desk).await;
        }
        desk.send_replies();
    }
}

/// What one reader of an inbox keeps from frame to frame.
#[derive(Default)]
struct Desk {
    names: Names,
    /// Replies that were queued and have to be sent.
    due: Vec<(Arc<ReplyLine>, Lane)>,
    /// Frames left that are to be taken with care.
    wary: u32,
}

impl Desk {
    fn send_replies(&mut self) {
        for (line, lane) in self.due.drain(..) {
            line.lane(lane).drain();
        }
    }

    /// A frame was taken in that long.
    fn took(&mut self, time: Duration) {
        self.wary = if time > SLOW {
            WARY
        } else {
            self.wary.saturating_sub(1)
        };
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        for (line, lane) in self.due.drain(..) {
            line.lane(lane).wake();
        }
    }
}

/// A call that was let in.
struct Admitted {
    served: Arc<Served>,
    place: Place,
    call: CallEnvelope,
    context: Context,
}

/// Answers "who serves this?" for one component, as a member of its queue group.
pub(crate) async fn serve_discovery(
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
    pub(crate) fn authentic(&self, message: Message) -> Option<Frame> {
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
            None => matches!(
                frame.kind(),
                Kind::Discover | Kind::ReportWanted | Kind::LogsWanted
            ),
        };
        if !for_us {
            self.refuse("a frame for another boot of a host");
            return None;
        }
        if !self.lock_replay().fresh(&frame, Instant::now().into_std()) {
            self.refuse("a frame that was seen before");
            return None;
        }
        Some(frame)
    }

    async fn take_message(self: &Arc<Self>, message: Message, desk: &mut Desk) {
        let Some(frame) = self.authentic(message) else {
            return;
        };
        match frame.kind() {
            Kind::Call => self.take_calls(&frame, desk),
            Kind::Probe => self.answer_probe(&frame).await,
            other => self.refuse(&format!("a frame of kind {other:?} in the inbox for calls")),
        }
    }

    fn take_calls(self: &Arc<Self>, frame: &Frame, desk: &mut Desk) {
        let now = Instant::now();
        self.taken.fetch_add(1, Ordering::Relaxed);
        let line = self.reply_line(frame.sender());
        for envelope in frame.envelopes() {
            let id = envelope_id(&envelope);
            let due = match CallEnvelope::decode_with(envelope, &mut desk.names) {
                Ok(call) => self.take_call(&line, call, now, desk.wary),
                Err(error) => {
                    self.refuse(&error.to_string());
                    let message = error.to_string();
                    let unrecognised = CallError::Unrecognised {
                        ran: Ran::No,
                        message,
                    };
                    // A newer caller asks for something that this version doesn't know: it need not wait to learn that.
                    id.and_then(|id| self.reply(&line, id, Err(unrecognised)))
                }
            };
            desk.due.extend(due.map(|lane| (line.clone(), lane)));
        }
        desk.took(now.elapsed());
    }

    /// Answers the lane of replies that is to be drained, if any.
    fn take_call(
        self: &Arc<Self>,
        line: &Arc<ReplyLine>,
        call: CallEnvelope,
        now: Instant,
        wary: u32,
    ) -> Option<Lane> {
        let id = call.id;
        let admitted = match self.admit(call, &line.peer, now) {
            Ok(admitted) => admitted,
            Err(error) => return self.reply(line, id, Err(error)),
        };
        if wary > 0 {
            self.run_apart(line, admitted);
            return None;
        }
        let seen = {
            let table = self.connection.replica.links();
            table.has_seen(admitted.call.incarnation, admitted.call.link_revision)
        };
        if !seen {
            self.run_apart(line, admitted);
            return None;
        }
        let link = match self.granted(&admitted.served, &admitted.call) {
            Ok(link) => link,
            Err(error) => return self.reply(line, id, Err(error)),
        };
        let Admitted {
            served,
            place,
            call,
            context,
        } = admitted;
        match served.begin(request(call, link, context), now) {
            Begun::Done(outcome) => self.reply(line, id, outcome),
            begun => {
                let work = async move { served.finish(begun).await };
                self.apart(line, id, place, work.boxed());
                None
            }
        }
    }

    fn admit(
        &self,
        call: CallEnvelope,
        sender: &Origin,
        now: Instant,
    ) -> Result<Admitted, CallError> {
        let served = self.called(&call, sender)?;
        if call.hops > MAX_HOPS {
            return Err(CallError::TooManyHops { limit: MAX_HOPS });
        }
        let context = Context {
            deadline: now + call.deadline_left,
            hops: call.hops,
            trace: call.trace,
        };
        if !served.is_meant_by(call.fence) {
            return Err(served.stopping());
        }
        Ok(Admitted {
            place: served.admit(&context)?,
            served,
            call,
            context,
        })
    }

    /// All of a call in a task of its own.
    fn run_apart(self: &Arc<Self>, line: &Arc<ReplyLine>, admitted: Admitted) {
        let Admitted {
            served,
            place,
            call,
            context,
        } = admitted;
        let (node, id) = (self.clone(), call.id);
        let work = async move {
            node.seen(&call, context.deadline).await?;
            let link = node.granted(&served, &call)?;
            served
                .run(request(call, link, context), Instant::now())
                .await
        };
        self.apart(line, id, place, work.boxed());
    }

    /// Runs `work` in a task of its own, which then replies.
    fn apart(
        self: &Arc<Self>,
        line: &Arc<ReplyLine>,
        id: u64,
        place: Place,
        work: BoxFuture<'static, Outcome>,
    ) {
        let (node, replying) = (self.clone(), Replying::new(line.clone()));
        let work = async move {
            replying.reply(&node, id, work.await);
            // Only now is the call over: whoever waits for the last one may flush the replies next.
            drop(place);
        };
        self.tasks
            .spawn(self.end.clone().run_until_cancelled_owned(work));
    }

    /// Waits until this host's table has the link that the caller has used.
    async fn seen(&self, call: &CallEnvelope, deadline: Instant) -> Result<(), CallError> {
        let replica = &self.connection.replica;
        replica
            .wait_for(call.incarnation, call.link_revision, deadline)
            .await
            .map_err(|_| CallError::LinkTableBehind)
    }

    /// Checks the grant again, from this host's own table.
    fn granted(
        &self,
        served: &Served,
        call: &CallEnvelope,
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
            // Whoever may ask was let in by `called`.
            Source::Host(_) => return Ok(None),
            Source::Wormhole(_) => return Err(CallError::OperatorDenied),
        };
        let table = self.connection.replica.links();
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
    pub(crate) fn operator_may(&self, component: &ComponentId) -> Result<(), CallError> {
        if !self.connection.operator_calls {
            return Err(CallError::OperatorDenied);
        }
        tracing::info!(host = %self.origin.host, %component, "an operator calls");
        Ok(())
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
    pub(crate) fn lone_frame<B: Envelope>(
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

fn request(call: CallEnvelope, link: Option<Arc<Link>>, context: Context) -> Request {
    Request {
        component: call.target,
        function: call.function,
        source: call.source,
        link,
        args: call.args,
        context,
    }
}
