//! A call to one replica: in this process, or over the bus.

use super::{Client, OutgoingCall, call::Permission};
use crate::{
    call::{CallError, Ran},
    serve::Request,
    server::{
        Arguments,
        component::RunningComponent,
        running::{Outcome, Progress},
    },
    stream::{self, Body, Holder},
    trace,
    transport::{
        PeerConn, Reply, Transport,
        in_flight::NewCall,
        lane::lane_of,
        send_queue::NotQueued,
        session::Terms,
        streams::{Encoded, Opened, Unfit},
    },
    wire::{ChainMark, Lane, Source},
};
use bytes::Bytes;
use std::{future::poll_fn, mem, task::Poll};
use tokio::time::{Instant, timeout_at};

/// An upper bound for the bytes of an envelope in addition to the arguments and the marks of its
/// chain: fixed fields and names.
const ENVELOPE: usize = 320;

impl Client {
    /// Calls a component in this process: no frame, no bus, no task.
    pub(super) async fn call_component(
        &self,
        component: &RunningComponent,
        call: &mut OutgoingCall<'_>,
        now: Instant,
    ) -> Outcome {
        if matches!(call.permission, Permission::Own) {
            self.server.allow_operator(&component.id)?;
        }
        let arguments = Arguments::of_this_process(&call.args);
        let function = call.function;
        let _slot =
            RunningComponent::admit(component, &call.context, arguments).inspect_err(|error| {
                let link = call.permission.link().map(|grant| &grant.link);
                component.note_refused((call.source, link), function.key(), error);
            })?;
        if component.exports.interface_of(function.key()).is_none() {
            return Err(CallError::not_exported(
                call.target,
                function.interface(),
                function.function(),
            ));
        }
        let mut handles = mem::take(&mut call.handles);
        let lent = if handles.is_empty() {
            None
        } else {
            let from = Holder::Local(call.source.clone());
            let to = Holder::Local(Source::Component(call.target.clone()));
            Some(stream::pass(&mut handles, &from, &to)?)
        };
        let mut request = Request {
            component: call.target.clone(),
            function: function.key(),
            source: call.source.clone(),
            link: call.permission.link().map(|grant| grant.link.clone()),
            wormhole_link: call.permission.wormhole_link().cloned(),
            args: call.args.clone(),
            handles,
            caller: call.caller.clone(),
            context: call.context,
        };
        let result = if trace::is_sampled_of(&request.source, &mut request.context) {
            Box::pin(component.run_sampled(request, now)).await
        } else {
            let mut progress = component.begin(request, now);
            component.advance(&mut progress, now).await;
            match progress {
                Progress::Done(result) => result,
                // Boxed, so that a call which never waits doesn't carry the state of one that does.
                progress => Box::pin(component.finish(progress)).await,
            }
        };
        drop(lent);
        let Body { bytes, handles } = result?;
        let bytes = self.transport.fitting(Ok(bytes))?;
        let body = Body { bytes, handles };
        if body.handles.is_empty() {
            return Ok(body);
        }
        let from = Holder::Local(Source::Component(call.target.clone()));
        stream::pass_back(body, &from, &Holder::Local(call.source.clone()))
    }

    /// Calls a component on another host. `now` is the time at which the call was routed there.
    pub(super) async fn call_remote(
        &self,
        peer: &PeerConn,
        call: &OutgoingCall<'_>,
        attempt: u8,
        mut now: Instant,
    ) -> Outcome {
        let has_dropped = self.send_drops(&peer.peer, call.source).await;
        if self.transport.endpoint.needs_session(call.args.len()) {
            return Box::pin(self.call_in_session(peer, call, attempt, Vec::new())).await;
        }
        let marks = call.context.marks();
        let size = call.args.len() + ENVELOPE + ChainMark::len_of(&marks);
        let deadline = call.context.deadline;
        let permit = match lane_of(size) {
            Lane::Small => None,
            Lane::Bulk => {
                if has_dropped {
                    // They are in the other lane, and leave before this call.
                    peer.flush_small();
                }
                match Box::pin(timeout_at(deadline, peer.permit(size))).await {
                    Ok(permit) => Some(permit),
                    Err(_) => return Err(CallError::DeadlineExceeded { ran: Ran::No }),
                }
            }
        };
        let _counted = peer.count_call();
        if has_dropped || permit.is_some() {
            // It may have waited.
            now = Instant::now();
        }
        // The task that opens the slot is the one that awaits it, in this very poll.
        let caller = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        let new = NewCall {
            peer: peer.token,
            since: now,
            deadline,
            caller,
        };
        let sent = peer.send(
            size,
            |frame| self.transport.in_flight.open(new, frame),
            |response, buffer| {
                let parts = call.parts((response.id, attempt), &marks, now);
                parts.encode_into(buffer);
            },
        );
        let response = sent.map_err(|refused| not_queued(refused, peer, call))?;
        if response.is_due_early {
            self.transport.new_deadline.notify_one();
        }
        let waiting = WaitingCall::new(&self.transport, peer, response.id);
        let result = match response.await {
            Ok(Reply::Whole(result)) => Ok(result.into()),
            Ok(reply) => Box::pin(self.result_of(peer, call, reply)).await,
            Err(error) => Err(error),
        };
        waiting.has_ended();
        result
    }

