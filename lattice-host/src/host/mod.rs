//! Hosts, which run components.

mod actors;
mod builder;
mod error;
mod launcher;
mod runtime;

pub use builder::HostBuilder;
pub use error::HostError;

use crate::actor::Actor;
#[cfg(feature = "http")]
use crate::http::{Ingresses, ReceivedRequests, ServedMetrics};
use lattice_core::{
    Drained, Lattice,
    agent::Agent,
    name::{ComponentId, HostId, IntoName},
    node::Node,
    serve::Service,
    server::{ServeHandle, ServeLimits},
    sync::Mutex,
    telemetry::{
        Metrics,
        metrics::instruments::{GUEST_MEMORY, GUEST_MEMORY_LIMIT},
    },
};
use lattice_provider_sdk::IntoService;
use launcher::{Launcher, PreparedActor, serve_limits};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, MutexGuard, Weak},
    time::{Duration, Instant},
};
#[cfg(feature = "http")]
use std::{net::SocketAddr, sync::OnceLock};
use tokio_util::sync::CancellationToken;

/// A node of a lattice that runs actors and providers. Cheap to clone.
///
/// When the last handle is dropped, the host stops immediately, as in a power failure: none of its
/// components run in this process any more, and other hosts have to detect its failure. Use
/// [`shutdown`](Self::shutdown) to stop it in an orderly way.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    /// Takes requests from the outside. There is nothing in it until the host has started.
    #[cfg(feature = "http")]
    ingresses: OnceLock<Ingresses>,
    /// Counts these requests.
    #[cfg(feature = "http")]
    requests: ReceivedRequests,
    /// Serves the metrics, if it does.
    #[cfg(feature = "http")]
    metrics: OnceLock<ServedMetrics>,
    /// Before the node, so that components are dropped first.
    serving: Mutex<BTreeMap<ComponentId, ServeHandle>>,
    /// Runs what desired state assigns to this host. `None` when it takes no part in placement.
    agent: Mutex<Option<Arc<Agent>>>,
    launcher: Launcher,
}

impl Host {
    /// Returns a builder for a host of this lattice.
    pub fn builder(lattice: &Lattice) -> HostBuilder {
        HostBuilder::new(lattice.clone())
    }

    /// Returns the host's id.
    pub fn id(&self) -> &HostId {
        self.0.launcher.node.host_id()
    }

    /// Returns the host's node in the lattice.
    pub fn node(&self) -> &Node {
        &self.0.launcher.node
    }

    /// Returns the components that the host serves now.
    pub fn components(&self) -> Vec<ComponentId> {
        self.serving().keys().cloned().collect()
    }

    /// Starts an actor. When this returns, it can be called.
    ///
    /// # Errors
    /// Fails with a [`HostError`]. Nothing was started then.
    pub async fn start_actor(
        &self,
        id: impl IntoName<ComponentId>,
        actor: Actor,
    ) -> Result<(), HostError> {
        let id = id.into_name()?;
        let prepared = self.0.launcher.prepare(id, actor).await?;
        self.start_prepared(prepared).await
    }

    /// Starts a provider in this process. When this returns, it can be called.
    ///
    /// # Errors
    /// Fails with a [`HostError`]. Nothing was started then.
    pub async fn start_provider(
        &self,
        id: impl IntoName<ComponentId>,
        provider: impl IntoService,
    ) -> Result<(), HostError> {
        self.serve(
            id.into_name()?,
            provider.into_service(),
            serve_limits(&self.0.launcher.limits),
        )
        .await
    }

    /// Stops a component: it takes no new calls, and those that run may finish within `grace`, with
    /// the streams that a provider has returned. What is still running after that is cut off.
    ///
    /// # Errors
    /// Fails with [`HostError::NotHere`] when this host does not serve it.
    pub async fn stop(
        &self,
        id: impl IntoName<ComponentId>,
        grace: Duration,
    ) -> Result<Drained, HostError> {
        let id = id.into_name()?;
        let serving = self.serving().remove(&id);
        match serving {
            Some(serving) => Ok(serving.shutdown(grace).await),
            None => Err(HostError::NotHere {
                component: id,
                host: self.id().clone(),
            }),
        }
    }

    /// Returns the agent, which reports on everything that desired state assigns to this host.
    /// `None` when the host takes no part in placement.
    pub fn agent(&self) -> Option<Arc<Agent>> {
        self.lock_agent().clone()
    }

    /// Returns the addresses at which the host takes requests for wormholes, in the order in which
    /// its [ingresses](HostBuilder::ingress) were added. Port 0 is replaced by the port that the
    /// system chose.
    #[cfg(feature = "http")]
    pub fn ingress_addresses(&self) -> Vec<SocketAddr> {
        let ingresses = self.0.ingresses.get();
        ingresses.map_or_else(Vec::new, |ingresses| ingresses.addresses().to_vec())
    }

