//! Artifacts on disk, each under its digest.
//!
//! ```text
//! folder/sha256/<64 hex>   a component or a manifest, checked against its name on each load
//! folder/tags/<64 hex>     the digest that a tag had last, under the digest of the tag's name
//! folder/tmp/<16 hex>      being written; moves into place in one step
//! ```
//!
//! Several processes may share a folder. When the total size is over the limit, the least recently
//! used artifacts are deleted first.

use super::ImageDigest;
#[cfg(feature = "oci")]
use super::OciReference;
use crate::{limits::ByteSize, regular_file};
use bytes::Bytes;
use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// No write takes this long, so older files were left behind by a process that was killed.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// The space that a small file takes on most disks.
const BLOCK: u64 = 4_096;

/// The most bytes that are read of the digest of a tag. It has 71.
#[cfg(feature = "oci")]
const MAX_TAG: u64 = 1 << 10;

/// A folder of artifacts. Its functions block on the disk.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    folder: PathBuf,
    limit: ByteSize,
}

/// Why an artifact can't be kept on disk. It is still served from memory.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The disk is full.
    #[error("the disk of the artifact cache `{}` is full: free some space, or name another folder", folder.display())]
    Full {
        /// The cache's folder.
        folder: PathBuf,
        /// The error of the system.
        source: Arc<io::Error>,
    },
    /// The folder may not be written to.
    #[error("the artifact cache `{}` can't be written to: let this user write there, or name another folder", folder.display())]
    ReadOnly {
        /// The cache's folder.
        folder: PathBuf,
        /// The error of the system.
        source: Arc<io::Error>,
    },
    /// The artifact is larger than the limit of the whole cache.
    #[error("{} bytes don't fit the artifact cache's limit of {limit}: raise it", size.as_u64())]
    TooLarge {
        /// Size of the artifact.
        size: ByteSize,
        /// The cache's limit.
        limit: ByteSize,
    },
    /// Any other error of the system.
    #[error("the artifact cache `{}` fails: check its disk, or name another folder", folder.display())]
    Disk {
        /// The cache's folder.
        folder: PathBuf,
        /// The error of the system.
        source: Arc<io::Error>,
    },
}

impl Cache {
    pub(super) fn new(folder: PathBuf, limit: ByteSize) -> Self {
        Self { folder, limit }
    }

