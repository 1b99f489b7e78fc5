//! The bytes between a guest that writes a value and the call that takes them.
//!
//! The guest may write while the call has room, so it is never far ahead of the store. Before there
//! is a call it may write a little: a value that is written first and given to a call afterwards.

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, task::AtomicWaker};
use lattice_core::sync::Mutex;
use lattice_provider_sdk::Broken;
use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Bytes that a guest may write ahead of the call.
const AHEAD: usize = 128 << 10;
/// Bytes that a guest may write before there is a call.
const BEFORE: usize = 1 << 20;
/// Bytes that a guest may write at once.
const PERMIT: usize = 64 << 10;
/// Bytes that all values of a guest may have in their pipes together.
const TOGETHER: usize = 8 << 20;
/// Bytes that a guest may write to an empty pipe, also when all together have too many.
const LEAST: usize = 4 << 10;
/// Writes that are smaller than this are copied together, so that none costs more than its bytes.
const SMALL: usize = 4 << 10;

/// Bytes in the pipes of all values of one guest.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<AtomicUsize>);

impl Held {
    fn left(&self) -> usize {
        TOGETHER.saturating_sub(self.0.load(Ordering::Relaxed))
    }
}

/// The pipe of one value.
#[derive(Clone, Default)]
pub(super) struct Pipe(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

#[derive(Default)]
struct State {
    chunks: VecDeque<Bytes>,
    /// Small writes after the chunks.
    tail: BytesMut,
    /// Bytes in the chunks and the tail.
    bytes: usize,
    /// Those of all values of the guest, with these.
    held: Held,
    reader: Reader,
    /// How it ends, once that is known.
    end: Option<Result<(), Broken>>,
}

#[derive(Default, PartialEq, Eq)]
enum Reader {
    #[default]
    NotYet,
    Reads,
    Gone,
}

impl Pipe {
    /// Creates the pipe of a value of the guest whose pipes have so many bytes.
    pub(super) fn new(held: Held) -> Self {
        let state = State {
            held,
            ..State::default()
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        }))
    }

    /// Returns the stream of what is written. `None` if it was taken before.
    pub(super) fn read(&self) -> Option<Outlet> {
        let mut state = self.0.state.lock();
        if state.reader != Reader::NotYet {
            return None;
        }
        state.reader = Reader::Reads;
        drop(state);
        self.0.writer.wake();
        Some(Outlet(self.clone()))
    }

    /// Ends the stream after what was written.
    pub(super) fn end(&self, end: Result<(), Broken>) {
        self.0.state.lock().end.get_or_insert(end);
        self.0.reader.wake();
        self.0.writer.wake();
    }
}

impl State {
    /// Returns how many bytes may be written now.
    fn room(&self) -> StreamResult<usize> {
        // An empty pipe always has room, so that no value waits for another.
        let least = if self.bytes == 0 { LEAST } else { 0 };
        let left = self.held.left().max(least);
        match self.reader {
            _ if self.end.is_some() => Err(StreamError::Closed),
            Reader::Gone => Err(StreamError::Closed),
            Reader::Reads => Ok(AHEAD.saturating_sub(self.bytes).min(PERMIT).min(left)),
            Reader::NotYet if self.bytes >= BEFORE || left == 0 => {
                Err(StreamError::LastOperationFailed(wasmtime::format_err!(
                    "{} bytes were written before `write-data`, and all values of a guest have at most {TOGETHER} together; call it first, so that they can go on to the store",
                    self.bytes
                )))
            }
            Reader::NotYet => Ok((BEFORE - self.bytes).min(PERMIT).min(left)),
        }
    }

    fn push(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        self.held.0.fetch_add(bytes.len(), Ordering::Relaxed);
        if bytes.len() < SMALL {
            self.tail.extend_from_slice(&bytes);
            if self.tail.len() >= SMALL {
                self.chunks.push_back(mem::take(&mut self.tail).freeze());
            }
            return;
        }
        if !self.tail.is_empty() {
            self.chunks.push_back(mem::take(&mut self.tail).freeze());
        }
        self.chunks.push_back(bytes);
    }

