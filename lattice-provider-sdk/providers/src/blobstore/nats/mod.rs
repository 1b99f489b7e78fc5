//! Objects in NATS object stores: one for each container.
//!
//! The name of a container becomes that of a stream, `OBJ_<prefix><container>`, in which every byte
//! but letters, digits and `-` is `_XX`; names of objects are any text. The format is that of NATS
//! (ADR-20), so its own tools read the objects.
//!
//! The connection is the provider's own. It is made at the start, and made again by itself.

mod download;
mod failure;
mod upload;

use super::{
    backend::{Backend, Found, Incoming, Names, Part, Stat, broken, span},
    bindings::lattice::blobstore::types::{Error, ObjectId},
    provider::served,
    timeout::{unwell, within},
};
use crate::nats::{Away, Connection, NatsSettings};
use async_nats::jetstream::{
    Context,
    object_store::{Config, DeleteErrorKind, InfoErrorKind, ObjectInfo, ObjectStore},
    stream::Stream,
};
use failure::failed;
use futures_util::{StreamExt, TryStreamExt};
use lattice_core::serve::Service;
use lattice_provider_sdk::{IntoService, Refusal};
use serde::Deserialize;
use std::{
    fmt::Write as _,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Longest name of a stream's bucket, in bytes: NATS has 255 for all of it.
const MAX_BUCKET: usize = 240;

/// The name of the connection in the server's monitoring.
const NAME: &str = "lattice blobstore-nats";

/// The settings of a provider of the objects in NATS object stores.
/// [`settings`](lattice_provider_sdk::settings) parses it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "(NatsSettings, NatsContainers)")]
pub struct NatsStoreSettings {
    /// The servers, and how to connect to them. Data may take longer than its timeout.
    pub connection: NatsSettings,
    /// How containers are kept there.
    pub containers: NatsContainers,
}

/// How containers are kept in NATS.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct NatsContainers {
    /// What the names of all streams begin with, after `OBJ_`: letters, digits, `-` and `_`. Empty
    /// by default.
    pub prefix: String,
    /// How many servers keep each object. 1 by default.
    pub replicas: usize,
}

impl Default for NatsContainers {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            replicas: 1,
        }
    }
}

impl From<(NatsSettings, NatsContainers)> for NatsStoreSettings {
    fn from((connection, containers): (NatsSettings, NatsContainers)) -> Self {
        Self {
            connection,
            containers,
        }
    }
}

impl NatsStoreSettings {
    /// A provider with these servers, and defaults for the rest.
    pub fn new(servers: impl Into<String>) -> Self {
        Self {
            connection: NatsSettings::new(servers),
            containers: NatsContainers::default(),
        }
    }
}

/// A provider of the objects in NATS object stores.
#[derive(Debug)]
pub struct Nats(NatsStoreSettings);

impl Nats {
    /// Creates the provider.
    pub fn new(settings: NatsStoreSettings) -> Self {
        Self(settings)
    }
}

impl IntoService for Nats {
    fn into_service(self) -> Arc<dyn Service> {
        served(NatsStore {
            settings: self.0,
            connection: OnceLock::new(),
        })
    }
}

struct NatsStore {
    settings: NatsStoreSettings,
    connection: OnceLock<Connection>,
}

impl NatsStore {
    /// Returns the connection, if there is one.
    async fn connected(&self) -> Result<&Connection, Error> {
        let connection = self.connection.get().ok_or_else(not_started)?;
        match connection.ready().await {
            Ok(_) => Ok(connection),
            Err(away @ Away::Refused(_)) => Err(Error::AccessDenied(away.to_string())),
            Err(away) => Err(Error::Unavailable(away.to_string())),
        }
    }

    async fn context(&self) -> Result<&Context, Error> {
        Ok(self.connected().await?.jetstream())
    }

    /// Returns how long an operation may take.
    fn timeout(&self) -> Duration {
        self.settings.connection.timeout
    }

    /// Returns the stream of a container.
    async fn stream(&self, container: &str) -> Result<Stream, Error> {
        let stream = format!("OBJ_{}", self.bucket(container)?);
        let found = self.context().await?.get_stream(stream).await;
        found.map_err(|error| failure::of_stream(container, &error))
    }

    /// Returns the name of a container in NATS.
    fn bucket(&self, container: &str) -> Result<String, Error> {
        let mut bucket = self.settings.containers.prefix.clone();
        for byte in container.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => bucket.push(char::from(byte)),
                byte => {
                    // Writing to a string doesn't fail.
                    let _ = write!(bucket, "_{byte:02x}");
                }
            }
        }
        if bucket.len() > MAX_BUCKET {
            return Err(Error::InvalidName(format!(
                "the name of the container has more than {MAX_BUCKET} bytes in NATS; shorten it"
            )));
        }
        Ok(bucket)
    }

    async fn store(&self, container: &str) -> Result<ObjectStore, Error> {
        let bucket = self.bucket(container)?;
        within(self.timeout(), async {
            let found = self.context().await?.get_object_store(bucket).await;
            found.map_err(|error| failure::of_store(container, &error))
        })
        .await
    }

    async fn info(&self, id: &ObjectId) -> Result<ObjectInfo, Error> {
        let store = self.store(&id.container).await?;
        within(self.timeout(), async {
            match store.info(&id.object).await {
                Ok(info) if !info.deleted => Ok(info),
                Ok(_) => Err(Error::NoSuchObject(id.object.clone())),
                Err(error) if error.kind() == InfoErrorKind::NotFound => {
                    Err(Error::NoSuchObject(id.object.clone()))
                }
                Err(error) if error.kind() == InfoErrorKind::TimedOut => Err(Error::Timeout),
                Err(error) => Err(failed(&error)),
            }
        })
        .await
    }
}

