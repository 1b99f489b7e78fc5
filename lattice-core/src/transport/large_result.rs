//! Results that don't fit a message: the callee opens a session with its reply, and sends the
//! result in it.

use super::{
    PeerConn, Transport,
    in_flight::CallResult,
    reply_path::RunningReply,
    reply_reader::too_many_results,
    session::{Broken, Refused, SendHalf, Session, Terms, Unfinished, Window},
};
use crate::{
    budget::Held,
    call::{CallError, Part, Ran},
    wire::Opening,
};
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// The channel of the opener that carries arguments or a result.
pub(crate) const VALUE: u16 = 0;

impl Transport {
    /// Sends a result in a session, and waits until the caller has it, by the deadline of the call.
    /// Dropping it breaks the session.
    pub(crate) async fn reply_in_session(
        self: &Arc<Self>,
        running: RunningReply,
        result: Bytes,
        deadline: Instant,
    ) {
        let conn = self.peer(running.caller());
        let (session, half, held) = match self.open_for_result(&conn, result.len(), deadline) {
            Ok(opened) => opened,
            Err(error) => return running.reply(self, Err(error)),
        };
        let opening = Opening {
            session: session.number(),
            size: result.len() as u64,
        };
        let session = Unfinished::new(session);
        let sent = send_result(&running, opening, half, result);
        match timeout_at(deadline, sent).await {
            Ok(Ok(())) => session.has_ended(),
            Ok(Err(broken)) => {
                tracing::debug!(%broken, host = %running.caller().host, "a large result was not delivered");
                drop(session);
                // A caller that has not accepted it doesn't know that, and would wait.
                let reason = not_delivered(broken);
                running.reply(self, Err(CallError::InstanceLost { reason }));
            }
            Err(_) => drop(session),
        }
        drop(held);
    }

    fn open_for_result(
        &self,
        conn: &PeerConn,
        size: usize,
        deadline: Instant,
    ) -> Result<(Session, SendHalf, Held), CallError> {
        let too_many = |what: &str| CallError::CalleeFailed {
            reason: format!(
                "its host has too many {what} this caller; fetch results more slowly, or ask for less"
            ),
        };
        let not_opened = |refused: Refused| match refused {
            Refused::Broken(broken) => CallError::InstanceLost {
                reason: not_delivered(broken),
            },
            _ => too_many("sessions with"),
        };
        if self.is_closed() {
            return Err(not_opened(Broken::Closed.into()));
        }
        let sessions = conn.sessions();
        let sessions = sessions.map_err(|broken| not_opened(broken.into()))?;
        let held = sessions.hold_result(size);
        let held = held.ok_or_else(|| too_many("results waiting for"))?;
        let session = sessions.open(Terms::until(deadline)).map_err(not_opened)?;
        let half = session.open_channel(VALUE).map_err(not_opened)?;
        Ok((session, half, held))
    }

    /// Receives the result of a call that `peer` sends in a session.
    pub(crate) async fn receive_result(
        &self,
        peer: &PeerConn,
        opening: Opening,
        deadline: Instant,
    ) -> CallResult {
        let lost = |broken| match broken {
            Broken::PeerLost => CallError::HostLost {
                host: peer.peer.host.clone(),
            },
            Broken::Deadline => CallError::DeadlineExceeded { ran: Ran::Maybe },
            Broken::Disconnected | Broken::Closed => CallError::Disconnected { ran: Ran::Maybe },
            broken => CallError::InstanceLost {
                reason: not_delivered(broken),
            },
        };
        let sessions = peer.sessions().map_err(lost)?;
        let session = match sessions.accept(opening.session, Terms::until(deadline)) {
            Ok(session) => session,
            Err(refused) => {
                // The callee would open it again until the deadline.
                sessions.refuse(opening.session);
                return Err(match refused {
                    Refused::Broken(broken) => lost(broken),
                    _ => too_many_results(),
                });
            }
        };
        let limit = self.endpoint.max_value();
        let size = usize::try_from(opening.size)
            .ok()
            .filter(|size| *size <= limit);
        let Some(size) = size else {
            session.give_up();
            return Err(CallError::TooLarge {
                what: Part::Result,
                limit: limit as u64,
            });
        };
        let held = peer.results.hold(size);
        let half = session.receive(VALUE, Window::BULK);
        let (Some(_held), Ok(mut half)) = (held, half) else {
            session.give_up();
            return Err(too_many_results());
        };
        let received = timeout_at(deadline, half.collect(size)).await;
        match received {
            Ok(received) => received.map_err(lost),
            Err(_) => Err(CallError::DeadlineExceeded { ran: Ran::Maybe }),
        }
    }
}

fn not_delivered(broken: Broken) -> String {
    format!("its result was not delivered: {broken}")
}

async fn send_result(
    running: &RunningReply,
    opening: Opening,
    mut half: SendHalf,
    result: Bytes,
) -> Result<(), Broken> {
    let open = || {
        // A full queue empties, or its peer is gone.
        let _ = running.open_session(opening);
    };
    open();
    half.accepted(open).await?;
    half.send_all(result).await?;
    half.end()?;
    half.complete().await
}
