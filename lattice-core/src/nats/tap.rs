//! Forwards the messages of a client subscription as they arrive, in the client's own task.
//!
//! The client gives every subscription a channel of one size, and reports an overflow only by an
//! event that can be lost. A subscription here has its own capacity and an exact count of drops,
//! and a task in between would cost a wake-up per message. So the channel's reader is a [`Waker`]
//! that reads: the client's `send` wakes it, and it forwards the message before `send` returns. The
//! channel never holds more than one message.
//!
//! Polling inside `wake` is sound for this channel because it wakes its reader after releasing its
//! own locks. The reader's lock is never waited for: one thread drains, and a thread that comes
//! meanwhile leaves it another turn.

use crate::sync::Mutex;
use async_nats::{Message, Subscriber};
use futures_util::StreamExt;
use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};
use tokio::task::coop;

/// Where a [`Tap`] forwards to. Called inline: it must be quick, must not wait, and must not drop
/// the tap's [`TapHandle`].
pub(crate) trait Sink: Send + Sync + 'static {
    /// Takes the next message.
    fn message(&self, message: Message);
    /// Called when the client has closed the subscription.
    fn end(&self);
}

/// Keeps a client subscription alive; dropping it unsubscribes.
pub(crate) struct TapHandle(Arc<Tap>);

pub(crate) struct Tap {
    source: Mutex<Option<Subscriber>>,
    sink: Box<dyn Sink>,
    /// Wake-ups that no drain has handled yet. The thread that raises it from 0 drains.
    turns: AtomicUsize,
    released: AtomicBool,
}

impl TapHandle {
    /// Starts to forward the present and future messages of `source` to `sink`.
    pub(crate) fn new(source: Subscriber, sink: impl Sink) -> Self {
        let tap = Arc::new(Tap {
            source: Mutex::new(Some(source)),
            sink: Box::new(sink),
            turns: AtomicUsize::new(0),
            released: AtomicBool::new(false),
        });
        tap.turn();
        Self(tap)
    }

    pub(crate) fn tap(&self) -> &Arc<Tap> {
        &self.0
    }
}

impl Drop for TapHandle {
    fn drop(&mut self) {
        self.0.released.store(true, Ordering::Release);
        self.0.turn();
    }
}

impl Tap {
    /// Ends the sink, whatever the client does.
    pub(crate) fn end(&self) {
        self.sink.end();
    }

    fn turn(self: &Arc<Self>) {
        if self.turns.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let waker = Waker::from(self.clone());
        let mut answered = 1;
        loop {
            self.drain(&waker);
            match self
                .turns
                .compare_exchange(answered, 0, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(more) => answered = more,
            }
        }
    }

    fn drain(&self, waker: &Waker) {
        let mut source = self.source.lock();
        if self.released.load(Ordering::Acquire) {
            *source = None;
            return;
        }
        while let Some(subscriber) = source.as_mut() {
            // The budget belongs to the client's task and should not be spent here.
            let next = pin!(coop::unconstrained(subscriber.next()));
            match next.poll(&mut Context::from_waker(waker)) {
                Poll::Pending => return,
                Poll::Ready(Some(message)) => self.sink.message(message),
                Poll::Ready(None) => {
                    *source = None;
                    self.sink.end();
                }
            }
        }
    }
}

impl Wake for Tap {
    fn wake(self: Arc<Self>) {
        self.turn();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.turn();
    }
}
