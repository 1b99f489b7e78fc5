//! The provider around a store of objects: what its links may do, names, and time.

use super::{
    backend::{Backend, Found, Incoming, Part, Stat},
    bindings::{
        World,
        lattice::blobstore::{
            store::Store,
            types::{ByteRange, ContainerMetadata, Error, ObjectData, ObjectId, ObjectMetadata},
        },
    },
    config::{Binding, LinkConfig},
    names,
    served_as::{self, ServedAs},
    spans, timeout,
};
use crate::patience::patience;
use lattice_core::{name::InterfaceName, serve::Service};
use lattice_provider_sdk::{
    ByteReader, Call, Instance, IntoService, Link, Provider, Refusal, StreamReader,
};
use std::sync::Arc;

/// Returns the service of a store, under the names of all interfaces that it serves.
pub(crate) fn served(backend: impl Backend) -> Arc<dyn Service> {
    Arc::new(ServedAs::new(Blobs(backend).into_service()))
}

/// Most names that are deleted by one call.
const MOST_NAMES: usize = 10_000;

/// A provider of the objects in a store.
struct Blobs<B>(B);

impl<B: Backend> Provider for Blobs<B> {
    type World = World;
    type Config = LinkConfig;
    type Binding = Binding;

    async fn start(&self, _: &Instance) -> Result<(), Refusal> {
        self.0.start().await
    }

    async fn health(&self) -> Result<(), Refusal> {
        self.0.health().await
    }

    async fn link(&self, _: &Link, config: LinkConfig) -> Result<Binding, Refusal> {
        Binding::new(config)
    }

    async fn operator(&self) -> Option<Binding> {
        Some(Binding::default())
    }

    fn config_schema() -> Option<String> {
        serde_json::to_string(&schemars::schema_for!(LinkConfig)).ok()
    }

    fn also_served_as() -> Vec<InterfaceName> {
        vec![served_as::other()]
    }
}

impl<B: Backend> Blobs<B> {
    /// Runs an operation on a container, as it is named in the store, in a span. It ends shortly
    /// before its call, so that the caller is told as by the interface.
    fn within<T, F: Future<Output = Result<T, Error>>>(
        &self,
        call: &Call<Self>,
        (operation, container): (&str, &str),
        work: F,
    ) -> impl Future<Output = Result<T, Error>> + use<B, T, F> {
        let span = call.begin_span(|| spans::request(self.0.system(), operation, container));
        span.attempt(timeout::within(patience(call), work))
    }

    /// Succeeds if there is an object.
    async fn found(&self, call: &Call<Self>, id: &ObjectId) -> Result<(), Error> {
        let stat = self.0.stat(id);
        let stat = self.within(call, ("info", &id.container), stat).await;
        stat.map(drop).map_err(|error| call.binding().told(error))
    }
}

impl<B: Backend> Store for Blobs<B> {
    async fn create_container(&self, call: &Call<Self>, name: String) -> Result<(), Error> {
        let container = call.binding().written(&name)?;
        let created = self.0.create(&container);
        self.within(call, ("create", &container), created).await
    }

    async fn container_info(
        &self,
        call: &Call<Self>,
        name: String,
    ) -> Result<ContainerMetadata, Error> {
        let link = call.binding();
        let container = link.container(&name)?;
        let created = self.0.created(&container);
        let created = self.within(call, ("container-info", &container), created);
        let created_at = created.await.map_err(|error| link.told(error))?;
        Ok(ContainerMetadata { name, created_at })
    }

    async fn container_exists(&self, call: &Call<Self>, name: String) -> Result<bool, Error> {
        let container = call.binding().container(&name)?;
        let found = async {
            match self.0.created(&container).await {
                Ok(_) => Ok(true),
                Err(Error::NoSuchContainer(_)) => Ok(false),
                Err(error) => Err(error),
            }
        };
        self.within(call, ("container-exists", &container), found)
            .await
    }

    async fn delete_container(&self, call: &Call<Self>, name: String) -> Result<(), Error> {
        let link = call.binding();
        let container = link.written(&name)?;
        let deleted = self.0.delete(&container);
        let deleted = self.within(call, ("delete-container", &container), deleted);
        deleted.await.map_err(|error| link.told(error))
    }

