//! Generations that have served. They are recorded in the store, so that no host ever rejects one of
//! them, whatever fails later and whichever processes are left.

use crate::{
    desired::{Body, Desired, ServedGenerations},
    membership::ReplicaCounts,
    name::ComponentId,
    node::NodeParts,
    place::plan::Generation,
    store::{Expect, Op, StoreKey, record::RecordError},
};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::Instant};

/// The most records in one commit.
const AT_ONCE: usize = 64;
/// The pause after a write. By then its result, or that of another host, has arrived.
const PAUSE: Duration = Duration::from_millis(500);

/// Writes the records of this host.
pub(super) struct ServedRecorder {
    node: Arc<NodeParts>,
    /// At most one write at a time.
    writes: JoinSet<()>,
    again: Option<Instant>,
}

impl ServedRecorder {
    pub(super) fn new(node: Arc<NodeParts>) -> Self {
        Self {
            node,
            writes: JoinSet::new(),
            again: None,
        }
    }

    /// Waits until a write has ended. Returns `None` if no write is under way.
    pub(super) async fn written(&mut self) -> Option<()> {
        if let Err(error) = self.writes.join_next().await? {
            tracing::error!(%error, "a write of what serves ended unexpectedly");
        }
        self.again = Some(Instant::now() + PAUSE);
        Some(())
    }

    /// Returns when [`record`](Self::record) is to be called again.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.again
    }

    /// Records generations that serve here, if the store has no record of them yet. Nothing is
    /// recorded in a store that was replaced or went back until that is accepted.
    pub(super) fn record(&mut self, desired: &Desired, runs: &ReplicaCounts, is_stale: bool) {
        let now = Instant::now();
        if !self.writes.is_empty() || self.again.is_some_and(|again| now < again) {
            return;
        }
        self.again = None;
        // While the store is away, this is called again with each heartbeat.
        if is_stale || !self.node.connection.replica.health().state.is_live() {
            return;
        }
        let missing = runs.iter().filter_map(|(id, counts)| {
            desired.actors.get(id)?;
            let serving = counts.iter().filter(|count| count.serving > 0);
            let generations = serving.map(|count| count.generation);
            let new: Vec<Generation> = generations
                .filter(|generation| !desired.has_served(id, *generation))
                .collect();
            (!new.is_empty()).then_some((id, new))
        });
        let number = number(&self.node, desired);
        let ops = missing.filter_map(|(id, new)| {
            let op = op(&self.node, desired, (id, &new), number);
            op.inspect_err(|error| {
                tracing::error!(component = %id, %error, "it could not be recorded that a version serves");
            })
            .ok()?
        });
        let ops: Vec<Op> = ops.take(AT_ONCE).collect();
        if ops.is_empty() {
            return;
        }
        let records = self.node.connection.records.clone();
        self.writes.spawn(async move {
            // This ends within the store's own timeout. A conflict means that another host was
            // first. What is missing then is written with the next call.
            if let Err(error) = records.store().commit(ops).await {
                tracing::debug!(%error, "this host did not record which versions serve");
            }
        });
    }
}

/// Returns the number of a write that follows everything that this process has seen.
fn number(node: &NodeParts, desired: &Desired) -> u64 {
    let seen = node.connection.replica.links().revision();
    desired.revision.max(seen).0
}

/// Returns the operation that adds generations to an actor's record, and that fails if the record
/// has changed. With none to add, it only checks that. Returns `None` if a newer version of Lattice
/// wrote the record.
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
        (Some(unreadable), _) => Expect::At(unreadable.revision),
        (None, Some(known)) => Expect::At(known.revision),
        (None, None) => Expect::Absent,
    };
    let mut served = known.map_or_else(ServedGenerations::default, |known| known.spec.clone());
    served.add(new);
    let records = &node.connection.records;
    let value = records.encode(desired.incarnation, &key, number, &Body(&served))?;
    Ok(Some(Op::put(key, value, expect)))
}
