//! What a store on disk has in memory, and how that and the file stand to each other. Pure: no I/O.

use super::{
    RETRY,
    journal::Batch,
    slot::{self, Now},
};
use crate::store::{CommitError, Op, Revision, StoreKey, state::State};
use std::{collections::BTreeSet, time::Duration};
use tokio::time::Instant;

pub(super) struct Held {
    pub(super) state: State,
    /// Keys that time has changed since the file was last written.
    pub(super) aged: BTreeSet<StoreKey>,
    pub(super) phase: Phase,
}

/// How the memory and the file stand to each other.
pub(super) enum Phase {
    /// The file holds what the memory does.
    Live,
    /// A commit is on its way to the disk: time stands still meanwhile, so that it gets the revisions that were written.
    Writing,
    /// Nobody knows whether a commit is in the file.
    InDoubt {
        commit: Commit,
        reason: String,
        /// Not to be tried before.
        next: Instant,
    },
}

/// A commit that was found possible, and what the file takes in for it.
pub(super) struct Commit {
    ops: Vec<Op>,
    ttl: Option<Duration>,
    at: Instant,
    pub(super) batch: Batch,
}

impl Held {
    /// What time brings, unless a commit is under way.
    pub(super) fn age(&mut self) {
        if let Phase::Live = self.phase {
            self.aged.extend(self.state.expire(Instant::now()));
        }
    }

    /// Prepares a commit, if it is possible.
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
            let term = State::term(op, ttl).map(|term| now.term(term));
            let slot = slot::encode(revision(nth + 1), op.value.as_ref(), term);
            (op.key.clone(), Some(slot))
        });
        // What is written now comes after what time did to the same key.
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

    /// The file has it: so does the memory.
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

    /// The file is there again, and its last commit has this revision.
    pub(super) fn resolve(&mut self, last: Revision) {
        if let Phase::InDoubt { commit, .. } = std::mem::replace(&mut self.phase, Phase::Live) {
            self.state.reconnect();
            if last >= commit.batch.revision {
                self.take_in(commit);
            }
        }
    }
}

/// What no revision goes over that is given away before the next commit, once `ops` more operations are done: every one of
/// them may end by itself, as whatever does already.
pub(super) fn ceiling(state: &State, ops: usize) -> Revision {
    Revision(state.revision().0 + 2 * ops as u64 + state.ending() as u64)
}
