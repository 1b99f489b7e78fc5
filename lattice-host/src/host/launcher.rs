//! Turns actors into services that can be called.

use super::{HostError, actors::Actors};
use crate::{
    actor::{Actor, Loader},
    guest::{ActorContext, ActorLog, ActorService, HostedActor, Instances},
    limits::Limits,
};
use lattice_core::{name::ComponentId, node::Node, serve::Service, server::ServeLimits};
use std::{num::NonZeroUsize, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// The most calls of an actor that can be counted. The queue of an instance would panic with more.
const MOST_CONCURRENT: NonZeroUsize =
    NonZeroUsize::new(Semaphore::MAX_PERMITS).expect("a positive number");
/// The longest time for which an unused instance is kept. The end of a longer one may not fit the
/// clock.
const LONGEST_IDLE: Duration = Duration::from_hours(365 * 24);

/// Turns a host's actors into services. Cheap to clone.
#[derive(Clone)]
pub(super) struct Launcher {
    pub(super) node: Node,
    pub(super) loader: Loader,
    /// Limits of actors without limits of their own.
    pub(super) limits: Limits,
    /// Knows the actors, for metrics.
    pub(super) actors: Actors,
}

/// An actor that can be put into service.
pub(super) struct PreparedActor {
    pub(super) id: ComponentId,
    actor: HostedActor,
    actors: Actors,
}

impl Launcher {
    /// Reads, compiles and links an actor.
    pub(super) async fn prepare(
        &self,
        id: ComponentId,
        actor: Actor,
    ) -> Result<PreparedActor, HostError> {
        let failed = |source| HostError::Actor {
            component: id.clone(),
            source,
        };
        let mut limits = actor.limits.unwrap_or(self.limits);
        limits.concurrent = limits.concurrent.min(MOST_CONCURRENT);
        let bytes = actor.read().await.map_err(failed)?;
        let code = self.loader.load(bytes, &limits).await;
        let code = code.map_err(failed)?;
        let tenant = self.loader.engine().tenant();
        code.fits_into(tenant.memory().most()).map_err(failed)?;
        for unserved in &code.unserved {
            tracing::warn!(component = %id, "a part of the component can't be served: {unserved}");
        }
        let log = ActorLog::new(
            id.clone(),
            self.node.host_id().clone(),
            self.node.log_sink(),
        );
        let mut settings = actor.settings;
        if let Instances::Warm { idle, .. } = &mut settings.instances {
            *idle = (*idle).min(LONGEST_IDLE);
        }
        let context = ActorContext {
            id: id.clone(),
            limits,
            settings,
            types: code.types.clone(),
            caller: self.node.caller(id.clone())?,
            log: Arc::new(log),
            figures: self.actors.figures(&id),
        };
        let actor = HostedActor {
            context: Arc::new(context),
            code,
            engine: self.loader.engine().clone(),
            tenant,
        };
        Ok(PreparedActor {
            id,
            actor,
            actors: self.actors.clone(),
        })
    }
}

impl PreparedActor {
    /// Returns the service, and limits on its calls.
    pub(super) fn into_service(self) -> (Arc<dyn Service>, ServeLimits) {
        let limits = serve_limits(&self.actor.context.limits);
        let service = Arc::new(ActorService::new(Arc::new(self.actor)));
        self.actors.add(&self.id, &service);
        (service, limits)
    }
}

/// Returns the limits of an actor that the node enforces.
pub(super) fn serve_limits(limits: &Limits) -> ServeLimits {
    ServeLimits::default()
        .concurrent(limits.concurrent)
        .queued(limits.queued)
        .result(limits.result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::Engine, guest::Code, host::Host};
    use lattice_core::{Lattice, quantity::ByteSize};
    use tokio::time::Instant;

    /// Returns the code of an actor that contains `text`.
    async fn code(host: &Host, text: &str) -> Arc<Code> {
        let text = format!("(component {text})");
        let actor = Actor::from_bytes(wat::parse_str(text).expect("valid text"));
        let id = ComponentId::new("actor").expect("an id");
        let loaded = host.0.launcher.prepare(id, actor).await.expect("it loads");
        loaded.actor.code
    }

    #[tokio::test]
    async fn the_largest_limits_are_possible() {
        let lattice = Lattice::in_memory("test").await.expect("a lattice");
        let host = Host::builder(&lattice).without_placement().start().await;
        let host = host.expect("it starts");
        let bytes = wat::parse_str("(component)").expect("valid text");
        let limits = Limits::default()
            .memory(ByteSize::bytes(u64::MAX))
            .concurrent(NonZeroUsize::MAX)
            .queued(usize::MAX)
            .result(ByteSize::bytes(u64::MAX))
            .table_elements(usize::MAX);
        let warm = Instances::Warm {
            most: NonZeroUsize::MAX,
            idle: Duration::MAX,
        };
        let actor = Actor::from_bytes(bytes).limits(limits).instances(warm);
        let id = ComponentId::new("actor").expect("an id");
        let prepared = host.0.launcher.prepare(id, actor).await.expect("it loads");
        let concurrent = prepared.actor.context.limits.concurrent.get();
        let kept = prepared.actor.context.settings.instances;
        assert!(
            matches!(kept, Instances::Warm { idle, .. } if Instant::now().checked_add(idle).is_some()),
            "{kept:?}"
        );
        // A longer queue can't be made.
        let _ = tokio::sync::mpsc::channel::<()>(concurrent);
        assert_eq!(prepared.into_service().1.concurrent.get(), concurrent);
    }

    #[tokio::test]
    async fn hosts_of_one_process_share_an_engine_and_its_code() {
        let lattice = Lattice::in_memory("test").await.expect("a lattice");
        let started = async || {
            let host = Host::builder(&lattice).without_placement();
            host.start().await.expect("it starts")
        };
        let (one, two) = (started().await, started().await);
        let engine = |code: &Code| code.pre.engine().clone();
        let first = code(&one, "").await;
        assert!(Arc::ptr_eq(&first, &code(&two, "").await));
        let other = code(&two, "(component)").await;
        assert!(!Arc::ptr_eq(&first, &other), "code of another actor");
        assert!(wasmtime::Engine::same(&engine(&first), &engine(&other)));
        let apart = Engine::builder().without_cache().build();
        let apart = Host::builder(&lattice).engine(apart.expect("an engine"));
        let apart = code(&apart.start().await.expect("it starts"), "").await;
        assert!(!wasmtime::Engine::same(&engine(&first), &engine(&apart)));
    }
}