    /// Returns the address at which the host serves its metrics, if it has an
    /// [endpoint](HostBuilder::metrics) for them. Port 0 is replaced by the port that the system
    /// chose.
    #[cfg(feature = "http")]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.0.metrics.get().map(ServedMetrics::address)
    }

    /// Returns the metrics of the host at this moment: those of its node, of placement, of its
    /// actors, and of the requests that this process has taken and sent.
    ///
    /// ```
    /// # use lattice_core::Lattice;
    /// # use lattice_host::Host;
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use lattice_core::telemetry::metrics::Exposition;
    ///
    /// let lattice = Lattice::in_memory("dev").await?;
    /// let host = Host::builder(&lattice).start().await?;
    /// let text = host.metrics().to_text(Exposition::Prometheus);
    /// assert!(text.contains("# TYPE lattice_host_uptime_seconds gauge\n"));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn metrics(&self) -> Metrics {
        let Launcher {
            node,
            loader,
            actors,
            ..
        } = &self.0.launcher;
        let mut metrics = node.metrics();
        if let Some(agent) = self.agent() {
            agent.add_metrics(&mut metrics);
        }
        actors.add_metrics(&mut metrics);
        let memory = loader.engine().guest_memory();
        metrics.set(&GUEST_MEMORY, memory.used.as_u64());
        metrics.set(&GUEST_MEMORY_LIMIT, memory.limit.as_u64());
        #[cfg(feature = "http")]
        {
            self.0.requests.add_metrics(&mut metrics);
            crate::http::add_sent(&mut metrics);
        }
        metrics
    }

    /// Returns what reads the [metrics](Self::metrics) as long as there is a handle to the host,
    /// and is none itself: for exporters, which outlive it.
    pub fn metrics_source(&self) -> impl Fn() -> Option<Metrics> + Send + Sync + use<> {
        let inner: Weak<Inner> = Arc::downgrade(&self.0);
        move || Some(Self(inner.upgrade()?).metrics())
    }

    /// Hands over the components that desired state assigned to this host, leaves the lattice,
    /// takes no new calls, and finishes those that run, with the streams that they have returned.
    /// All of this takes up to `grace`, half of which is for other hosts to take over. What is
    /// still running then is cut off.
    ///
    /// Its ingresses take no new connections meanwhile, and finish the requests that run.
    pub async fn shutdown(&self, grace: Duration) -> Drained {
        let ended = CancellationToken::new();
        let requests = async {
            let drained = self.end_requests(grace).await;
            ended.cancel();
            drained
        };
        let (requests, calls) = tokio::join!(requests, self.leave(grace, ended.cancelled()));
        self.kill();
        requests.and(calls)
    }

    #[cfg(feature = "http")]
    async fn end_requests(&self, grace: Duration) -> Drained {
        match self.0.ingresses.get() {
            Some(ingresses) => ingresses.shutdown(grace).await,
            None => Drained::Clean,
        }
    }

    #[cfg(not(feature = "http"))]
    async fn end_requests(&self, _: Duration) -> Drained {
        Drained::Clean
    }

    /// Leaves the lattice, in which the requests that run still make calls.
    async fn leave(&self, grace: Duration, requests: impl Future<Output = ()>) -> Drained {
        let begun = Instant::now();
        if let Some(agent) = self.agent() {
            // Components that it could not hand over in time are cut off with the node.
            let _ = agent.shutdown(grace).await;
        }
        let rest = grace.saturating_sub(begun.elapsed());
        let node = &self.0.launcher.node;
        node.shutdown_after(rest, requests).await
    }

    /// Stops immediately, without leaving the lattice. This is for tests and demonstrations of what
    /// happens to calls then.
    pub fn kill(&self) {
        #[cfg(feature = "http")]
        if let Some(ingresses) = self.0.ingresses.get() {
            ingresses.kill();
        }
        self.0.launcher.node.kill();
        let agent = self.lock_agent().take();
        drop(agent);
        // Dropped outside of the lock, because it may take a while.
        let serving = std::mem::take(&mut *self.serving());
        drop(serving);
    }

    async fn start_prepared(&self, actor: PreparedActor) -> Result<(), HostError> {
        let id = actor.id.clone();
        let (service, limits) = actor.into_service();
        self.serve(id, service, limits).await
    }

    async fn serve(
        &self,
        id: ComponentId,
        service: Arc<dyn Service>,
        limits: ServeLimits,
    ) -> Result<(), HostError> {
        let node = &self.0.launcher.node;
        let serving = node.serve(id.clone(), service, limits).await?;
        self.serving().insert(id, serving);
        Ok(())
    }

    fn lock_agent(&self) -> MutexGuard<'_, Option<Arc<Agent>>> {
        self.0.agent.lock()
    }

    fn serving(&self) -> MutexGuard<'_, BTreeMap<ComponentId, ServeHandle>> {
        self.0.serving.lock()
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
