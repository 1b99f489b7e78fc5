//! Writing an object.

use super::failure::failed;
use crate::blobstore::{backend::Incoming, bindings::lattice::blobstore::types::Error};
use async_nats::jetstream::object_store::{ObjectInfo, ObjectStore};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};

/// Writes an object. It is there when its last part is: until then, nothing names its chunks.
pub(super) async fn object(
    store: &ObjectStore,
    name: &str,
    data: Incoming,
) -> Result<ObjectInfo, Error> {
    let mut source = Source {
        state: State::Idle(data),
        rest: Bytes::new(),
        error: None,
    };
    let put = store.put(name, &mut source).await;
    match (put, source.error) {
        (_, Some(error)) => Err(error),
        (Ok(info), None) => Ok(info),
        (Err(error), None) => Err(failed(&error)),
    }
}

/// Data that comes in, as the client reads it.
struct Source {
    state: State,
    rest: Bytes,
    /// Why it ended before its end.
    error: Option<Error>,
}

type Next = (Incoming, Result<Option<Bytes>, Error>);

enum State {
    Idle(Incoming),
    Reading(BoxFuture<'static, Next>),
    Over,
}

impl Source {
    /// Waits until there are bytes, or none will come.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            self.state = match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Poll::Ready(Ok(())),
                State::Idle(mut data) => State::Reading(Box::pin(async move {
                    let next = data.next().await;
                    (data, next)
                })),
                State::Reading(mut reading) => match reading.as_mut().poll(cx) {
                    Poll::Pending => {
                        self.state = State::Reading(reading);
                        return Poll::Pending;
                    }
                    Poll::Ready((data, Ok(Some(chunk)))) => {
                        self.rest = chunk;
                        State::Idle(data)
                    }
                    Poll::Ready((_, Ok(None))) => State::Over,
                    Poll::Ready((_, Err(error))) => {
                        self.error = Some(error);
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                },
            };
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Source {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_fill(cx))?;
        let size = this.rest.len().min(buffer.remaining());
        buffer.put_slice(&this.rest.split_to(size));
        Poll::Ready(Ok(()))
    }
}
