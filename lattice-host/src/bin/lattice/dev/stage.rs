//! Copies of what was built, each under its digest. A host reads an image some time after it was
//! declared, and a tool may have replaced the file by then.

use lattice_core::desired::ImageDigest;
use std::{
    collections::{BTreeMap, VecDeque},
    fs, io,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// How many copies of one file are kept: the present ones, and among them, however many came after
/// it, the one that serves until the present one does, or instead of it.
const KEPT: usize = 3;

/// The copies. They are removed on drop.
#[derive(Debug)]
pub(super) struct Stage {
    folder: TempDir,
    copies: BTreeMap<PathBuf, VecDeque<Copied>>,
}

#[derive(Debug)]
struct Copied {
    digest: ImageDigest,
    path: PathBuf,
    /// Whether it was the present one when an app last came into service.
    serves: bool,
}

impl Stage {
    /// Makes a folder for copies.
    ///
    /// # Errors
    /// Fails when the folder for temporary files can't be written to.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            folder: tempfile::Builder::new().prefix("lattice-dev-").tempdir()?,
            copies: BTreeMap::new(),
        })
    }

    /// Returns the folder, by its full path.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Copies a file as it is now, and returns the path of the copy. It is the same one as long as
    /// the file has the same content.
    ///
    /// # Errors
    /// Fails when the file can't be read, or the copy can't be written.
    pub(super) fn copy(&mut self, file: &Path) -> io::Result<PathBuf> {
        let bytes = fs::read(file)?;
        let digest = ImageDigest::of(&bytes);
        let copies = self.copies.entry(file.into()).or_default();
        if let Some(at) = copies.iter().position(|copy| copy.digest == digest)
            && let Some(known) = copies.remove(at)
        {
            // It is the present one again.
            let path = known.path.clone();
            copies.push_back(known);
            return Ok(path);
        }
        let name = file.file_name().unwrap_or_default();
        let folder = tempfile::Builder::new().tempdir_in(self.folder.path())?;
        let path = folder.path().join(name);
        fs::write(&path, &bytes)?;
        // Programs stay programs.
        fs::set_permissions(&path, file.metadata()?.permissions())?;
        // It is removed with the whole, or below.
        let _ = folder.keep();
        copies.push_back(Copied {
            digest,
            path: path.clone(),
            serves: false,
        });
        while copies.len() > KEPT
            && let Some(at) = copies.iter().position(|copy| !copy.serves)
            && let Some(old) = copies.remove(at)
        {
            // If it can't be removed now, it is with the whole.
            let _ = old.path.parent().map(fs::remove_dir_all);
        }
        Ok(path)
    }

    /// Keeps the present copies until others serve: a version that doesn't start leaves them in
    /// service.
    pub(super) fn serve(&mut self) {
        for copies in self.copies.values_mut() {
            let last = copies.len().saturating_sub(1);
            for (at, copy) in copies.iter_mut().enumerate() {
                copy.serves = at == last;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stays_as_it_was_and_old_ones_are_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.wasm");
        let mut stage = Stage::new().expect("a folder");
        let mut copy = |text: &str| {
            fs::write(&file, text).expect("written");
            stage.copy(&file).expect("copied")
        };
        let one = copy("one");
        assert_eq!(copy("one"), one, "the same content");
        let two = copy("two");
        assert_ne!(one, two);
        assert_eq!(fs::read_to_string(&one).expect("a file"), "one");
        assert!(two.ends_with("a.wasm"));
        assert_eq!(copy("one"), one, "as before");
        copy("three");
        copy("four");
        assert!(one.exists() && !two.exists());
        let root = stage.folder().to_path_buf();

        // One that serves stays, however many don't start after it.
        stage.serve();
        let mut copy = |text: &str| {
            fs::write(&file, text).expect("written");
            stage.copy(&file).expect("copied")
        };
        let failed = ["five", "six", "seven", "eight"].map(&mut copy);
        let four = copy("four");
        assert_eq!(fs::read_to_string(four).expect("a file"), "four");
        assert!(!failed[0].exists() && failed[3].exists());
        drop(stage);
        assert!(!root.exists());
    }
}