    /// Returns the bytes with this digest, if they are in the cache and intact. Damaged ones are
    /// deleted.
    pub(super) fn read(&self, digest: ImageDigest, max: ByteSize) -> Option<Bytes> {
        let path = self.path(digest);
        let bytes = match read_whole(&path, max) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "an artifact can't be read from the cache; it is fetched again");
                return None;
            }
        };
        if ImageDigest::of(&bytes) == digest {
            return Some(bytes);
        }
        tracing::warn!(path = %path.display(), "an artifact in the cache is damaged; it is deleted and fetched again");
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "the damaged artifact can't be removed");
        }
        None
    }

    /// Returns the bytes with this digest like [`read`](Self::read), unless they are more than
    /// `most`.
    pub(super) fn read_small(&self, digest: ImageDigest, most: ByteSize) -> Option<Bytes> {
        let size = fs::metadata(self.path(digest)).ok()?.len();
        let is_small = size <= most.as_u64();
        is_small.then(|| self.read(digest, most)).flatten()
    }

    /// Returns a part of the bytes with this digest. It is not checked.
    pub(super) fn read_part(&self, digest: ImageDigest, part: Range<usize>) -> Option<Bytes> {
        let bytes = regular_file::read_part(&self.path(digest), part);
        bytes.ok().map(Bytes::from)
    }

    /// Keeps these bytes, which have this digest. Deletes the least recently used artifacts if the
    /// total is over the limit.
    pub(super) fn write(&self, digest: ImageDigest, bytes: &[u8]) -> Result<(), CacheError> {
        let size = ByteSize::bytes(bytes.len() as u64);
        if size > self.limit {
            return Err(CacheError::TooLarge {
                size,
                limit: self.limit,
            });
        }
        let path = self.path(digest);
        self.place(&path, bytes)
            .map_err(|error| self.failed(error))?;
        self.sweep(&path).map_err(|error| self.failed(error))
    }

    /// Writes a file in one step, so that readers see all of it or nothing.
    fn place(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.temporary()?;
        for folder in [path, &temporary]
            .into_iter()
            .filter_map(|path| path.parent())
        {
            fs::create_dir_all(folder)?;
        }
        let written = File::create_new(&temporary)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            // The first error is the one to report; a leftover is swept later.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn temporary(&self) -> io::Result<PathBuf> {
        let name = getrandom::u64().map_err(io::Error::other)?;
        Ok(self.folder.join("tmp").join(format!("{name:016x}")))
    }

    /// Deletes files until the total is under the limit, but never `keep`.
    fn sweep(&self, keep: &Path) -> io::Result<()> {
        let mut kept = files(&self.folder.join("sha256"))?;
        kept.extend(files(&self.folder.join("tags"))?);
        let mut total: u64 = kept.iter().map(|file| file.size).sum();
        kept.sort_by_key(|file| file.used);
        for file in kept.iter().filter(|file| file.path != keep) {
            if total <= self.limit.as_u64() {
                break;
            }
            remove(&file.path)?;
            total -= file.size;
        }
        let now = SystemTime::now();
        for file in files(&self.folder.join("tmp"))? {
            if now
                .duration_since(file.used)
                .is_ok_and(|age| age > ABANDONED)
            {
                remove(&file.path)?;
            }
        }
        Ok(())
    }

    fn path(&self, digest: ImageDigest) -> PathBuf {
        self.folder.join("sha256").join(digest.to_hex())
    }

    fn failed(&self, error: io::Error) -> CacheError {
        let (folder, kind) = (self.folder.clone(), error.kind());
        let source = Arc::new(error);
        match kind {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                CacheError::Full { folder, source }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                CacheError::ReadOnly { folder, source }
            }
            _ => CacheError::Disk { folder, source },
        }
    }
}

/// The tags of registries.
#[cfg(feature = "oci")]
impl Cache {
    /// Returns the digest of the manifest that the tag had when it was last resolved.
    pub(super) fn tag(&self, image: &OciReference) -> Option<ImageDigest> {
        let mut text = String::new();
        let file = regular_file::open(&self.tag_path(image)).ok()?;
        file.take(MAX_TAG).read_to_string(&mut text).ok()?;
        text.trim_end().parse().ok()
    }

    /// Records the digest that the tag has now.
    pub(super) fn remember(
        &self,
        image: &OciReference,
        manifest: ImageDigest,
    ) -> Result<(), CacheError> {
        let path = self.tag_path(image);
        self.place(&path, format!("{manifest}\n").as_bytes())
            .map_err(|error| self.failed(error))
    }

    fn tag_path(&self, image: &OciReference) -> PathBuf {
        let name = ImageDigest::of(image.to_string().as_bytes());
        self.folder.join("tags").join(name.to_hex())
    }
}

/// Reads a file and marks it as used. Reads at most one byte more than `max`; such a result can't
/// have the right digest.
fn read_whole(path: &Path, max: ByteSize) -> io::Result<Bytes> {
    let file = regular_file::open(path)?;
    let mut bytes = Vec::new();
    (&file)
        .take(max.as_u64().saturating_add(1))
        .read_to_end(&mut bytes)?;
    // This fails in a folder of another user. Then the file is deleted earlier.
    let _ = file.set_modified(SystemTime::now());
    Ok(bytes.into())
}

struct CachedFile {
    path: PathBuf,
    size: u64,
    used: SystemTime,
}

/// Returns the files of a folder, without those that another process deletes meanwhile.
fn files(folder: &Path) -> io::Result<Vec<CachedFile>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        match entry.metadata() {
            Ok(about) if about.is_file() => files.push(CachedFile {
                path: entry.path(),
                size: about.len().next_multiple_of(BLOCK),
                used: about.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            }),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(files)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "cache_tests.rs"]
mod tests;
