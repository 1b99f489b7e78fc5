//! Writes a new project. Nothing that is there is overwritten.

use super::files::File;
use crate::failure::Failure;
use lattice_core::error::chain;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// How many of the files that are in the way are listed.
const LISTED: usize = 5;

/// Why a project was not written. What had been written of it was removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum WriteError {
    /// There are files of the same names.
    #[error(
        "`{}` has {} already, and nothing is overwritten; choose another name, name another folder with `--in`, or move what is there", folder.display(), listed(found)
    )]
    InTheWay {
        /// The folder.
        folder: PathBuf,
        /// The files that are there.
        found: Vec<PathBuf>,
    },
    /// The folder is something else.
    #[error(
        "`{}` is there and isn't a folder, and nothing is overwritten; choose another name, or name another folder with `--in`", .0.display()
    )]
    NotAFolder(PathBuf),
    /// The folder in which it should be made isn't there.
    #[error(
        "there is no folder `{}`; create it first, or name another one with `--in`", .0.display()
    )]
    NoParent(PathBuf),
    /// A file could not be written.
    #[error("`{}` can't be written", path.display())]
    Io {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        let text = chain(&error);
        match error {
            WriteError::InTheWay { .. } | WriteError::NotAFolder(_) => Self::Refused(text),
            WriteError::NoParent(_) => Self::Usage(text),
            WriteError::Io { .. } => Self::Failed(text),
        }
    }
}

/// Writes files into a folder, which is created if it isn't there.
///
/// # Errors
/// Fails with a [`WriteError`]. Everything is then as it was.
pub(super) fn project(folder: &Path, files: &[File]) -> Result<(), WriteError> {
    let parent = folder.parent().filter(|parent| *parent != Path::new(""));
    let parent = parent.unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Err(WriteError::NoParent(parent.into()));
    }
    if is_there(folder) && !folder.is_dir() {
        return Err(WriteError::NotAFolder(folder.into()));
    }
    let paths = files.iter().map(|(path, _)| path);
    let found: Vec<PathBuf> = paths
        .filter(|path| is_there(&folder.join(path)))
        .cloned()
        .collect();
    if !found.is_empty() {
        let folder = folder.into();
        return Err(WriteError::InTheWay { folder, found });
    }
    let mut made = Made::default();
    for (path, text) in files {
        let path = folder.join(path);
        let written = made.write(&path, text);
        written.map_err(|source| WriteError::Io { path, source })?;
    }
    made.keep();
    Ok(())
}

/// What was made so far. It is removed on drop, the last first, unless it is to be kept.
#[derive(Debug, Default)]
struct Made {
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Made {
    fn write(&mut self, path: &Path, text: &str) -> io::Result<()> {
        self.folder(path.parent().unwrap_or(Path::new(".")))?;
        // Fails if a file was made there in the meantime.
        let mut file = fs::File::create_new(path)?;
        self.files.push(path.into());
        io::Write::write_all(&mut file, text.as_bytes())
    }

    fn folder(&mut self, folder: &Path) -> io::Result<()> {
        if folder == Path::new("") || folder.is_dir() {
            return Ok(());
        }
        if let Some(parent) = folder.parent() {
            self.folder(parent)?;
        }
        fs::create_dir(folder)?;
        self.folders.push(folder.into());
        Ok(())
    }

    fn keep(mut self) {
        self.files.clear();
        self.folders.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // What can't be removed stays. The error that is returned says where.
        for file in self.files.iter().rev() {
            let _ = fs::remove_file(file);
        }
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Whether anything is there, even a link that leads nowhere.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn listed(found: &[PathBuf]) -> String {
    let shown = found.iter().take(LISTED);
    let shown: Vec<String> = shown.map(|path| format!("`{}`", path.display())).collect();
    let more = found.len().saturating_sub(LISTED);
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<File> {
        let file = |path: &&str| (PathBuf::from(path), format!("text of {path}"));
        paths.iter().map(file).collect()
    }

    #[test]
    fn files_are_written_into_a_new_folder_or_beside_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = folder.path().join("hello");
        project(&made, &files(&["a", "b/c/d"])).expect("written");
        let read = fs::read_to_string(made.join("b/c/d")).expect("a file");
        assert_eq!(read, "text of b/c/d");
        project(&made, &files(&["e", "b/f"])).expect("written beside them");
        assert!(made.join("b/f").is_file());
    }

    #[test]
    fn nothing_is_overwritten_and_what_is_in_the_way_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = folder.path().join("hello");
        fs::create_dir(&made).expect("a folder");
        fs::write(made.join("b"), "mine").expect("written");
        let error = project(&made, &files(&["a", "b"])).expect_err("refused");
        assert!(error.to_string().contains("has `b` already"), "{error}");
        assert!(!made.join("a").exists(), "nothing is written");
        assert_eq!(fs::read_to_string(made.join("b")).expect("it"), "mine");

        let error = project(&made.join("b"), &files(&["a"])).expect_err("refused");
        assert!(matches!(error, WriteError::NotAFolder(_)), "{error}");
        let nowhere = folder.path().join("x/y");
        let error = project(&nowhere, &files(&["a"])).expect_err("refused");
        assert!(matches!(error, WriteError::NoParent(_)), "{error}");
    }

    #[test]
    fn what_was_written_before_a_failure_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = folder.path().join("hello");
        // The second one needs a folder where the first one is a file.
        let error = project(&made, &files(&["a", "a/b"])).expect_err("it fails");
        assert!(matches!(error, WriteError::Io { .. }), "{error}");
        assert!(!made.exists());
    }
}
