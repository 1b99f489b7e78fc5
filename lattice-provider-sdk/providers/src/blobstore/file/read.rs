//! Reading files and folders.

use super::{Layout, failed, stat};
use crate::blobstore::{
    backend::{Chunks, Found, Names, Part, broken, span},
    bindings::lattice::blobstore::types::{Error, ObjectId},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use lattice_provider_sdk::Broken;
use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    sync::Arc,
};
use tokio::sync::mpsc;

/// Bytes that are read at once.
const CHUNK: u64 = 256 * 1024;
/// Names that are read ahead.
const NAMES_AHEAD: usize = 256;

/// Opens an object. A file that is open is read to its end, also when the object is replaced.
pub(super) fn object(layout: &Layout, id: &ObjectId, part: Option<Part>) -> Result<Found, Error> {
    let mut file = File::open(layout.object(id)).map_err(|error| layout.missing(id, &error))?;
    let metadata = file.metadata().map_err(|error| failed(&error))?;
    let stat = stat(&metadata);
    let (first, length) = span(part, stat.size)?;
    if first > 0 {
        file.seek(SeekFrom::Start(first))
            .map_err(|error| failed(&error))?;
    }
    Ok(Found {
        stat,
        length,
        data: chunks(file, length),
    })
}

/// Returns so many bytes of a file.
fn chunks(file: File, length: u64) -> Chunks {
    let chunks = stream::try_unfold((file, length), async |(file, left)| {
        if left == 0 {
            return Ok(None);
        }
        let read = tokio::task::spawn_blocking(move || read(file, left)).await;
        let read = read.unwrap_or_else(|lost| Err(io::Error::other(lost)));
        let (file, bytes) = read.map_err(|error| broken(&error))?;
        let left = left - bytes.len() as u64;
        Ok::<_, Broken>(Some((bytes, (file, left))))
    });
    chunks.boxed()
}

fn read(mut file: File, left: u64) -> io::Result<(File, Bytes)> {
    let size = left.min(CHUNK);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    (&mut file).take(size).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        let reason = "the file is shorter than it was";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason));
    }
    Ok((file, bytes.into()))
}

/// Returns the names of the objects in a container. A thread reads the folder as far as the reader
/// has room, and stops when it is gone.
pub(super) fn names(layout: Arc<Layout>, container: String) -> Names {
    let (sender, names) = mpsc::channel(NAMES_AHEAD);
    tokio::task::spawn_blocking(move || {
        let walked = layout.walk(&container, |_, name| {
            Ok(sender.blocking_send(Ok(name)).is_ok())
        });
        if let Err(error) = walked {
            // The reader may be gone.
            let _ = sender.blocking_send(Err(broken(&error)));
        }
    });
    stream::unfold(names, async |mut names| Some((names.recv().await?, names))).boxed()
}
