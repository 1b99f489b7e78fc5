//! The components in service on one node.

use super::component::RunningComponent;
use crate::{
    entropy::HashState, id::Fence, membership::ReplicaCounts, name::ComponentId, wire::Served,
};
use arc_swap::{ArcSwap, Guard};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::Notify;

pub(crate) type Components = HashMap<ComponentId, Arc<RunningComponent>, HashState>;

/// The components in service: read on every call, changed when one starts or stops.
#[derive(Default)]
pub(crate) struct Registry {
    components: ArcSwap<Components>,
    /// A component came into service and has to learn of its links.
    pub(super) added: Notify,
}

impl Registry {
    /// The component with this id.
    pub(crate) fn get(&self, id: &ComponentId) -> Option<Arc<RunningComponent>> {
        self.components.load().get(id).cloned()
    }

    /// All components, for the length of a lookup.
    pub(crate) fn load(&self) -> Guard<Arc<Components>> {
        self.components.load()
    }

    /// All components as they are now.
    pub(crate) fn snapshot(&self) -> Arc<Components> {
        self.components.load_full()
    }

    /// Adds a component, unless there is one with its id. Returns whether it was added.
    pub(super) fn add(&self, component: &Arc<RunningComponent>) -> bool {
        let mut added = true;
        self.change(|all| {
            added = !all.contains_key(&component.id);
            if added {
                all.insert(component.id.clone(), component.clone());
            }
        });
        added
    }

    /// Puts a component in the place of the one with its id. Returns whether it was there already.
    pub(super) fn put(&self, component: &Arc<RunningComponent>) -> bool {
        let mut is_same = false;
        self.change(|all| {
            let before = all.insert(component.id.clone(), component.clone());
            is_same = before.is_some_and(|before| Arc::ptr_eq(&before, component));
        });
        is_same
    }

    /// Removes this very component, unless another one has taken its place.
    pub(super) fn remove(&self, component: &Arc<RunningComponent>) {
        self.change(|all| {
            let current = all.get(&component.id);
            if current.is_some_and(|current| Arc::ptr_eq(current, component)) {
                all.remove(&component.id);
            }
        });
    }

    /// Takes out all components.
    pub(super) fn take(&self) -> Arc<Components> {
        self.components.swap(Arc::default())
    }

    /// Returns the components that take calls, as a beat has them.
    pub(super) fn roster(&self, replica_counts: &ReplicaCounts) -> Vec<Served> {
        let all = self.components.load();
        let serving = all.values().filter(|component| component.is_serving());
        serving
            .map(|component| Served {
                id: component.id.clone(),
                digest: if component.life.is_elsewhere() {
                    Served::ELSEWHERE
                } else {
                    component.exports.digest
                },
                fence: Fence::number(component.fence),
                replica_counts: replica_counts
                    .get(&component.id)
                    .cloned()
                    .unwrap_or_default(),
            })
            .collect()
    }

    pub(super) fn change(&self, mut change: impl FnMut(&mut Components)) {
        self.components.rcu(|all| {
            let mut all = Components::clone(all);
            change(&mut all);
            all
        });
    }
}
