//! Programs from registries, in files of their own.

use super::{error::ProgramError, file::is_noexec};
use crate::artifact::ImageDigest;
use bytes::Bytes;
use std::{
    env, fs, io,
    path::{Path, PathBuf},
};
use tokio::task::spawn_blocking;

/// A program in a file of its own, which is deleted when this is dropped. A process that runs it
/// goes on.
#[derive(Debug)]
pub(crate) struct Installed {
    folder: PathBuf,
    path: PathBuf,
    digest: ImageDigest,
}

impl Installed {
    /// Writes a program with this digest into a new folder, which no other user may open, in
    /// `within` or among the system's temporary files.
    pub(crate) async fn new(
        bytes: Bytes,
        digest: ImageDigest,
        within: Option<PathBuf>,
    ) -> Result<Self, ProgramError> {
        let within = within.unwrap_or_else(env::temp_dir);
        let failed = |source| ProgramError::Folder {
            folder: within.clone(),
            source,
        };
        let place = within.clone();
        let written = spawn_blocking(move || write_into(&place, &bytes, digest)).await;
        written
            .map_err(|lost| failed(io::Error::other(lost)))?
            .map_err(failed)?
            .ok_or(ProgramError::FolderNoExec { folder: within })
    }

    /// Returns the path of the program.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the digest of the program.
    pub(super) fn digest(&self) -> ImageDigest {
        self.digest
    }
}

/// Returns `None` if nothing can be run from that folder.
fn write_into(within: &Path, bytes: &Bytes, digest: ImageDigest) -> io::Result<Option<Installed>> {
    if is_noexec(within) {
        return Ok(None);
    }
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let name = format!("lattice-program-{:016x}", u64::from_ne_bytes(random));
    // The path of a program is a full one.
    let folder = within.canonicalize()?.join(name);
    make_folder(&folder)?;
    // From here on, everything is deleted again.
    let installed = Installed {
        path: folder.join("program"),
        folder,
        digest,
    };
    write(&installed.path, bytes)?;
    Ok(Some(installed))
}

impl Drop for Installed {
    fn drop(&mut self) {
        // What can't be deleted is left to whoever cleans up temporary files.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_dir(&self.folder);
    }
}

#[cfg(unix)]
fn make_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o700);
    }
    options.open(path)?.write_all(bytes)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn a_program_is_its_owners_and_is_deleted_when_it_is_no_longer_used() {
        let bytes = Bytes::from_static(b"#!/bin/sh\n");
        let digest = ImageDigest::of(&bytes);
        let place = tempfile::tempdir().expect("a folder");
        let installed = Installed::new(bytes.clone(), digest, Some(place.path().into())).await;
        let installed = installed.expect("it is written");
        let (path, folder) = (installed.path.clone(), installed.folder.clone());
        assert_eq!(fs::read(&path).expect("it is there"), bytes);
        for made in [&path, &folder] {
            let mode = made.metadata().expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", made.display());
        }
        assert_eq!(folder.parent(), place.path().canonicalize().ok().as_deref());
        drop(installed);
        assert!(!path.exists() && !folder.exists());
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_used_is_named_with_the_option_for_another() {
        let bytes = Bytes::from_static(b"#!/bin/sh\n");
        let digest = ImageDigest::of(&bytes);
        let place = PathBuf::from("/no/such/folder");
        let made = Installed::new(bytes, digest, Some(place)).await;
        let error = made.expect_err("it isn't there");
        assert!(matches!(error, ProgramError::Folder { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("`/no/such/folder`; name another"), "{error}");
        assert!(error.contains("--program-folder"), "{error}");
    }
}
