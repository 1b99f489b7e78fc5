//! The tasks that send the elements of streams to their readers.
//!
//! A pump ends when everything was sent, when its reader is gone, and when the provider is taken
//! out of service. It takes nothing from its source before the reader has asked for it.

use super::{
    Element, Env,
    elements::{Batch, most},
    home::OpenStream,
};
use bytes::{Buf, Bytes};
use futures_util::{
    FutureExt, StreamExt,
    future::{self, BoxFuture},
    stream::BoxStream,
};
use lattice_core::stream::{Broken, Chunk, Handles, Writer};
use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

/// Most bytes of a chunk of bytes.
const MOST_BYTES: usize = 64 * 1024;

/// A task that isn't started yet. Dropping it breaks its stream.
pub(super) struct Pump(BoxFuture<'static, ()>);

impl Pump {
    /// Sends the elements of a stream.
    pub(super) fn of_stream<T: Element>(
        source: BoxStream<'static, Result<T, Broken>>,
        writer: Writer,
        env: &Env,
    ) -> Self {
        let (outlet, env) = (Outlet::new(writer, env), env.clone());
        Self(stream(source, outlet, env).boxed())
    }

    /// Sends the chunks of a stream of bytes.
    pub(super) fn of_bytes(
        source: BoxStream<'static, Result<Bytes, Broken>>,
        writer: Writer,
        env: &Env,
    ) -> Self {
        Self(bytes(source, Outlet::new(writer, env)).boxed())
    }

    /// Sends the value of a future.
    pub(super) fn of_future<T: Element>(
        source: BoxFuture<'static, Result<T, Broken>>,
        writer: Writer,
        env: &Env,
    ) -> Self {
        let (outlet, env) = (Outlet::new(writer, env), env.clone());
        Self(future(source, outlet, env).boxed())
    }

    /// Runs it as a task of its own. Outside of a runtime, its stream breaks.
    pub(super) fn start(self) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(self.0);
        }
    }
}

impl fmt::Debug for Pump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pump")
    }
}

/// The end that elements go into, for as long as its reader and its provider are there.
struct Outlet {
    writer: Writer,
    /// The provider was taken out of service.
    ended: BoxFuture<'static, Arc<str>>,
    /// Counted as open at the provider, which isn't dropped before its streams have ended if it is
    /// given time.
    _open: Option<OpenStream>,
}

/// Why nothing more is sent.
enum Stop {
    /// The reader is gone.
    Unread,
    /// The provider was taken out of service.
    Ended(Arc<str>),
}

impl Outlet {
    fn new(writer: Writer, env: &Env) -> Self {
        let ended = match &env.home {
            Some(home) => home.ended().boxed(),
            None => future::pending().boxed(),
        };
        let open = env.home.as_ref().map(|home| home.open_stream());
        Self {
            writer,
            ended,
            _open: open,
        }
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>) -> Poll<Stop> {
        if let Poll::Ready(reason) = self.ended.poll_unpin(cx) {
            return Poll::Ready(Stop::Ended(reason));
        }
        self.writer.poll_unread(cx).map(|()| Stop::Unread)
    }

    /// Waits until the reader has asked for elements, and returns for how many.
    async fn room(&mut self) -> Result<usize, Stop> {
        poll_fn(|cx| match self.poll_stop(cx) {
            Poll::Ready(stop) => Poll::Ready(Err(stop)),
            Poll::Pending => match self.writer.poll_room(cx) {
                Poll::Ready(Some(room)) => Poll::Ready(Ok(room)),
                Poll::Ready(None) => Poll::Ready(Err(Stop::Unread)),
                Poll::Pending => Poll::Pending,
            },
        })
        .await
    }

    /// Waits for what `poll` waits for.
    async fn unless_stopped<R>(
        &mut self,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>,
    ) -> Result<R, Stop> {
        poll_fn(|cx| match self.poll_stop(cx) {
            Poll::Ready(stop) => Poll::Ready(Err(stop)),
            Poll::Pending => poll(cx).map(Ok),
        })
        .await
    }

    fn send(&mut self, chunk: Chunk) {
        // A reader that has just gone is noticed before the next chunk.
        let _ = self.writer.send(chunk);
    }

    fn finish(self, end: Result<(), Broken>) {
        match end {
            Ok(()) => self.writer.end(),
            Err(broken) => self.writer.fail(broken),
        }
    }

    fn stop(self, stop: Stop) {
        if let Stop::Ended(reason) = stop {
            self.writer.fail(Broken::InstanceLost { reason });
        }
    }
}

async fn stream<T: Element>(
    mut source: BoxStream<'static, Result<T, Broken>>,
    mut outlet: Outlet,
    env: Env,
) {
    let mut batch = Batch::default();
    loop {
        let room = match outlet.room().await {
            Ok(room) => room.min(most::<T>()),
            Err(stop) => return outlet.stop(stop),
        };
        // As many elements as there are without waiting, and at least one.
        let filled = outlet.unless_stopped(|cx| {
            while batch.has_room(room) {
                match source.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(element))) => {
                        if let Err(broken) = batch.push(element, &env) {
                            return Poll::Ready(Some(Err(broken)));
                        }
                    }
                    Poll::Ready(Some(Err(broken))) => return Poll::Ready(Some(Err(broken))),
                    Poll::Ready(None) => return Poll::Ready(Some(Ok(()))),
                    Poll::Pending if batch.is_empty() => return Poll::Pending,
                    Poll::Pending => return Poll::Ready(None),
                }
            }
            Poll::Ready(None)
        });
        let end = match filled.await {
            Ok(end) => end,
            Err(stop) => return outlet.stop(stop),
        };
        if !batch.is_empty() {
            outlet.send(batch.take());
        }
        if let Some(end) = end {
            return outlet.finish(end);
        }
    }
}

async fn future<T: Element>(
    mut source: BoxFuture<'static, Result<T, Broken>>,
    mut outlet: Outlet,
    env: Env,
) {
    if let Err(stop) = outlet.room().await {
        return outlet.stop(stop);
    }
    let value = match outlet.unless_stopped(|cx| source.poll_unpin(cx)).await {
        Ok(value) => value,
        Err(stop) => return outlet.stop(stop),
    };
    let mut batch = Batch::default();
    let sent = value.and_then(|value| batch.push(value, &env));
    if !batch.is_empty() {
        outlet.send(batch.take());
    }
    outlet.finish(sent);
}

async fn bytes(mut source: BoxStream<'static, Result<Bytes, Broken>>, mut outlet: Outlet) {
    let mut rest = Bytes::new();
    loop {
        let room = match outlet.room().await {
            Ok(room) => room.min(MOST_BYTES),
            Err(stop) => return outlet.stop(stop),
        };
        while !rest.has_remaining() {
            let next = outlet.unless_stopped(|cx| source.poll_next_unpin(cx));
            match next.await {
                Ok(Some(Ok(chunk))) => rest = chunk,
                Ok(Some(Err(broken))) => return outlet.finish(Err(broken)),
                Ok(None) => return outlet.finish(Ok(())),
                Err(stop) => return outlet.stop(stop),
            }
        }
        let bytes = rest.split_to(rest.len().min(room));
        outlet.send(Chunk {
            count: bytes.len(),
            bytes,
            handles: Handles::new(),
        });
    }
}
