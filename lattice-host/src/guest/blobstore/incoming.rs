//! Values that a guest reads.

use super::{Answer, Store, call::ObjectData};
use crate::guest::Guest;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use lattice_provider_sdk::{Broken, ByteReader};
use wasmtime::component::{LinkerInstance, Resource, ResourceType};
use wasmtime_wasi::p2::{DynInputStream, InputStream, Pollable, StreamError, StreamResult};

/// A value that a guest reads.
pub(super) struct IncomingValue {
    data: ByteReader,
    size: u64,
}

impl IncomingValue {
    pub(super) fn new(object: ObjectData) -> Self {
        Self {
            data: object.data,
            size: object.length,
        }
    }

    /// Reads all of it, if it isn't larger than this.
    async fn read(mut self, limit: usize) -> Result<Vec<u8>, String> {
        let size = usize::try_from(self.size)
            .ok()
            .filter(|size| *size <= limit);
        let Some(size) = size else {
            return Err(format!(
                "the value has {} bytes, and at most {limit} can be read at once; read it with `incoming-value-consume-async`",
                self.size
            ));
        };
        let mut bytes = Vec::new();
        while let Some(chunk) = self.data.next().await {
            let chunk = chunk.map_err(|broken| broken.to_string())?;
            bytes.extend_from_slice(&chunk);
            if bytes.len() > size {
                break;
            }
        }
        if bytes.len() != size {
            return Err(format!(
                "the value has not the {size} bytes that were announced"
            ));
        }
        Ok(bytes)
    }
}

pub(super) fn add_to_linker(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let resource = ResourceType::host::<IncomingValue>();
    types.resource("incoming-value", resource, |mut store, value| {
        let value = Resource::<IncomingValue>::new_own(value);
        store.data_mut().table().delete(value)?;
        Ok(())
    })?;
    types.func_wrap(
        "[method]incoming-value.size",
        |mut store: Store<'_>, (value,): (Resource<IncomingValue>,)| {
            let size = store.data_mut().table().get(&value)?.size;
            Ok((size,))
        },
    )?;
    types.func_wrap_async(
        "[static]incoming-value.incoming-value-consume-sync",
        |mut store: Store<'_>, (value,): (Resource<IncomingValue>,)| {
            Box::new(async move {
                let guest = store.data_mut();
                let limit = guest.actor.limits.result.as_usize();
                let value = guest.table().delete(value)?;
                read(value, limit).await
            })
        },
    )?;
    types.func_wrap(
        "[static]incoming-value.incoming-value-consume-async",
        |mut store: Store<'_>, (value,): (Resource<IncomingValue>,)| stream(&mut store, value),
    )
}

async fn read(value: IncomingValue, limit: usize) -> Answer<Vec<u8>> {
    Ok((value.read(limit).await,))
}

fn stream(
    store: &mut Store<'_>,
    value: Resource<IncomingValue>,
) -> Answer<Resource<DynInputStream>> {
    let table = store.data_mut().table();
    let data = table.delete(value)?.data;
    let stream: DynInputStream = Box::new(Data {
        data,
        next: Next::Unknown,
    });
    Ok((Ok(table.push(stream)?),))
}

/// The data of a value as a stream of WASI.
struct Data {
    data: ByteReader,
    next: Next,
}

/// What the guest reads next.
enum Next {
    /// Nothing has come yet.
    Unknown,
    Bytes(Bytes),
    Broken(Broken),
    End,
}

impl From<Option<Result<Bytes, Broken>>> for Next {
    fn from(next: Option<Result<Bytes, Broken>>) -> Self {
        match next {
            Some(Ok(bytes)) => Self::Bytes(bytes),
            Some(Err(broken)) => Self::Broken(broken),
            None => Self::End,
        }
    }
}

impl InputStream for Data {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if matches!(self.next, Next::Unknown)
            && let Some(next) = self.data.next().now_or_never()
        {
            self.next = next.into();
        }
        match std::mem::replace(&mut self.next, Next::Unknown) {
            Next::Unknown => Ok(Bytes::new()),
            Next::Bytes(mut bytes) => {
                let read = bytes.split_to(bytes.len().min(size));
                if !bytes.is_empty() {
                    self.next = Next::Bytes(bytes);
                }
                Ok(read)
            }
            Next::Broken(broken) => {
                self.next = Next::End;
                Err(StreamError::LastOperationFailed(wasmtime::Error::new(
                    broken,
                )))
            }
            Next::End => {
                self.next = Next::End;
                Err(StreamError::Closed)
            }
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Data {
    async fn ready(&mut self) {
        if matches!(self.next, Next::Unknown) {
            self.next = self.data.next().await.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn data(chunks: Vec<Result<Bytes, Broken>>) -> Data {
        Data {
            data: ByteReader::fallible(stream::iter(chunks)),
            next: Next::Unknown,
        }
    }

    #[tokio::test]
    async fn a_stream_ends_when_its_data_does_and_fails_when_it_breaks() {
        let mut whole = data(vec![Ok(Bytes::from_static(b"abc"))]);
        whole.ready().await;
        assert_eq!(whole.read(2).expect("bytes"), "ab");
        assert_eq!(whole.read(2).expect("bytes"), "c");
        assert!(matches!(whole.read(2), Err(StreamError::Closed)));
        assert!(matches!(whole.read(2), Err(StreamError::Closed)));

        let mut broken = data(vec![Ok(Bytes::from_static(b"a")), Err(Broken::WriterLost)]);
        assert_eq!(broken.blocking_read(9).await.expect("bytes"), "a");
        let failed = broken.blocking_read(9).await;
        assert!(
            matches!(failed, Err(StreamError::LastOperationFailed(_))),
            "{failed:?}"
        );
        assert!(matches!(broken.read(9), Err(StreamError::Closed)));
    }

    #[tokio::test]
    async fn a_value_is_read_at_once_only_if_it_is_whole_and_not_too_large() {
        let value = |size| IncomingValue {
            data: ByteReader::new(stream::iter([Bytes::from_static(b"abc")])),
            size,
        };
        assert_eq!(value(3).read(3).await, Ok(b"abc".to_vec()));
        assert!(value(3).read(2).await.is_err());
        assert!(value(2).read(9).await.is_err());
        assert!(value(4).read(9).await.is_err());
    }
}