    /// Calls a component on another host with handles in the arguments, once.
    pub(super) async fn pass_remote(
        &self,
        peer: &PeerConn,
        call: &mut OutgoingCall<'_>,
    ) -> Outcome {
        let (bytes, handles) = (mem::take(&mut call.args), mem::take(&mut call.handles));
        let (from, by) = (Holder::Local(call.source.clone()), call.context.deadline);
        let body = Body { bytes, handles };
        let callee = Source::Component(call.target.clone());
        let to = (&peer.peer, &callee);
        let encoded = self.transport.streams.encode(body, &from, to, by);
        let Encoded {
            bytes,
            streams,
            resources,
        } = encoded.map_err(|error| match error {
            // It is the caller's own resource, and the call did not run.
            CallError::LimitExceeded { reason, .. } => CallError::BadArguments { reason },
            error => error,
        })?;
        call.args = bytes;
        call.passing.has_handles = true;
        let result = match self.check(call) {
            Err(error) => Err(error),
            Ok(now) if streams.is_empty() => self.call_remote(peer, call, 0, now).await,
            Ok(_) => {
                self.send_drops(&peer.peer, call.source).await;
                self.call_in_session(peer, call, 0, streams).await
            }
        };
        let ended = result.as_ref().map(|_| ()).map_err(CallError::ran);
        resources.settle(ended);
        result
    }

    /// Returns the result of a call, which a session may still have to carry.
    pub(super) async fn result_of(
        &self,
        peer: &PeerConn,
        call: &OutgoingCall<'_>,
        reply: Reply,
    ) -> Outcome {
        let (caller, deadline) = (call.source.component(), call.context.deadline);
        match reply {
            Reply::Whole(result) => Ok(result.into()),
            Reply::Passed(result) => self.take_handles(peer, call, result, None).await,
            Reply::InSession(opening) => {
                let terms = (Terms::until(deadline), deadline);
                let received = self.transport.receive_result(peer, opening, caller, terms);
                let (result, session) = received.await?;
                session.has_arrived();
                Ok(result.into())
            }
            Reply::PassedInSession(opening) => {
                // Its streams go on after the call.
                let terms = (Terms::default(), deadline);
                let received = self.transport.receive_result(peer, opening, caller, terms);
                let (result, session) = received.await?;
                self.take_handles(peer, call, result, Some(session)).await
            }
        }
    }

    /// Takes the handles in a result, for the caller. Those for which the function's type has no
    /// place are dropped, and the streams among them end.
    async fn take_handles(
        &self,
        peer: &PeerConn,
        call: &OutgoingCall<'_>,
        result: Bytes,
        session: Option<Opened>,
    ) -> Outcome {
        let to = Holder::Local(call.source.clone());
        let way = (&peer.peer, &to, call.context.deadline);
        let shared = session.as_ref().and_then(Opened::shared);
        let arrived = self.transport.streams.decode(result, shared, way).await;
        let arrived = arrived.map_err(Unfit::of_result)?;
        if !arrived.loans.is_empty() {
            return Err(CallError::BadResult {
                reason: "it lends a resource".to_owned(),
            });
        }
        if !arrived.body.handles.is_empty() && !call.function.places().result {
            stream::discard(arrived.body.handles, &to);
            return Err(stream::unplaced_result());
        }
        if let Some(session) = session {
            session.has_arrived();
        }
        Ok(arrived.body)
    }
}

/// The error of a call that could not be queued.
pub(super) fn not_queued(
    refused: NotQueued,
    peer: &PeerConn,
    call: &OutgoingCall<'_>,
) -> CallError {
    match refused {
        NotQueued::Full => CallError::Overloaded {
            component: call.target.clone(),
        },
        NotQueued::Closed => CallError::HostGone {
            host: peer.peer.host.clone(),
        },
    }
}

/// A call that waits for its reply. If it is dropped before it has ended, the caller has dropped
/// the call, and this sends a cancellation to the callee, and drops the handles of a result that
/// has come.
pub(super) struct WaitingCall<'p> {
    transport: &'p Transport,
    peer: &'p PeerConn,
    id: u64,
}

impl<'p> WaitingCall<'p> {
    /// To be created before the response is awaited.
    pub(super) fn new(transport: &'p Transport, peer: &'p PeerConn, id: u64) -> Self {
        Self {
            transport,
            peer,
            id,
        }
    }

    pub(super) fn has_ended(self) {
        std::mem::forget(self);
    }
}

impl Drop for WaitingCall<'_> {
    fn drop(&mut self) {
        self.peer.cancel(self.id);
        // The response was dropped before this.
        self.transport.refuse_unclaimed();
    }
}
