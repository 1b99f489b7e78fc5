//! Programs from registries, in files of their own.

use bytes::Bytes;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use tokio::task::spawn_blocking;

/// A program in a file of its own, which is deleted when this is dropped. A process that runs it
/// goes on.
#[derive(Debug)]
pub(crate) struct Installed {
    folder: PathBuf,
    path: PathBuf,
}

impl Installed {
    /// Writes a program into a new folder among the system's temporary files, which nobody else may
    /// open.
    pub(crate) async fn new(bytes: Bytes) -> io::Result<Self> {
        let written = spawn_blocking(move || {
            let mut random = [0; 8];
            getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
            let name = format!("lattice-program-{:016x}", u64::from_ne_bytes(random));
            let folder = std::env::temp_dir().join(name);
            make_folder(&folder)?;
            // From here on, everything is deleted again.
            let installed = Self {
                path: folder.join("program"),
                folder,
            };
            write(&installed.path, &bytes)?;
            Ok(installed)
        });
        written
            .await
            .unwrap_or_else(|lost| Err(io::Error::other(lost)))
    }

    /// Returns the path of the program.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
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
        let installed = Installed::new(bytes.clone()).await.expect("it is written");
        let (path, folder) = (installed.path.clone(), installed.folder.clone());
        assert_eq!(fs::read(&path).expect("it is there"), bytes);
        for made in [&path, &folder] {
            let mode = made.metadata().expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", made.display());
        }
        drop(installed);
        assert!(!path.exists() && !folder.exists());
    }
}
