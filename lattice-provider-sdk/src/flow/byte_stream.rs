//! Streams of bytes in values.

use super::{
    ByteWriter,
    context::{Outgoing, put, take},
    ends,
    pump::Pump,
    resource::wrong_kind,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::BoxStream};
use lattice_core::{
    call::CallError,
    stream::{Broken, Chunk, Handle, Reader, Stale, channel},
    sync::Mutex,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Bytes that a reader asks for.
const AHEAD: usize = 64 * 1024;

/// A `stream<u8>` of WIT, in chunks of [`Bytes`]: a [`Stream`] of `Result<Bytes, Broken>`.
///
/// It is like [`StreamReader`](crate::StreamReader), without work for each byte. How the bytes are
/// split into chunks has no meaning, and changes on the way. Chunks that are read aren't empty.
///
/// ```
/// use futures_util::{TryStreamExt, stream};
/// use lattice_provider_sdk::{ByteReader, Bytes};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let parts = ["Hello, ", "Ada!"].map(Bytes::from);
/// let bytes = ByteReader::new(stream::iter(parts));
/// let text: Vec<Bytes> = bytes.try_collect().await?;
/// assert_eq!(text.concat(), b"Hello, Ada!");
/// # Ok::<_, lattice_provider_sdk::Broken>(())
/// # }).expect("whole");
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct ByteReader(Mutex<State>);

enum State {
    /// Made here.
    Made(BoxStream<'static, Result<Bytes, Broken>>),
    /// Came from another component.
    Come(Reader),
    /// Was given away, or is over.
    Over,
}

impl ByteReader {
    /// Makes a stream of the bytes in the chunks of a Rust stream.
    pub fn new(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self::fallible(chunks.map(Ok))
    }

    /// Makes a stream of the bytes in the chunks of a Rust stream that may break.
    pub fn fallible(chunks: impl Stream<Item = Result<Bytes, Broken>> + Send + 'static) -> Self {
        let chunks = chunks.filter(|chunk| {
            let is_empty = matches!(chunk, Ok(bytes) if bytes.is_empty());
            std::future::ready(!is_empty)
        });
        Self(Mutex::new(State::Made(chunks.boxed())))
    }

    /// Makes a stream, and the writer of its bytes.
    pub fn channel() -> (ByteWriter, Self) {
        let (writer, chunks) = ends::channel();
        (writer, Self::fallible(chunks))
    }

    /// Gives the stream away.
    fn give(&self, out: &mut Outgoing) -> Result<Reader, CallError> {
        match mem::replace(&mut *self.0.lock(), State::Over) {
            State::Made(source) => {
                let (writer, reader) = channel();
                out.pumps.push(Pump::of_bytes(source, writer, &out.env));
                Ok(reader)
            }
            State::Come(reader) => Ok(reader),
            State::Over => Err(CallError::BadArguments {
                reason: format!("{self:?}: {}", Stale::UsedTwice),
            }),
        }
    }
}

impl Stream for ByteReader {
    type Item = Result<Bytes, Broken>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.lock();
        let next = match &mut *state {
            State::Made(source) => ready!(source.poll_next_unpin(cx)),
            State::Come(reader) => {
                reader.ask(AHEAD);
                let next = ready!(reader.poll_chunk(cx));
                next.and_then(|chunk| chunk.map(bytes_of).transpose())
                    .transpose()
            }
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

fn bytes_of(chunk: Chunk) -> Result<Bytes, Broken> {
    if chunk.bytes.len() == chunk.count && chunk.handles.is_empty() {
        return Ok(chunk.bytes);
    }
    Err(Broken::Invalid {
        reason: "a chunk of bytes with another length than it says".into(),
    })
}

impl fmt::Debug for ByteReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByteReader")
    }
}

impl Serialize for ByteReader {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        put(serializer, |out| self.give(out).map(Handle::Stream))
    }
}

impl<'de> Deserialize<'de> for ByteReader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        take(deserializer, |handle, _| match handle {
            Handle::Stream(reader) => Ok(Self(Mutex::new(State::Come(reader)))),
            handle => Err(wrong_kind(&handle, "a stream")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use lattice_core::stream::Handles;

    #[test]
    fn a_chunk_of_another_length_than_it_says_is_refused() {
        let (mut writer, mut reader) = channel();
        reader.ask(10);
        for count in [2, 3] {
            let sent = writer.send(Chunk {
                count,
                bytes: Bytes::from_static(b"ab"),
                handles: Handles::new(),
            });
            assert_eq!(sent, Ok(()));
        }
        let mut bytes = ByteReader(Mutex::new(State::Come(reader)));
        let mut next = || bytes.next().now_or_never().expect("at once");
        assert_eq!(next(), Some(Ok(Bytes::from_static(b"ab"))));
        assert!(matches!(next(), Some(Err(Broken::Invalid { .. }))));
        assert_eq!(next(), None);
    }
}
