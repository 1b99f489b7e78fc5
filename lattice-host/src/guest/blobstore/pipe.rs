//! The bytes between a guest that writes a value and the call that takes them.
//!
//! The guest may write while the call has room, so it is never far ahead of the store. Before there
//! is a call it may write a little: a value that is written first and given to a call afterwards.

use bytes::Bytes;
use futures_util::{Stream, task::AtomicWaker};
use lattice_core::sync::Mutex;
use lattice_provider_sdk::Broken;
use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Bytes that a guest may write ahead of the call.
const AHEAD: usize = 128 << 10;
/// Bytes that a guest may write before there is a call.
const BEFORE: usize = 1 << 20;
/// Bytes that a guest may write at once.
const PERMIT: usize = 64 << 10;

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
    /// Bytes in the chunks.
    bytes: usize,
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
        match self.reader {
            _ if self.end.is_some() => Err(StreamError::Closed),
            Reader::Gone => Err(StreamError::Closed),
            Reader::Reads => Ok(AHEAD.saturating_sub(self.bytes).min(PERMIT)),
            Reader::NotYet if self.bytes >= BEFORE => {
                Err(StreamError::LastOperationFailed(wasmtime::format_err!(
                    "{BEFORE} bytes were written before `write-data`; call it first, so that they can go on to the store"
                )))
            }
            Reader::NotYet => Ok((BEFORE - self.bytes).min(PERMIT)),
        }
    }
}

/// What the guest writes to.
pub(super) struct Inlet(pub(super) Pipe);

impl OutputStream for Inlet {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let shared = &self.0.0;
        let mut state = shared.state.lock();
        if bytes.len() > state.room()? {
            return Err(StreamError::trap("more bytes were written than allowed"));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        state.bytes += bytes.len();
        state.chunks.push_back(bytes);
        drop(state);
        shared.reader.wake();
        Ok(())
    }

    /// The call takes what is written as soon as it can.
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.0.0.state.lock().room()
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Inlet {
    async fn ready(&mut self) {
        let shared = &self.0.0;
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
        if let Some(chunk) = state.chunks.pop_front() {
            state.bytes -= chunk.len();
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
        let unread = std::mem::take(&mut state.chunks);
        state.bytes = 0;
        drop(state);
        drop(unread);
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
        let mut inlet = Inlet(pipe.clone());
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
        let mut inlet = Inlet(pipe.clone());
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
        Inlet(pipe.clone())
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
}
