//! Builds a host.

use super::{
    Host, HostError, Inner,
    actors::Actors,
    launcher::{Launcher, serve_limits},
    runtime::{Builtins, HostRuntime, ProviderFactory},
};
#[cfg(feature = "http")]
use crate::http::{
    BoundIngresses, BoundMetrics, INGRESS_LABEL, Ingress, MetricsEndpoint, ReceivedRequests,
};
#[cfg(feature = "process")]
use crate::process::{ProgramSettings, Programs};
use crate::{
    actor::{Actor, Loader},
    artifact::{
        Artifacts,
        exchange::{ArtifactServer, ExchangeClient},
    },
    engine::{Engine, EngineError},
    limits::Limits,
};
use futures_util::future::try_join_all;
use lattice_core::{
    Lattice,
    agent::{Agent, AgentOptions, RuntimeError},
    membership::check_labels,
    name::{ComponentId, HostId, IntoName, NameError},
    node::NodeOptions,
    serve::Service,
    sync::Mutex,
};
use lattice_provider_sdk::{Access, IntoService};
#[cfg(feature = "process")]
use std::path::PathBuf;
#[cfg(feature = "http")]
use std::sync::OnceLock;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

type ComponentName = Result<ComponentId, NameError>;

/// Builds a [`Host`]. [`start`](Self::start) fails if an id is invalid.
#[must_use = "a host does nothing until it is started"]
pub struct HostBuilder {
    lattice: Lattice,
    id: Option<Result<HostId, NameError>>,
    labels: Vec<(String, String)>,
    limits: Limits,
    engine: Option<Engine>,
    providers: Vec<(ComponentName, Arc<dyn Service>)>,
    actors: Vec<(ComponentName, Actor)>,
    builtins: Builtins,
    artifacts: Option<Artifacts>,
    placement: Option<AgentOptions>,
    #[cfg(feature = "process")]
    programs: ProgramSettings,
    #[cfg(feature = "http")]
    web: Web,
}

/// The addresses of a host.
#[cfg(feature = "http")]
#[derive(Default)]
struct Web {
    ingresses: Vec<Ingress>,
    metrics: Option<MetricsEndpoint>,
}

impl HostBuilder {
    pub(super) fn new(lattice: Lattice) -> Self {
        let mut placement = AgentOptions::default();
        if lattice.is_in_process() {
            placement.listen = Duration::ZERO;
        }
        Self {
            lattice,
            builtins: Builtins {
                factories: own_builtins(),
                access: Access::none(),
            },
            artifacts: None,
            placement: Some(placement),
            id: None,
            labels: Vec::new(),
            limits: Limits::default(),
            engine: None,
            providers: Vec::new(),
            actors: Vec::new(),
            #[cfg(feature = "process")]
            programs: ProgramSettings::default(),
            #[cfg(feature = "http")]
            web: Web::default(),
        }
    }

    /// Adds an actor that runs from the start.
    pub fn actor(mut self, id: impl IntoName<ComponentId>, actor: Actor) -> Self {
        self.actors.push((id.into_name(), actor));
        self
    }

    /// Adds a provider that runs in this process from the start: a type that implements the
    /// provider SDK's `Provider`, or an `Arc<dyn Service>`.
    pub fn provider(mut self, id: impl IntoName<ComponentId>, provider: impl IntoService) -> Self {
        self.providers
            .push((id.into_name(), provider.into_service()));
        self
    }

    /// Adds a provider that desired state can name, as `builtin = "name"` in a manifest. `make`
    /// creates it from its configuration, and fails when that is invalid.
    ///
    /// With the feature `http`, each host has `http`, the provider that sends requests to the web:
    /// [`OutgoingHttp`](crate::http::OutgoingHttp). With the feature `providers`, it has the
    /// standard providers, under the names that `lattice-provider` prints. One that is added under
    /// the name of another replaces it.
    pub fn builtin<P: IntoService>(
        mut self,
        name: &str,
        make: impl Fn(&BTreeMap<String, String>) -> Result<P, RuntimeError> + Send + Sync + 'static,
    ) -> Self {
        let make = move |config: &BTreeMap<String, String>| Ok(make(config)?.into_service());
        self.builtins
            .factories
            .insert(name.to_owned(), Arc::new(make));
        self
    }

    /// Sets which files and variables of this machine apps may name in the settings of their
    /// providers: the built-in ones, those added with [`builtin`](Self::builtin), and programs that
    /// are written with the provider SDK. The same may be named in the configs of their actors. By
    /// default, they may name none. Providers that are added with [`provider`](Self::provider), and
    /// actors that are added with [`actor`](Self::actor), have what they were created with.
    pub fn provider_access(mut self, access: Access) -> Self {
        self.builtins.access = access;
        self
    }

