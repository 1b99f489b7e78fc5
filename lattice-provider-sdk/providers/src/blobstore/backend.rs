//! What a store of objects does for the provider, and the data that comes in.

use super::bindings::lattice::blobstore::types::{ByteRange, Error, ObjectId};
use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use lattice_provider_sdk::{Broken, ByteReader, Refusal};
use std::{
    fmt,
    future::Future,
    time::{Duration, SystemTime},
};

/// The bytes of an object that is read.
pub(crate) type Chunks = BoxStream<'static, Result<Bytes, Broken>>;
/// The names of the objects in a container.
pub(crate) type Names = BoxStream<'static, Result<String, Broken>>;

/// A store of objects in containers. Names were checked before.
///
/// Dropping a future of `put` must leave no object and no old one changed, and give back what it
/// takes.
pub(crate) trait Backend: Send + Sync + 'static {
    /// The name of the store in traces.
    fn system(&self) -> &'static str;

    /// Prepares the store. Fails only if its settings are wrong.
    fn start(&self) -> impl Future<Output = Result<(), Refusal>> + Send {
        async { Ok(()) }
    }

    /// Checks that the store can be used.
    fn health(&self) -> impl Future<Output = Result<(), Refusal>> + Send {
        async { Ok(()) }
    }

    /// Creates a container, unless it exists.
    fn create(&self, container: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Returns when a container was created, in seconds since 1970, or 0.
    fn created(&self, container: &str) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Deletes a container with its objects.
    fn delete(&self, container: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Deletes the objects of a container.
    fn clear(&self, container: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Returns the names of the objects in a container.
    fn list(&self, container: &str) -> impl Future<Output = Result<Names, Error>> + Send;

    /// Begins to read an object.
    fn get(
        &self,
        id: &ObjectId,
        part: Option<Part>,
    ) -> impl Future<Output = Result<Found, Error>> + Send;

    /// Writes an object.
    fn put(
        &self,
        id: &ObjectId,
        data: Incoming,
    ) -> impl Future<Output = Result<Stat, Error>> + Send;

    /// Returns what is known of an object.
    fn stat(&self, id: &ObjectId) -> impl Future<Output = Result<Stat, Error>> + Send;

    /// Deletes objects, if they exist.
    fn remove(
        &self,
        container: &str,
        names: Vec<String>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Copies an object to another id.
    fn copy(
        &self,
        source: &ObjectId,
        destination: &ObjectId,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Moves an object to another id.
    fn rename(
        &self,
        source: &ObjectId,
        destination: &ObjectId,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        async move {
            self.copy(source, destination).await?;
            let names = vec![source.object.clone()];
            self.remove(&source.container, names).await
        }
    }
}

/// A part of an object. Both ends are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl From<ByteRange> for Part {
    fn from(range: ByteRange) -> Self {
        let ByteRange { first, last } = range;
        Self { first, last }
    }
}

/// What is known of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Its size in bytes.
    pub(crate) size: u64,
    /// When it was written, in seconds since 1970, or 0.
    pub(crate) written: u64,
}

/// An object that is read.
pub(crate) struct Found {
    pub(crate) stat: Stat,
    /// How many bytes the data has.
    pub(crate) length: u64,
    pub(crate) data: Chunks,
}

/// Data that comes in, up to a limit.
pub(crate) struct Incoming {
    chunks: Chunks,
    limit: u64,
    taken: u64,
}

impl Incoming {
    /// Takes at most `limit` bytes from a stream.
    pub(crate) fn new(reader: ByteReader, limit: Option<u64>) -> Self {
        Self::of(reader.boxed(), limit)
    }

    /// Takes at most `limit` bytes from an object of the same store.
    pub(crate) fn of(chunks: Chunks, limit: Option<u64>) -> Self {
        Self {
            chunks,
            limit: limit.unwrap_or(u64::MAX),
            taken: 0,
        }
    }

    /// Lowers the limit.
    pub(crate) fn at_most(mut self, limit: u64) -> Self {
        self.limit = self.limit.min(limit);
        self
    }

    /// Returns the next chunk, or `None` when the data is complete.
    ///
    /// # Errors
    /// Fails with [`Error::Incomplete`] when the data breaks, and with [`Error::TooLarge`] at the
    /// limit.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match self.chunks.next().await {
            None => Ok(None),
            Some(Err(broken)) => Err(Error::Incomplete(broken.to_string())),
            Some(Ok(chunk)) => {
                self.taken = self.taken.saturating_add(chunk.len() as u64);
                if self.taken > self.limit {
                    return Err(Error::TooLarge(self.limit));
                }
                Ok(Some(chunk))
            }
        }
    }
}

/// Returns the position and the length of a part of an object of this size.
///
/// # Errors
/// Fails with [`Error::InvalidRange`]. An object without bytes has an empty part at its beginning.
pub(crate) fn span(part: Option<Part>, size: u64) -> Result<(u64, u64), Error> {
    let Some(Part { first, last }) = part else {
        return Ok((0, size));
    };
    if first > last || (first >= size && first > 0) {
        return Err(Error::InvalidRange(size));
    }
    let end = last.saturating_add(1).min(size);
    Ok((first, end - first))
}

/// Returns a time in seconds since 1970, or 0 for one before.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.as_ref().map_or(0, Duration::as_secs)
}

/// A stream that is broken for this reason.
pub(crate) fn broken(reason: &dyn fmt::Display) -> Broken {
    Broken::Failed {
        reason: reason.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    /// The span of a part of an object of this size.
    fn part(first: u64, last: u64, size: u64) -> Result<(u64, u64), Error> {
        span(Some(Part { first, last }), size)
    }

    #[test]
    fn ranges_are_inclusive_at_both_ends_and_end_with_the_object() {
        assert_eq!(span(None, 5), Ok((0, 5)));
        assert_eq!(part(0, 0, 5), Ok((0, 1)));
        assert_eq!(part(1, 3, 5), Ok((1, 3)));
        assert_eq!(part(4, u64::MAX, 5), Ok((4, 1)));
        assert_eq!(part(0, u64::MAX, 0), Ok((0, 0)));
        for (first, last, size) in [(5, 9, 5), (3, 2, 5), (1, 1, 0), (u64::MAX, u64::MAX, 5)] {
            assert_eq!(part(first, last, size), Err(Error::InvalidRange(size)));
        }
    }

    #[tokio::test]
    async fn data_over_the_limit_and_data_that_breaks_is_not_complete() {
        let chunks =
            || stream::iter([Ok(Bytes::from_static(b"abc")), Ok(Bytes::from_static(b"d"))]);
        let mut whole = Incoming::of(chunks().boxed(), Some(4));
        assert_eq!(whole.next().await, Ok(Some(Bytes::from_static(b"abc"))));
        assert_eq!(whole.next().await, Ok(Some(Bytes::from_static(b"d"))));
        assert_eq!(whole.next().await, Ok(None));
        let mut long = Incoming::of(chunks().boxed(), None).at_most(3);
        assert!(long.next().await.is_ok());
        assert_eq!(long.next().await, Err(Error::TooLarge(3)));
        let cut = stream::iter([Err(broken(&"no more"))]).boxed();
        let mut cut = Incoming::of(cut, None);
        assert!(
            matches!(cut.next().await, Err(Error::Incomplete(reason)) if reason.contains("no more"))
        );
    }
}
