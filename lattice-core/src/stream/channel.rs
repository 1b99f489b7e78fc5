//! One ordered channel: chunks of elements one way, credit the other way.
//!
//! ```text
//!             ── chunks ──►                    room > 0 → send → … → end, or broken
//!   Writer                    Reader
//!             ◄── credit ──                    ask → chunk → … → end, or broken
//! ```
//!
//! The reader asks for as many elements as it has room for, and the writer sends no more than that.
//! So a reader that stops bounds what is buffered, and with nothing asked ahead of time a write
//! ends no sooner than it is read.

use super::Handles;
use crate::{name::HostId, sync::Mutex};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    fmt, mem,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// Elements of a stream, or the value of a future.
#[derive(Debug, Default)]
pub struct Chunk {
    /// How many elements it has; a future's value is one.
    pub count: usize,
    /// The encoded elements, one after the other. Integers and floats that are the elements
    /// themselves are as in memory: little-endian, without a varint.
    pub bytes: Bytes,
    /// The handles in the elements, in order.
    pub handles: Handles,
}

/// Why a stream or future ended before its writer ended it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// The writer went away without an end.
    #[error("its writer went away without ending it")]
    WriterLost,
    /// The instance that wrote it ended.
    #[error("the instance that wrote it ended: {reason}")]
    InstanceLost {
        /// How it ended.
        reason: Arc<str>,
    },
    /// Its writer broke it, and says why.
    #[error("its writer broke it: {reason}")]
    Failed {
        /// The writer's reason.
        reason: Arc<str>,
    },
    /// A chunk isn't what the type says, or more than was asked for.
    #[error("its writer sent what its type doesn't allow: {reason}")]
    Invalid {
        /// The fault.
        reason: Arc<str>,
    },
    /// The host from which it came is gone.
    #[error("host `{host}`, from which it came, is gone")]
    HostLost {
        /// The host.
        host: HostId,
    },
    /// It was cut off on its way from another host.
    #[error("it was cut off on its way from another host: {reason}")]
    CutOff {
        /// What cut it off.
        reason: Arc<str>,
    },
}

/// Why a chunk was not sent. It is dropped, with the handles in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSent {
    /// The reader is gone.
    #[error("its reader is gone")]
    NotRead,
    /// It has no elements, or more than there is room for.
    #[error("it has no elements, or more than were asked for")]
    NoRoom,
}

/// The end that elements go into. Dropping it without [`end`](Self::end) breaks the channel.
pub struct Writer(Arc<Mutex<State>>);

/// The end that elements come out of. The writer sees when it is dropped.
pub struct Reader {
    shared: Arc<Mutex<State>>,
    /// What was read and put back.
    front: Option<Chunk>,
}

#[derive(Default)]
struct State {
    chunks: VecDeque<Chunk>,
    /// Elements in `chunks`.
    buffered: usize,
    /// Elements that may still be sent.
    room: usize,
    end: Option<Result<(), Broken>>,
    is_unread: bool,
    writer: Option<Waker>,
    /// The writer waits for everything that its reader does, and not only for room.
    is_watched: bool,
    reader: Option<Waker>,
}

/// What the reader of a channel wants now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// It has room for elements.
    Elements,
    /// It has no room, and waits for the end.
    End,
    None,
    /// There is no reader any more.
    Gone,
}

/// Chunks that wait to be read, however small they are. Then the writer waits.
const MOST_CHUNKS: usize = 16;

/// Creates a channel.
pub fn channel() -> (Writer, Reader) {
    let shared = Arc::new(Mutex::new(State::default()));
    let reader = Reader {
        shared: shared.clone(),
        front: None,
    };
    (Writer(shared), reader)
}

