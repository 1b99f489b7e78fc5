//! Objects in S3 and compatible stores, Azure Blob Storage, Google Cloud Storage, and any other
//! store of the crate `object_store`.
//!
//! ```text
//! <prefix>/<container>/<object>               names are encoded, see `keys`
//! <prefix>/.containers/<container>            an empty marker for each container that was created
//! ```
//!
//! A container whose marker is missing exists too if there are objects in its folder. So a bucket
//! that other programs have filled can be read and listed.
//!
//! | file | what it does |
//! | --- | --- |
//! | `keys` | names as keys of the store |
//! | `clients` | settings of the three clouds |
//! | `upload` | uploads in parts, with bounded memory |
//! | `failure` | errors of the store in words of the interface |

mod clients;
mod failure;
mod keys;
mod upload;

pub use clients::{Azure, AzureSettings, Gcs, GcsSettings, S3, S3Settings};

use super::{
    backend::{Backend, Found, Incoming, Names, Part, Stat, broken, seconds, span},
    bindings::lattice::blobstore::types::{Error, ObjectId},
    provider::served,
    timeout::{self, unwell, within},
};
use failure::{failed, is_missing, words};
use futures_util::{StreamExt, TryStreamExt, stream};
use keys::Keys;
use lattice_core::serve::Service;
use lattice_provider_sdk::{IntoService, Refusal};
use object_store::{
    CopyOptions, GetOptions, GetRange, ObjectMeta, ObjectStore, PutOptions, PutPayload, path::Path,
};
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

/// A provider of the objects in any store of the crate `object_store`, for programs that bring
/// their own.
#[derive(Debug)]
pub struct AnyStore(Arc<dyn ObjectStore>);

impl AnyStore {
    /// Creates the provider.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self(store)
    }
}

impl IntoService for AnyStore {
    fn into_service(self) -> Arc<dyn Service> {
        let store = self.0;
        let connect = move || Ok(store.clone());
        let prefix = String::new();
        served(Remote::new(
            "object_store",
            connect,
            prefix,
            timeout::default(),
        ))
    }
}

type Client = Arc<dyn ObjectStore>;

/// Objects in one bucket.
struct Remote {
    /// The name of the cloud in traces.
    system: &'static str,
    connect: Box<dyn Fn() -> Result<Client, Refusal> + Send + Sync>,
    /// Made at the start.
    client: OnceLock<(Client, Keys)>,
    prefix: String,
    timeout: Duration,
}

impl Remote {
    fn new(
        system: &'static str,
        connect: impl Fn() -> Result<Client, Refusal> + Send + Sync + 'static,
        prefix: String,
        timeout: Duration,
    ) -> Self {
        Self {
            system,
            connect: Box::new(connect),
            client: OnceLock::new(),
            prefix,
            timeout,
        }
    }

    fn client(&self) -> Result<&(Client, Keys), Error> {
        let client = self.client.get();
        client.ok_or_else(|| Error::Unavailable("the provider hasn't started".to_owned()))
    }

    /// Returns when a container was created, if it exists.
    async fn container(&self, name: &str) -> Result<u64, Error> {
        let (client, keys) = self.client()?;
        match head(client, &keys.marker(name)?).await {
            Ok(marker) => return Ok(written(&marker)),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(failed(&error)),
        }
        match client.list(Some(&keys.folder(name)?)).next().await {
            Some(Ok(_)) => Ok(0),
            // A bucket that is missing isn't a missing container.
            Some(Err(error)) => Err(failed(&error)),
            None => Err(Error::NoSuchContainer(name.to_owned())),
        }
    }

    /// Says what is missing when there is no object.
    async fn missing(&self, id: &ObjectId, error: &object_store::Error) -> Error {
        if !is_missing(error) {
            return failed(error);
        }
        match self.container(&id.container).await {
            Ok(_) => Error::NoSuchObject(id.object.clone()),
            Err(error) => error,
        }
    }

    async fn info(&self, id: &ObjectId) -> Result<Stat, Error> {
        let (client, keys) = self.client()?;
        match head(client, &keys.object(id)?).await {
            Ok(meta) => Ok(stat(&meta)),
            Err(error) => Err(self.missing(id, &error).await),
        }
    }

