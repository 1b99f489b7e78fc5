//! From an actor's code to a service that can be called.

use super::HostError;
use crate::{
    actor::Actor,
    builtin::Voice,
    engine::Engine,
    instance::{ActorService, HostedActor},
    limits::Limits,
};
use lattice_core::{
    name::ComponentId,
    node::{Node, ServeLimits},
    serve::Service,
};
use std::sync::Arc;

/// What a host loads actors with. Cheap to clone.
#[derive(Clone)]
pub(super) struct Loader {
    pub(super) node: Node,
    pub(super) engine: Engine,
    pub(super) limits: Limits,
}

/// An actor that can be put into service.
pub(super) struct Loaded {
    pub(super) id: ComponentId,
    actor: HostedActor,
}

impl Loader {
    pub(super) async fn load(&self, id: ComponentId, actor: Actor) -> Result<Loaded, HostError> {
        let failed = |source| HostError::Actor {
            component: id.clone(),
            source,
        };
        let limits = actor.settings.limits.unwrap_or(self.limits);
        let bytes = actor.read().await.map_err(failed)?;
        let code = self
            .engine
            .load(bytes, limits.memory)
            .await
            .map_err(failed)?;
        code.check_memory(limits.memory).map_err(failed)?;
        for export in &code.unreachable {
            tracing::warn!(component = %id, export, "an export can't be called, because it is in no interface; export it from a WIT interface");
        }
        let actor = HostedActor {
            engine: self.engine.clone(),
            code,
            limits,
            settings: actor.settings,
            caller: self.node.caller(id.clone()),
            voice: Arc::new(Voice::new(
                id.clone(),
                self.node.host_id().clone(),
                self.node.log_sink(),
            )),
            id: id.clone(),
        };
        Ok(Loaded { id, actor })
    }
}

impl Loaded {
    /// The service, and how much of it may run at once.
    pub(super) fn into_service(self) -> (Arc<dyn Service>, ServeLimits) {
        let limits = serve_limits(&self.actor.limits);
        (Arc::new(ActorService::new(Arc::new(self.actor))), limits)
    }
}

/// What of an actor's limits is the node's to keep.
pub(super) fn serve_limits(limits: &Limits) -> ServeLimits {
    ServeLimits::default()
        .concurrent(limits.concurrent)
        .queued(limits.queued)
        .result(limits.result.as_usize())
}
