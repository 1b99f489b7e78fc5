//! Writing files.

use super::{Layout, blocking, failed, stat};
use crate::blobstore::{
    backend::{Incoming, Stat},
    bindings::lattice::blobstore::types::{Error, ObjectId},
};
use bytes::BytesMut;
use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Bytes that are written at once.
const CHUNK: usize = 256 * 1024;

/// Writes an object.
pub(super) async fn object(
    layout: &Arc<Layout>,
    id: &ObjectId,
    mut data: Incoming,
) -> Result<Stat, Error> {
    let (opened, container) = (layout.clone(), id.container.clone());
    let mut partial = blocking(move || {
        opened.existing(&container)?;
        Partial::create(opened.partial())
    })
    .await?;
    let mut buffer = BytesMut::new();
    while let Some(chunk) = data.next().await? {
        buffer.extend_from_slice(&chunk);
        if buffer.len() >= CHUNK {
            partial = partial.write(buffer.split()).await?;
        }
    }
    partial = partial.write(buffer).await?;
    let (layout, id) = (layout.clone(), id.clone());
    blocking(move || partial.finish(&layout, &id)).await
}

/// A file that is being written. It is removed when it is dropped.
struct Partial {
    file: File,
    path: PartialPath,
}

struct PartialPath(PathBuf);

impl Partial {
    fn create(path: PathBuf) -> Result<Self, Error> {
        let file = File::create_new(&path).map_err(|error| failed(&error))?;
        Ok(Self {
            file,
            path: PartialPath(path),
        })
    }

    async fn write(mut self, bytes: BytesMut) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Ok(self);
        }
        blocking(move || match self.file.write_all(&bytes) {
            Ok(()) => Ok(self),
            Err(error) => Err(failed(&error)),
        })
        .await
    }

    fn finish(self, layout: &Layout, id: &ObjectId) -> Result<Stat, Error> {
        self.file.sync_all().map_err(|error| failed(&error))?;
        let metadata = self.file.metadata().map_err(|error| failed(&error))?;
        layout.place(self.path.as_path(), id)?;
        Ok(stat(&metadata))
    }
}

impl PartialPath {
    fn as_path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PartialPath {
    fn drop(&mut self) {
        // After its rename there is none. One that can't be removed is removed at a later start.
        let _ = fs::remove_file(&self.0);
    }
}
