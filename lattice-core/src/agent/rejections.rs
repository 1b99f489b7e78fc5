//! Updates that failed to start. They are recorded in the store, so that every host rolls them
//! back.

use super::served::{self, ServedRecorder};
use crate::{
    desired::{Body, Desired},
    name::ComponentId,
    node::NodeParts,
    place::plan::Generation,
    store::{Expect, Op, StoreKey},
    wire::cut,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::task::JoinSet;

/// Why components failed to start, and the writes that reject a generation.
pub(super) struct Rejections {
    node: Arc<NodeParts>,
    /// The latest failure of each component, or what of it can't be served, with its generation.
    reasons: BTreeMap<ComponentId, (Generation, String)>,
    writes: JoinSet<()>,
    /// Records the opposite: generations that serve.
    pub(super) served: ServedRecorder,
}

impl Rejections {
    pub(super) fn new(node: Arc<NodeParts>) -> Self {
        Self {
            served: ServedRecorder::new(node.clone()),
            node,
            reasons: BTreeMap::new(),
            writes: JoinSet::new(),
        }
    }

    /// Returns why a component last failed to start, if it did, or what of it can't be served.
    pub(super) fn reason(&self, component: &ComponentId) -> Option<&String> {
        self.reasons.get(component).map(|(_, reason)| reason)
    }

    /// Records why a generation failed to start, or that it started and what of it can't be served.
    pub(super) fn record(
        &mut self,
        (component, generation): (ComponentId, Generation),
        reason: Option<String>,
    ) {
        match reason {
            Some(reason) => drop(self.reasons.insert(component, (generation, cut(reason)))),
            None => drop(self.reasons.remove(&component)),
        }
    }

    /// Waits until a write has ended. Returns `None` if no write is in progress.
    pub(super) async fn written(&mut self) -> Option<()> {
        tokio::select! {
            biased;
            Some(_) = self.writes.join_next() => Some(()),
            Some(()) = self.served.written() => Some(()),
            else => None,
        }
    }

    /// Records in the store that a generation fails to start, unless the actor has been changed
    /// in the meantime.
    pub(super) fn reject(
        &mut self,
        desired: &Desired,
        component: &ComponentId,
        generation: Generation,
    ) {
        let Some(actor) = desired.actors.get(component) else {
            return;
        };
        let is_unreadable = desired.unreadable.contains_key(&StoreKey::actor(component));
        if actor.spec.rejected == Some(generation)
            || actor.spec.previous.is_none()
            || is_unreadable
            || desired.has_served(component, generation)
        {
            return;
        }
        let mut spec = actor.spec.clone();
        spec.rejected = Some(generation);
        let reason = self.reasons.get(component);
        let reason = reason.filter(|(of, _)| *of == generation);
        spec.rejected_because = reason.map(|(_, reason)| reason.clone());
        let connection = &self.node.connection;
        let (records, replica) = (connection.records.clone(), connection.replica.clone());
        let key = StoreKey::actor(component);
        let basis = served::basis(&self.node, desired);
        let value = records.encode(basis.incarnation, &key, basis.generation, &Body(&spec));
        // Fails if another host has recorded since that the generation serves.
        let unserved = served::op(&self.node, desired, (component, &[]), basis);
        let (component, expect) = (component.clone(), Expect::At(actor.revision));
        let (value, unserved) = match (value, unserved) {
            (Ok(value), Ok(Some(unserved))) => (value, unserved),
            (Ok(_), Ok(None)) => {
                return tracing::warn!(%component, "an update failed to start and is not rolled back, because a newer version of Lattice recorded what has served; correct it and apply again, or update this host");
            }
            (Err(error), _) | (_, Err(error)) => {
                return tracing::error!(%component, %error, "an update could not be rolled back");
            }
        };
        tracing::warn!(%component, "an update failed to start and is rolled back; correct it and apply again");
        self.writes.spawn(async move {
            // One commit, which ends within the store's own timeout, and no rewrite: a conflict
            // means that another host has already rejected the generation, or that the actor was
            // changed, and then there is nothing left to reject.
            let ops = vec![Op::put(key, value, expect), unserved];
            if let Err(error) = replica.commit(&records, basis, ops).await {
                tracing::debug!(%component, %error, "this host did not roll back an update");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Lattice,
        app::App,
        bus::memory::MemoryNetwork,
        node::NodeOptions,
        store::{MemoryStore, Store as _},
    };

    /// Rejects a version that follows another one, while another host may record that it serves.
    async fn rejects(is_recorded: bool) -> bool {
        let store = MemoryStore::new();
        let bus = Arc::new(MemoryNetwork::new().connect());
        let lattice = Lattice::on(bus, Arc::new(store.clone()), "dev").trust_bus();
        let lattice = lattice.await.expect("it opens");
        let options = NodeOptions::default().host("here").expect("valid");
        let node = lattice.node(options).await.expect("it joins");
        for version in [1, 2] {
            let text = format!(
                "name = \"shop\"\n[actors.greeter]\nimage = \"reg.example/greeter:{version}\"\n"
            );
            let app = App::from_toml("app.toml", &text).expect("a manifest");
            lattice.apply(&app).await.expect("applied");
        }
        let desired = lattice.desired();
        let greeter = ComponentId::new("greeter").expect("valid");
        let generation = desired.actor_generation(&desired.actors[&greeter].spec);
        if is_recorded {
            // This host doesn't know that yet.
            let op = Op::put(StoreKey::served(&greeter), "a record", Expect::Absent);
            store.commit(vec![op]).await.expect("written");
        }
        let read = async || {
            let read = store.read(StoreKey::actor(&greeter)).await;
            read.expect("in reach")
        };
        let before = read().await;
        let mut rejections = Rejections::new(node.parts().clone());
        rejections.reject(&desired, &greeter, generation);
        rejections.written().await.expect("a write");
        read().await != before
    }

    #[tokio::test]
    async fn a_version_is_not_rejected_when_another_host_records_that_it_serves() {
        assert!(rejects(false).await);
        assert!(!rejects(true).await);
    }
}
