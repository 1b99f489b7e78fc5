//! Calls whose arguments don't fit a message, or have streams in them: the call opens a session,
//! and sends them in it.

use super::{Client, OutgoingCall, exchange::WaitingCall};
use crate::{
    call::{CallError, Ran},
    name::HostId,
    server::running,
    stream::Reader,
    transport::{
        PeerConn,
        in_flight::{NewCall, Outcome, ResponseFuture},
        large_result::VALUE,
        session::{Broken, RESEND, Refused, SendHalf, Terms},
        streams::SharedSession,
    },
    wire::{ChainMark, Opening},
};
use bytes::BytesMut;
use std::{future::poll_fn, pin::pin, task::Poll};
use tokio::time::{Instant, sleep};

/// Bytes of the envelope of a call without its arguments and the marks of its chain, at most.
const ENVELOPE: usize = 336;

impl Client {
    /// Calls a component on another host with arguments that don't fit a message, or with streams
    /// in these channels. Streams go on after the call.
    ///
    /// The callee runs once it has all arguments. So whatever happens before the end of them is
    /// sent, the call did not run.
    pub(super) async fn call_in_session(
        &self,
        peer: &PeerConn,
        call: &OutgoingCall<'_>,
        attempt: u8,
        streams: Vec<(u32, Reader)>,
    ) -> running::Outcome {
        let _counted = peer.count_call();
        let terms = if streams.is_empty() {
            Terms::until(call.context.deadline)
        } else {
            Terms::default()
        };
        let refused = |refused| not_opened(refused, peer, call);
        let opened = peer
            .sessions()
            .map_err(Refused::Broken)
            .and_then(|sessions| sessions.open(terms, call.source.component()))
            .and_then(|session| Ok((session.open_channel(VALUE)?, session)));
        let (half, session) = opened.map_err(refused)?;
        let opening = Opening {
            session: session.number(),
            size: call.args.len() as u64,
        };
        // If this is dropped before the callee has all arguments, the session is broken off. The
        // callee may not have heard of the call.
        let session = SharedSession::share(session, &peer.peer, streams, &self.transport.streams);
        let session = session.map_err(refused)?;
        let sending = Sending {
            peer,
            call,
            attempt,
            opening,
            marks: call.context.marks(),
        };
        let response = self.send_opening(&sending).await?;
        let waiting = WaitingCall::new(&self.transport, peer, response.id);
        let mut sent = Sent::Part;
        let outcome = exchange(response, sending, half, &mut sent).await;
        if outcome.is_ok() || sent == Sent::Acknowledged {
            session.has_arrived();
        }
        let result = match outcome {
            Ok(reply) => self.result_of(peer, call, reply).await,
            Err(error) if sent != Sent::Part => Err(may_have_run(error)),
            Err(error) => Err(did_not_run(error, &peer.peer.host)),
        };
        waiting.has_ended();
        result
    }

    async fn send_opening(
        &self,
        sending: &Sending<'_, '_>,
    ) -> Result<ResponseFuture<'_>, CallError> {
        let Sending { peer, call, .. } = *sending;
        // The task that opens the slot is the one that awaits it, in this very poll.
        let caller = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        let new = NewCall {
            peer: peer.token,
            since: Instant::now(),
            deadline: call.context.deadline,
            caller,
        };
        let sent = peer.send_uncounted(
            sending.size(),
            |frame| self.transport.in_flight.open(new, frame),
            |response, buffer| sending.encode(response.id, buffer),
        );
        let response = sent.map_err(|refused| super::exchange::not_queued(refused, peer, call))?;
        if response.is_due_early {
            self.transport.new_deadline.notify_one();
        }
        Ok(response)
    }
}

/// How much of the arguments was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Part,
    All,
    /// The callee has all of them.
    Acknowledged,
}

/// A call that opens a session.
struct Sending<'p, 'c> {
    peer: &'p PeerConn,
    call: &'p OutgoingCall<'c>,
    attempt: u8,
    opening: Opening,
    marks: Vec<ChainMark>,
}

impl Sending<'_, '_> {
    /// About how many bytes the envelope has.
    fn size(&self) -> usize {
        ENVELOPE + ChainMark::len_of(&self.marks)
    }

    fn encode(&self, id: u64, buffer: &mut BytesMut) {
        let (call, now) = ((id, self.attempt), Instant::now());
        let mut parts = self.call.parts(call, &self.marks, now);
        parts.session = Some(self.opening);
        parts.args = &[];
        parts.encode_into(buffer);
    }

    /// Sends the arguments. Until the callee has accepted the session, the call may be lost, and is
    /// sent again; the callee takes it once. Sets `sent` with the end of the arguments, and fails
    /// only before that.
    async fn send(self, id: u64, mut half: SendHalf, sent: &mut Sent) -> Result<(), Broken> {
        half.accepted(|| {
            let encode = |(): &(), buffer: &mut _| self.encode(id, buffer);
            // A full queue empties, or its peer is gone.
            let _ = self.peer.send_uncounted(self.size(), |_| Some(()), encode);
        })
        .await?;
        half.send_all(self.call.args.clone()).await?;
        half.end()?;
        // From here on, the callee may run.
        *sent = Sent::All;
        // The end is sent again until it is acknowledged.
        if half.complete().await.is_ok() {
            *sent = Sent::Acknowledged;
        }
        Ok(())
    }
}

