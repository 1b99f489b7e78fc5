//! Generations that have served. They are recorded in the store, so that no host ever rejects one
//! of them, regardless of later failures and restarts.

use crate::{
    backoff::Backoff,
    desired::{Body, Desired, ServedGenerations},
    entropy,
    membership::ReplicaCounts,
    name::ComponentId,
    node::NodeParts,
    place::plan::Generation,
    store::{CommitError, Expect, Op, StoreKey, record::RecordError},
};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::Instant};

/// The most records in one commit.
const AT_ONCE: usize = 64;
/// Pauses after writes. They grow while writes fail.
const PAUSES: Backoff = Backoff::doubling(Duration::from_millis(500), Duration::from_secs(30));

/// Writes the records of this host.
pub(super) struct ServedRecorder {
    node: Arc<NodeParts>,
    /// At most one write at a time.
    writes: JoinSet<Result<(), CommitError>>,
    /// Writes in a row that failed.
    failures: u32,
    again: Option<Instant>,
}

impl ServedRecorder {
    pub(super) fn new(node: Arc<NodeParts>) -> Self {
        Self {
            node,
            writes: JoinSet::new(),
            failures: 0,
            again: None,
        }
    }

    /// Waits until a write has ended. Returns `None` if no write is in progress.
    pub(super) async fn written(&mut self) -> Option<()> {
        match self.writes.join_next().await? {
            Ok(Ok(())) => self.failures = 0,
            Ok(Err(error)) => {
                self.failures = self.failures.saturating_add(1);
                tracing::debug!(%error, "this host could not record which versions serve");
            }
            Err(error) => {
                tracing::error!(%error, "the write that records which versions serve ended unexpectedly")
            }
        }
        // The jitter separates the writes of hosts that start together.
        let pause = PAUSES.with_equal_jitter(self.failures, entropy::share());
        self.again = Some(Instant::now() + pause);
        Some(())
    }

    /// Returns when to call [`record`](Self::record) again.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.again
    }

    /// Records generations that serve here, if the store has no record of them yet. Nothing is
    /// recorded in a store that was replaced or rolled back until that state is accepted.
    pub(super) fn record(&mut self, desired: &Desired, runs: &ReplicaCounts, is_stale: bool) {
        let now = Instant::now();
        if !self.writes.is_empty() || self.again.is_some_and(|again| now < again) {
            return;
        }
        self.again = None;
        // While the store is unavailable, this is called again at each heartbeat.
        if is_stale || !self.node.connection.replica.health().state.is_live() {
            return;
        }
        let missing = runs.iter().filter_map(|(id, counts)| {
            let actor = desired.actors.get(id)?;
            let serving = counts.iter().filter(|count| count.serving > 0);
            let generations = serving.map(|count| count.generation);
            let new: Vec<Generation> = generations
                .filter(|generation| !desired.has_served(id, *generation))
                // A committed rejection stays in effect, even if the generation started late here.
                .filter(|generation| actor.spec.rejected != Some(*generation))
                .collect();
            (!new.is_empty()).then_some((id, new))
        });
        let number = number(&self.node, desired);
        let ops = missing.filter_map(|(id, new)| {
            let op = op(&self.node, desired, (id, &new), number);
            op.inspect_err(|error| {
                tracing::error!(component = %id, %error, "the record that a version serves could not be encoded");
            })
            .ok()?
        });
        // A single record that another host has changed fails the whole commit.
        let at_once = if self.failures == 0 { AT_ONCE } else { 1 };
        let ops: Vec<Op> = ops.take(at_once).collect();
        if ops.is_empty() {
            return;
        }
        let records = self.node.connection.records.clone();
        self.writes.spawn(async move {
            // This ends within the store's own timeout. A conflict means that another host was
            // first. The next call writes the records that are still missing.
            records.store().commit(ops).await.map(drop)
        });
    }
}

/// Returns a revision for a write that is newer than everything that this process has seen.
fn number(node: &NodeParts, desired: &Desired) -> u64 {
    let seen = node.connection.replica.links().revision();
    desired.revision.max(seen).0
}

/// Returns the operation that adds generations to an actor's record, and that fails if the record
/// has changed. Without any to add, the operation only checks that the record is unchanged. Returns
/// `None` if a newer version of Lattice wrote the record.
pub(super) fn op(
    node: &NodeParts,
    desired: &Desired,
    (component, new): (&ComponentId, &[Generation]),
    number: u64,
) -> Result<Option<Op>, RecordError> {
    let key = StoreKey::served(component);
    let known = desired.served.get(component);
    let expect = match (desired.unreadable.get(&key), known) {
        (Some(unreadable), _) if unreadable.is_newer => return Ok(None),
        (Some(unreadable), _) => unreadable.expect(),
        (None, Some(known)) => Expect::At(known.revision),
        (None, None) => desired.expect_none(&key),
    };
    let mut served = known.map_or_else(ServedGenerations::default, |known| known.spec.clone());
    served.add(new);
    let records = &node.connection.records;
    let value = records.encode(desired.incarnation, &key, number, &Body(&served))?;
    Ok(Some(Op::put(key, value, expect)))
}
