//! Objects as files of a folder.
//!
//! ```text
//! root/containers/<container>/<object>      names are encoded; `<200 bytes>+/<rest>` if they are long
//! root/partial/<number>                     files that are being written
//! ```
//!
//! An object is written to a file of its own and renamed when it is complete, so a folder that is
//! looked at from outside has only whole objects. File operations block, so each of them runs on a
//! thread for that.

mod layout;
mod read;
mod write;

use super::{
    backend::{Backend, Found, Incoming, Names, Part, Stat, seconds},
    bindings::lattice::blobstore::types::{Error, ObjectId},
    provider::served,
};
use lattice_core::{quantity::ByteSize, serve::Service};
use lattice_provider_sdk::{HostPath, IntoService, Refusal};
use layout::Layout;
use serde::Deserialize;
use std::{
    fs::{self, Metadata},
    io,
    sync::Arc,
};

/// The settings of a provider that keeps objects in files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileSettings {
    /// The folder. It is created if there is none. No other program may write to it.
    pub path: HostPath,
    /// The largest object. Unlimited by default.
    #[serde(default)]
    pub max_object_size: Option<ByteSize>,
}

/// A provider that keeps objects in files.
#[derive(Debug)]
pub struct File(FileSettings);

impl File {
    /// Creates the provider.
    pub fn new(settings: FileSettings) -> Self {
        Self(settings)
    }
}

impl IntoService for File {
    fn into_service(self) -> Arc<dyn Service> {
        let limit = self.0.max_object_size.map(ByteSize::as_u64);
        served(FileStore {
            layout: Arc::new(Layout::new(self.0.path.into_path_buf())),
            limit: limit.unwrap_or(u64::MAX),
        })
    }
}

struct FileStore {
    layout: Arc<Layout>,
    limit: u64,
}

impl FileStore {
    async fn with_layout<R: Send + 'static>(
        &self,
        run: impl FnOnce(&Layout) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        let layout = self.layout.clone();
        blocking(move || run(&layout)).await
    }
}

impl Backend for FileStore {
    fn system(&self) -> &'static str {
        "file"
    }

    async fn start(&self) -> Result<(), Refusal> {
        let layout = self.layout.clone();
        let prepared = tokio::task::spawn_blocking(move || layout.prepare()).await;
        let prepared = prepared.unwrap_or_else(|lost| Err(io::Error::other(lost)));
        prepared.map_err(|error| {
            let root = self.layout.root().display();
            Refusal::new(format!(
                "folder `{root}` can't be used: {error}; set `path` to another"
            ))
        })
    }

    async fn health(&self) -> Result<(), Refusal> {
        let layout = self.layout.clone();
        let found = tokio::task::spawn_blocking(move || fs::metadata(layout.containers())).await;
        found??;
        Ok(())
    }

    async fn create(&self, container: &str) -> Result<(), Error> {
        let name = container.to_owned();
        self.with_layout(move |layout| {
            let made = layout.make(&layout.container(&name));
            made.map_err(|error| failed(&error))
        })
        .await
    }

    async fn created(&self, container: &str) -> Result<u64, Error> {
        let name = container.to_owned();
        self.with_layout(move |layout| {
            let metadata = layout.existing(&name)?;
            let created = metadata.created().or_else(|_| metadata.modified());
            Ok(created.map_or(0, seconds))
        })
        .await
    }

    async fn delete(&self, container: &str) -> Result<(), Error> {
        let name = container.to_owned();
        self.with_layout(move |layout| {
            layout.existing(&name)?;
            // Nothing sees a part of it.
            let away = layout.partial();
            fs::rename(layout.container(&name), &away).map_err(|error| failed(&error))?;
            fs::remove_dir_all(away).map_err(|error| failed(&error))
        })
        .await
    }

    async fn clear(&self, container: &str) -> Result<(), Error> {
        let name = container.to_owned();
        self.with_layout(move |layout| {
            layout.existing(&name)?;
            for file in layout.walk(&name) {
                match file.and_then(|(file, _)| fs::remove_file(file)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(failed(&error));
                    }
                    _ => {}
                }
            }
            Ok(())
        })
        .await
    }

    async fn list(&self, container: &str) -> Result<Names, Error> {
        let name = container.to_owned();
        self.with_layout(move |layout| layout.existing(&name).map(drop))
            .await?;
        Ok(read::names(self.layout.walk(container)))
    }

    async fn get(&self, id: &ObjectId, part: Option<Part>) -> Result<Found, Error> {
        let id = id.clone();
        self.with_layout(move |layout| read::object(layout, &id, part))
            .await
    }

    async fn put(&self, id: &ObjectId, data: Incoming) -> Result<Stat, Error> {
        let data = data.at_most(self.limit);
        write::object(&self.layout, id, data).await
    }

    async fn stat(&self, id: &ObjectId) -> Result<Stat, Error> {
        let id = id.clone();
        self.with_layout(move |layout| {
            let metadata = fs::metadata(layout.object(&id));
            metadata
                .map(|metadata| stat(&metadata))
                .map_err(|error| layout.missing(&id, &error))
        })
        .await
    }

    async fn remove(&self, container: &str, names: Vec<String>) -> Result<(), Error> {
        let container = container.to_owned();
        self.with_layout(move |layout| {
            layout.existing(&container)?;
            for object in names {
                let container = container.clone();
                match fs::remove_file(layout.object(&ObjectId { container, object })) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(failed(&error));
                    }
                    _ => {}
                }
            }
            Ok(())
        })
        .await
    }

    async fn copy(&self, source: &ObjectId, destination: &ObjectId) -> Result<(), Error> {
        let found = self.get(source, None).await?;
        let copy = write::object(&self.layout, destination, Incoming::of(found.data, None));
        copy.await.map(drop)
    }

    async fn rename(&self, source: &ObjectId, destination: &ObjectId) -> Result<(), Error> {
        let (source, destination) = (source.clone(), destination.clone());
        self.with_layout(move |layout| {
            let from = layout.object(&source);
            fs::metadata(&from).map_err(|error| layout.missing(&source, &error))?;
            layout.place(&from, &destination)
        })
        .await
    }
}

fn stat(metadata: &Metadata) -> Stat {
    Stat {
        size: metadata.len(),
        written: metadata.modified().map_or(0, seconds),
    }
}

/// Runs file operations on a thread that may block.
async fn blocking<R: Send + 'static>(
    run: impl FnOnce() -> Result<R, Error> + Send + 'static,
) -> Result<R, Error> {
    let result = tokio::task::spawn_blocking(run).await;
    result.unwrap_or_else(|lost| Err(Error::Other(format!("a file operation was lost: {lost}"))))
}

/// What an operation of the file system failed with.
fn failed(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full(error.to_string()),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Error::AccessDenied(error.to_string())
        }
        _ => Error::Other(error.to_string()),
    }
}
