//! The file of a program, which is checked whenever a process is started.

use super::{Installed, error::ProgramError};
use crate::{
    artifact::{Hasher, ImageDigest},
    regular_file,
};
use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::task::spawn_blocking;

/// How much of a program is read at a time.
const PART: usize = 64 * 1024;
/// How the text of a script begins, which the system gives to an interpreter.
const SCRIPT: &[u8] = b"#!";

/// The file of a program.
#[derive(Debug, Clone)]
pub(super) struct ProgramFile {
    /// Its full path.
    path: PathBuf,
    /// The digest that it has to have, if one is known.
    digest: Option<ImageDigest>,
    /// It is deleted when nothing may start it any more, if it is from a registry.
    _installed: Option<Arc<Installed>>,
}

/// A file that was checked, and what a process is started from.
#[derive(Debug)]
pub(super) struct CheckedFile {
    path: PathBuf,
    /// Leads to the open file, whatever is at its path by now.
    by_descriptor: Option<PathBuf>,
    /// The file that was checked. It is open until the process has started.
    _open: Option<File>,
}

impl ProgramFile {
    /// Finds the file that an app names by its path, which has to have this digest, if one is
    /// declared.
    pub(super) async fn named(
        path: &Path,
        digest: Option<ImageDigest>,
    ) -> Result<Self, ProgramError> {
        let named = path.to_owned();
        // A name without a folder would be looked up in the search path.
        let full = spawn_blocking(move || named.canonicalize()).await;
        let full = full.unwrap_or_else(|lost| Err(io::Error::other(lost)));
        let file = Self {
            path: full.map_err(|source| ProgramError::File {
                path: path.to_owned(),
                source,
            })?,
            digest,
            _installed: None,
        };
        file.check().await?;
        Ok(file)
    }

    /// The file of a program from a registry.
    pub(super) fn installed(installed: Installed) -> Self {
        Self {
            path: installed.path().to_owned(),
            digest: Some(installed.digest()),
            _installed: Some(Arc::new(installed)),
        }
    }

    /// Checks the file, and opens it if it has to have a digest.
    pub(super) async fn check(&self) -> Result<CheckedFile, ProgramError> {
        let file = self.clone();
        let checked = spawn_blocking(move || file.check_now()).await;
        checked.unwrap_or_else(|lost| Err(self.failed(io::Error::other(lost))))
    }

    fn check_now(&self) -> Result<CheckedFile, ProgramError> {
        let path = self.path.clone();
        let metadata = path.metadata().map_err(|error| self.failed(error))?;
        if !is_executable(&metadata) {
            return Err(ProgramError::NotExecutable { path });
        }
        if is_noexec(&path) {
            return Err(ProgramError::NoExec { path });
        }
        let Some(expected) = self.digest else {
            return Ok(CheckedFile {
                path,
                by_descriptor: None,
                _open: None,
            });
        };
        let mut open = regular_file::open(&path).map_err(|error| self.failed(error))?;
        let (found, is_script) = read(&mut open).map_err(|error| self.failed(error))?;
        if found != expected {
            return Err(ProgramError::Changed {
                path,
                expected,
                found,
            });
        }
        // An interpreter opens the script by itself, and by a path that it may show or use.
        let by_descriptor = (!is_script).then(|| by_descriptor(&open)).flatten();
        Ok(CheckedFile {
            path,
            by_descriptor,
            _open: Some(open),
        })
    }

