//! Holds the changes of a commit until all of them have been received. Pure.

use crate::store::{MAX_OPS, WatchEvent};
use std::collections::VecDeque;

/// The received changes of an incomplete commit, and earlier complete commits.
#[derive(Debug, Default)]
pub(super) struct HeldCommit {
    batch: Option<String>,
    part: Vec<WatchEvent>,
    whole: VecDeque<WatchEvent>,
}

impl HeldCommit {
    /// Takes the next change of the stream, or `None` for one that the layers above don't need.
    pub(super) fn take(
        &mut self,
        change: Option<WatchEvent>,
        batch: Option<String>,
        within_commit: bool,
    ) {
        // The changes of a commit are contiguous. So if a change of another commit arrives, the
        // last change of this commit has been overwritten since.
        if self.batch != batch {
            self.end();
        }
        self.part.extend(change);
        self.batch = batch;
        // A commit has at most this many changes. The check bounds the memory, also if another
        // writer breaks this rule.
        if !within_commit || self.part.len() >= MAX_OPS {
            self.end();
        }
    }

    /// Ends the commit: no more changes of it follow.
    pub(super) fn end(&mut self) {
        self.batch = None;
        let part = std::mem::take(&mut self.part);
        self.whole.extend(WatchEvent::of_commit(part));
    }

    /// Returns whether an incomplete commit is held.
    pub(super) fn is_partial(&self) -> bool {
        !self.part.is_empty()
    }

    /// Returns the next complete commit.
    pub(super) fn whole(&mut self) -> Option<WatchEvent> {
        self.whole.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Revision, StoreKey};

    #[expect(
        clippy::unnecessary_wraps,
        reason = "as a message of the stream is read"
    )]
    fn change(revision: u64) -> Option<WatchEvent> {
        Some(WatchEvent::Delete {
            key: StoreKey::for_test("k"),
            revision: Revision(revision),
        })
    }

    fn revisions(event: Option<WatchEvent>) -> Vec<u64> {
        let changes = event.into_iter().flat_map(WatchEvent::changes);
        let revision = |change| match change {
            WatchEvent::Delete { revision, .. } => revision.0,
            other => panic!("{other:?}"),
        };
        changes.map(revision).collect()
    }

    #[test]
    fn a_commit_is_held_until_its_last_change() {
        let mut held = HeldCommit::default();
        held.take(change(1), None, false);
        assert_eq!(revisions(held.whole()), [1]);
        held.take(change(2), Some("a".into()), true);
        held.take(None, Some("a".into()), true);
        assert!(held.is_partial() && held.whole().is_none());
        held.take(change(4), Some("a".into()), false);
        assert_eq!(revisions(held.whole()), [2, 4]);
        assert!(!held.is_partial() && held.whole().is_none());
    }

    #[test]
    fn a_commit_without_its_last_change_ends_with_the_next_commit() {
        let mut held = HeldCommit::default();
        held.take(change(1), Some("a".into()), true);
        held.take(change(3), Some("b".into()), true);
        assert_eq!(revisions(held.whole()), [1]);
        assert!(held.whole().is_none());
        held.take(change(5), None, false);
        assert_eq!(revisions(held.whole()), [3]);
        assert_eq!(revisions(held.whole()), [5]);
        held.take(change(6), Some("c".into()), true);
        held.end();
        assert_eq!(revisions(held.whole()), [6]);
    }

    #[test]
    fn held_changes_are_bounded() {
        let mut held = HeldCommit::default();
        for revision in 0..MAX_OPS as u64 {
            assert!(held.whole().is_none());
            held.take(change(revision), Some("a".into()), true);
        }
        assert_eq!(revisions(held.whole()).len(), MAX_OPS);
    }
}