    /// Lets apps run these programs on the host, as providers in processes of their own. May be
    /// repeated. By default, there are none, and a provider with an `image` does not start here.
    #[cfg(feature = "process")]
    pub fn programs(mut self, programs: Programs) -> Self {
        self.programs.allowed.push(programs);
        self
    }

    /// Sets the folder for programs from registries, while they may be started. It has to exist,
    /// and programs have to run from it: it may not be mounted with `noexec`. By default, it is the
    /// system's folder for temporary files.
    #[cfg(feature = "process")]
    pub fn program_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.programs.folder = Some(folder.into());
        self
    }

    /// Takes requests for the wormholes of the lattice at an address, from when all components of
    /// the host have started until its [`shutdown`](Host::shutdown). A host may have several, and
    /// by default has none.
    ///
    /// Other hosts and tools see the addresses in the host's label `lattice-ingress`.
    #[cfg(feature = "http")]
    pub fn ingress(mut self, ingress: Ingress) -> Self {
        self.web.ingresses.push(ingress);
        self
    }

    /// Serves the host's metrics at an address of their own, from when all components of the host
    /// have started until its last handle is dropped. By default, they are only
    /// [read](Host::metrics).
    #[cfg(feature = "http")]
    pub fn metrics(mut self, endpoint: MetricsEndpoint) -> Self {
        self.web.metrics = Some(endpoint);
        self
    }

    /// Sets how the images that desired state names are fetched and cached, and with which
    /// credentials. By default, the host uses files and public registries, and caches nothing.
    pub fn artifacts(mut self, artifacts: Artifacts) -> Self {
        self.artifacts = Some(artifacts);
        self
    }

    /// Sets how the host takes part in placement.
    pub fn placement(mut self, options: AgentOptions) -> Self {
        self.placement = Some(options);
        self
    }

    /// Excludes the host from placement. It runs only the components that are added to it directly,
    /// and nothing that desired state declares.
    pub fn without_placement(mut self) -> Self {
        self.placement = None;
        self
    }

    /// Sets the host's id. By default, it is random.
    pub fn id(mut self, id: impl IntoName<HostId>) -> Self {
        self.id = Some(id.into_name());
        self
    }

    /// Adds a label, for people and for placement. A host has up to 64, each with a name of up to
    /// 63 bytes and a value of up to 255, and [`start`](Self::start) refuses others.
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the limits of actors without limits of their own, and how many calls of a provider may
    /// run concurrently.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Uses this engine instead of [`Engine::shared`].
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = Some(engine);
        self
    }

    /// Joins the lattice and starts all components. When this returns, all of them can be called.
    ///
    /// # Errors
    /// Fails with a [`HostError`] for the first component that does not start. Nothing runs then.
    pub async fn start(self) -> Result<Host, HostError> {
        let mut options = NodeOptions::default();
        if let Some(id) = self.id {
            options = options.host(id?)?;
        }
        let mut ids = BTreeSet::new();
        let providers = named(self.providers, &mut ids)?;
        let actors = named(self.actors, &mut ids)?;
        // Bound before the host joins, because its labels have the addresses.
        #[cfg(feature = "http")]
        let web = BoundWeb::bind(self.web).await?;
        #[cfg(feature = "http")]
        let addresses = web.ingresses.label().map(|label| (INGRESS_LABEL, label));
        #[cfg(not(feature = "http"))]
        let addresses: Option<(&str, String)> = None;
        let labels = self.labels.iter().map(|(name, value)| (&**name, &**value));
        let addresses = addresses.iter().map(|(name, value)| (*name, &**value));
        options.labels = check_labels(labels.chain(addresses))?;
        let loader = loader(self.engine).await?;
        let node = self.lattice.node(options).await?;
        let engine = loader.engine().clone();
        node.report_guest_memory(move || {
            let memory = engine.guest_memory();
            (memory.used.as_u64(), memory.limit.as_u64())
        });
        let launcher = Launcher {
            node,
            loader,
            limits: self.limits,
            actors: Actors::default(),
        };
        let host = Host(Arc::new(Inner {
            serving: Mutex::default(),
            agent: Mutex::default(),
            launcher: launcher.clone(),
            #[cfg(feature = "http")]
            ingresses: OnceLock::new(),
            #[cfg(feature = "http")]
            requests: ReceivedRequests::default(),
            #[cfg(feature = "http")]
            metrics: OnceLock::new(),
        }));
        if let Err(error) = start_all(&host, providers, actors).await {
            // Some components may have been announced already.
            let _ = host.shutdown(Duration::ZERO).await;
            return Err(error);
        }
        if let Some(options) = self.placement {
            let artifacts = self
                .artifacts
                .unwrap_or_else(|| Artifacts::builder().build());
            let (node, lattice) = (launcher.node.clone(), self.lattice.clone());
            let exchange =
                ExchangeClient::new(node.clone(), lattice.clone(), artifacts.max_size())?;
            let runtime = HostRuntime {
                launcher,
                artifacts: artifacts.clone(),
                exchange,
                builtins: self.builtins,
                #[cfg(feature = "process")]
                programs: Arc::new(self.programs),
            };
            let agent = Agent::start(&node, Arc::new(runtime), options);
            ArtifactServer::start(&node, lattice, agent.watch_assignment(), artifacts)?;
            *host.lock_agent() = Some(Arc::new(agent));
        }
        #[cfg(feature = "http")]
        web.start(&self.lattice, &host);
        Ok(host)
    }
}

