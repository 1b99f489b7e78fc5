//! Bodies that a guest writes, and what becomes of them when its store is dropped.
//!
//! A body of wasmtime-wasi-http ends without an error when the store of its guest is dropped, as if
//! the guest had ended it. So each body is asked just before: one that the guest has ended says so
//! then, with what isn't read yet, and any other one breaks. A body that the guest only passes on
//! counts as its own.

use bytes::Bytes;
use futures_util::FutureExt;
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use lattice_core::sync::Mutex;
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
};
use tokio::task::coop::unconstrained;
use wasmtime_wasi_http::{Error, WasiBody};

/// Most parts of a body that are looked for when the store is dropped. A body that a guest writes
/// holds two at most, and trailers.
const LEFT: usize = 8;

/// The bodies that the guest of one store writes. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct WrittenBodies(Arc<Mutex<Vec<Weak<Mutex<State>>>>>);

impl WrittenBodies {
    /// Returns the body, so that it is whole only if the guest ends it.
    pub(super) fn watch(&self, body: WasiBody) -> WasiBody {
        if body.is_end_stream() {
            return body;
        }
        let state = Arc::new(Mutex::new(State {
            body: Some(body),
            left: VecDeque::new(),
            reader: None,
        }));
        let mut bodies = self.0.lock();
        if bodies.len() == bodies.capacity() {
            bodies.retain(|body| body.strong_count() > 0);
        }
        bodies.push(Arc::downgrade(&state));
        drop(bodies);
        Written(state).boxed_unsync()
    }

    /// Breaks the bodies that the guest has not ended. Call this before its store is dropped.
    pub(super) fn settle(&self) {
        let bodies = std::mem::take(&mut *self.0.lock());
        for body in bodies.iter().filter_map(Weak::upgrade) {
            let reader = body.lock().settle();
            if let Some(reader) = reader {
                reader.wake();
            }
        }
    }
}

type Next = Result<Frame<Bytes>, Error>;

struct State {
    /// `None` when it has ended, or its store has.
    body: Option<WasiBody>,
    /// What comes yet when the store has ended.
    left: VecDeque<Next>,
    /// Woken when the store ends.
    reader: Option<Waker>,
}

impl State {
    /// Takes what is left of the body, and returns its reader.
    fn settle(&mut self) -> Option<Waker> {
        let mut body = self.body.take()?;
        for _ in 0..LEFT {
            // Without the budget of the task, by which a part that is there may seem not to be.
            match unconstrained(body.frame()).now_or_never() {
                Some(Some(Ok(frame))) => self.left.push_back(Ok(frame)),
                Some(Some(Err(error))) => {
                    self.left.push_back(Err(error));
                    return self.reader.take();
                }
                Some(None) => return self.reader.take(),
                None => break,
            }
        }
        self.left.push_back(Err(Error::ConnectionTerminated));
        self.reader.take()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Next>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(self.left.pop_front());
        };
        let next = Pin::new(body).poll_frame(cx);
        match &next {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(_) => self.body = None,
            Poll::Pending => match &mut self.reader {
                Some(reader) => reader.clone_from(cx.waker()),
                None => self.reader = Some(cx.waker().clone()),
            },
        }
        next
    }
}

struct Written(Arc<Mutex<State>>);

impl HttpBody for Written {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Next>> {
        self.0.lock().poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        let state = self.0.lock();
        state.body.is_none() && state.left.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http_body_util::StreamBody;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    /// A body that ends without an error when its writer is dropped.
    fn body() -> (UnboundedSender<Next>, WasiBody) {
        let (writer, mut parts) = unbounded_channel();
        let parts = stream::poll_fn(move |cx| parts.poll_recv(cx));
        (writer, StreamBody::new(parts).boxed_unsync())
    }

    fn write(writer: &UnboundedSender<Next>, text: &'static str) {
        let part = Ok(Frame::data(Bytes::from_static(text.as_bytes())));
        writer.send(part).expect("it is read");
    }

    /// Returns what was written, and whether it is whole.
    async fn read(mut body: WasiBody) -> (String, bool) {
        let mut text = String::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return (text, false);
            };
            let data = frame.into_data().expect("data");
            text.push_str(&String::from_utf8_lossy(&data));
        }
        assert!(body.is_end_stream());
        (text, true)
    }

    #[tokio::test]
    async fn only_a_body_that_has_ended_before_its_store_is_whole() {
        let bodies = WrittenBodies::default();
        let (ended, whole) = body();
        let (open, broken) = body();
        let (whole, broken) = (bodies.watch(whole), bodies.watch(broken));
        assert!(!whole.is_end_stream());
        write(&ended, "all");
        write(&open, "part");
        drop(ended);
        bodies.settle();
        drop(open);
        assert_eq!(read(whole).await, ("all".to_owned(), true));
        assert_eq!(read(broken).await, ("part".to_owned(), false));
    }

    #[tokio::test]
    async fn a_reader_that_waits_learns_that_the_store_has_ended() {
        let bodies = WrittenBodies::default();
        let (writer, body) = body();
        let reading = tokio::spawn(read(bodies.watch(body)));
        tokio::task::yield_now().await;
        bodies.settle();
        assert_eq!(reading.await.expect("it ends"), (String::new(), false));
        drop(writer);
    }
}
