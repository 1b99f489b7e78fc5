//! Connecting: which bus and store, which key.

use super::{Lattice, Shared};
use crate::connection::{self, Connection, Parts};
#[cfg(all(feature = "nats", feature = "disk"))]
use crate::nats::{LateStore, OpenError};
#[cfg(feature = "disk")]
use crate::store::disk::{DiskStore, Snapshot};
use crate::{
    auth::{Auth, LatticeKey},
    bus::{Bus, BusError, memory::MemoryNetwork},
    client::SameProcess,
    extensions::Extensions,
    name::{LatticeName, NameError},
    replica::FollowError,
    store::{LastKnown, MemoryStore, Store},
};
#[cfg(feature = "nats")]
use crate::{
    nats::NatsOptions,
    nats::{NatsStore, NatsStoreOptions},
};
use futures_util::future::BoxFuture;
#[cfg(feature = "nats")]
use std::num::NonZeroUsize;
#[cfg(feature = "disk")]
use std::path::{Path, PathBuf};
use std::{fmt, sync::Arc};
use tokio::sync::OnceCell;

/// A lattice being joined: `.await` it. Made by [`Lattice::in_memory`], [`Lattice::on_disk`],
/// [`Lattice::connect`] and [`Lattice::on`], and has only the options that its kind of lattice has.
#[must_use = "nothing is joined until it is awaited"]
pub struct Connect<B> {
    name: String,
    backend: B,
    key: Option<LatticeKey>,
    operator_calls: bool,
}

/// What carries a lattice: its bus and its store. Implemented by the kinds of [`Connect`] alone.
pub trait Backend: sealed::Open {}

/// A bus and a store inside this process.
#[derive(Debug)]
pub struct InMemory(());

/// A bus inside this process, and a store in a file.
#[cfg(feature = "disk")]
#[derive(Debug)]
pub struct OnDisk {
    path: PathBuf,
}

/// NATS as the bus and its `JetStream` as the store.
#[cfg(feature = "nats")]
#[derive(Debug)]
pub struct OnNats {
    options: Box<NatsOptions>,
    replicas: NonZeroUsize,
    remote: Remote,
}

/// A bus and a store of the caller's own.
#[derive(Debug)]
pub struct Custom {
    bus: Arc<dyn Bus>,
    store: Arc<dyn Store>,
    remote: Remote,
}

/// What is asked of a bus and a store that others reach too.
#[derive(Debug, Default)]
pub struct Remote {
    trust: bool,
    #[cfg(feature = "disk")]
    snapshot: Option<PathBuf>,
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
    Open(#[from] crate::nats::OpenError),
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

impl From<connection::ConnectionError> for ConnectError {
    fn from(error: connection::ConnectionError) -> Self {
        match error {
            connection::ConnectionError::Bus(error) => Self::Bus(error),
            connection::ConnectionError::Store(error) => Self::Store(error),
        }
    }
}

impl<B> Connect<B> {
    fn new(name: &str, backend: B) -> Self {
        Self {
            name: name.to_owned(),
            backend,
            key: None,
            operator_calls: true,
        }
    }

    /// Sets the key that authenticates every frame and store value. All members of a lattice share
    /// it.
    pub fn key(mut self, key: LatticeKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Refuses calls to components served here that come from holders of the key through no link.
    /// They are accepted by default.
    pub fn deny_operator_calls(mut self) -> Self {
        self.operator_calls = false;
        self
    }
}

impl Connect<InMemory> {
    pub(super) fn in_memory(name: &str) -> Self {
        Self::new(name, InMemory(()))
    }
}

#[cfg(feature = "disk")]
impl Connect<OnDisk> {
    pub(super) fn on_disk(path: &Path, name: &str) -> Self {
        let path = path.to_owned();
        Self::new(name, OnDisk { path })
    }
}

#[cfg(feature = "nats")]
impl Connect<OnNats> {
    pub(super) fn on_nats(options: NatsOptions, name: &str) -> Self {
        Self::new(
            name,
            OnNats {
                options: Box::new(options),
                replicas: NonZeroUsize::MIN,
                remote: Remote::default(),
            },
        )
    }

    /// Sets how many servers of a NATS cluster keep the store: 1 by default. Takes effect when the
    /// store is created.
    pub fn store_replicas(mut self, count: NonZeroUsize) -> Self {
        self.backend.replicas = count;
        self
    }
}

impl Connect<Custom> {
    pub(super) fn custom(bus: Arc<dyn Bus>, store: Arc<dyn Store>, name: &str) -> Self {
        let remote = Remote::default();
        Self::new(name, Custom { bus, store, remote })
    }
}

/// For a bus and a store that others reach too.
impl<B: AsMut<Remote>> Connect<B> {
    /// Does without a key: everyone who reaches the bus may call anything, make links and pose as
    /// any host. Logged as a warning.
    pub fn trust_bus(mut self) -> Self {
        self.backend.as_mut().trust = true;
        self
    }

    /// Keeps the last snapshot of the store in the file at `path`, and starts from it when the server or its `JetStream` is away:
    /// components that were published before can be served, and calls within this process run through the links of then,
    /// while everything that leaves it fails as in any outage. Once the store is there, it is followed as after an outage. What
    /// the lattice knows and from where is its [replica's state](crate::replica::ReplicaState).
    ///
    /// Which hosts there were is kept too: when there is no bus at all, a host of the same id as before runs
    /// the share that it had, until it hears who is there.
    ///
    /// The file is made when it is not there and belongs to one process at a time. Without anything in it, connecting fails
    /// as ever. A server that refuses at once is away at once; a silent one after the connection's timeout, 5 s by
    /// default. A login that is refused or a certificate that is wrong stays an error.
    ///
    /// Of the file nothing is believed that was not written with the lattice's key. Whoever can write it can put an older
    /// state of it back, whose links count until the store is reached.
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
        self.backend.as_mut().snapshot = Some(path.as_ref().to_owned());
        self
    }
}

impl<B: Backend> Connect<B> {
    async fn open(self) -> Result<Lattice, ConnectError> {
        let name = LatticeName::new(&self.name)?;
        let auth = match (&self.key, self.backend.without_key()) {
            (Some(key), _) => Auth::keyed(&name, key),
            (None, WithoutKey::InProcess) => Auth::trusting(),
            (None, WithoutKey::Trusted) => {
                tracing::warn!(lattice = %name, "no key: everyone who reaches the bus is trusted");
                Auth::trusting()
            }
            (None, WithoutKey::Refused) => return Err(ConnectError::NoKey { lattice: name }),
        };
        let Opened {
            bus,
            store,
            last,
            seat,
        } = self.backend.open(&name, &auth).await?;
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
            extensions: Extensions::default(),
            node: OnceCell::new(),
            same_process: SameProcess::default(),
            seat,
        })))
    }
}

