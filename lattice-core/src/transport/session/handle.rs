//! What a user of a session holds: the session itself, and a half of each of its channels.

use super::{
    Broken, MAX_CHUNK, PeerSessions, RESEND, Refused, Window,
    machine::{Chunk, Machine, SessionKey, Taken},
    shares::ComponentPlace,
};
use crate::budget::Held;
use bytes::{Bytes, BytesMut};
use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// The longest pause before a session is opened again. The pauses double.
const SLOWEST: Duration = Duration::from_secs(2);

/// A session with a peer. While it is held, channels can be added to it.
#[derive(Debug)]
pub(crate) struct Session {
    peer: Arc<PeerSessions>,
    key: SessionKey,
    /// Among the sessions of its component.
    _place: Option<ComponentPlace>,
}

impl Session {
    pub(super) fn new(
        peer: Arc<PeerSessions>,
        key: SessionKey,
        place: Option<ComponentPlace>,
    ) -> Self {
        Self {
            peer,
            key,
            _place: place,
        }
    }

    /// Its number among the sessions of its opener.
    pub(crate) fn number(&self) -> u64 {
        self.key.number
    }

    /// Opens a channel in which this end sends. The other end has to [receive](Self::receive) it.
    pub(crate) fn open_channel(&self, channel: u32) -> Result<SendHalf, Refused> {
        let open = |machine: &mut Machine, now| machine.open_channel(self.key, channel, now);
        self.peer.act(open)?;
        Ok(SendHalf {
            half: self.half(channel),
            memory: Memory::None,
        })
    }

    /// The same with the next number, which is returned too.
    pub(crate) fn open_next_channel(&self) -> Result<(u32, SendHalf), Refused> {
        let open = |machine: &mut Machine, now| machine.open_next_channel(self.key, now);
        let channel = self.peer.act(open)?;
        let half = SendHalf {
            half: self.half(channel),
            memory: Memory::None,
        };
        Ok((channel, half))
    }

    /// Takes a channel in which the other end sends, with room for a window.
    pub(crate) fn receive(&self, channel: u32, window: Window) -> Result<RecvHalf, Refused> {
        let receive = |machine: &mut Machine, now| machine.receive(self.key, channel, window, now);
        self.peer.act(receive)?;
        Ok(RecvHalf(self.half(channel)))
    }

    /// Tells the sender of a channel that it won't be received.
    pub(crate) fn refuse(&self, channel: u32) {
        self.peer
            .act(|machine, _| machine.refuse_channel(self.key, channel));
    }

    /// Drops a channel in which this end sends, for whoever has its half.
    pub(crate) fn withdraw(&self, channel: u32) {
        self.peer
            .act(|machine, _| machine.withdraw((self.key, channel)));
    }

    /// Breaks it off, for both ends.
    pub(crate) fn give_up(&self) {
        self.peer.act(|machine, _| machine.give_up(self.key));
    }

    fn half(&self, channel: u32) -> Half {
        Half {
            peer: self.peer.clone(),
            at: (self.key, channel),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.peer.act(|machine, now| machine.release(self.key, now));
    }
}

#[derive(Debug)]
struct Half {
    peer: Arc<PeerSessions>,
    at: (SessionKey, u32),
}

impl Half {
    fn act<T>(&self, act: impl FnOnce(&mut Machine, (SessionKey, u32), Instant) -> T) -> T {
        self.peer.act(|machine, now| act(machine, self.at, now))
    }
}

/// The sending half of a channel. Dropping it before the [end](Self::end) breaks the channel, so
/// that its reader never takes a part for the whole.
#[derive(Debug)]
pub(crate) struct SendHalf {
    half: Half,
    memory: Memory,
}

/// The memory of the next chunk.
#[derive(Debug)]
enum Memory {
    /// What is sent isn't counted: its owner holds it anyway.
    None,
    /// It is counted, and there is room for so much.
    Counted(Option<Held>),
}

impl SendHalf {
    /// Counts what is sent for the budget of messages that are sent, until it is acknowledged.
    pub(crate) fn counted(mut self) -> Self {
        self.memory = Memory::Counted(None);
        self
    }

    /// Waits until a chunk of [`MAX_CHUNK`] bytes may be sent. Returns how many elements it may
    /// have.
    pub(crate) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<u64, Broken>> {
        let elements = self
            .half
            .act(|machine, at, _| machine.poll_room(at, context.waker()));
        if let (Poll::Ready(Ok(_)), Memory::Counted(held @ None)) = (&elements, &mut self.memory) {
            *held = self.half.peer.sending.hold(MAX_CHUNK);
            if held.is_none() {
                self.half
                    .act(|machine, at, _| machine.wake_later(at, context.waker()));
                return Poll::Pending;
            }
        }
        elements
    }

    /// Waits until a chunk of [`MAX_CHUNK`] bytes may be sent, as far as its receiver is concerned.
    pub(crate) fn poll_credit(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let elements = self
            .half
            .act(|machine, at, _| machine.poll_room(at, context.waker()));
        elements.map_ok(|_| ())
    }