    fn pop(&mut self) -> Option<Bytes> {
        let chunk = match self.chunks.pop_front() {
            Some(chunk) => chunk,
            None if self.tail.is_empty() => return None,
            None => mem::take(&mut self.tail).freeze(),
        };
        self.took(chunk.len());
        Some(chunk)
    }

    /// Gives back what is not read any more.
    fn clear(&mut self) {
        self.chunks.clear();
        self.tail = BytesMut::new();
        self.took(self.bytes);
    }

    fn took(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.held.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.state.lock().clear();
    }
}

/// What the guest writes to.
pub(super) struct Inlet {
    pipe: Pipe,
    /// What the guest was last told that it may write. That holds until it does, also when a call
    /// begins meanwhile.
    permit: usize,
}

impl Inlet {
    pub(super) fn new(pipe: Pipe) -> Self {
        Self { pipe, permit: 0 }
    }
}

impl OutputStream for Inlet {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let shared = &self.pipe.0;
        let mut state = shared.state.lock();
        let is_closed = state.end.is_some() || state.reader == Reader::Gone;
        if is_closed {
            return Err(StreamError::Closed);
        }
        if bytes.len() > self.permit && bytes.len() > state.room()? {
            return Err(StreamError::trap("more bytes were written than allowed"));
        }
        self.permit = self.permit.saturating_sub(bytes.len());
        if bytes.is_empty() {
            return Ok(());
        }
        state.push(bytes);
        drop(state);
        shared.reader.wake();
        Ok(())
    }

    /// The call takes what is written as soon as it can.
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.permit = 0;
        self.permit = self.pipe.0.state.lock().room()?;
        Ok(self.permit)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Inlet {
    async fn ready(&mut self) {
        let shared = &self.pipe.0;
        poll_fn(|cx| {
            shared.writer.register(cx.waker());
            match shared.state.lock().room() {
                Ok(0) => Poll::Pending,
                _ => Poll::Ready(()),
            }
        })
        .await;
    }
}

/// What the call reads from. Dropping it tells the guest.
pub(super) struct Outlet(Pipe);

