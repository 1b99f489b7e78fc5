//! Generations that have served. They are recorded in the store, so that no host ever rejects one
//! of them, regardless of later failures and restarts.

use crate::{
    backoff::Backoff,
    connection::Connection,
    desired::{Body, Desired, ServedGenerations},
    entropy,
    membership::ReplicaCounts,
    name::ComponentId,
    node::NodeParts,
    place::plan::Generation,
    replica::NotCommitted,
    store::{Expect, Op, StoreKey, generation::Basis, record::RecordError},
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
    writes: JoinSet<Result<(), NotCommitted>>,
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
        let basis = basis(&self.node, desired);
        let ops = missing.filter_map(|(id, new)| {
            let op = op(&self.node, desired, (id, &new), basis);
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
        let Connection {
            records, replica, ..
        } = &*self.node.connection;
        let (records, replica) = (records.clone(), replica.clone());
        self.writes.spawn(async move {
            // This ends within the store's own timeout. A conflict means that another host was
            // first. The next call writes the records that are still missing.
            replica.commit(&records, basis, ops).await.map(drop)
        });
    }
}

/// Returns what a write is decided by.
pub(super) fn basis(node: &NodeParts, desired: &Desired) -> Basis {
    desired.basis(&node.connection.replica.links())
}

/// Returns the operation that adds generations to an actor's record, and that fails if the record
/// has changed. Without any to add, the operation only checks that the record is unchanged. Returns
/// `None` if a newer version of Lattice wrote the record.
pub(super) fn op(
    node: &NodeParts,
    desired: &Desired,
    (component, new): (&ComponentId, &[Generation]),
    basis: Basis,
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
    let value = records.encode(basis.incarnation, &key, basis.generation, &Body(&served))?;
    Ok(Some(Op::put(key, value, expect)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Lattice,
        bus::memory::MemoryNetwork,
        desired::{ActorSpec, Declared},
        node::{Node, NodeOptions},
        store::{Incarnation, MemoryStore, Revision, Store as _},
        wire::ReplicaCount,
    };
    use tokio::time::sleep_until;

    struct Fixture {
        store: MemoryStore,
        node: Node,
        desired: Desired,
        runs: ReplicaCounts,
        _lattice: Lattice,
    }

    impl Fixture {
        /// A host on which generation 7 of each of these actors serves.
        async fn serving(actors: &[&str]) -> Self {
            let store = MemoryStore::new();
            let bus = Arc::new(MemoryNetwork::new().connect());
            let lattice = Lattice::on(bus, Arc::new(store.clone()), "dev").trust_bus();
            let lattice = lattice.await.expect("it opens");
            let options = NodeOptions::default().host("here").expect("valid");
            let node = lattice.node(options).await.expect("it joins");
            let (mut desired, mut runs) = (Desired::default(), ReplicaCounts::new());
            desired.incarnation = store.incarnation().await.expect("in reach");
            for actor in actors {
                let image = "reg.example/greeter:1".parse().expect("an image");
                let actor = ComponentId::new(actor).expect("valid");
                let spec = Declared::new(Revision(1), ActorSpec::new(image));
                desired.actors.insert(actor.clone(), spec);
                let count = ReplicaCount {
                    generation: 7,
                    serving: 1,
                    kept: 1,
                };
                runs.insert(actor, vec![count]);
            }
            Self {
                store,
                node,
                desired,
                runs,
                _lattice: lattice,
            }
        }

        fn recorder(&self) -> ServedRecorder {
            ServedRecorder::new(self.node.parts().clone())
        }

        fn reject(&mut self, actor: &str, generation: Generation) {
            let id = ComponentId::new(actor).expect("valid");
            let actor = self.desired.actors.get_mut(&id).expect("declared");
            Arc::make_mut(actor).spec.rejected = Some(generation);
        }

        /// Another host writes the record of an actor. This host doesn't know that yet.
        async fn is_written_by_another(&self, actor: &str) {
            let key = StoreKey::served(&ComponentId::new(actor).expect("valid"));
            let op = Op::put(key, "a record", Expect::Any);
            self.store.commit(vec![op]).await.expect("written");
        }

        /// Records, and waits for the result. Returns whether anything was written.
        async fn record(&self, recorder: &mut ServedRecorder) -> bool {
            recorder.record(&self.desired, &self.runs, false);
            let writes = !recorder.writes.is_empty();
            recorder.written().await;
            writes
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_generation_that_was_rejected_is_not_recorded_when_it_serves_late() {
        let mut fixture = Fixture::serving(&["a"]).await;
        fixture.reject("a", 7);
        assert!(!fixture.record(&mut fixture.recorder()).await);
        fixture.reject("a", 8);
        assert!(fixture.record(&mut fixture.recorder()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_recorded_from_the_state_of_another_store() {
        let mut fixture = Fixture::serving(&["a"]).await;
        fixture.desired.incarnation = Incarnation(1);
        assert!(fixture.record(&mut fixture.recorder()).await, "it tries");
        let key = StoreKey::served(&ComponentId::new("a").expect("valid"));
        let written = fixture.store.read(key).await.expect("in reach");
        assert_eq!(written, None, "no process could read it");
    }

    #[tokio::test(start_paused = true)]
    async fn writes_that_fail_are_repeated_after_longer_and_longer_pauses() {
        let fixture = Fixture::serving(&["a"]).await;
        fixture.is_written_by_another("a").await;
        let (mut recorder, begun) = (fixture.recorder(), Instant::now());
        let mut writes = 0;
        while begun.elapsed() < Duration::from_mins(2) {
            writes += u32::from(fixture.record(&mut recorder).await);
            sleep_until(recorder.wake().expect("it failed")).await;
        }
        assert!((5..=20).contains(&writes), "{writes}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_another_host_has_written_does_not_hold_up_the_others() {
        let fixture = Fixture::serving(&["a", "b"]).await;
        fixture.is_written_by_another("b").await;
        let mut recorder = fixture.recorder();
        assert!(fixture.record(&mut recorder).await);
        let key = StoreKey::served(&ComponentId::new("a").expect("valid"));
        let read = async || fixture.store.read(key.clone()).await.expect("in reach");
        assert_eq!(read().await, None, "both are in one commit");
        sleep_until(recorder.wake().expect("it failed")).await;
        assert!(fixture.record(&mut recorder).await);
        assert!(read().await.is_some());
    }
}