    /// Waits until the channel is broken.
    pub(crate) fn poll_broken(&mut self, context: &mut Context<'_>) -> Poll<Broken> {
        match self.poll_complete(context) {
            Poll::Ready(Err(broken)) => Poll::Ready(broken),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Most bytes of a chunk.
    pub(crate) fn most(&self) -> usize {
        self.half.peer.chunk
    }

    /// Waits as [`poll_ready`](Self::poll_ready) does.
    pub(crate) async fn ready(&mut self) -> Result<u64, Broken> {
        poll_fn(|context| self.poll_ready(context)).await
    }

    /// Waits until the other end has accepted the channel. Calls `again` from time to time until
    /// then: what opens the session may be lost.
    pub(crate) async fn accepted(&mut self, again: impl Fn()) -> Result<(), Broken> {
        let mut pause = RESEND;
        loop {
            match timeout(pause, self.ready()).await {
                Ok(ready) => return ready.map(drop),
                Err(_) => again(),
            }
            pause = (pause * 2).min(SLOWEST);
        }
    }

    /// Sends a chunk, after [`poll_ready`](Self::poll_ready) was ready. More than that breaks the
    /// session.
    pub(crate) fn send(&mut self, bytes: Bytes, elements: u32) -> Result<(), Broken> {
        let held = match &mut self.memory {
            Memory::None => None,
            Memory::Counted(held) => held.take(),
        };
        let held = held.map(|held| held.reduced_to(bytes.len()));
        let chunk = Chunk { bytes, elements };
        self.half
            .act(|machine, at, now| machine.send(at, chunk, held, now))
    }

    /// Sends all of `bytes` in chunks without elements. They are not copied.
    pub(crate) async fn send_all(&mut self, mut bytes: Bytes) -> Result<(), Broken> {
        let most = self.half.peer.chunk;
        while !bytes.is_empty() {
            self.ready().await?;
            // As many as there is room for, in one go.
            self.half.act(|machine, at, now| {
                while !bytes.is_empty() && machine.has_room(at) {
                    let chunk = Chunk {
                        bytes: bytes.split_to(bytes.len().min(most)),
                        elements: 0,
                    };
                    machine.send(at, chunk, None, now)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Completes the channel.
    pub(crate) fn end(&mut self) -> Result<(), Broken> {
        self.half.act(Machine::end)
    }

    /// The first so many chunks have handles: the channel isn't complete before the other end has
    /// taken them.
    pub(crate) fn track(&mut self, chunks: u64) {
        self.half
            .act(|machine, at, _| machine.track_chunks(at, chunks));
    }

    /// Of how many chunks the other end has taken the handles, as far as is known.
    pub(crate) fn taken(&self) -> Taken {
        self.half.act(|machine, at, _| machine.taken(at))
    }

    /// Waits until the other end has received everything, the end included.
    pub(crate) fn poll_complete(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.half
            .act(|machine, at, _| machine.poll_complete(at, context.waker()))
    }

    /// Waits as [`poll_complete`](Self::poll_complete) does.
    pub(crate) async fn complete(&mut self) -> Result<(), Broken> {
        poll_fn(|context| self.poll_complete(context)).await
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        self.half.act(Machine::release_sender);
    }
}

/// The receiving half of a channel. Dropping it tells the sender to stop.
#[derive(Debug)]
pub(crate) struct RecvHalf(Half);

impl RecvHalf {
    /// Waits for the next chunk, with its number of elements. `None` is the end, and nothing else
    /// is.
    pub(crate) fn poll_chunk(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<(Bytes, u32)>, Broken>> {
        let chunk = self
            .0
            .act(|machine, at, now| machine.poll_chunk(at, context.waker(), now));
        chunk.map_ok(|chunk| chunk.map(|chunk| (chunk.bytes, chunk.elements)))
    }

    /// Waits as [`poll_chunk`](Self::poll_chunk) does.
    pub(crate) async fn chunk(&mut self) -> Result<Option<(Bytes, u32)>, Broken> {
        poll_fn(|context| self.poll_chunk(context)).await
    }

    /// The handles of all chunks that were taken so far are this end's now. The other end is told
    /// soon.
    pub(crate) fn settle(&mut self) {
        self.0.act(Machine::settle_chunks);
    }

    /// Whether the session is broken, and a chunk with such a number of elements is left of the
    /// channel, all of which has arrived. Until then, the task is woken when that may have changed.
    pub(crate) fn poll_left(
        &mut self,
        context: &mut Context<'_>,
        is_such: impl Fn(u32) -> bool,
    ) -> bool {
        self.0
            .act(|machine, at, _| machine.poll_left(at, context.waker(), is_such))
    }

    /// Receives the whole channel, of which `size` bytes were announced. Their memory is the
    /// caller's. Fails when nothing comes for `idle`.
    pub(crate) async fn collect_within(
        &mut self,
        size: usize,
        idle: Duration,
    ) -> Result<Bytes, Broken> {
        let mut whole = BytesMut::with_capacity(size);
        loop {
            let chunk = timeout(idle, self.chunk()).await;
            let Some((bytes, _)) = chunk.unwrap_or(Err(Broken::Idle))? else {
                break;
            };
            if whole.len() + bytes.len() > size {
                return Err(Broken::Violation);
            }
            whole.extend_from_slice(&bytes);
        }
        if whole.len() == size {
            Ok(whole.freeze())
        } else {
            Err(Broken::Violation)
        }
    }

    /// Receives the whole channel, of which `size` bytes were announced. Their memory is the
    /// caller's.
    pub(crate) async fn collect(&mut self, size: usize) -> Result<Bytes, Broken> {
        let mut whole = BytesMut::with_capacity(size);
        while let Some((bytes, _)) = self.chunk().await? {
            if whole.len() + bytes.len() > size {
                return Err(Broken::Violation);
            }
            whole.extend_from_slice(&bytes);
        }
        if whole.len() == size {
            Ok(whole.freeze())
        } else {
            Err(Broken::Violation)
        }
    }
}

impl Drop for RecvHalf {
    fn drop(&mut self) {
        self.0.act(Machine::release_receiver);
    }
}
