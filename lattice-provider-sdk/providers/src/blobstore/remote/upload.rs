//! Uploads with bounded memory: an object that doesn't fit one part goes up in several, of which
//! few are on their way at once.
//!
//! An upload that isn't completed makes no object. When it fails, or is dropped, what has arrived
//! of it is deleted.

use super::failure::failed;
use crate::blobstore::{backend::Incoming, bindings::lattice::blobstore::types::Error};
use bytes::{Bytes, BytesMut};
use object_store::{
    MultipartUpload, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, path::Path,
};
use std::{mem, sync::Arc, time::Duration};
use tokio::{runtime::Handle, task::JoinSet};

/// Bytes of a part. S3 takes at least 5 MiB, and at most 10,000 parts of one size.
const PART: usize = 6 << 20;
/// Parts on their way at once.
const IN_FLIGHT: usize = 2;
/// How long it may take to delete what has arrived.
const CLEANUP: Duration = Duration::from_secs(30);

/// Uploads an object, and returns its size.
pub(super) async fn object(
    store: &Arc<dyn ObjectStore>,
    key: &Path,
    data: Incoming,
) -> Result<u64, Error> {
    let mut parts = Parts::new(data);
    let first = parts.next().await?.unwrap_or_default();
    let mut size = first.len() as u64;
    if first.len() < PART {
        let put = store.put_opts(key, PutPayload::from(first), PutOptions::default());
        return put.await.map(|_| size).map_err(|error| failed(&error));
    }
    let mut upload = Upload::begin(store, key).await?;
    upload.send(first).await?;
    while let Some(part) = parts.next().await? {
        size += part.len() as u64;
        upload.send(part).await?;
    }
    upload.complete().await?;
    Ok(size)
}

/// Data in parts of [`PART`] bytes, the last of which may be shorter.
struct Parts {
    data: Incoming,
    rest: Bytes,
    is_over: bool,
}

impl Parts {
    fn new(data: Incoming) -> Self {
        Self {
            data,
            rest: Bytes::new(),
            is_over: false,
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let mut part = BytesMut::new();
        loop {
            let fits = self.rest.len().min(PART - part.len());
            // No smaller buffer is copied over and over for a large object.
            if part.len() + fits > part.capacity() && part.capacity() >= PART / 8 {
                part.reserve(PART - part.len());
            }
            part.extend_from_slice(&self.rest.split_to(fits));
            if part.len() == PART || self.is_over {
                return Ok((!part.is_empty()).then(|| part.freeze()));
            }
            match self.data.next().await? {
                Some(chunk) => self.rest = chunk,
                None => self.is_over = true,
            }
        }
    }
}

/// An upload in parts.
struct Upload {
    /// Until it is complete.
    upload: Option<Box<dyn MultipartUpload>>,
    sending: JoinSet<object_store::Result<()>>,
}

impl Upload {
    async fn begin(store: &Arc<dyn ObjectStore>, key: &Path) -> Result<Self, Error> {
        let begun = store.put_multipart_opts(key, PutMultipartOptions::default());
        Ok(Self {
            upload: Some(begun.await.map_err(|error| failed(&error))?),
            sending: JoinSet::new(),
        })
    }

    /// Sends a part as soon as fewer than [`IN_FLIGHT`] others are on their way.
    async fn send(&mut self, part: Bytes) -> Result<(), Error> {
        self.wait_for_fewer_than(IN_FLIGHT).await?;
        if let Some(upload) = &mut self.upload {
            self.sending.spawn(upload.put_part(PutPayload::from(part)));
        }
        Ok(())
    }

    async fn complete(mut self) -> Result<(), Error> {
        self.wait_for_fewer_than(1).await?;
        if let Some(upload) = &mut self.upload {
            upload.complete().await.map_err(|error| failed(&error))?;
        }
        self.upload = None;
        Ok(())
    }

    async fn wait_for_fewer_than(&mut self, count: usize) -> Result<(), Error> {
        while self.sending.len() >= count {
            let Some(sent) = self.sending.join_next().await else {
                break;
            };
            match sent {
                Ok(sent) => sent.map_err(|error| failed(&error))?,
                Err(lost) => return Err(Error::Other(format!("a part was lost: {lost}"))),
            }
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let (upload, mut sending) = (self.upload.take(), mem::take(&mut self.sending));
        let (Some(mut upload), Ok(runtime)) = (upload, Handle::try_current()) else {
            return;
        };
        // It ends by itself, soon.
        runtime.spawn(async move {
            let cleanup = async {
                sending.shutdown().await;
                upload.abort().await
            };
            let cleaned = tokio::time::timeout(CLEANUP, cleanup).await;
            if !matches!(cleaned, Ok(Ok(()))) {
                tracing::warn!(
                    "the parts of an upload that broke off were not deleted; a lifecycle rule of the bucket can do that"
                );
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobstore::backend::broken;
    use futures_util::{StreamExt, stream};
    use object_store::{GetOptions, memory::InMemory};

    fn data(sizes: &[usize]) -> Incoming {
        let chunks: Vec<_> = sizes
            .iter()
            .map(|size| Ok(Bytes::from(vec![7; *size])))
            .collect();
        Incoming::of(stream::iter(chunks).boxed(), None)
    }

    #[tokio::test]
    async fn data_is_split_into_parts_of_one_size() {
        let cases: [(&[usize], &[usize]); 5] = [
            (&[], &[]),
            (&[1, 2], &[3]),
            (&[PART], &[PART]),
            (&[PART - 1, 2], &[PART, 1]),
            (&[2 * PART + 5], &[PART, PART, 5]),
        ];
        for (sizes, expected) in cases {
            let (mut parts, mut found) = (Parts::new(data(sizes)), Vec::new());
            while let Some(part) = parts.next().await.expect("whole") {
                found.push(part.len());
            }
            assert_eq!(found, expected);
        }
    }

    #[tokio::test]
    async fn only_a_complete_upload_makes_an_object() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let key = Path::from("a");
        let size = 2 * PART + 1;
        assert_eq!(object(&store, &key, data(&[size])).await, Ok(size as u64));
        let found = store
            .get_opts(&key, GetOptions::default())
            .await
            .expect("there");
        assert_eq!(found.meta.size, size as u64);

        let key = Path::from("b");
        let chunks = [Ok(Bytes::from(vec![7; 2 * PART])), Err(broken(&"no more"))];
        let cut = Incoming::of(stream::iter(chunks).boxed(), None);
        assert!(matches!(
            object(&store, &key, cut).await,
            Err(Error::Incomplete(_))
        ));
        assert!(store.get_opts(&key, GetOptions::default()).await.is_err());
    }
}
