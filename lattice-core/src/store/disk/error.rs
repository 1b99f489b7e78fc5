//! Errors of a store on disk, each with what to do about it.

use crate::{name::LatticeName, store::StoreError};
use redb::{DatabaseError, StorageError};
use std::{
    error::Error,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// Why a store on disk could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open, or this process does through a handle that is not a clone.
    #[error(
        "`{}` is open already; stop the other process that uses it, or give this one a file of its own",
        path.display()
    )]
    AlreadyOpen {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error(
        "`{}` isn't a lattice store, so it was left unchanged; give the path of another file, or one where no file exists to create a store there",
        path.display()
    )]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// The file belongs to another lattice.
    #[error(
        "`{}` keeps lattice `{found}`, not `{wanted}`; use that name, or another file",
        path.display()
    )]
    OtherLattice {
        /// The file.
        path: PathBuf,
        /// The lattice in it.
        found: String,
        /// The lattice that was asked for.
        wanted: LatticeName,
    },
    /// The file was written in a format that this version does not read.
    #[error(
        "`{}` has format {found} and this version reads {known}; open it with the version of Lattice that wrote it",
        path.display()
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The format that this version reads.
        known: u64,
    },
    /// The contents of the file are not those that were written.
    #[error(
        "`{}` is damaged; put a copy of it back, or move it away to begin with an empty store",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The disk is full.
    #[error("there is no room on the disk of `{}`; free some and try again", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The system refused to create, read or write the file.
    #[error(
        "`{}` can't be created, read or written; check that its folder exists and that this user may write there",
        path.display()
    )]
    Refused {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Why a journal did not accept a commit, or can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    #[error("the disk is full; free some room ({0})")]
    Full(io::Error),
    #[error("{0}")]
    Io(io::Error),
    #[error("its contents are not what was written: {0}")]
    Damaged(Box<dyn Error + Send + Sync>),
    #[error("it is open already")]
    AlreadyOpen,
    #[error("it isn't a lattice store")]
    NotAStore,
}

impl OpenError {
    pub(super) fn from_io(path: &Path, source: io::Error) -> Self {
        Self::from_journal(path, source.into())
    }

    pub(super) fn from_journal(path: &Path, error: JournalError) -> Self {
        let path = path.to_owned();
        match error {
            JournalError::Full(source) => Self::Full { path, source },
            JournalError::Io(source) => Self::Refused { path, source },
            JournalError::Damaged(source) => Self::Damaged { path, source },
            JournalError::AlreadyOpen => Self::AlreadyOpen { path },
            JournalError::NotAStore => Self::NotAStore { path },
        }
    }
}

impl From<JournalError> for StoreError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Full(source) => Self::Full(source.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<io::Error> for JournalError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::Full(error)
            }
            // The database's error for a file that does not begin with its own header.
            ErrorKind::InvalidData => Self::NotAStore,
            ErrorKind::UnexpectedEof => Self::Damaged(Box::new(error)),
            _ => Self::Io(error),
        }
    }
}

impl From<redb::Error> for JournalError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => error.into(),
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                Self::AlreadyOpen
            }
            redb::Error::TableDoesNotExist(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::UpgradeRequired(_) => Self::NotAStore,
            redb::Error::Corrupted(_) | redb::Error::RepairAborted => {
                Self::Damaged(Box::new(error))
            }
            other => Self::Io(io::Error::other(other)),
        }
    }
}

/// The database has an error type per operation. Each is converted to this sum of them.
macro_rules! from_each {
    ($($error:ty),*) => {$(
        impl From<$error> for JournalError {
            fn from(error: $error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

from_each!(
    DatabaseError,
    StorageError,
    redb::TransactionError,
    redb::TableError,
    redb::CommitError,
    redb::SetDurabilityError
);