impl Stream for Outlet {
    type Item = Result<Bytes, Broken>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let shared = &self.0.0;
        shared.reader.register(cx.waker());
        let mut state = shared.state.lock();
        if let Some(chunk) = state.pop() {
            drop(state);
            shared.writer.wake();
            return Poll::Ready(Some(Ok(chunk)));
        }
        match &state.end {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(broken)) => Poll::Ready(Some(Err(broken.clone()))),
            None => Poll::Pending,
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut state = self.0.0.state.lock();
        state.reader = Reader::Gone;
        state.clear();
        drop(state);
        self.0.0.writer.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, StreamExt};

    #[tokio::test]
    async fn a_guest_waits_for_the_call_and_sees_that_it_is_gone() {
        let pipe = Pipe::default();
        let mut inlet = Inlet::new(pipe.clone());
        let mut outlet = pipe.read().expect("the first reader");
        assert!(pipe.read().is_none(), "there is one");
        for _ in 0..AHEAD / PERMIT {
            let room = inlet.check_write().expect("open");
            assert_eq!(room, PERMIT);
            inlet.write(vec![1; room].into()).expect("there is room");
        }
        assert_eq!(inlet.check_write().expect("open"), 0);
        assert!(inlet.ready().now_or_never().is_none(), "it waits");
        let read = async {
            let chunk = outlet.next().await.expect("not the end").expect("whole");
            assert_eq!(chunk.len(), PERMIT);
        };
        tokio::join!(inlet.ready(), read);
        assert_eq!(inlet.check_write().expect("open"), PERMIT);
        drop(outlet);
        assert!(matches!(inlet.check_write(), Err(StreamError::Closed)));
    }

    #[tokio::test]
    async fn a_little_can_be_written_before_there_is_a_call() {
        let pipe = Pipe::default();
        let mut inlet = Inlet::new(pipe.clone());
        for _ in 0..BEFORE / PERMIT {
            inlet.write(vec![1; PERMIT].into()).expect("there is room");
        }
        inlet.ready().await;
        let full = inlet.check_write();
        assert!(
            matches!(full, Err(StreamError::LastOperationFailed(_))),
            "{full:?}"
        );
        let outlet = pipe.read().expect("the first reader");
        pipe.end(Ok(()));
        let sizes: Vec<_> = outlet
            .map(|chunk| chunk.expect("whole").len())
            .collect()
            .await;
        assert_eq!(sizes.iter().sum::<usize>(), BEFORE);
    }

    #[tokio::test]
    async fn a_broken_end_comes_after_what_was_written() {
        let pipe = Pipe::default();
        Inlet::new(pipe.clone())
            .write(Bytes::from_static(b"a"))
            .expect("there is room");
        pipe.end(Err(Broken::WriterLost));
        // The first end counts.
        pipe.end(Ok(()));
        let items: Vec<_> = pipe
            .read()
            .expect("the first reader")
            .take(2)
            .collect()
            .await;
        assert_eq!(
            items,
            [Ok(Bytes::from_static(b"a")), Err(Broken::WriterLost)]
        );
    }

    #[tokio::test]
    async fn what_was_permitted_may_be_written_after_a_call_has_begun() {
        let pipe = Pipe::default();
        let mut inlet = Inlet::new(pipe.clone());
        while inlet.pipe.0.state.lock().bytes < AHEAD {
            let room = inlet.check_write().expect("open");
            inlet.write(vec![1; room].into()).expect("there is room");
        }
        let room = inlet.check_write().expect("open");
        let _outlet = pipe.read().expect("the first reader");
        inlet
            .write(vec![1; room].into())
            .expect("it was permitted before");
        assert_eq!(inlet.check_write().expect("open"), 0);
        let trap = inlet.write(Bytes::from_static(b"a"));
        assert!(matches!(trap, Err(StreamError::Trap(_))), "{trap:?}");
    }

    #[tokio::test]
    async fn all_values_of_a_guest_are_bounded_together_and_none_waits_for_another() {
        let held = Held::default();
        let mut inlets = Vec::new();
        for _ in 0..TOGETHER / BEFORE {
            let mut inlet = Inlet::new(Pipe::new(held.clone()));
            for _ in 0..BEFORE / PERMIT {
                inlet.write(vec![1; PERMIT].into()).expect("there is room");
            }
            inlets.push(inlet);
        }
        let pipe = Pipe::new(held.clone());
        let mut another = Inlet::new(pipe.clone());
        assert_eq!(another.check_write().expect("it is empty"), LEAST);
        another.write(vec![1; LEAST].into()).expect("it is empty");
        let full = another.check_write();
        assert!(
            matches!(full, Err(StreamError::LastOperationFailed(_))),
            "{full:?}"
        );
        let mut outlet = pipe.read().expect("the first reader");
        assert_eq!(another.check_write().expect("open"), 0);
        outlet.next().await.expect("not the end").expect("whole");
        assert_eq!(another.check_write().expect("open"), LEAST);
        drop(inlets);
        assert_eq!(held.left(), TOGETHER, "they have given it back");
    }

    #[tokio::test]
    async fn small_writes_are_copied_together_in_their_order() {
        let pipe = Pipe::default();
        let mut inlet = Inlet::new(pipe.clone());
        let mut expected: Vec<u8> = Vec::new();
        for number in 0..SMALL + 10 {
            let byte = vec![u8::try_from(number % 251).expect("less than 256")];
            expected.extend(&byte);
            inlet.write(byte.into()).expect("there is room");
        }
        let large = vec![7; SMALL];
        expected.extend(&large);
        inlet.write(large.into()).expect("there is room");
        inlet.write(Bytes::from_static(b"end")).expect("open");
        expected.extend(b"end");
        pipe.end(Ok(()));
        let outlet = pipe.read().expect("the first reader");
        let chunks: Vec<_> = outlet.map(|chunk| chunk.expect("whole")).collect().await;
        assert_eq!(chunks.len(), 4);
        assert_eq!(chunks.concat(), expected);
    }
}
