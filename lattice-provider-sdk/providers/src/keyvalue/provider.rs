//! The provider, whatever its backend is.

use super::{
    backend::{Addition, Backend, Failure, KeyRange, Place, Seen},
    config::{Binding, Limits, LinkConfig, MAX_BATCH, MAX_KEY, PAGE},
    cursors::Cursors,
    watch::{self, Watchers},
    worlds::{World, spin, watched},
    write::{Write, Written},
};
use crate::patience::patience;
use bytes::Bytes;
use futures_util::FutureExt as _;
use lattice_core::name::InterfaceName;
use lattice_provider_sdk::{
    BackendRequest, BackendServer, Both, Call, Instance, Link, Portable, PortableTypes, Provider,
    Refusal,
};
use std::{fmt, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most bytes that are read for the result of a batch, with those of one more chunk.
const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;
/// How many keys of a batch are read together.
const CHUNK: usize = 16;
/// How much the values take that were read to be swapped, in KiB, in all handles of a replica.
const SEEN: u32 = 64 * 1_024;
/// What the token of a bucket begins with that may only be read.
const READS: u8 = b'r';
/// What the token of a bucket begins with that may be written, too.
const WRITES: u8 = b'w';

/// Serves buckets of a backend, as `wasi:keyvalue` in both drafts and as `lattice:keyvalue`.
pub struct KeyValue<B: Backend>(pub(super) Arc<Shared<B>>);

/// What all buckets of a provider have in common.
pub(super) struct Shared<B> {
    pub(super) backend: B,
    pub(super) limits: Limits,
    /// What traces have of the backend.
    namespace: String,
    server: Option<BackendServer>,
    pub(super) cursors: Cursors,
    pub(super) watchers: Watchers,
    /// Room for values that were read to be swapped, in KiB.
    seen: Arc<Semaphore>,
}

/// An open bucket.
pub struct Bucket<B: Backend> {
    pub(super) shared: Arc<Shared<B>>,
    /// Its name in the backend.
    pub(super) name: Arc<str>,
    /// Whether it was opened over a link that only reads. Its handle can be used over other links.
    pub(super) is_read_only: bool,
}

/// A value that was read and may be swapped.
pub struct Cas<B: Backend> {
    pub(super) bucket: Bucket<B>,
    pub(super) key: String,
    pub(super) seen: Seen,
    /// What it takes of the room for such values.
    pub(super) room: OwnedSemaphorePermit,
}

impl<B: Backend> KeyValue<B> {
    /// Creates a provider with a backend of your own.
    pub fn with_backend(backend: B, limits: Limits) -> Self {
        Self(Arc::new(Shared {
            namespace: backend.namespace(),
            server: backend.server(),
            backend,
            limits,
            cursors: Cursors::new(),
            watchers: Watchers::new(),
            seen: Arc::new(Semaphore::new(SEEN as usize)),
        }))
    }

    /// Opens the bucket that the call's link calls `name`.
    pub(super) fn bucket(&self, call: &Call<Self>, name: &str) -> Result<Bucket<B>, Failure> {
        let binding = call.binding();
        Ok(Bucket {
            is_read_only: binding.writable().is_err(),
            ..self.named(binding.bucket(name)?)
        })
    }

    /// Returns the bucket with this name in the backend.
    pub(super) fn named(&self, name: String) -> Bucket<B> {
        Bucket {
            shared: self.0.clone(),
            name: name.into(),
            is_read_only: false,
        }
    }
}

impl<B: Backend> Provider for KeyValue<B> {
    type World = Both<World, Both<spin::World, watched::World>>;
    type Config = LinkConfig;
    type Binding = Binding;

    async fn start(&self, instance: &Instance) -> Result<(), Refusal> {
        self.0.backend.start().await?;
        self.0.watchers.start(&self.0, instance);
        Ok(())
    }

    async fn stop(&self) {
        self.0.watchers.stop();
        self.0.backend.stop().await;
    }

    async fn health(&self) -> Result<(), Refusal> {
        self.0.backend.check().await?;
        self.0.watchers.health()
    }

    async fn link(&self, _: &Link, config: LinkConfig) -> Result<Binding, Refusal> {
        Ok(Binding::new(config)?)
    }

    async fn operator(&self) -> Option<Binding> {
        Some(Binding::default())
    }

    fn portable() -> PortableTypes<Self> {
        PortableTypes::none().with::<Bucket<B>>()
    }

    fn config_schema() -> Option<String> {
        serde_json::to_string(&schemars::schema_for!(LinkConfig)).ok()
    }

    fn outgoing_schema(interface: &InterfaceName) -> Option<String> {
        watch::schema(interface)
    }
}

impl<B: Backend> Portable<KeyValue<B>> for Bucket<B> {
    fn to_token(&self) -> Vec<u8> {
        let access = if self.is_read_only { READS } else { WRITES };
        [&[access], self.name.as_bytes()].concat()
    }

    async fn from_token(
        provider: &KeyValue<B>,
        _: &Call<KeyValue<B>>,
        token: &[u8],
    ) -> Result<Self, Refusal> {
        if !B::IS_LASTING {
            return Err(Refusal::new(
                "its values were in the memory of a host that is gone; open it again",
            ));
        }
        let (is_read_only, name) = match token.split_first() {
            Some((&READS, name)) => (true, name),
            Some((&WRITES, name)) => (false, name),
            _ => {
                return Err(Refusal::new(
                    "the token isn't one of a bucket; open it again",
                ));
            }
        };
        let name = String::from_utf8(name.to_vec())?;
        Ok(Self {
            is_read_only,
            ..provider.named(name)
        })
    }
}

impl<B: Backend> Bucket<B> {
    /// Returns the value of a key.
    pub(super) async fn value(
        &self,
        call: &Call<KeyValue<B>>,
        key: &str,
    ) -> Result<Option<Bytes>, Failure> {
        let at = self.place(key)?;
        self.within(call, "get", self.shared.backend.get(at)).await
    }

    /// Returns the value of a key, so that it can be swapped.
    pub(super) async fn see(
        &self,
        call: &Call<KeyValue<B>>,
        key: String,
    ) -> Result<Cas<B>, Failure> {
        let at = self.place(&key)?;
        let seen = self
            .within(call, "get", self.shared.backend.read(at))
            .await?;
        let size = key.len() + seen.value.as_ref().map_or(0, Bytes::len);
        let size = u32::try_from(size / 1_024 + 1).unwrap_or(SEEN).min(SEEN);
        let room = self.shared.seen.clone().try_acquire_many_owned(size);
        Ok(Cas {
            room: room.map_err(|_| Failure::TooManySeen)?,
            bucket: self.clone(),
            key,
            seen,
        })
    }

    /// Returns whether a key exists.
    pub(super) async fn has(&self, call: &Call<KeyValue<B>>, key: &str) -> Result<bool, Failure> {
        let at = self.place(key)?;
        self.within(call, "exists", self.shared.backend.exists(at))
            .await
    }

    /// Sets the value of a key.
    pub(super) async fn put(
        &self,
        call: &Call<KeyValue<B>>,
        key: String,
        value: Bytes,
    ) -> Result<(), Failure> {
        self.write(call, Write::Set(key, value)).await.map(drop)
    }

    /// Deletes a key.
    pub(super) async fn remove(
        &self,
        call: &Call<KeyValue<B>>,
        key: String,
    ) -> Result<(), Failure> {
        self.write(call, Write::Delete(key)).await.map(drop)
    }

    /// Adds to a counter.
    pub(super) async fn add(
        &self,
        call: &Call<KeyValue<B>>,
        key: String,
        addition: Addition,
    ) -> Result<i64, Failure> {
        match self.write(call, Write::Add(key, addition)).await? {
            Written::Sum(sum) => Ok(sum),
            Written::Done | Written::Swapped(_) => Err(Failure::NotACounter),
        }
    }

    /// Sets the value of a key if it is still as it was seen.
    pub(super) async fn swap(
        &self,
        call: &Call<KeyValue<B>>,
        key: String,
        (seen, value): (Seen, Bytes),
    ) -> Result<bool, Failure> {
        let written = self.write(call, Write::Swap(key, seen, value)).await?;
        Ok(written == Written::Swapped(true))
    }

    /// Returns the values of keys.
    pub(super) async fn values(
        &self,
        call: &Call<KeyValue<B>>,
        keys: &[String],
    ) -> Result<Vec<Option<Bytes>>, Failure> {
        check_count(keys.len())?;
        for key in keys {
            self.place(key)?;
        }
        let read = async {
            let (mut values, mut size) = (Vec::with_capacity(keys.len()), 0);
            for keys in keys.chunks(CHUNK) {
                let more = self.shared.backend.get_many(&self.name, keys).await?;
                size += more.iter().flatten().map(Bytes::len).sum::<usize>();
                if size > MAX_BATCH_BYTES {
                    return Err(Failure::BatchTooLarge {
                        limit: MAX_BATCH_BYTES,
                    });
                }
                values.extend(more);
            }
            Ok(values)
        };
        self.within(call, "get-many", read).await
    }

    /// Sets the values of keys.
    pub(super) async fn put_all(
        &self,
        call: &Call<KeyValue<B>>,
        entries: Vec<(String, Bytes)>,
    ) -> Result<(), Failure> {
        self.write(call, Write::SetMany(entries)).await.map(drop)
    }

    /// Deletes keys.
    pub(super) async fn remove_all(
        &self,
        call: &Call<KeyValue<B>>,
        keys: Vec<String>,
    ) -> Result<(), Failure> {
        self.write(call, Write::DeleteMany(keys)).await.map(drop)
    }

    /// Returns a page of keys, and whether there are more.
    pub(super) async fn page(
        &self,
        call: &Call<KeyValue<B>>,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<(Vec<String>, bool), Failure> {
        let range = KeyRange {
            prefix,
            after,
            most: PAGE + 1,
        };
        let keys = self.shared.backend.keys(&self.name, range);
        let mut keys = self.within(call, "keys", keys).await?;
        let has_more = keys.len() > PAGE;
        keys.truncate(PAGE);
        Ok((keys, has_more))
    }

    async fn write(&self, call: &Call<KeyValue<B>>, write: Write) -> Result<Written, Failure> {
        call.binding().writable()?;
        if self.is_read_only {
            return Err(Failure::ReadOnly);
        }
        check_count(write.count())?;
        let limit = self.shared.limits.max_value_size.as_u64();
        for key in write.keys() {
            self.place(key)?;
        }
        for size in write.sizes() {
            if size as u64 > limit {
                return Err(Failure::TooLarge {
                    size: size as u64,
                    limit,
                });
            }
        }
        let operation = write.operation();
        let written = self.shared.write(&self.name, write);
        self.within(call, operation, written).await
    }

    /// Returns a key in this bucket.
    fn place<'a>(&'a self, key: &'a str) -> Result<Place<'a>, Failure> {
        if key.len() > MAX_KEY {
            return Err(Failure::InvalidKey(format!(
                "a key has at most {MAX_KEY} bytes, and this one has {}",
                key.len()
            )));
        }
        Ok(Place {
            bucket: &self.name,
            key,
        })
    }

    /// Ends an operation shortly before its call, so that the caller is told as by the interface.
    async fn within<T>(
        &self,
        call: &Call<KeyValue<B>>,
        operation: &str,
        work: impl Future<Output = Result<T, Failure>> + Send,
    ) -> Result<T, Failure> {
        let limit = self.shared.limits.timeout.min(patience(call));
        let system = B::NAME.trim_start_matches("keyvalue-");
        let request = BackendRequest {
            namespace: &self.shared.namespace,
            collection: &self.name,
            server: self.shared.server.as_ref(),
            ..BackendRequest::new(system, operation)
        };
        let in_time = tokio::time::timeout(limit, work);
        let in_time = in_time.map(|done| done.unwrap_or(Err(Failure::Timeout(limit))));
        call.backend_as(request, Failure::kind, in_time).await
    }
}

fn check_count(count: usize) -> Result<(), Failure> {
    if count > MAX_BATCH {
        return Err(Failure::TooMany {
            count,
            limit: MAX_BATCH,
        });
    }
    Ok(())
}

impl<B: Backend> Clone for Bucket<B> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            name: self.name.clone(),
            is_read_only: self.is_read_only,
        }
    }
}

impl<B: Backend> fmt::Debug for KeyValue<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyValue").field(&B::NAME).finish()
    }
}

impl<B: Backend> fmt::Debug for Bucket<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.name).finish()
    }
}

impl<B: Backend> fmt::Debug for Cas<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cas").field(&self.bucket.name).finish()
    }
}