    /// Deletes what has these keys.
    async fn delete_all(
        &self,
        keys: stream::BoxStream<'static, object_store::Result<Path>>,
    ) -> Result<(), Error> {
        let (client, _) = self.client()?;
        let mut deleted = client.delete_stream(keys);
        while let Some(deleted) = deleted.next().await {
            match deleted {
                Err(error) if !is_missing(&error) => return Err(failed(&error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Deletes all objects of a container.
    async fn empty(&self, container: &str) -> Result<(), Error> {
        let (client, keys) = self.client()?;
        let objects = client.list(Some(&keys.folder(container)?));
        self.delete_all(objects.map_ok(|object| object.location).boxed())
            .await
    }

    /// Begins to read, without a limit of time.
    async fn open(&self, id: &ObjectId, part: Option<Part>) -> Result<Found, Error> {
        let (client, keys) = self.client()?;
        let options = GetOptions {
            range: part.map(range),
            ..GetOptions::default()
        };
        let found = match client.get_opts(&keys.object(id)?, options).await {
            Ok(found) => found,
            Err(error) if part.is_some() && !is_missing(&error) => {
                return self.outside(id, part, &error).await;
            }
            Err(error) => return Err(self.missing(id, &error).await),
        };
        Ok(Found {
            stat: stat(&found.meta),
            length: found.range.end.saturating_sub(found.range.start),
            data: found
                .into_stream()
                .map_err(|error| broken(&words(&error)))
                .boxed(),
        })
    }

    /// Says whether a part could not be read because the object doesn't have it.
    async fn outside(
        &self,
        id: &ObjectId,
        part: Option<Part>,
        error: &object_store::Error,
    ) -> Result<Found, Error> {
        let stat = self.info(id).await?;
        let (_, length) = span(part, stat.size)?;
        if length > 0 {
            return Err(failed(error));
        }
        Ok(Found {
            stat,
            length,
            data: stream::empty().boxed(),
        })
    }
}

impl Backend for Remote {
    fn system(&self) -> &'static str {
        self.system
    }

    async fn start(&self) -> Result<(), Refusal> {
        if self.client.get().is_none() {
            let keys = Keys::new(&self.prefix)?;
            // One that was made meanwhile is as good.
            let _ = self.client.set(((self.connect)()?, keys));
        }
        Ok(())
    }

    async fn health(&self) -> Result<(), Refusal> {
        let checked = within(self.timeout, async {
            let (client, keys) = self.client()?;
            match client.list(Some(&keys.markers())).next().await {
                Some(Err(error)) => Err(failed(&error)),
                _ => Ok(()),
            }
        });
        checked.await.map_err(|error| unwell(&error))
    }

    async fn create(&self, container: &str) -> Result<(), Error> {
        within(self.timeout, async {
            let (client, keys) = self.client()?;
            let marker = keys.marker(container)?;
            match head(client, &marker).await {
                Ok(_) => return Ok(()),
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(failed(&error)),
            }
            let created = client.put_opts(&marker, PutPayload::default(), PutOptions::default());
            created.await.map(drop).map_err(|error| failed(&error))
        })
        .await
    }

    async fn created(&self, container: &str) -> Result<u64, Error> {
        within(self.timeout, self.container(container)).await
    }

    async fn delete(&self, container: &str) -> Result<(), Error> {
        within(self.timeout, self.container(container)).await?;
        // Its marker goes last, so that what breaks off can be done again.
        self.empty(container).await?;
        let marker = self.client()?.1.marker(container)?;
        self.delete_all(stream::iter([Ok(marker)]).boxed()).await
    }

    async fn clear(&self, container: &str) -> Result<(), Error> {
        within(self.timeout, self.container(container)).await?;
        // A container without a marker is gone with its last object.
        self.create(container).await?;
        self.empty(container).await
    }

    async fn list(&self, container: &str) -> Result<Names, Error> {
        within(self.timeout, self.container(container)).await?;
        let (client, keys) = self.client()?;
        let folder = keys.folder(container)?;
        let objects = client.list(Some(&folder));
        let names = objects.filter_map(move |object| {
            let name = match object {
                Ok(object) => keys::name(&folder, &object.location).map(Ok),
                Err(error) => Some(Err(broken(&words(&error)))),
            };
            std::future::ready(name)
        });
        Ok(names.boxed())
    }

    async fn get(&self, id: &ObjectId, part: Option<Part>) -> Result<Found, Error> {
        // What a store makes of a range that ends before it begins differs.
        if part.is_some_and(|part| part.first > part.last) {
            let stat = self.stat(id).await?;
            return Err(Error::InvalidRange(stat.size));
        }
        within(self.timeout, self.open(id, part)).await
    }

    async fn put(&self, id: &ObjectId, data: Incoming) -> Result<Stat, Error> {
        let (client, keys) = self.client()?;
        let key = keys.object(id)?;
        within(self.timeout, self.container(&id.container)).await?;
        let size = upload::object(client, &key, data).await?;
        let written = seconds(SystemTime::now());
        Ok(Stat { size, written })
    }

    async fn stat(&self, id: &ObjectId) -> Result<Stat, Error> {
        within(self.timeout, self.info(id)).await
    }

    async fn remove(&self, container: &str, names: Vec<String>) -> Result<(), Error> {
        within(self.timeout, self.container(container)).await?;
        let (_, keys) = self.client()?;
        let objects = names.into_iter().map(|object| {
            keys.object(&ObjectId {
                container: container.to_owned(),
                object,
            })
        });
        let objects: Vec<Path> = objects.collect::<Result<_, _>>()?;
        self.delete_all(stream::iter(objects).map(Ok).boxed()).await
    }

    async fn copy(&self, source: &ObjectId, destination: &ObjectId) -> Result<(), Error> {
        let (client, keys) = self.client()?;
        let (from, to) = (keys.object(source)?, keys.object(destination)?);
        within(self.timeout, self.container(&destination.container)).await?;
        match client.copy_opts(&from, &to, CopyOptions::default()).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.missing(source, &error).await),
        }
    }
}

/// Returns what is known of what has this key.
async fn head(client: &Client, key: &Path) -> Result<ObjectMeta, object_store::Error> {
    let options = GetOptions {
        head: true,
        ..GetOptions::default()
    };
    client.get_opts(key, options).await.map(|found| found.meta)
}

fn range(part: Part) -> GetRange {
    // Some servers don't read a position that a signed number can't have.
    if part.last >= i64::MAX.unsigned_abs() {
        return GetRange::Offset(part.first);
    }
    GetRange::Bounded(part.first..part.last + 1)
}

fn stat(meta: &ObjectMeta) -> Stat {
    Stat {
        size: meta.size,
        written: written(meta),
    }
}

fn written(meta: &ObjectMeta) -> u64 {
    u64::try_from(meta.last_modified.timestamp()).unwrap_or(0)
}
