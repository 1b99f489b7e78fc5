//! Generations: the revision of the store that a writer had seen when it wrote a record.
//!
//! Processes that follow the store use them to distinguish a new record from a replayed older
//! value. They refuse a value whose generation does not rise, and one whose writer had not seen
//! many of the writes before its own. So a writer has to know the store well enough, or every
//! process refuses its writes.

use super::{Incarnation, Revision};

/// How many writes of the store a writer may not have seen yet when it makes its own. Far more than
/// a replica lags behind, and every other recording of a value is refused also by a process that
/// knows nothing of its key.
const MAX_UNSEEN: u64 = 10_000;
/// How many writes a writer may not have seen shortly before it makes its own. The other half is
/// room for the writes of the commit itself, and of other processes in the meantime.
const MAX_UNSEEN_BEFORE: u64 = MAX_UNSEEN / 2;

/// The copy of the store that a write is decided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Basis {
    /// The incarnation of the store that it is a copy of.
    pub(crate) incarnation: Incarnation,
    /// The generation of the write: the revision that the copy includes.
    pub(crate) generation: u64,
}

impl Basis {
    /// Returns whether the copy lacks too many writes to decide by, if this is the store's newest
    /// one.
    pub(crate) fn is_behind(self, newest: Revision) -> bool {
        newest.0.saturating_sub(self.generation) > MAX_UNSEEN_BEFORE
    }
}

/// Returns how many writes the writer of a value had not seen, if there are so many that every
/// process refuses the value.
pub(crate) fn unseen(generation: u64, written: Revision) -> Option<u64> {
    let unseen = written.0.saturating_sub(generation);
    (unseen > MAX_UNSEEN).then_some(unseen)
}
