//! The kinds of lattice, and how the bus and the store of each are opened.

use super::ConnectError;
use crate::connection::Connection;
#[cfg(all(feature = "nats", feature = "disk"))]
use crate::nats::{LateStore, OpenError};
#[cfg(feature = "disk")]
use crate::store::disk::{DiskStore, Snapshot};
use crate::{
    auth::Auth,
    bus::{Bus, BusError, memory::MemoryNetwork},
    name::LatticeName,
    store::{LastKnown, MemoryStore, Store},
};
#[cfg(feature = "nats")]
use crate::{
    nats::{NatsOptions, NatsStore, NatsStoreOptions},
    quantity::ByteSize,
};
#[cfg(feature = "nats")]
use std::num::NonZeroUsize;
#[cfg(feature = "disk")]
use std::path::PathBuf;
use std::sync::Arc;

/// The bus and the store of a lattice. Implemented only for the kinds of
/// [`Connect`](super::Connect).
pub trait Backend: sealed::Open {}

/// A bus and a store inside this process.
#[derive(Debug)]
pub struct InMemory(pub(super) ());

/// A bus inside this process, and a store in a file.
#[cfg(feature = "disk")]
#[derive(Debug)]
pub struct OnDisk {
    pub(super) path: PathBuf,
}

/// NATS as the bus and its `JetStream` as the store.
#[cfg(feature = "nats")]
#[derive(Debug)]
pub struct OnNats {
    pub(super) options: Box<NatsOptions>,
    pub(super) replicas: Option<NonZeroUsize>,
    pub(super) max_bytes: Option<ByteSize>,
    pub(super) remote: Remote,
}

/// A bus and a store that the caller supplies.
#[derive(Debug)]
pub struct Custom {
    pub(super) bus: Arc<dyn Bus>,
    pub(super) store: Arc<dyn Store>,
    pub(super) remote: Remote,
}

/// Options for a bus and a store that other processes can reach.
#[derive(Debug, Default)]
pub struct Remote {
    pub(super) trust: bool,
    #[cfg(feature = "disk")]
    pub(super) snapshot: Option<PathBuf>,
}

/// The source of the bus connections of a lattice's nodes.
pub(super) enum Seat {
    /// All nodes share one connection.
    Shared,
    /// Each node has its own connection, so that one host can vanish or be partitioned alone.
    Memory(MemoryNetwork),
}

impl Seat {
    /// Returns the connection for one node.
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

/// How a lattice without a key is treated.
pub enum WithoutKey {
    /// It is accepted, because its bus is in this process, and its file, if any, belongs to the
    /// user.
    InProcess,
    Trusted,
    Refused,
}

/// An opened bus and store.
pub struct Opened {
    pub(super) bus: Arc<dyn Bus>,
    pub(super) store: Arc<dyn Store>,
    pub(super) last: Option<Arc<dyn LastKnown>>,
    pub(super) seat: Seat,
}

mod sealed {
    #[cfg(feature = "nats")]
    use super::NatsOptions;
    use super::{Auth, ConnectError, LatticeName, Opened, WithoutKey};

    /// Callers can name the kinds of lattice, but only this module can open them.
    pub trait Open: Sized + Send + 'static {
        fn without_key(&self) -> WithoutKey;

        /// Returns how to connect to NATS, if the lattice is on it.
        #[cfg(feature = "nats")]
        fn nats(&self) -> Option<&NatsOptions> {
            None
        }

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

    fn nats(&self) -> Option<&NatsOptions> {
        Some(&self.options)
    }

    async fn open(self, name: &LatticeName, auth: &Auth) -> Result<Opened, ConnectError> {
        let last = self.remote.last_known(name, auth).await?;
        let mut bucket = NatsStoreOptions::new(name);
        if let Some(replicas) = self.replicas {
            bucket = bucket.replicas(replicas);
        }
        if let Some(size) = self.max_bytes {
            bucket = bucket.max_bytes(size);
        }
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

    /// Returns the last state that an earlier process stored, where this process stores its own.
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

/// The same, but if a snapshot is known, an unavailable server or store may become available later.
#[cfg(all(feature = "nats", feature = "disk"))]
async fn over_nats_or_from(
    last: &dyn LastKnown,
    options: NatsOptions,
    bucket: NatsStoreOptions,
) -> Result<(Arc<dyn Bus>, Arc<dyn Store>), ConnectError> {
    let options = options.subscribing_while_disconnected();
    let known = last.incarnation().is_some();
    let connection = match options.connect().await {
        Err(error) if error.is_away() && known => {
            tracing::warn!(%error, "no server is reachable: started from the last snapshot");
            options.connect_later().await?
        }
        connected => connected?,
    };
    let store: Arc<dyn Store> = match NatsStore::open(&connection, bucket.clone()).await {
        // While a leaf node is disconnected, requests to the domain of a remote store have no
        // responders.
        Err(error @ (OpenError::Unavailable { .. } | OpenError::NoSuchDomain { .. })) if known => {
            tracing::warn!(%error, "the store is unavailable: started from the last snapshot");
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
