//! Reading calls from other hosts, running them, and sending the replies.
//!
//! ```text
//!             reader ─────────► backlog ─────────► runner ─────────► task of a call that takes time
//!  opens frames, answers   calls by arrival   runs each call as
//!  probes; runs no code                       far as it goes
//!  of components                              without waiting
//! ```
//! A call that a provider completes at once costs no task, and all replies to a batch leave
//! together. The reader never runs the code of a component, so that probes are answered whatever a
//! component does. A component may block the runner. The [`watch`] notices within some 20 ms, and
//! starts another runner, which goes on with the next call. The blocked runner ends with its call.

mod backlog;
mod calls;
mod large;
mod watch;

use super::Server;
use crate::{
    bus::{Message, Subscription},
    transport::overflow::Overflow,
    wire::Kind,
};
use backlog::Backlog;
use futures_util::{FutureExt as _, StreamExt as _};
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;

/// Frames that are read before the runner is woken.
const BATCH: usize = 64;

/// Takes calls and probes for as long as the node lives.
pub(crate) async fn run(server: Arc<Server>, inbox: Subscription) {
    let backlog = Arc::new(Backlog::new(server));
    // A task of its own, so that a full inbox can't keep it from running.
    let watched = backlog.clone();
    let _watch = AbortOnDropHandle::new(tokio::spawn(async move { watch::run(&watched).await }));
    read(&backlog, inbox).await;
}

async fn read(backlog: &Backlog, mut inbox: Subscription) {
    let mut overflow = Overflow::default();
    while let Some(message) = inbox.next().await {
        take(backlog, message);
        for _ in 1..BATCH {
            let Some(Some(message)) = inbox.next().now_or_never() else {
                break;
            };
            take(backlog, message);
        }
        overflow.report(inbox.dropped(), "calls");
        backlog.wake();
    }
}

fn take(backlog: &Backlog, message: Message) {
    let transport = &backlog.server.transport;
    let received = message.received;
    let Some(frame) = transport.endpoint.open(message) else {
        return;
    };
    match frame.kind() {
        Kind::Call | Kind::Cancel => backlog.push(&frame, received),
        Kind::Probe => transport.acknowledge(&frame),
        other => {
            let what = format!("a frame of kind {other:?} in the inbox for calls");
            transport.endpoint.refuse(&what);
        }
    }
}
