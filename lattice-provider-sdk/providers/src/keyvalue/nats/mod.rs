//! Buckets in the key-value store of NATS `JetStream`, one there for each bucket.

mod config;
mod names;

pub use config::{NatsBuckets, NatsConfig};

use super::{
    backend::{Addition, Backend, Failure, KeyRange, Place, Seen},
    provider::KeyValue,
};
use crate::nats::{Away, Connection};
use async_nats::jetstream::{
    Context,
    kv::{self, CreateErrorKind, Operation, Store, UpdateErrorKind},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use lattice_core::{error::chain, sync};
use lattice_provider_sdk::BackendServer;
use std::{
    collections::{BTreeSet, HashMap},
    error::Error,
    fmt,
    sync::Arc,
};

/// The name of the connection in the server's monitoring.
const NAME: &str = "lattice keyvalue-nats";
/// How many keys of a batch are sent together.
const TOGETHER: usize = 32;
/// Most buckets that are kept open. All are closed when there are more.
const MOST_OPEN: usize = 256;

/// Buckets in NATS.
pub struct Nats {
    config: NatsConfig,
    /// From the start to the stop.
    connection: sync::Mutex<Option<Arc<Connection>>>,
    open: sync::Mutex<HashMap<String, Store>>,
}

/// A key-value provider with its buckets in NATS.
pub type NatsKeyValue = KeyValue<Nats>;

impl KeyValue<Nats> {
    /// Creates a provider with its buckets in NATS. It connects when it starts.
    pub fn new(config: NatsConfig) -> Self {
        let limits = config.limits();
        let nats = Nats {
            config,
            connection: sync::Mutex::default(),
            open: sync::Mutex::new(HashMap::new()),
        };
        Self::with_backend(nats, limits)
    }
}

impl Nats {
    /// Returns the store of the server, if there is a connection.
    async fn context(&self) -> Result<Context, Failure> {
        let connection = self.connection.lock().clone();
        let connection = connection.ok_or(Failure::NotRunning)?;
        match connection.ready().await {
            Ok(_) => Ok(connection.jetstream().clone()),
            Err(Away::Refused(reason)) => Err(refused(&reason)),
            Err(away) => Err(unavailable(&away.to_string())),
        }
    }

    /// Returns a bucket, if it exists.
    async fn find(&self, bucket: &str) -> Result<Option<Store>, Failure> {
        let name = names::bucket(&self.config.buckets.prefix, bucket)?;
        // Also for a bucket that is known: a lost connection is told at once.
        let context = self.context().await?;
        if let Some(store) = self.open.lock().get(&name) {
            return Ok(Some(store.clone()));
        }
        match context.get_key_value(&name).await {
            Ok(store) => {
                self.keep(name, &store);
                Ok(Some(store))
            }
            Err(error) if chain(&error).contains("stream not found") => Ok(None),
            Err(error) => Err(failure(&error)),
        }
    }

    /// Returns a bucket, which is created if it doesn't exist.
    async fn make(&self, bucket: &str) -> Result<Store, Failure> {
        if let Some(store) = self.find(bucket).await? {
            return Ok(store);
        }
        let name = names::bucket(&self.config.buckets.prefix, bucket)?;
        let config = kv::Config {
            bucket: name.clone(),
            description: "a bucket of a lattice's key-value provider".to_owned(),
            history: 1,
            num_replicas: self.config.buckets.replicas,
            ..kv::Config::default()
        };
        let created = self.context().await?.create_key_value(config).await;
        let store = created.map_err(|error| failure(&error))?;
        self.keep(name, &store);
        Ok(store)
    }

    fn keep(&self, name: String, store: &Store) {
        let mut open = self.open.lock();
        if open.len() >= MOST_OPEN {
            open.clear();
        }
        open.insert(name, store.clone());
    }

    /// Returns the failure of an operation. The bucket is looked up again for the next one: it may
    /// have been deleted.
    fn failed(&self, store: &Store, error: &(dyn Error + 'static)) -> Failure {
        self.open.lock().remove(&store.name);
        failure(error)
    }

    async fn swap_in(
        &self,
        store: &Store,
        key: &str,
        (revision, value): (u64, Bytes),
    ) -> Result<bool, Failure> {
        if revision == 0 {
            return match store.create(key, value).await {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == CreateErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(self.failed(store, &error)),
            };
        }
        match store.update(key, value, revision).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(false),
            Err(error) => Err(self.failed(store, &error)),
        }
    }

    async fn read_in(&self, store: &Store, key: &str) -> Result<Seen, Failure> {
        let entry = store.entry(key).await;
        let entry = entry.map_err(|error| self.failed(store, &error))?;
        let entry = entry.filter(|entry| entry.operation == Operation::Put);
        Ok(entry.map_or(Seen::NOTHING, |entry| Seen {
            value: Some(entry.value),
            revision: entry.revision,
        }))
    }
}

impl Backend for Nats {
    const NAME: &'static str = "keyvalue-nats";
    const IS_LASTING: bool = true;

    fn server(&self) -> Option<BackendServer> {
        self.config.server()
    }

    async fn start(&self) -> Result<(), Failure> {
        self.config.check()?;
        let opened = Connection::open(&self.config.connection, NAME, None).await;
        let opened = opened.map_err(|refusal| config::invalid(refusal.reason()))?;
        // A provider that is served as several components starts for each, and needs one.
        self.connection.lock().get_or_insert(Arc::new(opened));
        Ok(())
    }

    async fn stop(&self) {
        self.open.lock().clear();
        *self.connection.lock() = None;
    }

    async fn check(&self) -> Result<(), Failure> {
        let account = self.context().await?.query_account().await;
        account.map(drop).map_err(|error| failure(&error))
    }

    async fn read(&self, at: Place<'_>) -> Result<Seen, Failure> {
        match self.find(at.bucket).await? {
            Some(store) => self.read_in(&store, &names::key(at.key)).await,
            None => Ok(Seen::NOTHING),
        }
    }

    async fn set(&self, at: Place<'_>, value: Bytes) -> Result<(), Failure> {
        let store = self.make(at.bucket).await?;
        let put = store.put(names::key(at.key), value).await;
        put.map(drop).map_err(|error| self.failed(&store, &error))
    }

    async fn delete(&self, at: Place<'_>) -> Result<(), Failure> {
        let Some(store) = self.find(at.bucket).await? else {
            return Ok(());
        };
        let deleted = store.delete(names::key(at.key)).await;
        deleted.map_err(|error| self.failed(&store, &error))
    }

    async fn add(&self, at: Place<'_>, addition: Addition) -> Result<i64, Failure> {
        let store = self.make(at.bucket).await?;
        let key = names::key(at.key);
        loop {
            let seen = self.read_in(&store, &key).await?;
            let sum = addition.to(seen.value.as_deref())?;
            let swap = (seen.revision, Bytes::from(sum.to_string()));
            if self.swap_in(&store, &key, swap).await? {
                return Ok(sum);
            }
        }
    }

    async fn swap(&self, at: Place<'_>, seen: &Seen, value: Bytes) -> Result<bool, Failure> {
        let store = self.make(at.bucket).await?;
        let key = names::key(at.key);
        self.swap_in(&store, &key, (seen.revision, value)).await
    }

    async fn get_many(&self, bucket: &str, keys: &[String]) -> Result<Vec<Option<Bytes>>, Failure> {
        let Some(store) = self.find(bucket).await? else {
            return Ok(vec![None; keys.len()]);
        };
        let names: Vec<_> = keys.iter().map(|key| names::key(key)).collect();
        let reader = store.clone();
        let gets = names.into_iter().map(move |key| {
            let store = reader.clone();
            async move { store.get(key).await }
        });
        let mut gets = stream::iter(gets).buffered(TOGETHER);
        let mut values = Vec::with_capacity(keys.len());
        while let Some(value) = gets.next().await {
            values.push(value.map_err(|error| self.failed(&store, &error))?);
        }
        Ok(values)
    }

    async fn set_many(&self, bucket: &str, entries: Vec<(String, Bytes)>) -> Result<(), Failure> {
        let store = self.make(bucket).await?;
        // They are sent together, so only the last value of each key is.
        let entries = entries.into_iter();
        let last: HashMap<String, Bytes> = entries
            .map(|(key, value)| (names::key(&key), value))
            .collect();
        let writer = store.clone();
        let puts = last.into_iter().map(move |(key, value)| {
            let store = writer.clone();
            async move { store.put(key, value).await }
        });
        let mut puts = stream::iter(puts).buffer_unordered(TOGETHER);
        while let Some(put) = puts.next().await {
            put.map_err(|error| self.failed(&store, &error))?;
        }
        Ok(())
    }

    async fn delete_many(&self, bucket: &str, keys: &[String]) -> Result<(), Failure> {
        let Some(store) = self.find(bucket).await? else {
            return Ok(());
        };
        let names: Vec<_> = keys.iter().map(|key| names::key(key)).collect();
        let writer = store.clone();
        let deletes = names.into_iter().map(move |key| {
            let store = writer.clone();
            async move { store.delete(key).await }
        });
        let mut deletes = stream::iter(deletes).buffer_unordered(TOGETHER);
        while let Some(deleted) = deletes.next().await {
            deleted.map_err(|error| self.failed(&store, &error))?;
        }
        Ok(())
    }

    async fn keys(&self, bucket: &str, range: KeyRange<'_>) -> Result<Vec<String>, Failure> {
        let Some(store) = self.find(bucket).await? else {
            return Ok(Vec::new());
        };
        let listed = store.keys().await;
        let mut listed = listed.map_err(|error| self.failed(&store, &error))?;
        // They come in the order of their writes, and all of them.
        let mut keys = BTreeSet::new();
        while let Some(key) = listed.next().await {
            let key = key.map_err(|error| self.failed(&store, &error))?;
            let Some(key) = names::decoded(&key).filter(|key| range.has(key)) else {
                continue;
            };
            keys.insert(key);
            if keys.len() > range.most {
                keys.pop_last();
            }
        }
        Ok(keys.into_iter().collect())
    }
}

fn unavailable(reason: &str) -> Failure {
    Failure::Unavailable {
        backend: Nats::NAME,
        reason: reason.to_owned(),
    }
}

fn refused(reason: &str) -> Failure {
    Failure::Refused {
        backend: Nats::NAME,
        reason: reason.to_owned(),
    }
}

/// Returns what an error of the client is.
fn failure(error: &(dyn Error + 'static)) -> Failure {
    let reason = chain(error);
    let says = |words: &[&str]| words.iter().any(|words| reason.contains(words));
    if says(&["max payload", "message size exceeds"]) {
        return Failure::Config(
            "the value is larger than a message may be on the NATS server; lower `max-value-size`, or raise `max_payload` there"
                .to_owned(),
        );
    }
    if says(&[
        "maximum bytes exceeded",
        "insufficient resources",
        "insufficient storage",
    ]) {
        return Failure::Full {
            backend: Nats::NAME,
            reason,
        };
    }
    if says(&["authorization violation", "permissions violation"]) {
        return refused(&reason);
    }
    unavailable(&reason)
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