/// What a lattice without a key means.
pub enum WithoutKey {
    /// Its bus is in this process, and its file, if it has one, is its user's.
    InProcess,
    Trusted,
    Refused,
}

/// A bus and a store that were opened.
pub struct Opened {
    bus: Arc<dyn Bus>,
    store: Arc<dyn Store>,
    last: Option<Arc<dyn LastKnown>>,
    seat: Seat,
}

mod sealed {
    use super::{Auth, ConnectError, LatticeName, Opened, WithoutKey};

    /// Callers can name the kinds of lattice, and only this module opens them.
    pub trait Open: Sized + Send + 'static {
        fn without_key(&self) -> WithoutKey;

        fn open(
            self,
            name: &LatticeName,
            auth: &Auth,
        ) -> impl Future<Output = Result<Opened, ConnectError>> + Send;
    }
}

impl Backend for InMemory {}

impl sealed::Open for InMemory {
    fn without_key(&self) -> WithoutKey {
        WithoutKey::InProcess
    }

    async fn open(self, _: &LatticeName, _: &Auth) -> Result<Opened, ConnectError> {
        Ok(in_process(Arc::new(MemoryStore::new())))
    }
}

#[cfg(feature = "disk")]
impl Backend for OnDisk {}

#[cfg(feature = "disk")]
impl sealed::Open for OnDisk {
    fn without_key(&self) -> WithoutKey {
        WithoutKey::InProcess
    }

    async fn open(self, name: &LatticeName, _: &Auth) -> Result<Opened, ConnectError> {
        Ok(in_process(Arc::new(
            DiskStore::open(self.path, name).await?,
        )))
    }
}

#[cfg(feature = "nats")]
impl Backend for OnNats {}

#[cfg(feature = "nats")]
impl sealed::Open for OnNats {
    fn without_key(&self) -> WithoutKey {
        self.remote.without_key()
    }

    async fn open(self, name: &LatticeName, auth: &Auth) -> Result<Opened, ConnectError> {
        let last = self.remote.last_known(name, auth).await?;
        let bucket = NatsStoreOptions::new(name).replicas(self.replicas);
        let (bus, store) = match &last {
            #[cfg(feature = "disk")]
            Some(last) => over_nats_or_from(&**last, *self.options, bucket).await?,
            _ => over_nats(&self.options, bucket).await?,
        };
        let seat = Seat::Shared;
        Ok(Opened {
            bus,
            store,
            last,
            seat,
        })
    }
}

impl Backend for Custom {}

impl sealed::Open for Custom {
    fn without_key(&self) -> WithoutKey {
        self.remote.without_key()
    }

    async fn open(self, name: &LatticeName, auth: &Auth) -> Result<Opened, ConnectError> {
        Ok(Opened {
            last: self.remote.last_known(name, auth).await?,
            bus: self.bus,
            store: self.store,
            seat: Seat::Shared,
        })
    }
}

impl Remote {
    fn without_key(&self) -> WithoutKey {
        if self.trust {
            WithoutKey::Trusted
        } else {
            WithoutKey::Refused
        }
    }

    /// What an earlier process knew, and the place for what this one will.
    #[cfg(feature = "disk")]
    async fn last_known(
        &self,
        name: &LatticeName,
        auth: &Auth,
    ) -> Result<Option<Arc<dyn LastKnown>>, ConnectError> {
        match &self.snapshot {
            Some(path) => Ok(Some(Arc::new(Snapshot::open(path, name, auth).await?))),
            None => Ok(None),
        }
    }

    #[cfg(not(feature = "disk"))]
    #[expect(clippy::unused_async, reason = "it waits where there is a disk")]
    async fn last_known(
        &self,
        _: &LatticeName,
        _: &Auth,
    ) -> Result<Option<Arc<dyn LastKnown>>, ConnectError> {
        Ok(None)
    }
}

#[cfg(feature = "nats")]
impl AsMut<Remote> for OnNats {
    fn as_mut(&mut self) -> &mut Remote {
        &mut self.remote
    }
}

impl AsMut<Remote> for Custom {
    fn as_mut(&mut self) -> &mut Remote {
        &mut self.remote
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

/// A bus in this process, in addition to `store`.
fn in_process(store: Arc<dyn Store>) -> Opened {
    let network = MemoryNetwork::new();
    Opened {
        bus: Arc::new(network.connect()),
        store,
        last: None,
        seat: Seat::Memory(network),
    }
}

impl<B: Backend> IntoFuture for Connect<B> {
    type Output = Result<Lattice, ConnectError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

impl<B> fmt::Debug for Connect<B> {
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