/// Sends the arguments, and waits for the reply, which may come before.
async fn exchange(
    response: ResponseFuture<'_>,
    sending: Sending<'_, '_>,
    half: SendHalf,
    sent: &mut Sent,
) -> Outcome {
    let (id, host) = (response.id, &sending.peer.peer.host);
    let arguments = async {
        let broken = sending.send(id, half, sent).await.err()?;
        if broken == Broken::Forgotten {
            // That the callee doesn't know the session may overtake its reply, which says why.
            sleep(RESEND).await;
        }
        error_of(broken, host)
    };
    let (mut response, mut arguments) = (pin!(response), pin!(arguments));
    let mut is_sending = true;
    poll_fn(|context| {
        let reply = response.as_mut().poll(context);
        if reply.is_ready() {
            return reply;
        }
        if is_sending && let Poll::Ready(error) = arguments.as_mut().poll(context) {
            is_sending = false;
            if let Some(error) = error {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Pending
    })
    .await
}

/// The error of a call whose arguments could not be sent; `None` if a better one comes as its
/// reply, or from the failure detector.
fn error_of(broken: Broken, host: &HostId) -> Option<CallError> {
    match broken {
        Broken::Dropped | Broken::PeerLost | Broken::Deadline => None,
        Broken::Forgotten => Some(CallError::HostGone { host: host.clone() }),
        Broken::Disconnected
        | Broken::Closed
        | Broken::Unacknowledged
        | Broken::Idle
        | Broken::Violation => Some(CallError::Disconnected { ran: Ran::Maybe }),
    }
}

fn not_opened(refused: Refused, peer: &PeerConn, call: &OutgoingCall<'_>) -> CallError {
    match (refused, call.source.component()) {
        (Refused::Broken(Broken::PeerLost), _) => CallError::HostGone {
            host: peer.peer.host.clone(),
        },
        (Refused::Broken(_), _) => CallError::Disconnected { ran: Ran::No },
        // It is the caller that has too many, so that no other host can take the call either.
        (Refused::TooManyOfComponent { most }, Some(component)) => CallError::TooManySessions {
            component: component.clone(),
            limit: most as u64,
        },
        _ => CallError::Overloaded {
            component: call.target.clone(),
        },
    }
}

/// The error of a call whose arguments were all sent. That a frame was not sent is said of the
/// first one that opened the session, and a later one may have opened it.
fn may_have_run(error: CallError) -> CallError {
    match error {
        CallError::HostGone { host } => CallError::HostLost { host },
        CallError::Disconnected { .. } => CallError::Disconnected { ran: Ran::Maybe },
        error => error,
    }
}

/// The error of a call whose arguments were not all sent: the callee can't have run.
fn did_not_run(error: CallError, callee: &HostId) -> CallError {
    match error {
        CallError::HostLost { host } => CallError::HostGone { host },
        // It has lost this host, or was about to stop. Another one can take the call.
        CallError::InstanceLost { .. } => CallError::HostGone {
            host: callee.clone(),
        },
        CallError::DeadlineExceeded { .. } => CallError::DeadlineExceeded { ran: Ran::No },
        error if error.ran() == Ran::Maybe => CallError::Disconnected { ran: Ran::No },
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_all_of_its_arguments_did_not_run() {
        let host = HostId::new("h").expect("a host");
        // Another host can take the call.
        let gone = CallError::HostGone { host: host.clone() };
        let lost = CallError::InstanceLost {
            reason: String::new(),
        };
        let late = |ran| CallError::DeadlineExceeded { ran };
        let away = |ran| CallError::Disconnected { ran };
        for (error, expected) in [
            (CallError::HostLost { host: host.clone() }, gone.clone()),
            (lost, gone),
            (late(Ran::Maybe), late(Ran::No)),
            (away(Ran::Maybe), away(Ran::No)),
            (CallError::LinkTableBehind, CallError::LinkTableBehind),
        ] {
            let certain = did_not_run(error, &host);
            assert_eq!(certain, expected);
            assert_eq!(certain.ran(), Ran::No, "{certain:?}");
        }
    }

    #[test]
    fn a_call_with_all_of_its_arguments_may_have_run_whatever_became_of_its_first_frame() {
        let host = HostId::new("h").expect("a host");
        for error in [
            CallError::HostGone { host },
            CallError::Disconnected { ran: Ran::No },
        ] {
            assert_eq!(may_have_run(error.clone()).ran(), Ran::Maybe, "{error:?}");
        }
        let refused = CallError::LinkTableBehind;
        assert_eq!(may_have_run(refused.clone()), refused);
    }
}
