//! Writing an object: its chunks first, under a name of their own, and at last what names them.
//!
//! Until then there is no object. When an upload fails or is dropped before, its chunks are
//! deleted.

use super::failure::failed;
use crate::blobstore::{backend::Incoming, bindings::lattice::blobstore::types::Error};
use async_nats::{
    Client, HeaderMap,
    header::NATS_ROLLUP,
    jetstream::{
        Context,
        context::PublishAckFuture,
        object_store::{ObjectInfo, ObjectOptions},
        stream::Stream,
    },
};
use bytes::{Bytes, BytesMut};
use data_encoding::BASE64URL;
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use tokio::runtime::Handle;

/// Bytes of a chunk, as the clients of NATS have it.
const CHUNK: usize = 128 * 1024;
/// Chunks on their way at once.
const IN_FLIGHT: usize = 8;
/// How long it may take to delete chunks.
const CLEANUP: Duration = Duration::from_secs(10);

/// Where an object is written.
pub(super) struct Target<'a> {
    pub(super) client: &'a Client,
    pub(super) context: &'a Context,
    pub(super) stream: Stream,
    pub(super) bucket: String,
    pub(super) name: &'a str,
}

impl Target<'_> {
    /// Writes the object.
    pub(super) async fn write(self, data: Incoming) -> Result<ObjectInfo, Error> {
        let inbox = self.client.new_inbox();
        let nuid = inbox.rsplit('.').next().unwrap_or(&inbox).to_owned();
        let chunks = Chunks {
            stream: self.stream.clone(),
            subject: subject(&self.bucket, &nuid),
            is_kept: false,
        };
        let mut info = self.chunks(&chunks, data).await?;
        info.nuid = nuid;
        self.check(&chunks, info.chunks).await?;
        // From here on, the object may exist, also if the server's answer is lost.
        chunks.keep();
        self.name(&info).await?;
        Ok(info)
    }

    /// Sends the chunks, and waits until the server has them.
    async fn chunks(&self, chunks: &Chunks, mut data: Incoming) -> Result<ObjectInfo, Error> {
        let (mut sent, mut digest) = (Sent::default(), Sha256::new());
        let (mut size, mut count) = (0, 0);
        let mut buffer = BytesMut::new();
        loop {
            let next = data.next().await?;
            let is_over = next.is_none();
            buffer.extend_from_slice(&next.unwrap_or_default());
            while buffer.len() >= CHUNK || (is_over && !buffer.is_empty()) {
                let chunk = buffer.split_to(buffer.len().min(CHUNK)).freeze();
                digest.update(&chunk);
                size += chunk.len();
                count += 1;
                sent.send(self.context, &chunks.subject, chunk).await?;
            }
            if is_over {
                break;
            }
        }
        sent.wait_for_fewer_than(1).await?;
        let digest: [u8; 32] = digest.finalize().into();
        Ok(ObjectInfo {
            name: self.name.to_owned(),
            description: None,
            metadata: HashMap::new(),
            headers: None,
            options: Some(ObjectOptions {
                link: None,
                max_chunk_size: Some(CHUNK),
            }),
            bucket: self.bucket.clone(),
            nuid: String::new(),
            size,
            chunks: count,
            modified: Some(async_nats::datetime::now()),
            digest: Some(format!("SHA-256={}", BASE64URL.encode(&digest))),
            deleted: false,
        })
    }

    /// Fails if the container was cleared or made anew since the first chunk was sent. An object of
    /// the chunks that are left would be a part.
    async fn check(&self, chunks: &Chunks, count: usize) -> Result<(), Error> {
        if count == 0 {
            return Ok(());
        }
        let found = self.stream.info_with_subjects(&chunks.subject).await;
        let there = match found.map_err(|error| failed(&error))?.next().await {
            Some(Ok((_, there))) => there,
            Some(Err(error)) => return Err(failed(&error)),
            None => 0,
        };
        if there == count {
            Ok(())
        } else {
            let reason = "the container was cleared while the object was written";
            Err(Error::Incomplete(reason.to_owned()))
        }
    }

    /// Makes the chunks the object, in place of the one that there is.
    async fn name(&self, info: &ObjectInfo) -> Result<(), Error> {
        let encoded = BASE64URL.encode(self.name.as_bytes());
        let subject = format!("$O.{}.M.{encoded}", self.bucket);
        let payload = serde_json::to_vec(info).map_err(|error| Error::Other(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(NATS_ROLLUP, "sub");
        let named = self
            .context
            .publish_with_headers(subject, headers, payload.into());
        let named = named.await.map_err(|error| failed(&error))?;
        named.await.map(drop).map_err(|error| failed(&error))
    }
}

/// Returns the subject of an object's chunks.
pub(super) fn subject(bucket: &str, nuid: &str) -> String {
    format!("$O.{bucket}.C.{nuid}")
}

/// Chunks that the server has not confirmed.
#[derive(Default)]
struct Sent(VecDeque<PublishAckFuture>);

impl Sent {
    async fn send(&mut self, context: &Context, subject: &str, chunk: Bytes) -> Result<(), Error> {
        self.wait_for_fewer_than(IN_FLIGHT).await?;
        let sent = context.publish(subject.to_owned(), chunk).await;
        self.0.push_back(sent.map_err(|error| failed(&error))?);
        Ok(())
    }

    async fn wait_for_fewer_than(&mut self, count: usize) -> Result<(), Error> {
        while self.0.len() >= count {
            let Some(sent) = self.0.pop_front() else {
                break;
            };
            sent.await.map_err(|error| failed(&error))?;
        }
        Ok(())
    }
}

/// Chunks that nothing names yet. Dropping them deletes them.
struct Chunks {
    stream: Stream,
    subject: String,
    is_kept: bool,
}

impl Chunks {
    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if !self.is_kept {
            // It ends by itself, soon.
            runtime.spawn(delete(self.stream.clone(), self.subject.clone()));
        }
    }
}

/// Deletes the chunks of this subject, in time or not at all.
pub(super) async fn delete(stream: Stream, subject: String) {
    let purge = async { stream.purge().filter(subject).await };
    match tokio::time::timeout(CLEANUP, purge).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "chunks that nothing names were not deleted"),
        Err(_) => tracing::warn!("chunks that nothing names were not deleted in time"),
    }
}
