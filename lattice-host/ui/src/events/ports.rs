//! Which interfaces components serve and call, from their published types.

use super::history::PortChanges;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use lattice_core::{
    Lattice,
    constellation::{Delta, ItemChange},
    name::{ComponentId, FunctionName, InterfaceName},
    types::{ComponentTypes, Digest, InterfaceTypes},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    future::pending,
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;

/// Most types that are read from the store at a time.
const AT_ONCE: usize = 8;
/// How long one read may take. Afterwards it is tried again.
const PATIENCE: Duration = Duration::from_secs(5);

/// The interfaces of a component, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Ports {
    /// Those that others may call.
    exports: Vec<Port>,
    /// Those that it calls through links.
    imports: Vec<Port>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Port {
    interface: InterfaceName,
    /// The interface with its compatible version, as in the key of a link.
    compat: String,
    functions: Vec<FunctionName>,
}

/// Finds the ports of the components in a view, and what changes of them.
pub(super) struct PortFinder {
    lattice: Lattice,
    /// The components of the view, and which types were looked for: those with a digest, or those
    /// that the component was last started with.
    wanted: HashMap<ComponentId, Option<Digest>>,
    waiting: BTreeMap<ComponentId, Option<Digest>>,
    running: FuturesUnordered<BoxFuture<'static, Found>>,
    /// Those that could not be read.
    failed: BTreeMap<ComponentId, Option<Digest>>,
    known: HashMap<ComponentId, Arc<Ports>>,
    changed: PortChanges,
}

/// The outcome of one read.
struct Found {
    component: ComponentId,
    digest: Option<Digest>,
    /// `Err` if it has to be tried again.
    types: Result<Option<Arc<ComponentTypes>>, ()>,
}

impl PortFinder {
    pub(super) fn new(lattice: Lattice) -> Self {
        Self {
            lattice,
            wanted: HashMap::new(),
            waiting: BTreeMap::new(),
            running: FuturesUnordered::new(),
            failed: BTreeMap::new(),
            known: HashMap::new(),
            changed: BTreeMap::new(),
        }
    }

    /// Learns from a change what to look for.
    pub(super) fn look_at(&mut self, delta: &Delta) {
        match delta {
            Delta::Snapshot(view) => {
                let gone = self
                    .wanted
                    .keys()
                    .filter(|id| !view.components.contains_key(*id));
                for component in gone.cloned().collect::<Vec<_>>() {
                    self.forget(&component);
                }
                for component in view.components.keys() {
                    self.find(component);
                }
            }
            Delta::Component(ItemChange::Is(component)) => self.find(&component.id),
            Delta::Component(ItemChange::Gone(component)) => self.forget(&component.id),
            Delta::Replica(ItemChange::Is(replica)) if replica.types.is_some() => {
                self.find(&replica.component);
            }
            _ => {}
        }
    }

    /// Looks for the types that a component is served with, or else for those that it was last
    /// started with, unless that was done.
    fn find(&mut self, component: &ComponentId) {
        let digest = self.lattice.peers().digest(component);
        let is_new = match self.wanted.get(component) {
            None => true,
            // What has stopped keeps its ports.
            Some(known) => digest.is_some() && *known != digest,
        };
        if is_new {
            self.wanted.insert(component.clone(), digest);
            self.failed.remove(component);
            self.waiting.insert(component.clone(), digest);
        }
    }

    fn forget(&mut self, component: &ComponentId) {
        self.wanted.remove(component);
        self.waiting.remove(component);
        self.failed.remove(component);
        if self.known.remove(component).is_some() {
            self.changed.insert(component.clone(), None);
        }
    }

    /// Tries again what could not be read.
    pub(super) fn retry(&mut self) {
        self.waiting.append(&mut self.failed);
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Returns what has changed since the last time.
    pub(super) fn take(&mut self) -> PortChanges {
        std::mem::take(&mut self.changed)
    }

    /// Reads types until some have been read. Waits for ever if there is nothing to read.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub(super) async fn advance(&mut self) {
        while self.running.len() < AT_ONCE
            && let Some((component, digest)) = self.waiting.pop_first()
        {
            self.running
                .push(fetch(self.lattice.clone(), component, digest).boxed());
        }
        match self.running.next().await {
            Some(found) => self.accept(found),
            None => pending().await,
        }
    }

    fn accept(&mut self, found: Found) {
        let Found {
            component,
            digest,
            types,
        } = found;
        // It is gone meanwhile, or is served with other types, which are read as well.
        if self.wanted.get(&component) != Some(&digest) {
            return;
        }
        match types {
            Err(()) => {
                self.failed.insert(component, digest);
            }
            Ok(None) => {}
            Ok(Some(types)) => {
                let ports = Ports::of(&types);
                if self
                    .known
                    .get(&component)
                    .is_none_or(|known| **known != ports)
                {
                    let ports = Arc::new(ports);
                    self.known.insert(component.clone(), ports.clone());
                    self.changed.insert(component, Some(ports));
                }
            }
        }
    }
}

async fn fetch(lattice: Lattice, component: ComponentId, digest: Option<Digest>) -> Found {
    let read = async {
        match &digest {
            // They were published before the component was announced, so they arrive.
            Some(digest) => lattice
                .types()
                .by_digest(digest)
                .await
                .map(|types| types.map(Some).ok_or(())),
            None => lattice.types().of(&component).await.map(Ok),
        }
    };
    let types = match timeout(PATIENCE, read).await {
        Ok(Ok(Ok(types))) => Ok(types),
        Ok(Ok(Err(()))) | Err(_) => Err(()),
        Ok(Err(error)) => {
            tracing::debug!(%component, %error, "can't read the types of a component");
            Err(())
        }
    };
    Found {
        component,
        digest,
        types,
    }
}

impl Ports {
    fn of(types: &ComponentTypes) -> Self {
        let port = |(interface, types): (&InterfaceName, &InterfaceTypes)| Port {
            interface: interface.clone(),
            compat: interface.compat(),
            functions: types.functions.keys().cloned().collect(),
        };
        Self {
            exports: types.exports.iter().map(port).collect(),
            imports: types.imports.iter().map(port).collect(),
        }
    }
}
