//! Results that don't fit a message, or have streams in them: the callee opens a session with its
//! reply, and sends the result in it.

use super::{
    PeerConn, Transport,
    reply_path::RunningReply,
    reply_reader::too_many_results,
    session::{Broken, Refused, SendHalf, Terms, Window},
    streams::{Encoded, Opened, SharedSession},
};
use crate::{
    budget::Held,
    call::{CallError, Part, Ran},
    id::Source,
    name::ComponentId,
    stream::{Body, Holder, Reader},
    wire::Opening,
};
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// The channel of the opener that carries arguments or a result.
pub(crate) const VALUE: u32 = 0;

/// A result for a session.
#[derive(Debug)]
pub(crate) struct LargeResult {
    bytes: Bytes,
    has_handles: bool,
    streams: Vec<(u32, Reader)>,
}

impl From<Bytes> for LargeResult {
    fn from(bytes: Bytes) -> Self {
        Self {
            bytes,
            has_handles: false,
            streams: Vec::new(),
        }
    }
}

/// What became of a result that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The caller has it, or gets it by the deadline of its call.
    Sent,
    /// It was not sent at all.
    NotSent,
    /// The caller may have had it, and gets it no more.
    CutOff,
}

/// The session of a result, and the value that is sent in it.
struct Sending {
    opening: Opening,
    session: Opened,
    half: SendHalf,
    _held: Held,
}

impl Transport {
    /// Sends a result with handles in it, which the component `from` gives to the caller.
    pub(crate) async fn reply_passing(
        self: &Arc<Self>,
        running: RunningReply,
        (body, from, to): (Body, Holder, Source),
        deadline: Instant,
    ) {
        let callee = match &from {
            Holder::Local(source) => source.component().cloned(),
            Holder::Host(_) | Holder::OnTheWay => None,
        };
        let way = (running.caller(), &to);
        let encoded = self.streams.encode(body, &from, way, deadline);
        let encoded = encoded.map_err(|error| match error {
            error @ CallError::LimitExceeded { .. } => error,
            error => CallError::BadResult {
                reason: error.to_string(),
            },
        });
        let Encoded {
            bytes,
            streams,
            resources,
        } = match encoded {
            Ok(encoded) => encoded,
            Err(error) => return running.reply(self, Err(error)),
        };
        let delivery = match self.fitting(Ok(bytes)) {
            Ok(bytes) if streams.is_empty() && !self.needs_session(&bytes) => {
                running.reply_passed(self, bytes);
                Delivery::Sent
            }
            Ok(bytes) => {
                let result = LargeResult {
                    bytes,
                    has_handles: true,
                    streams,
                };
                self.reply_in_session(running, result, callee.as_ref(), deadline)
                    .await
            }
            Err(error) => {
                running.reply(self, Err(error));
                Delivery::NotSent
            }
        };
        match delivery {
            // There is no reply to a reply, so the caller's host is asked for them later.
            Delivery::Sent => resources.were_sent(),
            Delivery::NotSent => resources.settle(Err(Ran::No)),
            Delivery::CutOff => drop(resources),
        }
    }

    /// Sends a result of a component, or of none, in a session, and waits until the caller has it,
    /// by the deadline of the call. Dropping it breaks the session. Streams go on after that.
    /// Returns what became of it.
    pub(crate) async fn reply_in_session(
        self: &Arc<Self>,
        running: RunningReply,
        result: LargeResult,
        callee: Option<&ComponentId>,
        deadline: Instant,
    ) -> Delivery {
        let LargeResult {
            bytes,
            has_handles,
            streams,
        } = result;
        let conn = self.peer(running.caller());
        let Sending {
            opening,
            session,
            half,
            _held,
        } = match self.open_for_result(&conn, bytes.len(), streams, (callee, deadline)) {
            Ok(opened) => opened,
            Err(error) => {
                running.reply(self, Err(error));
                return Delivery::NotSent;
            }
        };
        let open = || {
            // A full queue empties, or its peer is gone.
            let _ = running.open_session(opening, has_handles);
        };
        let sent = send_result(open, half, bytes);
        match timeout_at(deadline, sent).await {
            Ok(Ok(())) => {
                session.has_arrived();
                Delivery::Sent
            }
            Ok(Err(broken)) => {
                tracing::debug!(%broken, host = %running.caller().host, "a large result was not delivered");
                drop(session);
                // A caller that has not accepted it doesn't know that, and would wait.
                let reason = not_delivered(broken);
                running.reply(self, Err(CallError::InstanceLost { reason }));
                Delivery::CutOff
            }
            Err(_) => {
                drop(session);
                Delivery::CutOff
            }
        }
    }

    fn open_for_result(
        &self,
        conn: &PeerConn,
        size: usize,
        streams: Vec<(u32, Reader)>,
        (callee, deadline): (Option<&ComponentId>, Instant),
    ) -> Result<Sending, CallError> {
        let too_many = |what: &str| CallError::CalleeFailed {
            reason: format!(
                "its host has too many {what} this caller; fetch results more slowly, or ask for less"
            ),
        };
        let not_opened = |refused: Refused| match refused {
            Refused::Broken(broken) => CallError::InstanceLost {
                reason: not_delivered(broken),
            },
            Refused::TooManyOfComponent { .. } => CallError::CalleeFailed {
                reason: refused.to_string(),
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
        let terms = if streams.is_empty() {
            Terms::until(deadline)
        } else {
            // Streams go on after the call.
            Terms::default()
        };
        let session = sessions.open(terms, callee).map_err(not_opened)?;
        let half = session.open_channel(VALUE).map_err(not_opened)?;
        let opening = Opening {
            session: session.number(),
            size: size as u64,
        };
        let session = SharedSession::share(session, &conn.peer, streams, &self.streams);
        Ok(Sending {
            opening,
            session: session.map_err(not_opened)?,
            half,
            _held: held,
        })
    }

    /// Receives the result of a call of a component, or of none, that `peer` sends in a session,
    /// until the terms say. Returns the session too, for the streams in the result.
    pub(crate) async fn receive_result(
        &self,
        peer: &PeerConn,
        opening: Opening,
        caller: Option<&ComponentId>,
        (terms, deadline): (Terms, Instant),
    ) -> Result<(Bytes, Opened), CallError> {
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
        let session = match sessions.accept(opening.session, terms, caller) {
            Ok(session) => session,
            Err(refused) => {
                // The callee would open it again until the deadline.
                sessions.refuse(opening.session);
                return Err(match refused {
                    Refused::Broken(broken) => lost(broken),
                    Refused::TooManyOfComponent { .. } => CallError::CalleeFailed {
                        reason: format!("its result was not taken by the caller: {refused}"),
                    },
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
        let session = SharedSession::accepted(session, &peer.peer, &self.streams);
        let received = timeout_at(deadline, half.collect(size)).await;
        match received {
            Ok(received) => Ok((received.map_err(lost)?, session)),
            Err(_) => Err(CallError::DeadlineExceeded { ran: Ran::Maybe }),
        }
    }
}

fn not_delivered(broken: Broken) -> String {
    format!("its result was not delivered: {broken}")
}

async fn send_result(open: impl Fn(), mut half: SendHalf, result: Bytes) -> Result<(), Broken> {
    open();
    half.accepted(open).await?;
    half.send_all(result).await?;
    half.end()?;
    half.complete().await
}
