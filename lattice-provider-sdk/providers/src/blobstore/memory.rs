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
/// What a container or an object takes beside its name and its data, in bytes.
const ENTRY: usize = 256;

/// The settings of a provider that keeps objects in memory.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MemorySettings {
    /// The largest object. 64 MiB by default.
    pub max_object_size: ByteSize,
    /// What all objects take together, with those that are being written and those that are
    /// replaced while they are read. Each object and container counts as its name and 256 bytes
    /// more than its data. 256 MiB by default.
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
    objects: BTreeMap<String, Entry>,
    _room: Room,
}

/// An object under a name. Copies have the same data.
struct Entry {
    object: Arc<Object>,
    _room: Room,
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
    /// Takes room for a container or an object of this name.
    fn room(&self, name: &str) -> Result<Room, Error> {
        let mut room = Room {
            used: self.used.clone(),
            taken: 0,
        };
        room.take(name.len().saturating_add(ENTRY), self.capacity)?;
        Ok(room)
    }

    /// Puts an object under a name, in place of the one that has it.
    fn place(&self, id: &ObjectId, object: Arc<Object>) -> Result<(), Error> {
        let entry = Entry {
            object,
            _room: self.room(&id.object)?,
        };
        let replaced = self.in_container(&id.container, |container| {
            Ok(container.objects.insert(id.object.clone(), entry))
        });
        replaced.map(drop)
    }

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
            let object = container.objects.get(&id.object);
            let object = object.map(|entry| entry.object.clone());
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
    fn system(&self) -> &'static str {
        "memory"
    }

    async fn create(&self, container: &str) -> Result<(), Error> {
        let mut containers = self.containers.lock();
        if !containers.contains_key(container) {
            let created = Container {
                created: seconds(SystemTime::now()),
                objects: BTreeMap::new(),
                _room: self.room(container)?,
            };
            containers.insert(container.to_owned(), created);
        }
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
        self.place(id, Arc::new(object)).map(|()| stat)
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
        self.place(destination, object)
    }

    async fn rename(&self, source: &ObjectId, destination: &ObjectId) -> Result<(), Error> {
        let room = self.room(&destination.object)?;
        let mut containers = self.containers.lock();
        if !containers.contains_key(&destination.container) {
            return Err(no_container(&destination.container));
        }
        let Some(from) = containers.get_mut(&source.container) else {
            return Err(no_container(&source.container));
        };
        let Some(Entry { object, .. }) = from.objects.remove(&source.object) else {
            return Err(Error::NoSuchObject(source.object.clone()));
        };
        if let Some(to) = containers.get_mut(&destination.container) {
            let entry = Entry {
                object,
                _room: room,
            };
            to.objects.insert(destination.object.clone(), entry);
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
            capacity: 100 + 4 * (ENTRY as u64 + 1),
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
        // Names have one byte, and those of the container and of the object stay.
        let named = 2 * (ENTRY as u64 + 1);
        store.put(&id, data(60)).await.expect("it fits");
        let other = data(101 + ENTRY * 2);
        assert!(matches!(store.put(&id, other).await, Err(Error::Full(_))));
        assert_eq!(store.used.load(Ordering::Relaxed), named + 60);
        let read = store.get(&id, None).await.expect("there");
        store.clear("c").await.expect("cleared");
        let used = store.used.load(Ordering::Relaxed);
        assert_eq!(used, named / 2 + 60, "it is read");
        drop(read);
        assert_eq!(store.used.load(Ordering::Relaxed), named / 2);
        store.delete("c").await.expect("deleted");
        assert_eq!(store.used.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn objects_and_containers_without_data_take_room_too() {
        let store = MemoryStore {
            max_object: 1 << 20,
            capacity: 10 * ENTRY as u64,
            used: Arc::default(),
            containers: Mutex::default(),
        };
        store.create("c").await.expect("created");
        let id = |number: usize| ObjectId {
            container: "c".to_owned(),
            object: number.to_string(),
        };
        let empty = || Incoming::of(stream::empty().boxed(), None);
        let mut stored = 0;
        while store.put(&id(stored), empty()).await.is_ok() {
            stored += 1;
            assert!(stored < 10, "it has no end");
        }
        assert!(stored > 0);
        let copied = store.copy(&id(0), &id(100)).await;
        assert!(matches!(copied, Err(Error::Full(_))), "{copied:?}");
        let created = store.create("d").await;
        assert!(matches!(created, Err(Error::Full(_))), "{created:?}");
        store.create("c").await.expect("it exists");
    }
}
