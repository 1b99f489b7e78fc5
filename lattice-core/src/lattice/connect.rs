//! Connecting: which bus and store, which key.

use super::{Connection, Lattice, Shared, connection::Parts};
#[cfg(feature = "disk")]
use crate::store::disk::{DiskStore, Snapshot};
#[cfg(all(feature = "nats", feature = "disk"))]
use crate::store::nats::{LateStore, OpenError};
use crate::{
    auth::{Auth, LatticeKey},
    bus::{Bus, BusError, memory::MemoryNetwork},
    name::{LatticeName, NameError},
    node::Beside,
    replica::{FollowError, LastKnown},
    store::{MemoryStore, Store},
};
#[cfg(feature = "nats")]
use crate::{
    nats::NatsOptions,
    store::nats::{NatsStore, NatsStoreOptions},
};
use futures_util::future::BoxFuture;
#[cfg(feature = "nats")]
use std::num::NonZeroUsize;
#[cfg(feature = "disk")]
use std::path::{Path, PathBuf};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};
use tokio::sync::OnceCell;

/// A connection being prepared: `.await` it.
#[must_use = "nothing is connected until it is awaited"]
pub struct Connect {
    name: String,
    engine: Engine,
    key: Option<LatticeKey>,
    trust: bool,
    operator_calls: bool,
    #[cfg(feature = "disk")]
    snapshot: Option<PathBuf>,
}

/// What carries the lattice.
enum Engine {
    Memory,
    #[cfg(feature = "disk")]
    Local {
        path: PathBuf,
    },
    #[cfg(feature = "nats")]
    Nats {
        options: Box<NatsOptions>,
        replicas: NonZeroUsize,
    },
    Custom {
        bus: Arc<dyn Bus>,
        store: Arc<dyn Store>,
    },
}

/// Where the nodes of a lattice get their bus connection.
pub(super) enum Seat {
    /// Everyone on this one.
    Shared,
    /// A connection each, so that one host can vanish or be cut off alone.
    Memory(MemoryNetwork),
}

