//! Reading calls from other hosts, running them, and sending the replies.
//!
//! A call runs where its frame was read, as far as it goes without waiting: a call that a provider
//! completes at once costs no task, and all replies to a batch of frames leave together. A call
//! that takes time continues in a separate task.

use super::{Server, admission::Admitted, component::Progress, queue::QueueSlot};
use crate::{
    bus::{Message, Subscription},
    call::{CallError, Context, Ran},
    link::Link,
    serve::Request,
    transport::{
        CallResult,
        reply_path::{ReplyFlush, ReplyPath, RunningReply},
    },
    wire::{CallEnvelope, Frame, Kind, Names, envelope_id},
};
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// Frames that are read before their replies are flushed.
const BATCH: usize = 64;
/// A frame that takes longer delays the frames behind it: a provider computes where it should not.
/// Well over what a busy machine adds by itself.
const SLOW: Duration = Duration::from_millis(20);
/// For this many frames after a slow one, every call runs in a separate task.
const ISOLATE: u32 = 256;

/// Takes calls and probes for as long as the node lives.
pub(crate) async fn run(server: Arc<Server>, mut inbox: Subscription) {
    let mut state = InboxState::default();
    while let Some(message) = inbox.next().await {
        server.take_message(message, &mut state).await;
        for _ in 1..BATCH {
            let Some(Some(message)) = inbox.next().now_or_never() else {
                break;
            };
            server.take_message(message, &mut state).await;
        }
        state.flush_replies();
    }
}

/// State that the reader keeps between frames.
#[derive(Default)]
struct InboxState {
    names: Names,
    /// Replies that were queued and have to be flushed.
    due: Vec<ReplyFlush>,
    /// How many of the next frames get a task for each of their calls.
    isolate_next: u32,
}

impl InboxState {
    fn flush_replies(&mut self) {
        for due in self.due.drain(..) {
            due.flush();
        }
    }

    /// Records how long a frame took.
    fn took(&mut self, time: Duration) {
        self.isolate_next = if time > SLOW {
            ISOLATE
        } else {
            self.isolate_next.saturating_sub(1)
        };
    }
}

impl Server {
    async fn take_message(self: &Arc<Self>, message: Message, state: &mut InboxState) {
        let Some(frame) = self.transport.endpoint.open(message) else {
            return;
        };
        match frame.kind() {
            Kind::Call => self.take_calls(&frame, state),
            Kind::Probe => self.transport.acknowledge(&frame).await,
            other => {
                let what = format!("a frame of kind {other:?} in the inbox for calls");
                self.transport.endpoint.refuse(&what);
            }
        }
    }

    fn take_calls(self: &Arc<Self>, frame: &Frame, state: &mut InboxState) {
        let now = Instant::now();
        self.frames.fetch_add(1, Ordering::Relaxed);
        let path = self.transport.reply_path(frame.sender());
        for envelope in frame.envelopes() {
            let id = envelope_id(&envelope);
            let due = match CallEnvelope::decode_with(envelope, &mut state.names) {
                Ok(call) => self.take_call(&path, call, now, state.isolate_next),
                Err(error) => {
                    let message = error.to_string();
                    self.transport.endpoint.refuse(&message);
                    let unrecognised = CallError::Unrecognised {
                        ran: Ran::No,
                        message,
                    };
                    // A newer caller uses something that this version doesn't know. It need not
                    // wait to learn that.
                    id.and_then(|id| self.transport.reply(&path, id, Err(unrecognised)))
                }
            };
            state.due.extend(due);
        }
        state.took(now.elapsed());
    }

    /// Runs a call as far as it goes without waiting. Returns the queue to flush, if it has
    /// ended.
    fn take_call(
        self: &Arc<Self>,
        path: &Arc<ReplyPath>,
        call: CallEnvelope,
        now: Instant,
        isolate_next: u32,
    ) -> Option<ReplyFlush> {
        let id = call.id;
        let admitted = match self.admit(call, &path.caller, now) {
            Ok(admitted) => admitted,
            Err(error) => return self.transport.reply(path, id, Err(error)),
        };
        if isolate_next > 0 || !self.has_seen_link(&admitted.call) {
            self.run_apart(path, admitted);
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
        match component.begin(request(call, link, context), now) {
            Progress::Done(result) => self.transport.reply(path, id, result),
            progress => {
                let work = async move { component.finish(progress).await };
                self.spawn(path, id, slot, work.boxed());
                None
            }
        }
    }

    /// Runs all of a call in a separate task.
    fn run_apart(self: &Arc<Self>, path: &Arc<ReplyPath>, admitted: Admitted) {
        let Admitted {
            component,
            slot,
            call,
            context,
        } = admitted;
        let (server, id) = (self.clone(), call.id);
        let work = async move {
            server.wait_for_link(&call, context.deadline).await?;
            let link = server.granted(&component, &call)?;
            component
                .run(request(call, link, context), Instant::now())
                .await
        };
        self.spawn(path, id, slot, work.boxed());
    }

    /// Runs `work` in a separate task, which then replies.
    fn spawn(
        self: &Arc<Self>,
        path: &Arc<ReplyPath>,
        id: u64,
        slot: QueueSlot,
        work: BoxFuture<'static, CallResult>,
    ) {
        let (server, running) = (self.clone(), RunningReply::new(path.clone()));
        self.tasks.spawn(async move {
            running.reply(&server.transport, id, work.await);
            // Only now is the call over: a drain that waits for the last one may flush the replies
            // next.
            drop(slot);
        });
    }
}

fn request(call: CallEnvelope, link: Option<Arc<Link>>, context: Context) -> Request {
    Request {
        component: call.target,
        function: call.function,
        source: call.source,
        link,
        args: call.args,
        context,
    }
}