impl Backend for NatsStore {
    fn system(&self) -> &'static str {
        "nats"
    }

    async fn start(&self) -> Result<(), Refusal> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !self.settings.containers.prefix.bytes().all(is_name) {
            let reason = "`prefix` has other characters than letters, digits, `-` and `_`";
            return Err(Refusal::new(reason));
        }
        let opened = Connection::open(&self.settings.connection, NAME, None).await?;
        // A provider that is served as several components starts for each, and needs one.
        self.connection.get_or_init(|| opened);
        Ok(())
    }

    async fn health(&self) -> Result<(), Refusal> {
        let checked = within(self.timeout(), async {
            let account = self.context().await?.query_account().await;
            account.map(drop).map_err(|error| failed(&error))
        });
        checked.await.map_err(|error| unwell(&error))
    }

    async fn create(&self, container: &str) -> Result<(), Error> {
        let bucket = self.bucket(container)?;
        match self.store(container).await {
            Err(Error::NoSuchContainer(_)) => {}
            found => return found.map(drop),
        }
        within(self.timeout(), async {
            let config = Config {
                bucket,
                num_replicas: self.settings.containers.replicas,
                ..Config::default()
            };
            let created = self.context().await?.create_object_store(config).await;
            created.map(drop).map_err(|error| failed(&error))
        })
        .await
    }

    async fn created(&self, container: &str) -> Result<u64, Error> {
        within(self.timeout(), async {
            let stream = self.stream(container).await?;
            Ok(failure::seconds(stream.cached_info().created))
        })
        .await
    }

    async fn delete(&self, container: &str) -> Result<(), Error> {
        self.store(container).await?;
        let bucket = self.bucket(container)?;
        within(self.timeout(), async {
            let deleted = self.context().await?.delete_object_store(bucket).await;
            deleted.map_err(|error| failed(&error))
        })
        .await
    }

    async fn clear(&self, container: &str) -> Result<(), Error> {
        within(self.timeout(), async {
            let stream = self.stream(container).await?;
            stream
                .purge()
                .await
                .map(drop)
                .map_err(|error| failed(&error))
        })
        .await
    }

    async fn list(&self, container: &str) -> Result<Names, Error> {
        let store = self.store(container).await?;
        let listed = within(self.timeout(), async {
            store.list().await.map_err(|error| failed(&error))
        });
        let names = listed.await?.map_ok(|info| info.name);
        Ok(names.map_err(|error| broken(&error)).boxed())
    }

    async fn get(&self, id: &ObjectId, part: Option<Part>) -> Result<Found, Error> {
        let store = self.store(&id.container).await?;
        let info = self.info(id).await?;
        let (first, length) = span(part, info.size as u64)?;
        let object = within(self.timeout(), async {
            store.get(&id.object).await.map_err(|error| failed(&error))
        });
        let object = object.await?;
        if object.info.nuid != info.nuid {
            return Err(Error::Unavailable(
                "the object was replaced when it was opened; try again".to_owned(),
            ));
        }
        Ok(Found {
            stat: stat(&info),
            length,
            data: download::part(object, first, length, self.timeout()),
        })
    }

    async fn put(&self, id: &ObjectId, data: Incoming) -> Result<Stat, Error> {
        let old = match self.info(id).await {
            Ok(info) => Some(info),
            Err(Error::NoSuchObject(_)) => None,
            Err(error) => return Err(error),
        };
        let connection = self.connected().await?;
        let bucket = self.bucket(&id.container)?;
        let stream = within(self.timeout(), self.stream(&id.container)).await?;
        let target = upload::Target {
            client: connection.client(),
            context: connection.jetstream(),
            stream: stream.clone(),
            bucket: bucket.clone(),
            name: &id.object,
        };
        let info = target.write(data).await?;
        if let Some(old) = old {
            upload::delete(stream, upload::subject(&bucket, &old.nuid)).await;
        }
        Ok(stat(&info))
    }

    async fn stat(&self, id: &ObjectId) -> Result<Stat, Error> {
        self.info(id).await.map(|info| stat(&info))
    }

    async fn remove(&self, container: &str, names: Vec<String>) -> Result<(), Error> {
        let store = self.store(container).await?;
        for name in names {
            let removed = within(self.timeout(), async {
                match store.delete(&name).await {
                    Err(error) if error.kind() != DeleteErrorKind::NotFound => Err(failed(&error)),
                    _ => Ok(()),
                }
            });
            removed.await?;
        }
        Ok(())
    }

    async fn copy(&self, source: &ObjectId, destination: &ObjectId) -> Result<(), Error> {
        let found = self.get(source, None).await?;
        let copied = self.put(destination, Incoming::of(found.data, None));
        copied.await.map(drop)
    }
}

fn not_started() -> Error {
    Error::Unavailable("the provider hasn't started".to_owned())
}

fn stat(info: &ObjectInfo) -> Stat {
    Stat {
        size: info.size as u64,
        written: info.modified.map_or(0, failure::seconds),
    }
}
