//! Objects in this process's memory.

use super::{
    backend::{Backend, Found, Incoming, Names, Part, Stat, seconds, span},
    bindings::lattice::blobstore::types::{Error, ObjectId},
    provider::served,
};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use lattice_core::{quantity::ByteSize, serve::Service, sync::Mutex};
use lattice_provider_sdk::IntoService;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

/// Bytes of a chunk of an object. Smaller chunks that come in are copied together, so that none
/// keeps a larger message alive.
const CHUNK: usize = 64 * 1024;

/// The settings of a provider that keeps objects in memory.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MemorySettings {
    /// The largest object. 64 MiB by default.
    pub max_object_size: ByteSize,
    /// What all objects take together, with those that are being written and those that are
    /// replaced while they are read. 256 MiB by default.
    pub capacity: ByteSize,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self {
            max_object_size: ByteSize::mib(64),
            capacity: ByteSize::mib(256),
        }
    }
}

/// A provider that keeps objects in memory, for tests and development. The objects are gone with
/// the provider. Two replicas of it have different objects, so it should run once.
#[derive(Debug)]
pub struct Memory(MemorySettings);

impl Memory {
    /// Creates the provider.
    pub fn new(settings: MemorySettings) -> Self {
        Self(settings)
    }
}

impl IntoService for Memory {
    fn into_service(self) -> Arc<dyn Service> {
        served(MemoryStore {
            max_object: self.0.max_object_size.as_u64(),
            capacity: self.0.capacity.as_u64(),
            used: Arc::default(),
            containers: Mutex::default(),
        })
    }
}

struct MemoryStore {
    max_object: u64,
    capacity: u64,
    used: Arc<AtomicU64>,
    containers: Mutex<BTreeMap<String, Container>>,
}

struct Container {
    created: u64,
    objects: BTreeMap<String, Arc<Object>>,
}

struct Object {
    chunks: Vec<Bytes>,
    written: u64,
    room: Room,
}

/// Bytes of the capacity, which are given back when it is dropped.
struct Room {
    used: Arc<AtomicU64>,
    taken: u64,
}

