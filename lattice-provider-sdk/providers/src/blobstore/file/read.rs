//! Reading files and folders.

use super::{Layout, failed, layout::Walk, stat};
use crate::blobstore::{
    backend::{Chunks, Found, Names, Part, broken, span},
    bindings::lattice::blobstore::types::{Error, ObjectId},
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use lattice_provider_sdk::Broken;
use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
};

/// Bytes that are read at once.
const CHUNK: u64 = 256 * 1024;
/// Names that are read at once.
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

/// Returns the names of the objects in a container. They are read in parts, so that no thread waits
/// for a reader that is slow.
pub(super) fn names(walk: Walk) -> Names {
    let parts = stream::try_unfold(walk, async |mut walk| {
        let read = tokio::task::spawn_blocking(move || {
            let names = walk.by_ref().take(NAMES_AHEAD);
            let names = names.map(|file| file.map(|(_, name)| name));
            let names = names.collect::<io::Result<Vec<_>>>()?;
            Ok::<_, io::Error>((names, walk))
        });
        let read = read.await;
        let read = read.unwrap_or_else(|lost| Err(io::Error::other(lost)));
        let (names, walk) = read.map_err(|error| broken(&error))?;
        let names = (!names.is_empty()).then_some(names);
        Ok::<_, Broken>(names.map(|names| (stream::iter(names).map(Ok), walk)))
    });
    parts.try_flatten().boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::path::PathBuf;

    #[test]
    fn names_that_nobody_reads_take_no_thread() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(2)
            .build()
            .expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout::new(PathBuf::from(folder.path()));
        std::fs::create_dir_all(layout.container("c")).expect("created");
        let count = 2 * NAMES_AHEAD + 1;
        for number in 0..count {
            let path = layout.container("c").join(number.to_string());
            std::fs::write(path, "").expect("written");
        }
        let all = async {
            let mut lists: Vec<_> = (0..8).map(|_| names(layout.walk("c"))).collect();
            // All of them have begun, and none is read to its end.
            let first = join_all(lists.iter_mut().map(StreamExt::next)).await;
            assert!(first.iter().all(|name| matches!(name, Some(Ok(_)))));
            let whole = names(layout.walk("c")).count().await;
            assert_eq!(whole, count);
        };
        let all = async { tokio::time::timeout(std::time::Duration::from_secs(30), all).await };
        runtime.block_on(all).expect("there is a thread");
    }
}