    fn failed(&self, source: io::Error) -> ProgramError {
        ProgramError::File {
            path: self.path.clone(),
            source,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl CheckedFile {
    /// Returns what to run: the file that was checked, even if another one is at its path by now,
    /// where the system can do that.
    pub(super) fn runs(&self) -> &Path {
        self.by_descriptor.as_deref().unwrap_or(&self.path)
    }

    /// Returns the path of the program, for people and for the program itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Returns the digest of a program, and whether it is a script.
fn read(file: &mut File) -> io::Result<(ImageDigest, bool)> {
    let (mut hasher, mut part) = (Hasher::default(), vec![0; PART]);
    let mut is_script = None;
    loop {
        let count = match file.read(&mut part) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        is_script.get_or_insert(part[..count].starts_with(SCRIPT));
        if count == 0 {
            return Ok((hasher.digest(), is_script == Some(true)));
        }
        hasher.update(&part[..count]);
    }
}

/// Returns a path that leads other processes of this user to an open file.
#[cfg(target_os = "linux")]
fn by_descriptor(file: &File) -> Option<PathBuf> {
    use rustix::process::{DumpableBehavior, dumpable_behavior};
    use std::os::{fd::AsRawFd as _, unix::fs::MetadataExt as _};
    // No other process may look into one that has more rights than its user.
    if !matches!(dumpable_behavior(), Ok(DumpableBehavior::Dumpable)) {
        return None;
    }
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let path = PathBuf::from(path);
    // These files may be those of another namespace, in which the number is another process.
    let (there, own) = (path.metadata().ok()?, file.metadata().ok()?);
    ((there.dev(), there.ino()) == (own.dev(), own.ino())).then_some(path)
}

#[cfg(not(target_os = "linux"))]
fn by_descriptor(_: &File) -> Option<PathBuf> {
    None
}

/// Returns whether nothing can be run from the file system of a path. If that can't be found out,
/// the start shows it.
#[cfg(target_os = "linux")]
pub(super) fn is_noexec(path: &Path) -> bool {
    use rustix::fs::{StatVfsMountFlags, statvfs};
    statvfs(path).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_noexec(_: &Path) -> bool {
    false
}

#[cfg(unix)]
fn is_executable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(metadata: &std::fs::Metadata) -> bool {
    metadata.is_file()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::process::Command;

    /// A copy of a program that prints its argument.
    fn echo(folder: &Path) -> (PathBuf, ImageDigest) {
        let path = folder.join("echo");
        std::fs::copy("/bin/echo", &path).expect("copied");
        let digest = ImageDigest::of(&std::fs::read(&path).expect("it is there"));
        (path, digest)
    }

    fn printed(program: &Path) -> String {
        let mut command = Command::new(program);
        let output = command.arg("checked").output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    #[tokio::test]
    async fn a_file_with_other_contents_is_refused_at_every_check() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, digest) = echo(folder.path());
        let file = ProgramFile::named(&path, Some(digest)).await;
        let file = file.expect("it is the declared one");
        file.check().await.expect("it has not changed");
        let other = folder.path().join("other");
        std::fs::copy("/bin/false", &other).expect("copied");
        std::fs::rename(&other, &path).expect("swapped");
        let error = file.check().await.expect_err("it was swapped");
        assert!(
            matches!(error, ProgramError::Changed { expected, .. } if expected == digest),
            "{error}"
        );
        let error = ProgramFile::named(&path, Some(digest)).await;
        let error = error.expect_err("it was swapped");
        assert!(matches!(error, ProgramError::Changed { .. }), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_runs_is_what_was_checked_even_if_it_is_swapped_after_that() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, digest) = echo(folder.path());
        let file = ProgramFile::named(&path, Some(digest)).await;
        let checked = file.expect("it fits").check().await.expect("it fits");
        std::fs::remove_file(&path).expect("removed");
        std::fs::copy("/bin/false", &path).expect("swapped");
        assert_eq!(printed(checked.runs()), "checked");
        assert_eq!(printed(&path), "", "that is the other one");
        assert_eq!(checked.path(), path.canonicalize().expect("it is there"));
    }

    #[tokio::test]
    async fn a_script_is_checked_and_runs_under_its_own_path() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("script");
        let text = b"#!/bin/sh\necho $1\n";
        std::fs::write(&path, text).expect("written");
        let may_run = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&path, may_run).expect("set");
        let file = ProgramFile::named(&path, Some(ImageDigest::of(text))).await;
        let checked = file.expect("it fits").check().await.expect("it fits");
        assert_eq!(checked.runs(), checked.path());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_file_system_from_which_nothing_runs_is_told_from_others() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(!is_noexec(&std::env::current_exe().expect("this test")));
        assert!(!is_noexec(&folder.path().join("no-such-file")));
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("it can be read");
        let options = |line: &str| -> Option<(String, String)> {
            let mut words = line.split(' ').skip(1).map(ToOwned::to_owned);
            Some((words.next()?, words.nth(1)?))
        };
        let mut mounts = mounts.lines().filter_map(options);
        let noexec = mounts.find(|(place, options)| {
            options.split(',').any(|option| option == "noexec") && Path::new(place).is_dir()
        });
        match noexec {
            Some((place, _)) => assert!(is_noexec(Path::new(&place)), "{place}"),
            None => println!("skipped: every file system of this machine runs programs"),
        }
    }
}