impl Writer {
    /// Returns how many elements may be sent now, at least one, as soon as there are any. `None`
    /// when the reader is gone.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        let mut state = self.0.lock();
        let room = match state.room {
            _ if state.is_unread => Poll::Ready(None),
            0 => Poll::Pending,
            _ if state.chunks.len() >= MOST_CHUNKS => Poll::Pending,
            room => Poll::Ready(Some(room)),
        };
        if room.is_pending() {
            register(&mut state.writer, cx);
            state.is_watched = false;
        }
        room
    }

    /// Waits as [`poll_room`](Self::poll_room) does.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn room(&mut self) -> Option<usize> {
        std::future::poll_fn(|cx| self.poll_room(cx)).await
    }

    /// Waits until the reader is gone.
    pub fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.is_unread {
            return Poll::Ready(());
        }
        register(&mut state.writer, cx);
        Poll::Pending
    }

    /// Sends a chunk.
    ///
    /// # Errors
    /// [`NotSent`] when the reader is gone, or has less room.
    pub fn send(&mut self, chunk: Chunk) -> Result<(), NotSent> {
        let mut state = self.0.lock();
        if state.is_unread {
            return Err(NotSent::NotRead);
        }
        if chunk.count == 0 || chunk.count > state.room {
            return Err(NotSent::NoRoom);
        }
        state.room -= chunk.count;
        state.buffered += chunk.count;
        state.chunks.push_back(chunk);
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Ok(())
    }

    /// Sends a chunk that may be larger than what was asked for, as soon as there is any room. Its
    /// reader splits it.
    pub(crate) fn push(&mut self, chunk: Chunk) -> Result<(), NotSent> {
        let mut state = self.0.lock();
        if state.is_unread {
            return Err(NotSent::NotRead);
        }
        if chunk.count == 0 || state.room == 0 {
            return Err(NotSent::NoRoom);
        }
        state.room = state.room.saturating_sub(chunk.count);
        state.buffered += chunk.count;
        state.chunks.push_back(chunk);
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Ok(())
    }

    /// Sends a chunk without any room, because it can't wait for its reader elsewhere.
    pub(crate) fn force(&mut self, chunk: Chunk) -> Result<(), NotSent> {
        let mut state = self.0.lock();
        if state.is_unread {
            return Err(NotSent::NotRead);
        }
        if chunk.count == 0 {
            return Err(NotSent::NoRoom);
        }
        state.room = state.room.saturating_sub(chunk.count);
        state.buffered += chunk.count;
        state.chunks.push_back(chunk);
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Ok(())
    }

    /// Looks at what the reader does, and has the task woken when that changes.
    pub(crate) fn watch(&mut self, cx: &mut Context<'_>) -> Demand {
        let mut state = self.0.lock();
        register(&mut state.writer, cx);
        state.is_watched = true;
        if state.is_unread {
            Demand::Gone
        } else if state.room > 0 && state.chunks.len() < MOST_CHUNKS {
            Demand::Elements
        } else if state.chunks.is_empty() && state.reader.is_some() {
            Demand::End
        } else {
            Demand::None
        }
    }

    /// Whether everything that was sent has been read.
    pub(crate) fn is_read(&self) -> bool {
        self.0.lock().chunks.is_empty()
    }

    /// Ends the channel: everything was sent.
    pub fn end(self) {
        self.finish(Ok(()));
    }

    /// Breaks the channel, with a reason.
    pub fn fail(self, reason: Broken) {
        self.finish(Err(reason));
    }

    fn finish(&self, end: Result<(), Broken>) {
        let mut state = self.0.lock();
        if state.end.is_some() {
            return;
        }
        state.end = Some(end);
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish(Err(Broken::WriterLost));
    }
}

impl Reader {
    /// Makes room for this many elements, together with those that are due already.
    pub fn ask(&mut self, elements: usize) {
        self.ask_below(elements, elements);
    }

    /// Makes room as [`ask`](Self::ask) does, once fewer than `least` elements are due. So the
    /// writer is woken once for several chunks, and writes them while others are read.
    pub fn ask_below(&mut self, least: usize, elements: usize) {
        let mut state = self.shared.lock();
        let due = state.room + state.buffered;
        if due >= least.min(elements) {
            return;
        }
        state.room += elements - due;
        let writer = state.writer.take();
        drop(state);
        wake(writer);
    }

    /// Returns the next chunk. `None` after the end.
    ///
    /// # Errors
    /// [`Broken`] when there won't be an end. What was sent before comes first.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Chunk>, Broken>> {
        if let Some(chunk) = self.front.take() {
            return Poll::Ready(Ok(Some(chunk)));
        }
        let mut state = self.shared.lock();
        if let Some(chunk) = state.chunks.pop_front() {
            state.buffered -= chunk.count;
            let was_full = state.chunks.len() + 1 >= MOST_CHUNKS;
            let writer = if was_full || state.is_watched {
                state.writer.take()
            } else {
                None
            };
            drop(state);
            wake(writer);
            return Poll::Ready(Ok(Some(chunk)));
        }
        if let Some(end) = &state.end {
            return Poll::Ready(end.clone().map(|()| None));
        }
        register(&mut state.reader, cx);
        if state.room == 0 {
            // It waits for the end, which its writer may have to fetch.
            let writer = state.writer.take();
            drop(state);
            wake(writer);
        }
        Poll::Pending
    }

    /// Waits as [`poll_chunk`](Self::poll_chunk) does.
    ///
    /// # Errors
    /// As [`poll_chunk`](Self::poll_chunk).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn chunk(&mut self) -> Result<Option<Chunk>, Broken> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Puts back what was not used of the last chunk, to be read first.
    pub fn put_back(&mut self, rest: Chunk) {
        // Without any, what was put back before is still to be read.
        if rest.count > 0 {
            self.front = Some(rest);
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_unread = true;
        let unread = mem::take(&mut state.chunks);
        let writer = state.writer.take();
        drop(state);
        wake(writer);
        // The handles in it may be other channels.
        drop(unread);
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

fn register(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(known) => known.clone_from(cx.waker()),
        None => *waker = Some(cx.waker().clone()),
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
