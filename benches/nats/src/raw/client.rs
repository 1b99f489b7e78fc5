//! Makes calls from many tasks over one connection.
//!
//! A call takes a slot, whose number is in the request and comes back in the reply. It adds its
//! request to what is sent next, and the first one that does so wakes the task that writes. The
//! task that reads puts the replies into their slots and wakes the callers.

use super::{
    REPLIES, REQUESTS,
    connection::{self, Connection, receive},
    protocol::{self, PONG, Received, publish},
};
use bytes::{Bytes, BytesMut};
use lattice_benches_common::{Failure, measure::Calls};
use std::{
    mem,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    task::yield_now,
};
use tokio_util::task::AbortOnDropHandle;

/// Bytes of the number of a call.
const NUMBER: usize = size_of::<u32>();

/// A connection on which calls are made.
#[derive(Debug)]
pub(crate) struct Client {
    shared: Arc<Shared>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Client {
    /// Connects. When this returns, replies are received.
    pub(crate) async fn connect(url: &str) -> Result<Self, Failure> {
        let Connection { stream, input } = connection::connect(url, REPLIES).await?;
        let (reading, writing) = stream.into_split();
        let shared = Arc::new(Shared::default());
        let reader = read(shared.clone(), reading, input);
        let writer = write(shared.clone(), writing);
        let tasks = [
            tokio::spawn(shared.clone().watch(reader)),
            tokio::spawn(shared.clone().watch(writer)),
        ];
        Ok(Self {
            shared,
            _tasks: tasks.map(AbortOnDropHandle::new),
        })
    }
}

impl Calls for Client {
    async fn call(&self, _: usize, body: &Bytes) -> Result<usize, Failure> {
        let call = Call {
            shared: &self.shared,
            body,
            slot: None,
        };
        Ok(call.await?.len())
    }
}

/// A call: sent when it is first polled, and given up when it is dropped.
struct Call<'a> {
    shared: &'a Shared,
    body: &'a [u8],
    /// Where the reply arrives, while the call is in flight.
    slot: Option<usize>,
}

impl Future for Call<'_> {
    type Output = Result<Bytes, Failure>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let call = self.get_mut();
        let mut state = call.shared.state();
        if let Some(reason) = &state.broken {
            return Poll::Ready(Err(reason.clone().into()));
        }
        let Some(slot) = call.slot else {
            let is_first = state.out.is_empty();
            call.slot = Some(state.send(call.body, context.waker().clone()));
            drop(state);
            if is_first {
                call.shared.filled.notify_one();
            }
            return Poll::Pending;
        };
        match state.take(slot, context.waker()) {
            Some(reply) => {
                call.slot = None;
                Poll::Ready(Ok(reply))
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.shared.state().give_up(slot);
        }
    }
}

/// What callers and tasks share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to send.
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What is sent next: at most one request of each call in flight.
    out: Vec<u8>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Why no more calls can be made.
    broken: Option<String>,
}

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Free,
    Waiting(Waker),
    Replied(Bytes),
    /// The caller is gone, and the reply can still arrive.
    GivenUp,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a task of the connection. When it ends, all calls fail.
    async fn watch(self: Arc<Self>, task: impl Future<Output = Result<(), Failure>>) {
        let ended = task.await;
        let reason = ended.map_or_else(|failure| failure.to_string(), |()| "it ended".to_owned());
        let mut state = self.state();
        // The task that ended first knows why.
        state.broken.get_or_insert(format!(
            "the connection without a client library broke: {reason}"
        ));
        let callers = mem::take(&mut state.slots);
        drop(state);
        for caller in callers {
            if let Slot::Waiting(waker) = caller {
                waker.wake();
            }
        }
    }

    /// Puts replies, which are parts of `input`, into their slots.
    fn deliver(&self, input: &Bytes, replies: &[(usize, Range<usize>)]) {
        let mut callers = Vec::with_capacity(replies.len());
        let mut state = self.state();
        for (slot, body) in replies {
            callers.extend(state.deliver(*slot, input.slice(body.clone())));
        }
        drop(state);
        for caller in callers {
            caller.wake();
        }
    }

    /// Sends what isn't a request.
    fn send(&self, text: &str) {
        self.state().out.extend_from_slice(text.as_bytes());
        self.filled.notify_one();
    }
}