    async fn clear_container(&self, call: &Call<Self>, name: String) -> Result<(), Error> {
        let link = call.binding();
        let container = link.written(&name)?;
        let cleared = self.0.clear(&container);
        let cleared = self.within(call, ("clear", &container), cleared);
        cleared.await.map_err(|error| link.told(error))
    }

    async fn list_objects(
        &self,
        call: &Call<Self>,
        container: String,
    ) -> Result<StreamReader<String>, Error> {
        let link = call.binding();
        let container = link.container(&container)?;
        let names = self.0.list(&container);
        let names = self.within(call, ("list", &container), names);
        let names = names.await.map_err(|error| link.told(error))?;
        Ok(StreamReader::fallible(names))
    }

    async fn get_object(
        &self,
        call: &Call<Self>,
        id: ObjectId,
        part: Option<ByteRange>,
    ) -> Result<ObjectData, Error> {
        let link = call.binding();
        let target = link.object(id.clone())?;
        let found = self.0.get(&target, part.map(Part::from));
        let found = self.within(call, ("get", &target.container), found);
        let Found { stat, length, data } = found.await.map_err(|error| link.told(error))?;
        Ok(ObjectData {
            metadata: metadata(id, stat),
            length,
            data: ByteReader::fallible(data),
        })
    }

    async fn put_object(
        &self,
        call: &Call<Self>,
        id: ObjectId,
        data: ByteReader,
    ) -> Result<ObjectMetadata, Error> {
        let link = call.binding();
        let target = link.written_object(id.clone())?;
        let stored = self.0.put(&target, Incoming::new(data, link.limit()));
        let stored = self.within(call, ("put", &target.container), stored);
        let stat = stored.await.map_err(|error| link.told(error))?;
        Ok(metadata(id, stat))
    }

    async fn object_info(&self, call: &Call<Self>, id: ObjectId) -> Result<ObjectMetadata, Error> {
        let link = call.binding();
        let target = link.object(id.clone())?;
        let stat = self.0.stat(&target);
        let stat = self.within(call, ("info", &target.container), stat);
        let stat = stat.await.map_err(|error| link.told(error))?;
        Ok(metadata(id, stat))
    }

    async fn has_object(&self, call: &Call<Self>, id: ObjectId) -> Result<bool, Error> {
        let link = call.binding();
        let target = link.object(id)?;
        let found = async {
            match self.0.stat(&target).await {
                Ok(_) => Ok(true),
                Err(Error::NoSuchObject(_)) => Ok(false),
                Err(error) => Err(link.told(error)),
            }
        };
        self.within(call, ("has", &target.container), found).await
    }

    async fn delete_objects(
        &self,
        call: &Call<Self>,
        container: String,
        names: Vec<String>,
    ) -> Result<(), Error> {
        if names.len() > MOST_NAMES {
            return Err(Error::Other(format!(
                "{} names are too many for one call; delete at most {MOST_NAMES} at once",
                names.len()
            )));
        }
        names
            .iter()
            .try_for_each(|name| names::check_object(name))?;
        let link = call.binding();
        let container = link.written(&container)?;
        let removed = self.0.remove(&container, names);
        let removed = self.within(call, ("delete", &container), removed);
        removed.await.map_err(|error| link.told(error))
    }

    async fn copy_object(
        &self,
        call: &Call<Self>,
        source: ObjectId,
        destination: ObjectId,
    ) -> Result<(), Error> {
        let link = call.binding();
        let (source, destination) = (link.object(source)?, link.written_object(destination)?);
        if source == destination {
            return self.found(call, &source).await;
        }
        let copied = self.0.copy(&source, &destination);
        let copied = self.within(call, ("copy", &destination.container), copied);
        copied.await.map_err(|error| link.told(error))
    }

    async fn move_object(
        &self,
        call: &Call<Self>,
        source: ObjectId,
        destination: ObjectId,
    ) -> Result<(), Error> {
        let link = call.binding();
        let (source, destination) = (
            link.written_object(source)?,
            link.written_object(destination)?,
        );
        if source == destination {
            // A copy that is deleted as its own source would be lost.
            return self.found(call, &source).await;
        }
        let moved = self.0.rename(&source, &destination);
        let moved = self.within(call, ("move", &destination.container), moved);
        moved.await.map_err(|error| link.told(error))
    }
}

fn metadata(id: ObjectId, stat: Stat) -> ObjectMetadata {
    ObjectMetadata {
        name: id.object,
        container: id.container,
        created_at: stat.written,
        size: stat.size,
    }
}
