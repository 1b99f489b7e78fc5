//! Connecting to a lattice: the choice of bus, store and key.

#[cfg(feature = "disk")]
use super::backend::OnDisk;
use super::{
    JoinedLattice, Lattice,
    backend::{Backend, Custom, InMemory, Opened, Remote, WithoutKey},
};
#[cfg(feature = "nats")]
use super::{backend::OnNats, invitation::Invitation};
#[cfg(feature = "nats")]
use crate::nats::{NatsOptions, SharedNats};
use crate::{
    auth::{Auth, LatticeKey},
    budget::{self, Budgets},
    bus::{Bus, BusError},
    client::SameProcess,
    connection::{self, Connection, Parts},
    extensions::Extensions,
    name::{IntoName, LatticeName, NameError},
    quantity::ByteSize,
    replica::FollowError,
    store::Store,
};
use futures_util::future::BoxFuture;
#[cfg(feature = "nats")]
use std::num::NonZeroUsize;
#[cfg(feature = "disk")]
use std::path::Path;
use std::{fmt, sync::Arc};
use tokio::sync::OnceCell;

/// A lattice that is about to be joined: `.await` it. Created by [`Lattice::in_memory`],
/// [`Lattice::on_disk`], [`Lattice::connect`] and [`Lattice::on`]. It has only the options of its
/// kind of lattice.
#[must_use = "nothing is joined until it is awaited"]
pub struct Connect<B> {
    name: Result<LatticeName, NameError>,
    backend: B,
    key: Option<LatticeKey>,
    operator_calls: bool,
    message_memory: ByteSize,
}

