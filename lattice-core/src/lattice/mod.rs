//! The handle to a lattice: connect, call, link, serve.

mod component;
mod connect;

pub use component::{BytesCall, Call, Component};
#[cfg(feature = "disk")]
pub use connect::OnDisk;
#[cfg(feature = "nats")]
pub use connect::OnNats;
pub use connect::{Backend, Connect, ConnectError, Custom, InMemory};

use crate::{
    bus::BusError,
    call::{CallError, Ran},
    client::{Caller, SameProcess},
    connection::Connection,
    extensions::Extensions,
    links::Links,
    membership::{Announce, Peers},
    name::{ComponentId, LatticeName},
    node::{Node, NodeOptions},
    replica::Replica,
    serve::Service,
    server::{ServeError, ServeHandle, ServeLimits},
};
use std::{fmt, sync::Arc};
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout_at},
};

/// A connection to one lattice. Cheap to clone; the last clone (and everything made from it) closes the connection.
#[derive(Clone)]
pub struct Lattice(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) connection: Arc<Connection>,
    /// What the layers above keep per lattice.
    pub(crate) extensions: Extensions,
    /// For calls and services of this process that belong to no host.
    node: OnceCell<Node>,
    same_process: SameProcess,
    seat: connect::Seat,
}

impl Lattice {
    /// A lattice inside this process: no server, the same API and semantics. Each call makes a new one; clones share it.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use lattice_core::Lattice;
    ///
    /// let lattice = Lattice::in_memory("dev").await?;
    /// assert_eq!(lattice.name().as_str(), "dev");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn in_memory(name: &str) -> Connect<InMemory> {
        Connect::in_memory(name)
    }

    /// A lattice inside this process that outlives it: as [`in_memory`](Self::in_memory), with what was declared (links,
    /// published types) kept in the file at `path`, which is made when it is not there, and belongs to one process at a time.
    ///
    /// Without a [`key`](Connect::key) whoever can write the file can make links: it is made so that only its owner can. With
    /// one, nothing in the file is believed that was not written with it, so give the same key each time.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use lattice_core::{Lattice, link::Link};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("lattice.redb");
    /// let lattice = Lattice::on_disk(&path, "dev").await?;
    /// lattice.links().put(Link::new("front-desk", "example:hello/greeter@0.1.0", "greeter")?).await?;
    /// drop(lattice);
    ///
    /// let lattice = Lattice::on_disk(&path, "dev").await?;
    /// assert_eq!(lattice.links().list().len(), 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "disk")]
    pub fn on_disk(path: impl AsRef<std::path::Path>, name: &str) -> Connect<OnDisk> {
        Connect::on_disk(path.as_ref(), name)
    }

    /// The lattice `name` on NATS: `nats://host:port`, several of them joined by commas, or
    /// [`NatsOptions`](crate::nats::NatsOptions) for credentials, TLS, a `JetStream` domain and the
    /// rest. Needs a [`key`](Connect::key), or [`trust_bus`](Connect::trust_bus).
    ///
    /// ```no_run
    /// # async fn example(key: lattice_core::auth::LatticeKey) -> Result<(), lattice_core::ConnectError> {
    /// use lattice_core::{Lattice, nats::NatsOptions};
    ///
    /// let lattice = Lattice::connect("nats://one:4222,nats://two:4222", "prod").key(key.clone()).await?;
    ///
    /// let nats = NatsOptions::new("tls://nats.example:4222").credentials_file("/etc/lattice/user.creds");
    /// let lattice = Lattice::connect(nats, "prod").key(key).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "nats")]
    pub fn connect(servers: impl Into<crate::nats::NatsOptions>, name: &str) -> Connect<OnNats> {
        Connect::on_nats(servers.into(), name)
    }

    /// A lattice on a bus and a store of your own, for tests with faults.
    pub fn on(
        bus: Arc<dyn crate::bus::Bus>,
        store: Arc<dyn crate::store::Store>,
        name: &str,
    ) -> Connect<Custom> {
        Connect::custom(bus, store, name)
    }

    /// Its name.
    pub fn name(&self) -> &LatticeName {
        &self.0.connection.name
    }

    /// Whether all of it is in this process, so that there is nobody else to wait for.
    pub fn is_in_process(&self) -> bool {
        matches!(self.0.seat, connect::Seat::Memory(_))
    }

    /// A component, by its id, for calls in the name of an operator.
    ///
    /// ```no_run
    /// # async fn example(lattice: lattice_core::Lattice) -> Result<(), lattice_core::call::CallError> {
    /// let greeting: String = lattice.component("greeter").call("example:hello/greeter@0.1.0", "greet", ("Ada",)).await?;
    /// # Ok(()) }
    /// ```
    pub fn component(&self, id: &str) -> Component {
        Component::new(self.clone(), ComponentId::new(id))
    }

    /// The lattice's links.
    pub fn links(&self) -> &Links {
        &self.0.connection.links
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// This process's copy of the store: whether it is up to date, and whether the store came back as another one.
    pub fn replica(&self) -> &Replica {
        &self.0.connection.replica
    }

    /// Every live host and what it serves, as of now.
    pub fn peers(&self) -> Arc<Peers> {
        self.0.connection.presence.peers()
    }

    /// Waits until some host serves `component`. Callers need not: a call to a component that nobody serves fails at once
    /// as [`NotServed`](crate::call::CallError::NotServed), and this is for those who would rather wait.
    ///
    /// # Cancel safety
    /// Give it a deadline with `tokio::time::timeout`; dropping the future does nothing.
    pub async fn served(&self, component: &ComponentId) {
        self.0.connection.presence.served(component).await;
    }

    /// Joins the lattice as a node of its own. Each node of an in-memory lattice has a connection of its own, each node on
    /// NATS shares this one.
    ///
    /// # Errors
    /// [`BusError`].
    pub async fn node(&self, options: NodeOptions) -> Result<Node, BusError> {
        self.join(options, Announce::Always).await
    }

    /// Serves a component from this process, on a node that is made at the first need.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn serve(
        &self,
        component: ComponentId,
        service: Arc<dyn Service>,
        limits: ServeLimits,
    ) -> Result<ServeHandle, ServeError> {
        let bus = |source| ServeError::Bus {
            component: component.clone(),
            source,
        };
        self.own_node()
            .await
            .map_err(bus)?
            .serve(component.clone(), service, limits)
            .await
    }

    /// Calls in the name of a component of this process, through its links.
    ///
    /// # Errors
    /// [`BusError`].
    pub async fn caller(&self, component: ComponentId) -> Result<Caller, BusError> {
        Ok(self.own_node().await?.caller(component))
    }

    /// The node for calls that come from no host, in time for one of them.
    pub(crate) async fn calling_node(&self, deadline: Instant) -> Result<&Node, CallError> {
        match timeout_at(deadline, self.own_node()).await {
            Ok(Ok(node)) => Ok(node),
            Ok(Err(_)) => Err(CallError::Disconnected { ran: Ran::No }),
            Err(_) => Err(CallError::DeadlineExceeded { ran: Ran::No }),
        }
    }

    pub(crate) async fn own_node(&self) -> Result<&Node, BusError> {
        self.0
            .node
            .get_or_try_init(|| self.join(NodeOptions::default(), Announce::WhileServing))
            .await
    }

    async fn join(&self, options: NodeOptions, announce: Announce) -> Result<Node, BusError> {
        Node::join(
            self.0.seat.connection(&self.0.connection).await?,
            options,
            announce,
            &self.0.same_process,
        )
        .await
    }
}

impl fmt::Debug for Lattice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lattice")
            .field("name", self.name())
            .finish_non_exhaustive()
    }
}
