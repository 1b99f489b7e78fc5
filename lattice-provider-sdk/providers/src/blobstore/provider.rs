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
    served_as::ServedAs,
    spans,
};
use lattice_core::serve::Service;
use lattice_provider_sdk::{
    ByteReader, Call, Instance, IntoService, Link, Provider, Refusal, StreamReader, WorkSpan,
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
}

impl<B: Backend> Blobs<B> {
    /// Begins the span of an operation on a container, as it is named in the store.
    fn span(&self, call: &Call<Self>, operation: &str, container: &str) -> WorkSpan {
        call.begin_span(|| spans::request(self.0.system(), operation, container))
    }

    /// Succeeds if there is an object.
    async fn found(&self, call: &Call<Self>, id: &ObjectId) -> Result<(), Error> {
        let span = self.span(call, "info", &id.container);
        let stat = span.attempt(self.0.stat(id)).await;
        stat.map(drop).map_err(|error| call.binding().told(error))
    }
}

impl<B: Backend> Store for Blobs<B> {
    async fn create_container(&self, call: &Call<Self>, name: String) -> Result<(), Error> {
        let container = call.binding().written(&name)?;
        let span = self.span(call, "create", &container);
        span.attempt(self.0.create(&container)).await
    }

    async fn container_info(
        &self,
        call: &Call<Self>,
        name: String,
    ) -> Result<ContainerMetadata, Error> {
        let link = call.binding();
        let container = link.container(&name)?;
        let span = self.span(call, "container-info", &container);
        let created = span.attempt(self.0.created(&container)).await;
        let created_at = created.map_err(|error| link.told(error))?;
        Ok(ContainerMetadata { name, created_at })
    }

    async fn container_exists(&self, call: &Call<Self>, name: String) -> Result<bool, Error> {
        let container = call.binding().container(&name)?;
        let span = self.span(call, "container-exists", &container);
        let found = async {
            match self.0.created(&container).await {
                Ok(_) => Ok(true),
                Err(Error::NoSuchContainer(_)) => Ok(false),
                Err(error) => Err(error),
            }
        };
        span.attempt(found).await
    }

    async fn delete_container(&self, call: &Call<Self>, name: String) -> Result<(), Error> {
        let link = call.binding();
        let container = link.written(&name)?;
        let span = self.span(call, "delete-container", &container);
        let deleted = span.attempt(self.0.delete(&container)).await;
        deleted.map_err(|error| link.told(error))
    }

    async fn clear_container(&self, call: &Call<Self>, name: String) -> Result<(), Error> {
        let link = call.binding();
        let container = link.written(&name)?;
        let span = self.span(call, "clear", &container);
        let cleared = span.attempt(self.0.clear(&container)).await;
        cleared.map_err(|error| link.told(error))
    }

    async fn list_objects(
        &self,
        call: &Call<Self>,
        container: String,
    ) -> Result<StreamReader<String>, Error> {
        let link = call.binding();
        let container = link.container(&container)?;
        let span = self.span(call, "list", &container);
        let names = span.attempt(self.0.list(&container)).await;
        let names = names.map_err(|error| link.told(error))?;
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
        let span = self.span(call, "get", &target.container);
        let found = span.attempt(self.0.get(&target, part.map(Part::from)));
        let found = found.await;
        let Found { stat, length, data } = found.map_err(|error| link.told(error))?;
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
        let span = self.span(call, "put", &target.container);
        let stored = self.0.put(&target, Incoming::new(data, link.limit()));
        let stored = span.attempt(stored).await;
        let stat = stored.map_err(|error| link.told(error))?;
        Ok(metadata(id, stat))
    }

    async fn object_info(&self, call: &Call<Self>, id: ObjectId) -> Result<ObjectMetadata, Error> {
        let link = call.binding();
        let target = link.object(id.clone())?;
        let span = self.span(call, "info", &target.container);
        let stat = span.attempt(self.0.stat(&target)).await;
        let stat = stat.map_err(|error| link.told(error))?;
        Ok(metadata(id, stat))
    }

    async fn has_object(&self, call: &Call<Self>, id: ObjectId) -> Result<bool, Error> {
        let link = call.binding();
        let target = link.object(id)?;
        let span = self.span(call, "has", &target.container);
        let found = async {
            match self.0.stat(&target).await {
                Ok(_) => Ok(true),
                Err(Error::NoSuchObject(_)) => Ok(false),
                Err(error) => Err(link.told(error)),
            }
        };
        span.attempt(found).await
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
        let span = self.span(call, "delete", &container);
        let removed = span.attempt(self.0.remove(&container, names)).await;
        removed.map_err(|error| link.told(error))
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
        let span = self.span(call, "copy", &destination.container);
        let copied = span.attempt(self.0.copy(&source, &destination)).await;
        copied.map_err(|error| link.told(error))
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
        let span = self.span(call, "move", &destination.container);
        let moved = span.attempt(self.0.rename(&source, &destination)).await;
        moved.map_err(|error| link.told(error))
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
