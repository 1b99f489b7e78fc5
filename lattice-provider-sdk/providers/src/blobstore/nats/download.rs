//! Reading an object.

use crate::blobstore::backend::{Chunks, broken};
use async_nats::jetstream::object_store::Object;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use lattice_provider_sdk::Broken;
use std::{future::poll_fn, io, pin::Pin, time::Duration};
use tokio::io::{AsyncRead as _, ReadBuf};

/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// Returns a part of an object. What comes before it is read and dropped. It breaks when the server
/// sends nothing for this long.
pub(super) fn part(object: Object, first: u64, length: u64, silence: Duration) -> Chunks {
    let state = Reading {
        object,
        skip: first,
        left: length,
        silence,
    };
    stream::try_unfold(state, async |mut state| match state.next().await {
        Ok(Some(bytes)) => Ok(Some((bytes, state))),
        Ok(None) => Ok(None),
        Err(error) => Err::<_, Broken>(broken(&error)),
    })
    .boxed()
}

struct Reading {
    object: Object,
    skip: u64,
    left: u64,
    silence: Duration,
}

impl Reading {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        while self.left > 0 {
            let mut bytes = self.read().await?;
            if bytes.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the object ended before its end; it may have been replaced",
                ));
            }
            let skipped =
                usize::try_from(self.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
            self.skip -= skipped as u64;
            bytes = bytes.slice(skipped..);
            bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            if !bytes.is_empty() {
                self.left -= bytes.len() as u64;
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    async fn read(&mut self) -> io::Result<Bytes> {
        let mut bytes = vec![0; CHUNK];
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = poll_fn(|cx| Pin::new(&mut self.object).poll_read(cx, &mut buffer));
        match tokio::time::timeout(self.silence, read).await {
            Ok(read) => read?,
            Err(elapsed) => return Err(io::Error::new(io::ErrorKind::TimedOut, elapsed)),
        }
        let filled = buffer.filled().len();
        bytes.truncate(filled);
        Ok(bytes.into())
    }
}