impl Room {
    fn take(&mut self, bytes: usize, capacity: u64) -> Result<(), Error> {
        let bytes = bytes as u64;
        let take = |used: u64| used.checked_add(bytes).filter(|all| *all <= capacity);
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        match taken {
            Ok(_) => {
                self.taken += bytes;
                Ok(())
            }
            Err(_) => Err(Error::Full(format!(
                "all objects have at most {capacity} bytes together; raise `capacity`"
            ))),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.used.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

impl Object {
    fn stat(&self) -> Stat {
        Stat {
            size: self.room.taken,
            written: self.written,
        }
    }
}

impl MemoryStore {
    fn in_container<R>(
        &self,
        container: &str,
        run: impl FnOnce(&mut Container) -> Result<R, Error>,
    ) -> Result<R, Error> {
        match self.containers.lock().get_mut(container) {
            Some(container) => run(container),
            None => Err(no_container(container)),
        }
    }

    fn object(&self, id: &ObjectId) -> Result<Arc<Object>, Error> {
        self.in_container(&id.container, |container| {
            let object = container.objects.get(&id.object).cloned();
            object.ok_or_else(|| Error::NoSuchObject(id.object.clone()))
        })
    }

    async fn read(&self, mut data: Incoming) -> Result<Object, Error> {
        let mut room = Room {
            used: self.used.clone(),
            taken: 0,
        };
        let (mut chunks, mut last) = (Vec::new(), BytesMut::new());
        while let Some(mut chunk) = data.next().await? {
            room.take(chunk.len(), self.capacity)?;
            while !chunk.is_empty() {
                let part = chunk.split_to(chunk.len().min(CHUNK - last.len()));
                last.extend_from_slice(&part);
                if last.len() == CHUNK {
                    chunks.push(mem::take(&mut last).freeze());
                }
            }
        }
        if !last.is_empty() {
            chunks.push(Bytes::copy_from_slice(&last));
        }
        Ok(Object {
            chunks,
            written: seconds(SystemTime::now()),
            room,
        })
    }
}

impl Backend for MemoryStore {
    async fn create(&self, container: &str) -> Result<(), Error> {
        let mut containers = self.containers.lock();
        let container = containers.entry(container.to_owned());
        container.or_insert_with(|| Container {
            created: seconds(SystemTime::now()),
            objects: BTreeMap::new(),
        });
        Ok(())
    }

    async fn created(&self, container: &str) -> Result<u64, Error> {
        self.in_container(container, |container| Ok(container.created))
    }

    async fn delete(&self, container: &str) -> Result<(), Error> {
        let deleted = self.containers.lock().remove(container);
        deleted.map(drop).ok_or_else(|| no_container(container))
    }

    async fn clear(&self, container: &str) -> Result<(), Error> {
        let objects =
            self.in_container(container, |container| Ok(mem::take(&mut container.objects)));
        objects.map(drop)
    }

    async fn list(&self, container: &str) -> Result<Names, Error> {
        let names: Vec<String> = self.in_container(container, |container| {
            Ok(container.objects.keys().cloned().collect())
        })?;
        Ok(stream::iter(names).map(Ok).boxed())
    }

    async fn get(&self, id: &ObjectId, part: Option<Part>) -> Result<Found, Error> {
        let object = self.object(id)?;
        let stat = object.stat();
        let (first, length) = span(part, stat.size)?;
        Ok(Found {
            stat,
            length,
            data: stream::iter(Reading::new(object, first, length))
                .map(Ok)
                .boxed(),
        })
    }

    async fn put(&self, id: &ObjectId, data: Incoming) -> Result<Stat, Error> {
        self.in_container(&id.container, |_| Ok(()))?;
        let object = self.read(data.at_most(self.max_object)).await?;
        let stat = object.stat();
        let object = Arc::new(object);
        let replaced = self.in_container(&id.container, |container| {
            Ok(container.objects.insert(id.object.clone(), object))
        });
        replaced.map(|_| stat)
    }

    async fn stat(&self, id: &ObjectId) -> Result<Stat, Error> {
        self.object(id).map(|object| object.stat())
    }

    async fn remove(&self, container: &str, names: Vec<String>) -> Result<(), Error> {
        let removed: Vec<_> = self.in_container(container, |container| {
            let removed = names.iter().map(|name| container.objects.remove(name));
            Ok(removed.collect())
        })?;
        drop(removed);
        Ok(())
    }

    async fn copy(&self, source: &ObjectId, destination: &ObjectId) -> Result<(), Error> {
        let object = self.object(source)?;
        let replaced = self.in_container(&destination.container, |container| {
            Ok(container.objects.insert(destination.object.clone(), object))
        });
        replaced.map(drop)
    }

    async fn rename(&self, source: &ObjectId, destination: &ObjectId) -> Result<(), Error> {
        let mut containers = self.containers.lock();
        if !containers.contains_key(&destination.container) {
            return Err(no_container(&destination.container));
        }
        let Some(from) = containers.get_mut(&source.container) else {
            return Err(no_container(&source.container));
        };
        let Some(object) = from.objects.remove(&source.object) else {
            return Err(Error::NoSuchObject(source.object.clone()));
        };
        if let Some(to) = containers.get_mut(&destination.container) {
            to.objects.insert(destination.object.clone(), object);
        }
        Ok(())
    }
}

fn no_container(name: &str) -> Error {
    Error::NoSuchContainer(name.to_owned())
}

/// The chunks of a part of an object.
struct Reading {
    object: Arc<Object>,
    /// The position in the object.
    at: u64,
    left: u64,
}

impl Reading {
    fn new(object: Arc<Object>, first: u64, length: u64) -> Self {
        Self {
            object,
            at: first,
            left: length,
        }
    }
}

impl Iterator for Reading {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.left == 0 {
            return None;
        }
        // Every chunk but the last one has the same length.
        let chunk_size = CHUNK as u64;
        let chunk = usize::try_from(self.at / chunk_size).ok()?;
        let skipped = usize::try_from(self.at % chunk_size).ok()?;
        let mut bytes = self.object.chunks.get(chunk)?.slice(skipped..);
        bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.at += bytes.len() as u64;
        self.left -= bytes.len() as u64;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_given_back_when_nothing_uses_it() {
        let store = MemoryStore {
            max_object: 1 << 20,
            capacity: 100,
            used: Arc::default(),
            containers: Mutex::default(),
        };
        store.create("c").await.expect("created");
        let id = ObjectId {
            container: "c".to_owned(),
            object: "o".to_owned(),
        };
        let data = |size: usize| {
            let chunk = Bytes::from(vec![1; size]);
            Incoming::of(stream::iter([Ok(chunk)]).boxed(), None)
        };
        store.put(&id, data(60)).await.expect("it fits");
        assert!(matches!(
            store.put(&id, data(60)).await,
            Err(Error::Full(_))
        ));
        assert_eq!(store.used.load(Ordering::Relaxed), 60);
        let read = store.get(&id, None).await.expect("there");
        store.clear("c").await.expect("cleared");
        assert_eq!(store.used.load(Ordering::Relaxed), 60, "it is read");
        drop(read);
        assert_eq!(store.used.load(Ordering::Relaxed), 0);
    }
}
