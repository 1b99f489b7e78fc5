//! One call from another host: decoded, admitted, run, and answered.

use super::{
    super::{
        Arguments, Server, admission::Admitted, blocking, component::Progress, queue::QueueSlot,
    },
    backlog::{Arrived, Runner},
};
use crate::{
    budget::Held,
    call::{CallError, Context, Part, Ran},
    link::Link,
    serve::{CallerInstance, Request},
    stream::Body,
    transport::{
        CallResult,
        reply_path::{ReplyFlush, ReplyPath, RunningReply},
    },
    wire::{CallEnvelope, Cancel, EnvelopeError, Kind, Names, envelope_id},
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
            self.run_apart(path, admitted, true);
            return None;
        }
        if !self.has_seen_link(&admitted.call) {
            self.run_apart(path, admitted, false);
            return None;
        }
        let link = match self.granted(&admitted.component, &admitted.call) {
            Ok(link) => link,
            Err(error) => return self.transport.reply(path, id, Err(error)),
        };
        let Admitted {
            component,
            slot,
            call,
            context,
        } = admitted;
        let now = Instant::now();
        *runner.runs.lock() = Some(component.clone());
        let progress = component.begin(request(call, link, context), now);
        *runner.runs.lock() = None;
        component.blocking.kept_runner(&component.id, now.elapsed());
        match progress {
            Progress::Done(result) => match plain(result) {
                Ok(result) if self.transport.needs_session(&result) => {
                    let done = std::future::ready(Ok(result));
                    self.spawn(path, id, (slot, context.deadline), done.boxed());
                    None
                }
                result => self.transport.reply(path, id, result),
            },
            progress => {
                let work = async move { plain(component.finish(progress).await) };
                self.spawn(path, id, (slot, context.deadline), work.boxed());
                None
            }
        }
    }

    /// Runs all of a call in a task of its own.
    fn run_apart(self: &Arc<Self>, path: &Arc<ReplyPath>, admitted: Admitted, may_block: bool) {
        let Admitted {
            component,
            slot,
            call,
            context,
        } = admitted;
        let (server, id, deadline) = (self.clone(), call.id, context.deadline);
        let work = async move {
            server.wait_for_link(&call, deadline).await?;
            let link = server.granted(&component, &call)?;
            let request = request(call, link, context);
            plain(component.run(request, Instant::now()).await)
        };
        let work = if may_block {
            blocking::apart(work).boxed()
        } else {
            work.boxed()
        };
        self.spawn(path, id, (slot, deadline), work);
    }

    /// Runs `work` in a task of its own, which then replies, by the deadline.
    pub(super) fn spawn(
        self: &Arc<Self>,
        path: &Arc<ReplyPath>,
        id: u64,
        (slot, deadline): (QueueSlot, Instant),
        work: BoxFuture<'static, CallResult>,
    ) {
        let server = self.clone();
        let run = |running: RunningReply| {
            self.tasks.spawn(async move {
                let transport = &server.transport;
                match work.await {
                    Ok(result) if transport.needs_session(&result) => {
                        Box::pin(transport.reply_in_session(running, result, deadline)).await;
                    }
                    result => running.reply(transport, result),
                }
                // Only now is the call over: a drain that waits for the last one may flush the
                // replies next.
                drop(slot);
            })
        };
        path.run(id, run);
    }
}

pub(super) fn request(call: CallEnvelope, link: Option<Arc<Link>>, context: Context) -> Request {
    Request {
        component: call.target,
        function: call.function,
        source: call.source,
        link,
        args: call.args,
        handles: Vec::new(),
        caller: CallerInstance::Elsewhere,
        context,
    }
}

/// A caller on another host takes only plain values.
pub(super) fn plain(result: Result<Body, CallError>) -> CallResult {
    result.and_then(Body::plain)
}
