//! Hosts: what runs components.

mod builder;
mod error;

pub use builder::HostBuilder;
pub use error::HostError;

use crate::{
    actor::Actor,
    builtin::Voice,
    engine::Engine,
    instance::{ActorService, HostedActor},
    limits::Limits,
};
use lattice_core::{
    Lattice,
    name::{ComponentId, HostId},
    node::{Node, ServeLimits, Serving},
    serve::Service,
};
use lattice_provider_sdk::IntoService;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A node of a lattice that runs actors and providers. Cheap to clone.
///
/// A host whose last handle is dropped vanishes, as if it had lost power: nothing of it is left in this process, and the
/// others notice. [`shutdown`](Self::shutdown) is the polite way.
#[derive(Clone)]
pub struct Host(Arc<Shared>);

struct Shared {
    /// Before the node: what is served goes first.
    serving: Mutex<BTreeMap<ComponentId, Serving>>,
    node: Node,
    engine: Engine,
    limits: Limits,
}

/// An actor that can be put into service.
struct Loaded {
    id: ComponentId,
    actor: HostedActor,
}

impl Host {
    /// For a host of this lattice.
    pub fn builder(lattice: &Lattice) -> HostBuilder {
        HostBuilder::new(lattice.clone())
    }

    /// Its id.
    pub fn id(&self) -> &HostId {
        self.0.node.host_id()
    }

    /// The node that it is in the lattice.
    pub fn node(&self) -> &Node {
        &self.0.node
    }

    /// What it serves now.
    pub fn components(&self) -> Vec<ComponentId> {
        self.serving().keys().cloned().collect()
    }

    /// Starts an actor. When this returns, it can be called.
    ///
    /// # Errors
    /// [`HostError`]; nothing was started then.
    pub async fn start_actor(&self, id: &str, actor: Actor) -> Result<(), HostError> {
        let loaded = self.load(ComponentId::new(id)?, actor).await?;
        self.start_loaded(loaded).await
    }

    /// Starts a provider in this process. When this returns, it can be called.
    ///
    /// # Errors
    /// [`HostError`]; nothing was started then.
    pub async fn start_provider(
        &self,
        id: &str,
        provider: impl IntoService,
    ) -> Result<(), HostError> {
        self.serve(
            ComponentId::new(id)?,
            provider.into_service(),
            &self.0.limits,
        )
        .await
    }

    /// Stops a component: it takes no new calls, and those that run may finish within `grace`. False when some were still
    /// running then; they are cut off.
    ///
    /// # Errors
    /// [`HostError::NotHere`] when this host does not serve it.
    pub async fn stop(&self, id: &str, grace: Duration) -> Result<bool, HostError> {
        let id = ComponentId::new(id)?;
        let serving = self.serving().remove(&id);
        match serving {
            Some(serving) => Ok(serving.stop(grace).await),
            None => Err(HostError::NotHere {
                component: id,
                host: self.id().clone(),
            }),
        }
    }

    /// Says goodbye, takes no new calls, and finishes what it has within `grace`. False when some calls were still running
    /// then; they are cut off.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        let drained = self.0.node.leave(grace).await;
        self.kill();
        drained
    }

    /// Vanishes at once and without a word: for tests and demonstrations of what happens to calls then.
    pub fn kill(&self) {
        self.0.node.kill();
        // Outside of the lock: what is dropped may take a while.
        let serving = std::mem::take(&mut *self.serving());
        drop(serving);
    }

    async fn load(&self, id: ComponentId, actor: Actor) -> Result<Loaded, HostError> {
        let failed = |source| HostError::Actor {
            component: id.clone(),
            source,
        };
        let limits = actor.settings.limits.unwrap_or(self.0.limits);
        let bytes = actor.read().await.map_err(failed)?;
        let code = self
            .0
            .engine
            .load(bytes, limits.memory)
            .await
            .map_err(failed)?;
        code.check_memory(limits.memory).map_err(failed)?;
        for export in &code.unreachable {
            tracing::warn!(component = %id, export, "an export can't be called, because it is in no interface; export it from a WIT interface");
        }
        let actor = HostedActor {
            engine: self.0.engine.clone(),
            code,
            limits,
            settings: actor.settings,
            caller: self.0.node.caller(id.clone()),
            voice: Arc::new(Voice::new(id.clone(), self.id().clone())),
            id: id.clone(),
        };
        Ok(Loaded { id, actor })
    }

    async fn start_loaded(&self, loaded: Loaded) -> Result<(), HostError> {
        let limits = loaded.actor.limits;
        let service = Arc::new(ActorService::new(Arc::new(loaded.actor)));
        self.serve(loaded.id, service, &limits).await
    }

    async fn serve(
        &self,
        id: ComponentId,
        service: Arc<dyn Service>,
        limits: &Limits,
    ) -> Result<(), HostError> {
        let limits = ServeLimits::default()
            .concurrent(limits.concurrent)
            .queued(limits.queued)
            .result(limits.result.as_usize());
        let serving = self.0.node.serve(id.clone(), service, limits).await?;
        self.serving().insert(id, serving);
        Ok(())
    }

    fn serving(&self) -> MutexGuard<'_, BTreeMap<ComponentId, Serving>> {
        self.0
            .serving
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("id", self.id())
            .field("components", &self.components())
            .finish_non_exhaustive()
    }
}
