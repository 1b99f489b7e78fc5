//! Streams in values.

use super::{
    Element, Env, StreamWriter,
    context::{Outgoing, put, take},
    elements::{decode, most},
    ends,
    pump::Pump,
    resource::wrong_kind,
};
use futures_util::{Stream, StreamExt, stream::BoxStream};
use lattice_core::{
    call::CallError,
    stream::{Broken, Handle, Reader, Stale, channel},
    sync::Mutex,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    any::type_name,
    collections::VecDeque,
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A `stream<t>` of WIT: elements that come one after the other. `stream<u8>` is a
/// [`ByteReader`](crate::ByteReader).
///
/// It is a [`Stream`] of `Result<T, Broken>`. `None` is the end that the writer made. A writer that
/// died or gave up isn't taken for an end: the last item is then the error. Dropping the stream
/// tells the writer that nothing more is read.
///
/// Handlers return one that is made from a Rust stream, or with a [`StreamWriter`]:
///
/// ```
/// use futures_util::{StreamExt, stream};
/// use lattice_provider_sdk::StreamReader;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let mut squares = StreamReader::new(stream::iter(1_u32..4).map(|n| n * n));
/// assert_eq!(squares.next().await, Some(Ok(1)));
///
/// let (mut writer, mut words) = StreamReader::channel();
/// tokio::spawn(async move {
///     writer.send("one".to_owned()).await?;
///     writer.end();
///     Ok::<_, lattice_provider_sdk::NotSent>(())
/// });
/// assert_eq!(words.next().await, Some(Ok("one".to_owned())));
/// assert_eq!(words.next().await, None);
/// # });
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// A Rust stream is polled by a task of the SDK, and only for elements that the reader has room
/// for. The task ends with the stream, when the reader goes away, and when the provider is taken
/// out of service.
///
/// A stream that came in an argument or a result can be passed on as it is, and doesn't go through
/// this component then.
pub struct StreamReader<T>(Mutex<State<T>>);

enum State<T> {
    /// Made here.
    Made(BoxStream<'static, Result<T, Broken>>),
    /// Came from another component.
    Come(Come<T>),
    /// Was given away, or is over.
    Over,
}

struct Come<T> {
    reader: Reader,
    env: Env,
    ready: VecDeque<T>,
}

// No element is pinned.
impl<T> Unpin for StreamReader<T> {}

impl<T: Send + 'static> StreamReader<T> {
    /// Makes a stream of the items of a Rust stream.
    pub fn new(items: impl Stream<Item = T> + Send + 'static) -> Self {
        Self::fallible(items.map(Ok))
    }

    /// Makes a stream of the items of a Rust stream that may break.
    pub fn fallible(items: impl Stream<Item = Result<T, Broken>> + Send + 'static) -> Self {
        Self(Mutex::new(State::Made(items.boxed())))
    }

    /// Makes a stream, and the writer of its elements.
    pub fn channel() -> (StreamWriter<T>, Self) {
        let (writer, items) = ends::channel();
        (writer, Self::fallible(items))
    }
}

impl<T: Element> StreamReader<T> {
    /// Gives the stream away.
    fn give(&self, out: &mut Outgoing) -> Result<Reader, CallError> {
        let source = match mem::replace(&mut *self.0.lock(), State::Over) {
            State::Made(source) => source,
            State::Come(come) if come.ready.is_empty() => return Ok(come.reader),
            come @ State::Come(_) => Self(Mutex::new(come)).boxed(),
            State::Over => {
                return Err(CallError::BadArguments {
                    reason: format!("{self:?}: {}", Stale::UsedTwice),
                });
            }
        };
        let (writer, reader) = channel();
        out.pumps.push(Pump::of_stream(source, writer, &out.env));
        Ok(reader)
    }
}

impl<T: Element> Stream for StreamReader<T> {
    type Item = Result<T, Broken>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.lock();
        let next = match &mut *state {
            State::Made(source) => ready!(source.poll_next_unpin(cx)),
            State::Come(come) => ready!(come.poll_next(cx)),
            State::Over => None,
        };
        if !matches!(next, Some(Ok(_))) {
            let over = mem::replace(&mut *state, State::Over);
            drop(state);
            drop(over);
        }
        Poll::Ready(next)
    }
}

impl<T: Element> Come<T> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Broken>>> {
        loop {
            if let Some(element) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(element)));
            }
            self.reader.ask(most::<T>());
            match ready!(self.reader.poll_chunk(cx)) {
                Ok(Some(chunk)) => match decode(chunk, &self.env) {
                    Ok(elements) => self.ready = elements,
                    Err(broken) => return Poll::Ready(Some(Err(broken))),
                },
                Ok(None) => return Poll::Ready(None),
                Err(broken) => return Poll::Ready(Some(Err(broken))),
            }
        }
    }
}

impl<T> fmt::Debug for StreamReader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamReader<{}>", type_name::<T>())
    }
}

impl<T: Element> Serialize for StreamReader<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        put(serializer, |out| self.give(out).map(Handle::Stream))
    }
}

impl<'de, T: Element> Deserialize<'de> for StreamReader<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        take(deserializer, |handle, env| match handle {
            Handle::Stream(reader) => Ok(Self(Mutex::new(State::Come(Come {
                reader,
                env: env.clone(),
                ready: VecDeque::new(),
            })))),
            handle => Err(wrong_kind(&handle, "a stream")),
        })
    }
}
