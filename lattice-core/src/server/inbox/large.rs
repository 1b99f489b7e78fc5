//! Calls whose arguments a session carries: admitted at once, and run when all arguments are here.

use super::{
    super::{Arguments, Server, admission::Admitted, blocking},
    calls::Ending,
};
use crate::{
    call::{CallError, Part, Ran},
    name::ComponentId,
    transport::{
        PeerConn,
        large_result::VALUE,
        reply_path::{ReplyFlush, ReplyPath},
        session::{Broken, Refused, Session, Terms, Window},
        streams::{Opened, SharedSession},
    },
    wire::{CallEnvelope, Opening, Source},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// How long the arguments of a call may stand still. Their memory is held for them.
const IDLE: Duration = Duration::from_secs(10);

impl Server {
    /// Takes a call that opens a session. Returns what has to be flushed, if it is refused.
    pub(super) fn take_call_in_session(
        self: &Arc<Self>,
        path: &Arc<ReplyPath>,
        call: CallEnvelope,
        opening: Opening,
        received: Instant,
    ) -> Option<ReplyFlush> {
        let (id, conn) = (call.id, self.transport.peer(&path.caller));
        if !path.opens(opening.session) {
            // Its caller has sent it again. If it was refused, that reply may have been lost.
            refuse(&conn, opening);
            return None;
        }
        let session = match accept(&conn, &call, opening, received) {
            Ok(session) => session,
            Err(Refused::Repeated) => {
                refuse(&conn, opening);
                return None;
            }
            Err(_) => {
                let component = call.target;
                let refused = Err(CallError::Overloaded { component });
                return self.transport.reply(path, id, refused);
            }
        };
        match self.admit_in_session(path, call, opening.size, received) {
            Ok((admitted, size)) => {
                let streams = &self.transport.streams;
                let session = SharedSession::accepted(session, &path.caller, streams);
                self.run_in_session(path, admitted, session, size);
                None
            }
            Err(error) => self.transport.reply(path, id, Err(error)),
        }
    }

    fn admit_in_session(
        &self,
        path: &ReplyPath,
        call: CallEnvelope,
        size: u64,
        received: Instant,
    ) -> Result<(Admitted, usize), CallError> {
        let limit = self.transport.endpoint.max_value();
        let fits = usize::try_from(size).ok().filter(|size| *size <= limit);
        let size = fits.ok_or(CallError::TooLarge {
            what: Part::Arguments,
            limit: limit as u64,
        })?;
        let held = path.announce(size).ok_or_else(|| CallError::Overloaded {
            component: call.target.clone(),
        })?;
        let arguments = Arguments::in_session(size, held);
        let admitted = self.admit(call, &path.caller, received, arguments)?;
        Ok((admitted, size))
    }

    fn run_in_session(
        self: &Arc<Self>,
        path: &Arc<ReplyPath>,
        admitted: Admitted,
        session: Opened,
        size: usize,
    ) {
        let Admitted {
            component,
            slot,
            mut call,
            context,
            chain,
        } = admitted;
        let (server, id, deadline) = (self.clone(), call.id, context.deadline);
        let ending = Ending::of(&call, (slot, chain), deadline);
        let from = path.caller.clone();
        let runs_apart = component.blocking.runs_apart();
        let work = async move {
            server.wait_for_link(&call, deadline).await?;
            let granted = server.granted(&component, &call)?;
            let arguments = receive(&session, size, deadline, &call.target);
            let arguments = component.unless_cut_off(arguments).await;
            call.args = arguments??;
            let granted = (granted, context);
            let run = async move {
                let by = (&from, Some(session));
                server.run_call(&component, call, granted, by).await
            };
            if runs_apart {
                blocking::apart(run).await
            } else {
                run.await
            }
        };
        self.spawn(path, id, ending, work.boxed());
    }
}

/// Has the caller learn that its session isn't open here, in case it isn't.
fn refuse(conn: &PeerConn, opening: Opening) {
    if let Ok(sessions) = conn.sessions() {
        sessions.refuse(opening.session);
    }
}

/// Accepts the session of a call.
fn accept(
    conn: &PeerConn,
    call: &CallEnvelope,
    opening: Opening,
    received: Instant,
) -> Result<Session, Refused> {
    let terms = if call.has_handles {
        // Its streams go on after the call.
        Terms::default()
    } else {
        Terms {
            idle: Some(IDLE),
            ..Terms::until(received + call.deadline_left)
        }
    };
    let component = match call.source {
        Source::Host(_) => None,
        _ => Some(&call.target),
    };
    let sessions = conn.sessions().map_err(Refused::Broken);
    sessions.and_then(|sessions| sessions.accept(opening.session, terms, component))
}

/// Receives the arguments. Without all of them, the call doesn't run.
async fn receive(
    session: &Opened,
    size: usize,
    deadline: Instant,
    target: &ComponentId,
) -> Result<Bytes, CallError> {
    let missing = |broken| match broken {
        Broken::Deadline => CallError::DeadlineExceeded { ran: Ran::No },
        _ => CallError::Disconnected { ran: Ran::No },
    };
    let mut half = session
        .receive(VALUE, Window::BULK)
        .map_err(|refused| match refused {
            Refused::Broken(broken) => missing(broken),
            Refused::TooMany
            | Refused::TooManyOfComponent { .. }
            | Refused::NoMemory
            | Refused::Repeated => CallError::Overloaded {
                component: target.clone(),
            },
        })?;
    match timeout_at(deadline, half.collect_within(size, IDLE)).await {
        Ok(received) => received.map_err(missing),
        Err(_) => Err(CallError::DeadlineExceeded { ran: Ran::No }),
    }
}
