//! The writing ends of channels.

use bytes::Bytes;
use futures_util::{Stream, stream};
use lattice_core::{
    stream::{Broken, NotSent},
    sync::Mutex,
};
use std::{fmt, future::Future, sync::Arc};
use tokio::sync::{mpsc, oneshot};

/// Writes the elements of a [`StreamReader`](crate::StreamReader), which
/// [`StreamReader::channel`](crate::StreamReader::channel) returns with it.
///
/// Dropping it without [`end`](Self::end) breaks the stream, so that a part is never taken for the
/// whole.
pub struct StreamWriter<T> {
    elements: mpsc::Sender<T>,
    end: End,
}

/// Writes the bytes of a [`ByteReader`](crate::ByteReader), in chunks.
pub type ByteWriter = StreamWriter<Bytes>;

/// How a stream ends, as its writer says. Nothing means that it was lost.
type End = Arc<Mutex<Option<Result<(), Broken>>>>;

impl<T> StreamWriter<T> {
    /// Sends an element. Waits until the reader has room for it.
    ///
    /// # Errors
    /// [`NotSent::NotRead`] when the reader is gone.
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, the element is dropped too, and not sent.
    pub async fn send(&mut self, element: T) -> Result<(), NotSent> {
        let sent = self.elements.send(element).await;
        sent.map_err(|_| NotSent::NotRead)
    }

    /// Waits until the reader is gone.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn unread(&self) {
        self.elements.closed().await;
    }

    /// Ends the stream: everything was sent.
    pub fn end(self) {
        *self.end.lock() = Some(Ok(()));
    }

    /// Breaks the stream. The reader gets [`Broken::Failed`] with this reason, after what was sent.
    pub fn fail(self, reason: impl Into<String>) {
        *self.end.lock() = Some(Err(failed(reason)));
    }
}

impl<T> fmt::Debug for StreamWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamWriter")
    }
}

/// Creates a writer, and a stream of what it writes.
pub(super) fn channel<T>() -> (
    StreamWriter<T>,
    impl Stream<Item = Result<T, Broken>> + use<T>,
) {
    // The element that waits for the reader.
    let (elements, written) = mpsc::channel(1);
    let end = End::default();
    let writer = StreamWriter {
        elements,
        end: end.clone(),
    };
    let items = stream::unfold(Some((written, end)), |state| async {
        let (mut written, end): (mpsc::Receiver<T>, End) = state?;
        if let Some(element) = written.recv().await {
            return Some((Ok(element), Some((written, end))));
        }
        let end = end.lock().take().unwrap_or(Err(Broken::WriterLost));
        end.err().map(|broken| (Err(broken), None))
    });
    (writer, items)
}

/// Writes the value of a [`FutureReader`](crate::FutureReader), which
/// [`FutureReader::channel`](crate::FutureReader::channel) returns with it.
///
/// Dropping it without [`send`](Self::send) breaks the future.
pub struct FutureWriter<T>(oneshot::Sender<Result<T, Broken>>);

impl<T> FutureWriter<T> {
    /// Sends the value. It is dropped if the reader is gone.
    pub fn send(self, value: T) {
        drop(self.0.send(Ok(value)));
    }

    /// Breaks the future. The reader gets [`Broken::Failed`] with this reason.
    pub fn fail(self, reason: impl Into<String>) {
        drop(self.0.send(Err(failed(reason))));
    }

    /// Waits until the reader is gone.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn unread(&mut self) {
        self.0.closed().await;
    }
}

impl<T> fmt::Debug for FutureWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FutureWriter")
    }
}

/// Creates a writer, and a future of what it writes.
pub(super) fn oneshot<T>() -> (
    FutureWriter<T>,
    impl Future<Output = Result<T, Broken>> + use<T>,
) {
    let (writer, value) = oneshot::channel();
    let value = async { value.await.unwrap_or(Err(Broken::WriterLost)) };
    (FutureWriter(writer), value)
}

fn failed(reason: impl Into<String>) -> Broken {
    Broken::Failed {
        reason: reason.into().into(),
    }
}
