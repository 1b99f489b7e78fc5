//! Receives the items of sessions.

use super::{
    super::{Transport, overflow::Overflow, peer::PeerConn},
    peer::PeerSessions,
};
use crate::{
    bus::{Message, Subscription},
    wire::Kind,
};
use futures_util::{FutureExt as _, StreamExt as _};
use std::sync::Arc;

/// Frames that are read before their senders are told what was received.
const BATCH: usize = 64;

/// Reads items of sessions for as long as the node lives.
pub(crate) async fn run(transport: Arc<Transport>, mut items: Subscription) {
    let mut overflow = Overflow::default();
    let mut changed: Vec<Arc<PeerSessions>> = Vec::new();
    while let Some(message) = items.next().await {
        take(&transport, message, &mut changed);
        for _ in 1..BATCH {
            let Some(Some(message)) = items.next().now_or_never() else {
                break;
            };
            take(&transport, message, &mut changed);
        }
        overflow.report(items.dropped(), "steps of sessions");
        for sessions in changed.drain(..) {
            sessions.tell();
        }
        // A peer that sends without pause must not keep this thread from others.
        tokio::task::yield_now().await;
    }
}

fn take(transport: &Arc<Transport>, message: Message, changed: &mut Vec<Arc<PeerSessions>>) {
    let Some(frame) = transport.endpoint.open(message) else {
        return;
    };
    let refuse = |what: &str| transport.endpoint.refuse(what);
    if frame.kind() != Kind::Session {
        return refuse(&format!(
            "a frame of kind {} among the sessions",
            frame.kind()
        ));
    }
    // A peer without a connection has sessions that this end has forgotten, and has to learn that.
    let known = transport.peers().get(frame.sender()).cloned();
    let conn: Arc<PeerConn> = known.unwrap_or_else(|| transport.peer(frame.sender()));
    conn.liveness.mark_received();
    let Ok(sessions) = conn.sessions() else {
        return;
    };
    sessions.take(frame.envelopes(), refuse);
    if !changed.iter().any(|one| Arc::ptr_eq(one, sessions)) {
        changed.push(sessions.clone());
    }
}