impl State {
    fn send(&mut self, body: &[u8], caller: Waker) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::Free);
            self.slots.len() - 1
        });
        self.slots[slot] = Slot::Waiting(caller);
        let number = (slot as u32).to_le_bytes();
        publish(
            &mut self.out,
            REQUESTS.as_bytes(),
            REPLIES.as_bytes(),
            (&number, body),
        );
        slot
    }

    /// Returns the reply, if it has arrived.
    fn take(&mut self, slot: usize, caller: &Waker) -> Option<Bytes> {
        if let Slot::Replied(reply) = mem::take(&mut self.slots[slot]) {
            self.free.push(slot);
            Some(reply)
        } else {
            self.slots[slot] = Slot::Waiting(caller.clone());
            None
        }
    }

    /// Puts a reply into its slot, and returns the caller that waits for it.
    fn deliver(&mut self, slot: usize, reply: Bytes) -> Option<Waker> {
        let place = self.slots.get_mut(slot)?;
        match mem::take(place) {
            Slot::Waiting(caller) => {
                *place = Slot::Replied(reply);
                Some(caller)
            }
            Slot::GivenUp => {
                self.free.push(slot);
                None
            }
            // No call waits for this one.
            other @ (Slot::Free | Slot::Replied(_)) => {
                *place = other;
                None
            }
        }
    }

    fn give_up(&mut self, slot: usize) {
        let Some(place) = self.slots.get_mut(slot) else {
            return;
        };
        match mem::take(place) {
            Slot::Replied(_) => self.free.push(slot),
            _ => *place = Slot::GivenUp,
        }
    }
}

async fn read(
    shared: Arc<Shared>,
    mut from: impl AsyncReadExt + Unpin,
    mut input: BytesMut,
) -> Result<(), Failure> {
    let mut replies = Vec::new();
    loop {
        let mut read = 0;
        while let Some((received, length)) = protocol::read(&input[read..])? {
            match received {
                Received::Message { payload, .. } => {
                    let (number, body) = payload
                        .split_first_chunk::<NUMBER>()
                        .ok_or("a reply has no number")?;
                    let end = read + length - 2;
                    replies.push((u32::from_le_bytes(*number) as usize, end - body.len()..end));
                }
                Received::Ping => shared.send(PONG),
                Received::Pong | Received::Other => {}
            }
            read += length;
        }
        let whole = input.split_to(read).freeze();
        shared.deliver(&whole, &replies);
        replies.clear();
        receive(&mut from, &mut input).await?;
    }
}

async fn write(shared: Arc<Shared>, mut to: impl AsyncWriteExt + Unpin) -> Result<(), Failure> {
    let mut batch = Vec::new();
    loop {
        shared.filled.notified().await;
        // The other callers that run now add their requests first.
        yield_now().await;
        mem::swap(&mut batch, &mut shared.state().out);
        to.write_all(&batch).await?;
        batch.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_used_again_once_its_reply_has_arrived() {
        let mut state = State::default();
        let caller = || Waker::noop().clone();
        let reply = || Bytes::from_static(b"reply");
        let (one, two) = (state.send(b"one", caller()), state.send(b"two", caller()));
        assert_eq!(state.take(one, &caller()), None, "no reply has arrived");
        assert!(state.deliver(one, reply()).is_some(), "a caller waits");
        assert!(state.deliver(one, reply()).is_none(), "it has its reply");
        assert_eq!(state.take(one, &caller()), Some(reply()));
        assert_eq!(state.send(b"three", caller()), one);

        state.give_up(two);
        let other = state.send(b"four", caller());
        assert_ne!(other, two, "its reply can still arrive");
        assert!(state.deliver(two, reply()).is_none(), "its caller is gone");
        assert_eq!(state.send(b"five", caller()), two);
        assert!(state.deliver(99, reply()).is_none(), "no call has it");
    }
}
