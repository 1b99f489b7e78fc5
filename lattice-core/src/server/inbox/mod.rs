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
//! component does. A component may block the runner. The [watch] notices within some 20 ms, and
//! starts another runner, which goes on with the next call. The blocked runner ends with its call.
//!
//! A host has a backlog with a runner for each two threads of the runtime. All calls of one caller
//! are in the same one, so that they begin in the order of their arrival.

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
use tokio::runtime::Handle;
use watch::Watch;

/// Frames that are read before the runner is woken.
const BATCH: usize = 64;

/// Most runners of a host.
const MOST_RUNNERS: usize = 16;

/// Takes calls and probes for as long as the node lives.
pub(crate) async fn run(server: Arc<Server>, inbox: Subscription) {
    let backlogs = (0..runners()).map(|_| Arc::new(Backlog::new(server.clone())));
    let backlogs: Vec<_> = backlogs.collect();
    let watch = Watch::start(&backlogs);
    read(&server, &backlogs, watch, inbox).await;
}

/// Returns how many runners a host has. If components block all of them before that is noticed, the
/// other threads still send replies.
fn runners() -> usize {
    (Handle::current().metrics().num_workers() / 2).clamp(1, MOST_RUNNERS)
}

async fn read(
    server: &Server,
    backlogs: &[Arc<Backlog>],
    mut watch: Watch,
    mut inbox: Subscription,
) {
    let mut overflow = Overflow::default();
    while let Some(message) = inbox.next().await {
        take(server, backlogs, message);
        for _ in 1..BATCH {
            let Some(Some(message)) = inbox.next().now_or_never() else {
                break;
            };
            take(server, backlogs, message);
        }
        overflow.report(inbox.dropped(), "calls");
        let mut has_work = false;
        for backlog in backlogs {
            has_work |= backlog.wake();
        }
        if has_work {
            watch.wake();
        }
    }
}

fn take(server: &Server, backlogs: &[Arc<Backlog>], message: Message) {
    let transport = &server.transport;
    let received = message.received;
    let Some(frame) = transport.endpoint.open(message) else {
        return;
    };
    match frame.kind() {
        Kind::Call | Kind::Cancel => {
            let path = transport.reply_path(frame.sender());
            let backlog = &backlogs[path.number % backlogs.len()];
            backlog.push(&frame, path, received);
        }
        Kind::Probe => transport.acknowledge(&frame),
        other => {
            let what = format!("a frame of kind {other:?} in the inbox for calls");
            transport.endpoint.refuse(&what);
        }
    }
}
