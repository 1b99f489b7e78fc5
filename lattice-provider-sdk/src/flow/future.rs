//! Futures in values.

use super::{
    Element, Env, FutureWriter,
    context::{Outgoing, put, take},
    elements::decode,
    ends,
    pump::Pump,
    resource::wrong_kind,
};
use futures_util::{FutureExt, future::BoxFuture};
use lattice_core::{
    call::CallError,
    stream::{Broken, Handle, Reader, Stale, channel},
    sync::Mutex,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    any::type_name,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A `future<t>` of WIT: a value that comes later.
///
/// It is a [`Future`] of `Result<T, Broken>`: a writer that died or gave up breaks it. Dropping it
/// tells the writer that the value isn't wanted.
///
/// Handlers return one that is made from a Rust future, or with a [`FutureWriter`]. A Rust future
/// is polled by a task of the SDK, once the reader waits for it.
///
/// ```
/// use lattice_provider_sdk::FutureReader;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// assert_eq!(FutureReader::new(async { 7 }).await, Ok(7));
///
/// let (writer, later) = FutureReader::channel();
/// writer.send("done".to_owned());
/// assert_eq!(later.await, Ok("done".to_owned()));
/// # });
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct FutureReader<T>(Mutex<State<T>>);

enum State<T> {
    /// Made here.
    Made(BoxFuture<'static, Result<T, Broken>>),
    /// Came from another component.
    Come(Reader, Env),
    /// Was given away, or is over.
    Over,
}

// No value is pinned.
impl<T> Unpin for FutureReader<T> {}

impl<T: Send + 'static> FutureReader<T> {
    /// Makes a future of a Rust future.
    pub fn new(value: impl Future<Output = T> + Send + 'static) -> Self {
        Self::fallible(value.map(Ok))
    }

    /// Makes a future of a Rust future that may break.
    pub fn fallible(value: impl Future<Output = Result<T, Broken>> + Send + 'static) -> Self {
        Self(Mutex::new(State::Made(value.boxed())))
    }

    /// Makes a future, and the writer of its value.
    pub fn channel() -> (FutureWriter<T>, Self) {
        let (writer, value) = ends::oneshot();
        (writer, Self::fallible(value))
    }
}

impl<T: Element> FutureReader<T> {
    /// Gives the future away.
    fn give(&self, out: &mut Outgoing) -> Result<Reader, CallError> {
        match mem::replace(&mut *self.0.lock(), State::Over) {
            State::Made(source) => {
                let (writer, reader) = channel();
                out.pumps.push(Pump::of_future(source, writer, &out.env));
                Ok(reader)
            }
            State::Come(reader, _) => Ok(reader),
            State::Over => Err(CallError::BadArguments {
                reason: format!("{self:?}: {}", Stale::UsedTwice),
            }),
        }
    }
}

impl<T: Element> Future for FutureReader<T> {
    type Output = Result<T, Broken>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        let value = match &mut *state {
            State::Made(source) => ready!(source.poll_unpin(cx)),
            State::Come(reader, env) => {
                reader.ask(1);
                match ready!(reader.poll_chunk(cx)) {
                    // There is room for one value.
                    Ok(Some(chunk)) => decode(chunk, env).and_then(|mut values| {
                        let value = values.pop_front();
                        value.ok_or(Broken::WriterLost)
                    }),
                    Ok(None) => Err(Broken::WriterLost),
                    Err(broken) => Err(broken),
                }
            }
            State::Over => Err(Broken::WriterLost),
        };
        let over = mem::replace(&mut *state, State::Over);
        drop(state);
        drop(over);
        Poll::Ready(value)
    }
}

impl<T> fmt::Debug for FutureReader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FutureReader<{}>", type_name::<T>())
    }
}

impl<T: Element> Serialize for FutureReader<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        put(serializer, |out| self.give(out).map(Handle::Future))
    }
}

impl<'de, T: Element> Deserialize<'de> for FutureReader<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        take(deserializer, |handle, env| match handle {
            Handle::Future(reader) => Ok(Self(Mutex::new(State::Come(reader, env.clone())))),
            handle => Err(wrong_kind(&handle, "a future")),
        })
    }
}