/// The addresses of a host, bound.
#[cfg(feature = "http")]
struct BoundWeb {
    ingresses: BoundIngresses,
    metrics: Option<BoundMetrics>,
}

#[cfg(feature = "http")]
impl BoundWeb {
    async fn bind(web: Web) -> Result<Self, HostError> {
        let metrics = match web.metrics {
            Some(endpoint) => Some(BoundMetrics::bind(endpoint).await?),
            None => None,
        };
        Ok(Self {
            ingresses: BoundIngresses::bind(web.ingresses).await?,
            metrics,
        })
    }

    fn start(self, lattice: &Lattice, host: &Host) {
        let inner = &host.0;
        let start = || self.ingresses.start(lattice, &inner.requests);
        inner.ingresses.get_or_init(start);
        if let Some(bound) = self.metrics {
            let source = Arc::new(host.metrics_source());
            inner.metrics.get_or_init(|| bound.start(source));
        }
    }
}

async fn start_all(
    host: &Host,
    providers: Vec<(ComponentId, Arc<dyn Service>)>,
    actors: Vec<(ComponentId, Actor)>,
) -> Result<(), HostError> {
    let loading = actors
        .into_iter()
        .map(|(id, actor)| host.0.launcher.prepare(id, actor));
    let prepared = try_join_all(loading).await?;
    for (id, provider) in providers {
        host.serve(id, provider, serve_limits(&host.0.launcher.limits))
            .await?;
    }
    for actor in prepared {
        host.start_prepared(actor).await?;
    }
    Ok(())
}

/// Returns the providers that every host has.
fn own_builtins() -> BTreeMap<String, ProviderFactory> {
    #[cfg_attr(
        not(any(feature = "http", feature = "providers")),
        expect(unused_mut, reason = "a feature adds to them")
    )]
    let mut builtins: BTreeMap<String, ProviderFactory> = BTreeMap::new();
    #[cfg(feature = "http")]
    builtins.insert("http".to_owned(), Arc::new(outgoing_http));
    #[cfg(feature = "providers")]
    for standard in lattice_providers::builtins() {
        let make = move |config: &BTreeMap<String, String>| {
            let made = (standard.make)(config);
            made.map_err(|refusal| RuntimeError::new(refusal.reason()))
        };
        builtins.insert(standard.name.to_owned(), Arc::new(make));
    }
    builtins
}

#[cfg(feature = "http")]
fn outgoing_http(config: &BTreeMap<String, String>) -> Result<Arc<dyn Service>, RuntimeError> {
    let settings = lattice_provider_sdk::settings(config).map_err(|refusal| {
        let is_of_links = config.keys().any(|name| name != "ca-file");
        let advice = if is_of_links {
            "; the hosts and all else are in the config of each link to it"
        } else {
            ""
        };
        RuntimeError::new(format!("{}{advice}", refusal.reason()))
    })?;
    Ok(crate::http::OutgoingHttp::with_settings(settings).into_service())
}

/// Returns the loader for the given engine, or for the shared one. The first use of the shared
/// engine reserves the memory of its pool, which may take a moment.
async fn loader(engine: Option<Engine>) -> Result<Loader, HostError> {
    let load = move || {
        let engine = engine.map_or_else(Engine::shared, Ok)?;
        Loader::shared(&engine)
    };
    match tokio::task::spawn_blocking(load).await {
        Ok(loader) => Ok(loader?),
        Err(lost) => Err(EngineError::Unsupported {
            reason: lost.to_string(),
        }
        .into()),
    }
}

/// Parses the ids of components, and adds them to `ids`. Fails when one is in `ids` already.
fn named<T>(
    components: Vec<(ComponentName, T)>,
    ids: &mut BTreeSet<ComponentId>,
) -> Result<Vec<(ComponentId, T)>, HostError> {
    let mut named = Vec::new();
    for (id, component) in components {
        let id = id?;
        if !ids.insert(id.clone()) {
            return Err(HostError::Twice { component: id });
        }
        named.push((id, component));
    }
    Ok(named)
}
