//! One call from another host: decoded, admitted, run, and answered.

use super::{
    super::{
        Arguments, Server,
        admission::{Admitted, Granted},
        blocking,
        component::RunningComponent,
        queue::QueueSlot,
        running::{Outcome, Progress},
    },
    backlog::{Arrived, Runner},
};
use crate::{
    budget::Held,
    call::{CallError, Context, Part, Ran, ReceivedChain},
    serve::{CallerInstance, Request},
    stream::{Body, Handles, Holder},
    trace,
    transport::{
        reply_path::{ReplyFlush, ReplyPath, RunningReply},
        streams::{Opened, Unfit},
    },
    wire::{CallEnvelope, Cancel, EnvelopeError, Kind, Names, Origin, Source, envelope_id},
};
use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use std::sync::Arc;
use tokio::time::Instant;

/// When the frame of a call reached this process, and its memory.
struct Arrival {
    received: Instant,
    held: Option<Arc<Held>>,
}

impl Server {
    /// Takes one call or cancellation. Returns what has to be flushed, if a call has ended.
    pub(super) fn take_envelope(
        self: &Arc<Self>,
        arrived: Arrived,
        names: &mut Names,
        runner: &Runner,
    ) -> Option<ReplyFlush> {
        let Arrived {
            kind,
            path,
            envelope,
            received,
            held,
        } = arrived;
        if kind == Kind::Cancel {
            match Cancel::decode(&envelope) {
                Ok(cancel) => path.cancel(cancel.id),
                Err(error) => self.transport.endpoint.refuse(&error.to_string()),
            }
            return None;
        }
        let id = envelope_id(&envelope);
        match CallEnvelope::decode_with(envelope, names) {
            Ok(call) => {
                let arrival = Arrival { received, held };
                self.take_call(&path, call, arrival, runner)
            }
            Err(error) => self.refuse_unreadable(&path, id, &error),
        }
    }

    /// A newer caller uses something that this version doesn't know. It need not wait to learn
    /// that.
    fn refuse_unreadable(
        &self,
        path: &Arc<ReplyPath>,
        id: Option<u64>,
        error: &EnvelopeError,
    ) -> Option<ReplyFlush> {
        let message = error.to_string();
        self.transport.endpoint.refuse(&message);
        let error = CallError::Unrecognised {
            ran: Ran::No,
            message,
        };
        self.transport.reply(path, id?, Err(error))
    }

    /// Refuses a call for which this host has no room, or never has.
    pub(super) fn refuse_call(&self, path: &Arc<ReplyPath>, envelope: Bytes) -> Option<ReplyFlush> {
        let (id, limit) = (
            envelope_id(&envelope),
            self.connection.budgets.calls.largest(),
        );
        let is_too_large = envelope.len() > limit;
        match CallEnvelope::decode(envelope) {
            Ok(call) => {
                let refused = if is_too_large {
                    CallError::TooLarge {
                        what: Part::Arguments,
                        limit: limit as u64,
                    }
                } else {
                    CallError::Overloaded {
                        component: call.target,
                    }
                };
                self.transport.reply(path, call.id, Err(refused))
            }
            Err(error) => self.refuse_unreadable(path, id, &error),
        }
    }

    /// Runs a call as far as it goes without waiting. Returns what has to be flushed, if it has
    /// ended.
    fn take_call(
        self: &Arc<Self>,
        path: &Arc<ReplyPath>,
        call: CallEnvelope,
        arrival: Arrival,
        runner: &Runner,
    ) -> Option<ReplyFlush> {
        let id = call.id;
        let Arrival { received, held } = arrival;
        if let Some(opening) = call.session {
            return self.take_call_in_session(path, call, opening, received);
        }
        let arguments = Arguments::framed(&call.args, held);
        let admitted = match self.admit(call, &path.caller, received, arguments) {
            Ok(admitted) => admitted,
            Err(error) => return self.transport.reply(path, id, Err(error)),
        };
        if admitted.component.blocking.runs_apart() {
            self.run_in_task(path, admitted, true);
            return None;
        }
        let may_wait = admitted.call.has_handles || !self.has_seen_link(&admitted.call);
        if may_wait || admitted.component.blocking.takes_long() {
            self.run_in_task(path, admitted, false);
            return None;
        }
        let granted = match self.granted(&admitted.component, &admitted.call) {
            Ok(granted) => granted,
            Err(error) => return self.transport.reply(path, id, Err(error)),
        };
        let Admitted {
            component,
            slot,
            call,
            context,
            chain,
        } = admitted;
        let now = Instant::now();
        let ending = Ending::of(&call, (slot, chain), context.deadline);
        let caller = caller(&call, &path.caller);
        let mut request = request(call, (granted, context), (caller, Handles::new()));
        if trace::is_sampled_of(&request.source, &mut request.context) {
            let work = async move { component.run_sampled(request, now).await };
            self.spawn(path, id, ending, work.boxed());
            return None;
        }
        *runner.runs.lock() = Some(component.clone());
        let progress = component.begin(request, now);
        *runner.runs.lock() = None;
        if !matches!(progress, Progress::Waiting(_)) {
            component.blocking.kept_runner(&component.id, now.elapsed());
        }
        match progress {
            // A result that is there at once has no handles.
            Progress::Done(result) => match result.and_then(Body::plain) {
                Ok(result) if self.transport.needs_session(&result) => {
                    let done = std::future::ready(Ok(result.into()));
                    self.spawn(path, id, ending, done.boxed());
                    None
                }
                result => self.transport.reply(path, id, result),
            },
            progress => {
                let work = async move { component.finish(progress).await };
                self.spawn(path, id, ending, work.boxed());
                None
            }
        }
    }