/// Why a lattice could not be joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The lattice's name breaks its rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// On NATS everyone who reaches the server could forge calls and links.
    #[error(
        "lattice `{lattice}` is on a bus and has no key; give it one with `.key(LatticeKey::from_env(\"LATTICE_KEY\")?)`, or say `.trust_bus()` if everyone on that bus may call anything"
    )]
    NoKey {
        /// The lattice.
        lattice: LatticeName,
    },
    /// The server did not take the connection.
    #[cfg(feature = "nats")]
    #[error(transparent)]
    Nats(#[from] crate::nats::ConnectError),
    /// The server has no usable place for the lattice's store.
    #[cfg(feature = "nats")]
    #[error(transparent)]
    Open(#[from] crate::store::nats::OpenError),
    /// The file of a local lattice, or of the last snapshot, can't be used.
    #[cfg(feature = "disk")]
    #[error(transparent)]
    Disk(#[from] crate::store::disk::OpenError),
    /// The bus is there but can't be used.
    #[error("the bus can't be used")]
    Bus(#[from] BusError),
    /// The store can't be followed.
    #[error(transparent)]
    Store(#[from] FollowError),
}

impl Connect {
    pub(super) fn in_memory(name: &str) -> Self {
        Self::new(name, Engine::Memory)
    }

    #[cfg(feature = "disk")]
    pub(super) fn local(path: &Path, name: &str) -> Self {
        let path = path.to_owned();
        Self::new(name, Engine::Local { path })
    }

    #[cfg(feature = "nats")]
    pub(super) fn nats(servers: &str, name: &str) -> Self {
        let mut options = NatsOptions::new("");
        let mut servers = servers.split(',').map(str::trim);
        if let Some(first) = servers.next() {
            options = NatsOptions::new(first);
        }
        for server in servers {
            options = options.server(server);
        }
        Self::new(
            name,
            Engine::Nats {
                options: Box::new(options),
                replicas: NonZeroUsize::MIN,
            },
        )
    }

    pub(super) fn custom(bus: Arc<dyn Bus>, store: Arc<dyn Store>, name: &str) -> Self {
        Self::new(name, Engine::Custom { bus, store })
    }

    fn new(name: &str, engine: Engine) -> Self {
        Self {
            name: name.to_owned(),
            engine,
            key: None,
            trust: false,
            operator_calls: true,
            #[cfg(feature = "disk")]
            snapshot: None,
        }
    }

    /// The key that authenticates every frame and store value. All of a lattice share it.
    pub fn key(mut self, key: LatticeKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Does without a key: whoever reaches the bus may call anything, make links and pose as any host. Logged as a warning.
    pub fn trust_bus(mut self) -> Self {
        self.trust = true;
        self
    }

    /// Whether components served here take calls from holders of the key that come through no link. They do by default.
    pub fn deny_operator_calls(mut self) -> Self {
        self.operator_calls = false;
        self
    }

    /// Credentials, TLS, `JetStream` domain and the rest for a NATS server; its list of servers replaces the one given
    /// before. Without effect on a lattice that is not on NATS.
    #[cfg(feature = "nats")]
    pub fn options(mut self, nats: NatsOptions) -> Self {
        if let Engine::Nats { options, .. } = &mut self.engine {
            **options = nats;
        }
        self
    }

    /// How many servers of a NATS cluster keep the store: 1 by default; taken when the store is made.
    #[cfg(feature = "nats")]
    pub fn store_replicas(mut self, count: NonZeroUsize) -> Self {
        if let Engine::Nats { replicas, .. } = &mut self.engine {
            *replicas = count;
        }
        self
    }

    /// Keeps the last snapshot of the store in the file at `path`, and starts from it when the server or its `JetStream` is away:
    /// components that were published before can be served, and calls within this process run through the links of then,
    /// while everything that leaves it fails as in any outage. Once the store is there, it is followed as after an outage. What
    /// the lattice knows and from where is its [replica's state](crate::replica::ReplicaState).
    ///
    /// Which hosts there were is kept too: when there is no bus at all, a host of the same id as before runs
    /// [the share that it had](crate::keeper), until it hears who is there.
    ///
    /// The file is made when it is not there and belongs to one process at a time. Without anything in it, connecting fails
    /// as ever. A server that refuses at once is away at once; a silent one after the connection's timeout, 5 s unless
    /// [`options`](Self::options) say otherwise. A login that is refused or a certificate that is wrong stays an error.
    ///
    /// Of the file nothing is believed that was not written with the lattice's key. Whoever can write it can put an older
    /// state of it back, whose links count until the store is reached. Without effect on a lattice whose store is in this
    /// process.
    ///
    /// ```no_run
    /// # async fn example(key: lattice_core::auth::LatticeKey) -> Result<(), lattice_core::ConnectError> {
    /// use lattice_core::{Lattice, replica::ReplicaState};
    ///
    /// let lattice = Lattice::connect("nats://localhost:4222", "prod").key(key).snapshot("/var/lib/lattice/prod.redb").await?;
    /// if let ReplicaState::Snapshot { taken } = lattice.replica().health().state {
    ///     println!("the store is away; this is how things were at {taken:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "disk")]
    pub fn snapshot(mut self, path: impl AsRef<Path>) -> Self {
        self.snapshot = Some(path.as_ref().to_owned());
        self
    }

    /// What an earlier process knew, and the place for what this one will.
    #[cfg(feature = "disk")]
    async fn last_known(
        &self,
        name: &LatticeName,
        auth: &Auth,
    ) -> Result<Option<Arc<dyn LastKnown>>, ConnectError> {
        let elsewhere = !matches!(self.engine, Engine::Memory | Engine::Local { .. });
        match self.snapshot.as_ref().filter(|_| elsewhere) {
            Some(path) => Ok(Some(Arc::new(Snapshot::open(path, name, auth).await?))),
            None => Ok(None),
        }
    }

    async fn open(self) -> Result<Lattice, ConnectError> {
        let name = LatticeName::new(&self.name)?;
        let auth = match (&self.key, &self.engine) {
            (Some(key), _) => Auth::keyed(&name, key),
            (None, Engine::Memory) => Auth::trusting(),
            // Its bus is in this process and its file is its user's.
            #[cfg(feature = "disk")]
            (None, Engine::Local { .. }) => Auth::trusting(),
            (None, _) if self.trust => {
                tracing::warn!(lattice = %name, "no key: whoever reaches the bus is trusted");
                Auth::trusting()
            }
            (None, _) => return Err(ConnectError::NoKey { lattice: name }),
        };
        #[cfg(feature = "disk")]
        let last = self.last_known(&name, &auth).await?;
        #[cfg(not(feature = "disk"))]
        let last: Option<Arc<dyn LastKnown>> = None;
        let (bus, store, seat): (Arc<dyn Bus>, Arc<dyn Store>, Seat) = match self.engine {
            Engine::Memory => in_process(Arc::new(MemoryStore::new())),
            #[cfg(feature = "disk")]
            Engine::Local { path } => in_process(Arc::new(DiskStore::open(path, &name).await?)),
            #[cfg(feature = "nats")]
            Engine::Nats { options, replicas } => {
                let bucket = NatsStoreOptions::new(&name).replicas(replicas);
                let (bus, store) = match &last {
                    #[cfg(feature = "disk")]
                    Some(last) => over_nats_or_from(&**last, *options, bucket).await?,
                    _ => over_nats(&options, bucket).await?,
                };
                (bus, store, Seat::Shared)
            }
            Engine::Custom { bus, store } => (bus, store, Seat::Shared),
        };
        let parts = Parts {
            name,
            bus,
            store,
            auth,
            last,
            operator_calls: self.operator_calls,
        };
        let connection = Arc::new(Connection::open(parts).await?);
        Ok(Lattice(Arc::new(Shared {
            connection,
            constellation: OnceLock::new(),
            node: OnceCell::new(),
            beside: Beside::default(),
            seat,
        })))
    }
}

#[cfg(feature = "nats")]
async fn over_nats(
    options: &NatsOptions,
    bucket: NatsStoreOptions,
) -> Result<(Arc<dyn Bus>, Arc<dyn Store>), ConnectError> {
    let connection = options.connect().await?;
    let store = NatsStore::open(&connection, bucket).await?;
    Ok((Arc::new(connection.bus()), Arc::new(store)))
}

/// The same; when something is known already, what is away now may come later.
#[cfg(all(feature = "nats", feature = "disk"))]
async fn over_nats_or_from(
    last: &dyn LastKnown,
    options: NatsOptions,
    bucket: NatsStoreOptions,
) -> Result<(Arc<dyn Bus>, Arc<dyn Store>), ConnectError> {
    let options = options.subscribing_while_away();
    let known = last.incarnation().is_some();
    let connection = match options.connect().await {
        Err(error) if error.is_away() && known => {
            tracing::warn!(%error, "no server answers: started from the last snapshot");
            options.connect_later().await?
        }
        connected => connected?,
    };
    let store: Arc<dyn Store> = match NatsStore::open(&connection, bucket.clone()).await {
        // Nobody answers for the domain of a store that is at the other end of a leaf node's link.
        Err(error @ (OpenError::Unavailable { .. } | OpenError::NoSuchDomain { .. })) if known => {
            tracing::warn!(%error, "the store is away: started from the last snapshot");
            Arc::new(LateStore::new(connection.clone(), bucket))
        }
        opened => Arc::new(opened?),
    };
    Ok((Arc::new(connection.bus()), store))
}

/// A bus in this process, beside a store.
fn in_process(store: Arc<dyn Store>) -> (Arc<dyn Bus>, Arc<dyn Store>, Seat) {
    let network = MemoryNetwork::new();
    (Arc::new(network.connect()), store, Seat::Memory(network))
}

impl IntoFuture for Connect {
    type Output = Result<Lattice, ConnectError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("name", &self.name)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Seat {
    /// A connection for one node.
    pub(super) async fn connection(
        &self,
        shared: &Arc<Connection>,
    ) -> Result<Arc<Connection>, BusError> {
        match self {
            Self::Shared => Ok(shared.clone()),
            Self::Memory(network) => Ok(Arc::new(shared.over(Arc::new(network.connect())).await?)),
        }
    }
}
