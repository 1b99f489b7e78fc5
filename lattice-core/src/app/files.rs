//! The files that a manifest names: their paths and digests.

use super::{App, problem::ProblemKind};
use crate::desired::{Image, ImageDigest};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// Files by their path in the manifest: the absolute path and the digest, or why the file can't be
/// used.
pub(super) type Files = BTreeMap<PathBuf, Result<(PathBuf, ImageDigest), ProblemKind>>;

/// Reads every file that `app` names, on a thread that may block.
pub(super) async fn read(app: &App) -> Files {
    let named: Vec<(PathBuf, PathBuf)> = app
        .images()
        .filter_map(|image| match image {
            Image::File(file) => Some((file.clone(), app.path_of(file))),
            _ => None,
        })
        .collect();
    if named.is_empty() {
        return Files::new();
    }
    let reading = tokio::task::spawn_blocking(move || {
        let read = |(file, path): (PathBuf, PathBuf)| (file, read_one(path));
        named.into_iter().map(read).collect()
    });
    match reading.await {
        Ok(files) => files,
        // The task is not cancelled and does not panic. If it ever panics, the caller does too.
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}

fn read_one(path: PathBuf) -> Result<(PathBuf, ImageDigest), ProblemKind> {
    digest(&path).map_err(|error| ProblemKind::File {
        path,
        reason: error.to_string(),
    })
}

fn digest(path: &Path) -> io::Result<(PathBuf, ImageDigest)> {
    let path = path.canonicalize()?;
    if path.to_str().is_none() {
        let reason = "its path is not UTF-8, so it can't be written to the store";
        return Err(io::Error::new(io::ErrorKind::InvalidFilename, reason));
    }
    let mut file = open(&path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            count => hash.update(chunk.get(..count).unwrap_or_default()),
        }
    }
    let digest: [u8; 32] = hash.finalize().into();
    Ok((path, digest.into()))
}

/// Opens a regular file. Opening a pipe without a writer never returns, and reading a pipe or a
/// device might never end.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it isn't a regular file"));
    }
    File::open(path)
}