    /// Runs all of a call in a task of its own.
    fn run_in_task(self: &Arc<Self>, path: &Arc<ReplyPath>, admitted: Admitted, is_apart: bool) {
        let Admitted {
            component,
            slot,
            call,
            context,
            chain,
        } = admitted;
        let (server, id, deadline) = (self.clone(), call.id, context.deadline);
        let ending = Ending::of(&call, (slot, chain), deadline);
        let from = path.caller.clone();
        let work = async move {
            server.wait_for_link(&call, deadline).await?;
            let granted = server.granted(&component, &call)?;
            let run = server.run_call(&component, call, (granted, context), (&from, None));
            run.await
        };
        let work = if is_apart {
            blocking::apart(work).boxed()
        } else {
            work.boxed()
        };
        self.spawn(path, id, ending, work);
    }

    /// Runs a call whose arguments are all here, with the session that has carried them, if there
    /// is one.
    pub(super) async fn run_call(
        &self,
        component: &RunningComponent,
        mut call: CallEnvelope,
        granted: (Granted, Context),
        (from, session): (&Origin, Option<Opened>),
    ) -> Outcome {
        let (mut handles, mut lent) = (Handles::new(), Vec::new());
        if call.has_handles {
            let to = Holder::Local(Source::Component(component.id.clone()));
            let shared = session.as_ref().and_then(Opened::shared);
            let (bytes, deadline) = (std::mem::take(&mut call.args), granted.1.deadline);
            let streams = &self.transport.streams;
            let arrived = streams.decode(bytes, shared, (from, &to, deadline));
            let arrived = component.unless_cut_off(arrived).await?;
            let arrived = arrived.map_err(Unfit::of_arguments)?;
            (call.args, handles) = (arrived.body.bytes, arrived.body.handles);
            lent = arrived.loans;
        }
        if let Some(session) = session {
            session.has_arrived();
        }
        let caller = caller(&call, from);
        let request = request(call, granted, (caller, handles));
        let result = component.run(request, Instant::now()).await;
        // Lent handles come back when the call is over.
        drop(lent);
        result
    }

    /// Runs `work` in a task of its own, which then replies, by the deadline.
    pub(super) fn spawn(
        self: &Arc<Self>,
        path: &Arc<ReplyPath>,
        id: u64,
        ending: Ending,
        work: BoxFuture<'static, Outcome>,
    ) {
        let server = self.clone();
        let run = |running: RunningReply| {
            self.tasks.spawn(async move {
                let transport = &server.transport;
                let Ending {
                    slot,
                    _chain,
                    deadline,
                    taker,
                    is_of_component,
                } = ending;
                match (work.await, taker) {
                    (Ok(body), Some(taker)) if !body.handles.is_empty() => {
                        let from = Source::Component(slot.component().id.clone());
                        let passed = (body, Holder::Local(from), taker);
                        Box::pin(transport.reply_passing(running, passed, deadline)).await;
                    }
                    (result, _) => match result.and_then(Body::plain) {
                        Ok(result) if transport.needs_session(&result) => {
                            let callee = is_of_component.then_some(&slot.component().id);
                            let result = result.into();
                            let reply =
                                transport.reply_in_session(running, result, callee, deadline);
                            Box::pin(reply).await;
                        }
                        result => running.reply(transport, result),
                    },
                }
                // Only now is the call over: a drain that waits for the last one may flush the
                // replies next.
                drop(slot);
            })
        };
        path.run(id, run);
    }
}

/// The parts of a call that its reply needs.
pub(super) struct Ending {
    slot: QueueSlot,
    _chain: Option<ReceivedChain>,
    deadline: Instant,
    /// The caller, if it takes handles from the callee.
    taker: Option<Source>,
    /// Whether the callee is a component, and not what serves requests of hosts.
    is_of_component: bool,
}

impl Ending {
    pub(super) fn of(
        call: &CallEnvelope,
        (slot, chain): (QueueSlot, Option<ReceivedChain>),
        deadline: Instant,
    ) -> Self {
        Self {
            slot,
            _chain: chain,
            deadline,
            taker: call.instance.map(|_| call.source.clone()),
            is_of_component: !matches!(call.source, Source::Host(_)),
        }
    }
}

fn request(
    call: CallEnvelope,
    (granted, context): (Granted, Context),
    (caller, handles): (CallerInstance, Handles),
) -> Request {
    Request {
        component: call.target,
        function: call.function,
        source: call.source,
        link: granted.link,
        wormhole_link: granted.wormhole_link,
        args: call.args,
        handles,
        caller,
        context,
    }
}

/// Returns the instance that calls, in this boot of another host.
fn caller(call: &CallEnvelope, from: &Origin) -> CallerInstance {
    match call.instance {
        Some(number) => CallerInstance::Remote(from.clone(), number),
        None => CallerInstance::Elsewhere,
    }
}