/// Why a lattice could not be joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The lattice's name breaks its rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No key was given. Without one, every client of the NATS server could forge calls and links.
    #[error(
        "lattice `{lattice}` is on a bus and has no key; give it one with `.key(LatticeKey::from_env(\"LATTICE_KEY\")?)`, or call `.trust_bus()` if every client of that bus may call anything"
    )]
    NoKey {
        /// The lattice.
        lattice: LatticeName,
    },
    /// The server did not accept the connection.
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
    /// The bus is reachable but can't be used.
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
    fn new(name: impl IntoName<LatticeName>, backend: B) -> Self {
        Self {
            name: name.into_name(),
            backend,
            key: None,
            operator_calls: true,
            message_memory: budget::DEFAULT,
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

    /// Sets the most memory that messages of this connection may take: those that the bus has
    /// delivered and that were not handled yet, arguments of calls that wait or run here, calls and
    /// replies on their way to the bus, and results whose callers have not taken them. 1 GiB by
    /// default, and at least 16 MiB.
    ///
    /// Each of the four kinds gets a quarter. Large messages of one peer, subscription or component
    /// get at most half of a quarter, and once half of it is in use, a sixteenth of the rest. The
    /// first message of each, and small ones, get room as long as there is any. A call for which
    /// there is no room fails with [`Overloaded`](crate::call::CallError::Overloaded) and did not
    /// run. [`Lattice::message_memory`] returns how much is in use.
    pub fn message_memory(mut self, size: ByteSize) -> Self {
        self.message_memory = size;
        self
    }
}

impl Connect<InMemory> {
    pub(super) fn in_memory(name: impl IntoName<LatticeName>) -> Self {
        Self::new(name, InMemory(()))
    }
}

#[cfg(feature = "disk")]
impl Connect<OnDisk> {
    pub(super) fn on_disk(path: &Path, name: impl IntoName<LatticeName>) -> Self {
        let path = path.to_owned();
        Self::new(name, OnDisk { path })
    }
}

#[cfg(feature = "nats")]
impl Connect<OnNats> {
    pub(super) fn on_nats(options: NatsOptions, name: impl IntoName<LatticeName>) -> Self {
        Self::new(
            name,
            OnNats {
                options: Box::new(options),
                replicas: None,
                max_bytes: None,
                remote: Remote::default(),
            },
        )
    }

    /// Sets how many servers of a NATS cluster keep the store: 1, 3 or 5. By default 3, or 1 where
    /// the server is alone or refuses 3. Takes effect when the store is created; the copies of a
    /// store that exists are changed with `nats stream edit`.
    pub fn store_replicas(mut self, count: NonZeroUsize) -> Self {
        self.backend.replicas = Some(count);
        self
    }

    /// Sets the most bytes that the store may have on each server that keeps it, which some NATS
    /// accounts require. By default, it may have as much as the account has. Takes effect when the
    /// store is created.
    pub fn store_max_bytes(mut self, size: ByteSize) -> Self {
        self.backend.max_bytes = Some(size);
        self
    }
}

impl Connect<Custom> {
    pub(super) fn custom(
        bus: Arc<dyn Bus>,
        store: Arc<dyn Store>,
        name: impl IntoName<LatticeName>,
    ) -> Self {
        let remote = Remote::default();
        Self::new(name, Custom { bus, store, remote })
    }
}

/// Options for a bus and a store that other processes can reach.
impl<B: AsMut<Remote>> Connect<B> {
    /// Connects without a key: every client of the bus can call any component, create links and
    /// impersonate any host. This is logged as a warning.
    pub fn trust_bus(mut self) -> Self {
        self.backend.as_mut().trust = true;
        self
    }

    /// Keeps the last snapshot of the store in the file at `path`, and starts from it when the
    /// server or its `JetStream` is unavailable. Then components that were published before can be
    /// served, and calls within this process use the links of the snapshot. Calls to other
    /// processes fail as in any outage. When the store returns, it is followed as after an outage.
    /// The [replica's state](crate::ReplicaState) shows which data the lattice uses.
    ///
    /// The known hosts are stored as well. Without a bus, a host with the same id as before runs
    /// the share that it had, until it receives beats of other hosts.
    ///
    /// The file is created if it doesn't exist, and is used by one process at a time. If it is
    /// empty, connecting fails as it does without a snapshot. A server that refuses connections
    /// counts as unavailable at once, and a silent one after the connection's timeout, which is 5 s
    /// by default. A rejected login or a wrong certificate remains an error.
    ///
    /// Contents that were not written with the lattice's key are ignored. A user who can write the
    /// file can restore an earlier state of it, and the links of that state are used until the
    /// store is reached.
    ///
    /// ```no_run
    /// # use lattice_core::{ConnectError, auth::LatticeKey};
    /// # async fn example(key: LatticeKey) -> Result<(), ConnectError> {
    /// use lattice_core::{Lattice, ReplicaState};
    ///
    /// let connect = Lattice::connect("nats://localhost:4222", "prod").key(key);
    /// let lattice = connect.snapshot("/var/lib/lattice/prod.redb").await?;
    /// if let ReplicaState::Snapshot { taken } = lattice.replica().health().state {
    ///     println!("the store is unavailable; this state was saved at {taken:?}");
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
        let name = self.name?;
        let auth = match (&self.key, self.backend.without_key()) {
            (Some(key), _) => Auth::keyed(&name, key),
            (None, WithoutKey::InProcess) => Auth::trusting(),
            (None, WithoutKey::Trusted) => {
                tracing::warn!(lattice = %name, "no key: every client of the bus is trusted");
                Auth::trusting()
            }
            (None, WithoutKey::Refused) => return Err(ConnectError::NoKey { lattice: name }),
        };
        #[cfg(feature = "nats")]
        let invitation = self.backend.nats().map(|options| {
            let nats = SharedNats::of(options);
            Invitation::new(name.clone(), nats, self.key.as_ref(), self.operator_calls)
        });
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
            budgets: Budgets::of(self.message_memory),
        };
        let connection = Arc::new(Connection::open(parts).await?);
        Ok(Lattice(Arc::new(JoinedLattice {
            connection,
            extensions: Extensions::default(),
            node: OnceCell::new(),
            same_process: SameProcess::default(),
            seat,
            #[cfg(feature = "nats")]
            invitation,
        })))
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
