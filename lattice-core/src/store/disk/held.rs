//! The state of a store on disk that is kept in memory, and its relation to the file. Pure: no I/O.

use super::{
    RETRY,
    journal::Batch,
    slot::{self, Now},
};
use crate::store::{CommitError, Op, Revision, StoreKey, state::StoreContents};
use std::{collections::BTreeSet, time::Duration};
use tokio::time::Instant;

pub(super) struct Held {
    pub(super) state: StoreContents,
    /// Keys that expired or were forgotten since the file was last written.
    pub(super) aged: BTreeSet<StoreKey>,
    pub(super) phase: Phase,
}

/// How the memory relates to the file.
pub(super) enum Phase {
    /// The file and the memory have the same contents.
    Live,
    /// A commit is on its way to the disk. Nothing expires meanwhile, so that the commit gets the
    /// revisions that were written.
    Writing,
    /// It is unknown whether a commit is in the file.
    InDoubt {
        commit: Commit,
        reason: String,
        /// The earliest time of the next attempt.
        next: Instant,
    },
}

/// A commit that passed its checks, and what the file stores for it.
pub(super) struct Commit {
    ops: Vec<Op>,
    ttl: Option<Duration>,
    at: Instant,
    pub(super) batch: Batch,
}

impl Held {
    /// Ends expired leases and markers, unless a commit is in flight.
    pub(super) fn age(&mut self) {
        if let Phase::Live = self.phase {
            self.aged.extend(self.state.expire(Instant::now()));
        }
    }

    /// Prepares a commit, if its keys are as it expects.
    pub(super) fn begin(
        &mut self,
        ops: Vec<Op>,
        ttl: Option<Duration>,
    ) -> Result<Commit, CommitError> {
        self.phase = Phase::Live;
        self.age();
        self.state.check(&ops)?;
        let now = Now::read();
        let revision = |nth: usize| Revision(self.state.revision().0 + nth as u64);
        let aged = self.aged.iter().map(|key| {
            let slot = self.state.slot(key).map(|slot| {
                let term = slot.ends.map(|ends| now.until(ends));
                slot::encode(slot.revision, slot.value.as_ref(), term)
            });
            (key.clone(), slot)
        });
        let written = ops.iter().enumerate().map(|(nth, op)| {
            let term = StoreContents::term(op, ttl).map(|term| now.term(term));
            let slot = slot::encode(revision(nth + 1), op.value.as_ref(), term);
            (op.key.clone(), Some(slot))
        });
        // The writes of this commit come after the expiry of the same key.
        let batch = Batch {
            changes: aged.chain(written).collect(),
            revision: revision(ops.len()),
            ceiling: ceiling(&self.state, ops.len()),
        };
        self.phase = Phase::Writing;
        Ok(Commit {
            ops,
            ttl,
            at: now.instant,
            batch,
        })
    }

    /// Applies a commit that the file contains.
    pub(super) fn take_in(&mut self, commit: Commit) {
        self.phase = Phase::Live;
        self.aged.clear();
        self.state.apply(commit.ops, commit.ttl, commit.at);
    }

    pub(super) fn doubt(&mut self, commit: Commit, reason: String, next: Instant) {
        self.state.disconnect();
        self.phase = Phase::InDoubt {
            commit,
            reason,
            next,
        };
    }

    pub(super) fn retry_later(&mut self, why: &str) {
        if let Phase::InDoubt { reason, next, .. } = &mut self.phase {
            *next = Instant::now() + RETRY;
            why.clone_into(reason);
        }
    }

    /// The file is open again, and its last commit has this revision.
    pub(super) fn resolve(&mut self, last: Revision) {
        if let Phase::InDoubt { commit, .. } = std::mem::replace(&mut self.phase, Phase::Live) {
            self.state.reconnect();
            if last >= commit.batch.revision {
                self.take_in(commit);
            }
        }
    }
}

/// Returns an upper bound for every revision given out before the next commit, once `ops` more
/// operations are done. Each of them may end by itself, and so may every entry that already has an
/// end.
pub(super) fn ceiling(state: &StoreContents, ops: usize) -> Revision {
    Revision(state.revision().0 + 2 * ops as u64 + state.ending() as u64)
}
