//! What the agent serves in the name of a component that a process of its own serves.

use super::{
    child::alive_every,
    program::Program,
    supervisor::{State, Supervisor},
    usage::Lives,
};
use crate::{artifact::ImageDigest, guest::ActorLog};
use futures_util::future::{BoxFuture, FutureExt as _};
use lattice_core::{
    Invitation,
    call::CallError,
    name::HostId,
    serve::{Answer, ProcessUsage, Request, Service, Site},
    server::ServeLimits,
    sync::Mutex,
    types::ComponentTypes,
};
use lattice_provider_sdk::{Access, process::Order};
use std::{
    collections::BTreeMap,
    future,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Distinguishes the processes of this host.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// What a process is started with.
pub(crate) struct ProcessSettings {
    pub(crate) program: Program,
    /// The provider's own settings.
    pub(crate) settings: BTreeMap<String, String>,
    /// What of the machine they may name.
    pub(crate) access: Access,
    pub(crate) limits: ServeLimits,
    pub(crate) log: Arc<ActorLog>,
}

/// Looks after the process that serves a component. Dropping it kills the process.
pub(crate) struct ProcessService(Arc<Shared>);

struct Shared {
    program: Arc<Program>,
    settings: BTreeMap<String, String>,
    access: Access,
    limits: ServeLimits,
    log: Arc<ActorLog>,
    supervised: Mutex<Option<Supervised>>,
}

/// A supervisor and its process.
struct Supervised {
    state: watch::Receiver<State>,
    lives: Arc<Lives>,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl ProcessService {
    pub(crate) fn new(settings: ProcessSettings) -> Self {
        Self(Arc::new(Shared {
            program: Arc::new(settings.program),
            settings: settings.settings,
            access: settings.access,
            limits: settings.limits,
            log: settings.log,
            supervised: Mutex::default(),
        }))
    }
}

impl Shared {
    fn supervise(&self, site: &Site, invitation: &Invitation) -> Supervised {
        let node = node_id(site);
        let order = Order::new(site.component().clone(), node, invitation)
            .settings(self.settings.clone())
            .access(self.access.clone())
            .limits(&self.limits)
            .alive_every(alive_every(self.program.silence));
        let (sender, state) = watch::channel(State::Starting);
        let (stop, lives) = (CancellationToken::new(), Arc::new(Lives::default()));
        let supervisor = Supervisor {
            program: self.program.clone(),
            order,
            lease: site.lease().cloned(),
            log: self.log.clone(),
            state: sender,
            lives: lives.clone(),
            stop: stop.clone(),
        };
        Supervised {
            state,
            lives,
            stop,
            task: AbortOnDropHandle::new(tokio::spawn(supervisor.run())),
        }
    }

    /// Starts the process, and waits until it serves. Until then, placement decides whether it is
    /// started again.
    async fn start(&self, site: Site) -> Result<(), String> {
        let Some(invitation) = site.lattice().invitation() else {
            return Err(
                "a provider in a process of its own needs a lattice on NATS, because no other process can join this one; name a server with `--nats`, or build the provider into the host"
                    .to_owned(),
            );
        };
        let mut supervised = self.supervise(&site, &invitation);
        let first = supervised.state.wait_for(|state| *state != State::Starting);
        let condition = match first.await {
            Ok(state) => state.condition(),
            Err(_) => Some("its supervisor has ended".to_owned()),
        };
        if let Some(condition) = condition {
            return Err(condition);
        }
        *self.supervised.lock() = Some(supervised);
        Ok(())
    }
}

impl Service for ProcessService {
    /// The process publishes its own.
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::default()
    }

    fn call(&self, request: Request) -> Answer {
        Answer::Ready(Err(CallError::NotServed {
            component: request.component,
        }))
    }

    fn is_elsewhere(&self) -> bool {
        true
    }

    fn process(&self) -> Option<ProcessUsage> {
        let supervised = self.0.supervised.lock();
        let lives = supervised
            .as_ref()
            .map(|supervised| supervised.lives.clone());
        drop(supervised);
        lives.map(|lives| lives.usage())
    }

    fn has_life(&self) -> bool {
        true
    }

    fn started(&self, site: &Site) -> BoxFuture<'static, Result<(), String>> {
        let (shared, site) = (self.0.clone(), site.clone());
        async move { shared.start(site).await }.boxed()
    }

    fn stopped(&self, _: &Site) -> BoxFuture<'static, ()> {
        let supervised = self.0.supervised.lock().take();
        let stopping = async move {
            if let Some(Supervised { stop, task, .. }) = supervised {
                stop.cancel();
                // It ends within its own limits. A panic is logged by the runtime.
                let _ = task.await;
            }
        };
        stopping.boxed()
    }

    fn has_health(&self) -> bool {
        true
    }

    fn health(&self) -> BoxFuture<'static, Result<(), String>> {
        let mut supervised = self.0.supervised.lock();
        let condition = supervised
            .as_mut()
            .and_then(|supervised| supervised.state.borrow_and_update().condition());
        drop(supervised);
        async move { condition.map_or(Ok(()), Err) }.boxed()
    }

    fn health_changed(&self) -> BoxFuture<'static, ()> {
        let supervised = self.0.supervised.lock();
        // It has seen what the last check has.
        let state = supervised
            .as_ref()
            .map(|supervised| supervised.state.clone());
        drop(supervised);
        let changed = async move {
            let is_known = match state {
                Some(mut state) => state.changed().await.is_ok(),
                None => false,
            };
            if !is_known {
                future::pending::<()>().await;
            }
        };
        changed.boxed()
    }
}

/// The id of the process as a node. A process that is started again has the same, so that its new
/// boot replaces the old one as soon as it is heard of.
fn node_id(site: &Site) -> HostId {
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    let origin = site.origin();
    let id = id_of(
        (origin.host.as_str(), origin.epoch),
        site.component().as_str(),
        number,
    );
    HostId::new(&id).unwrap_or_else(|_| unreachable!("`{id}` is an id"))
}

/// Returns an id that no other process of the lattice has. It begins with the host's and the
/// component's for people, and these are cut to what an id has room for, so the whole ones are
/// hashed.
fn id_of((host, epoch): (&str, u64), component: &str, number: u32) -> String {
    let whole = ImageDigest::of(format!("{host} {epoch} {component} {number}").as_bytes());
    let start = |text: &str| text[..text.len().min(22)].to_owned();
    // 22 + 22 + 16 characters and two hyphens are 62, all of the alphabet of ids.
    format!(
        "{}-{}-{}",
        start(host),
        start(component),
        &whole.to_hex()[..16]
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn processes_of_hosts_with_similar_ids_are_different_nodes() {
        let (one, other) = ("h".repeat(62) + "1", "h".repeat(62) + "2");
        let component = "c".repeat(63);
        let ids = [
            id_of((&one, 7), &component, 0),
            id_of((&other, 7), &component, 0),
            id_of((&one, 8), &component, 0),
            id_of((&one, 7), &component, 1),
            id_of((&one, 7), &format!("{}d", "c".repeat(62)), 0),
            id_of(("a", 7), "b", 0),
        ];
        for id in &ids {
            HostId::new(id).unwrap_or_else(|error| panic!("{id}: {error}"));
        }
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        assert!(ids[5].starts_with("a-b-"), "{}", ids[5]);
    }
}
