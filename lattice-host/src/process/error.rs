//! Why a program can't be run as a provider.

use crate::artifact::ImageDigest;
use std::{io, path::PathBuf};

/// Why a program can't be run as a provider.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ProgramError {
    /// The file can't be used.
    #[error("the program `{}` can't be used; check its path on this host", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file isn't a program.
    #[error("`{}` isn't a program that this host can run; make it an executable file", path.display())]
    NotExecutable {
        /// Its path.
        path: PathBuf,
    },
    /// The file has changed since the app was applied, or since the host wrote it.
    #[error(
        "`{}` has other contents than when its app was applied: {found} and not {expected}; apply the app again, or put the file back",
        path.display()
    )]
    Changed {
        /// Its path.
        path: PathBuf,
        /// The declared digest.
        expected: ImageDigest,
        /// The one of its contents.
        found: ImageDigest,
    },
    /// Nothing can be run from the file system of a program that an app names by its path.
    #[error(
        "`{}` can't be run, because its file system is mounted with `noexec`; move the program to another one, and name that path in the app",
        path.display()
    )]
    NoExec {
        /// The path of the program.
        path: PathBuf,
    },
    /// Nothing can be run from the folder for programs from registries.
    #[error(
        "programs from registries can't be run from `{}`, because its file system is mounted with `noexec`; name another folder with `lattice up --program-folder` or `HostBuilder::program_folder`",
        folder.display()
    )]
    FolderNoExec {
        /// The folder.
        folder: PathBuf,
    },
    /// A program from a registry can't be written.
    #[error(
        "a program from a registry can't be written to `{}`; name another folder with `lattice up --program-folder` or `HostBuilder::program_folder`",
        folder.display()
    )]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A setting for the process doesn't fit.
    #[error("the setting `{setting}` doesn't fit: it should be {expected}")]
    Setting {
        /// Its name.
        setting: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The host itself may not have so many files open.
    #[error(
        "the setting `lattice.open-files` is {wanted}, and this host may have {most} files open; set at most that, or raise the limit of the host (`ulimit -Hn`)"
    )]
    OpenFiles {
        /// The setting.
        wanted: u64,
        /// The limit of the host.
        most: u64,
    },
    /// A limit can't be put into force before the program runs.
    #[error(
        "the setting `{setting}` can't be put into force before the program runs: call `lattice_host::wrap_programs` at the start of the host's `main`, as the command `lattice` does, or install the command `prlimit` of util-linux in /usr/bin"
    )]
    NoWrapper {
        /// The name of the setting.
        setting: &'static str,
    },
    /// The system has no such limit.
    #[error(
        "the setting `{setting}` has no effect on this system, which has no such limit; remove it"
    )]
    #[cfg_attr(
        target_os = "linux",
        expect(dead_code, reason = "Linux has all limits")
    )]
    NoLimit {
        /// The name of the setting.
        setting: &'static str,
    },
}
