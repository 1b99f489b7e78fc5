//! The handle to a lattice: connect, call, link, serve.

mod backend;
mod connect;
#[cfg(feature = "nats")]
mod invitation;
mod published;
mod site;

#[cfg(feature = "disk")]
pub use backend::OnDisk;
#[cfg(feature = "nats")]
pub use backend::OnNats;
pub use backend::{Backend, Custom, InMemory};
pub use connect::{Connect, ConnectError};
#[cfg(feature = "nats")]
pub use invitation::{Invitation, InvitationError};

use crate::{
    budget::Budget,
    bus::BusError,
    client::{Caller, ClientHandle, Operator, SameProcess},
    connection::Connection,
    extensions::Extensions,
    id::Source,
    links::Links,
    membership::{Announce, Peers},
    name::{ComponentId, IntoName, LatticeName, NameError, WormholeId},
    node::{Node, NodeOptions},
    quantity::ByteSize,
    replica::Replica,
    serve::{IntoService, Service},
    server::{ServeError, ServeHandle, ServeLimits},
    type_store::Types,
};
use futures_util::future::BoxFuture;
use std::{fmt, sync::Arc};
use tokio::sync::OnceCell;

/// A connection to one lattice. Cheap to clone. The connection closes when the last clone, and
/// everything created from it, is dropped.
#[derive(Clone)]
pub struct Lattice(Arc<JoinedLattice>);

/// The memory that messages of a connection take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageMemory {
    /// Messages that the bus has delivered and that were not read yet.
    pub received: ByteSize,
    /// Calls that wait or run here.
    pub calls: ByteSize,
    /// Calls and replies that the bus has not taken yet.
    pub sending: ByteSize,
    /// Results that their callers have not taken yet.
    pub results: ByteSize,
}

pub(crate) struct JoinedLattice {
    pub(crate) connection: Arc<Connection>,
    /// The values that the layers above keep per lattice.
    pub(crate) extensions: Extensions,
    /// The node for calls and services of this process that don't belong to a host.
    node: OnceCell<Node>,
    same_process: SameProcess,
    seat: backend::Seat,
    #[cfg(feature = "nats")]
    invitation: Option<Invitation>,
}

impl Lattice {
    /// Opens a lattice inside this process, without a server and with the same API and semantics.
    /// Each call creates a new lattice, which its clones share.
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
    pub fn in_memory(name: impl IntoName<LatticeName>) -> Connect<InMemory> {
        Connect::in_memory(name)
    }

    /// Opens a lattice inside this process whose declarations outlive it. It works as
    /// [`in_memory`](Self::in_memory), and stores links and published types in the file at `path`.
    /// The file is created if it doesn't exist, and is used by one process at a time.
    ///
    /// Without a [`key`](Connect::key), every user who can write the file can create links. The
    /// file is created so that only its owner can write it. With a key, records that were not
    /// written with this key are ignored, so use the same key each time.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use lattice_core::{Lattice, link::Link};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("lattice.redb");
    /// let lattice = Lattice::on_disk(&path, "dev").await?;
    /// let link = Link::new("front-desk", "example:hello/greeter@0.1.0", "greeter")?;
    /// lattice.links().put(link).await?;
    /// drop(lattice);
    ///
    /// let lattice = Lattice::on_disk(&path, "dev").await?;
    /// assert_eq!(lattice.links().list().len(), 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "disk")]
    pub fn on_disk(
        path: impl AsRef<std::path::Path>,
        name: impl IntoName<LatticeName>,
    ) -> Connect<OnDisk> {
        Connect::on_disk(path.as_ref(), name)
    }

    /// Connects to the lattice `name` on NATS: `nats://host:port`, several of them joined by
    /// commas, or [`NatsOptions`](crate::nats::NatsOptions) for credentials, TLS, a `JetStream`
    /// domain and the rest. Needs a [`key`](Connect::key), or [`trust_bus`](Connect::trust_bus).
    ///
    /// ```no_run
    /// # use lattice_core::{ConnectError, auth::LatticeKey};
    /// # async fn example(key: LatticeKey) -> Result<(), ConnectError> {
    /// use lattice_core::{Lattice, nats::NatsOptions};
    ///
    /// let servers = "nats://one:4222,nats://two:4222";
    /// let lattice = Lattice::connect(servers, "prod").key(key.clone()).await?;
    ///
    /// let nats = NatsOptions::new("tls://nats.example:4222");
    /// let nats = nats.credentials_file("/etc/lattice/user.creds");
    /// let lattice = Lattice::connect(nats, "prod").key(key).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "nats")]
    pub fn connect(
        servers: impl Into<crate::nats::NatsOptions>,
        name: impl IntoName<LatticeName>,
    ) -> Connect<OnNats> {
        Connect::on_nats(servers.into(), name)
    }

    /// Opens a lattice on the given bus and store, for tests with faults.
    pub fn on(
        bus: Arc<dyn crate::bus::Bus>,
        store: Arc<dyn crate::store::Store>,
        name: impl IntoName<LatticeName>,
    ) -> Connect<Custom> {
        Connect::custom(bus, store, name)
    }

    /// Returns the name of the lattice.
    pub fn name(&self) -> &LatticeName {
        &self.0.connection.name
    }

    /// Returns whether the whole lattice is in this process, so that no other process can join it.
    pub fn is_in_process(&self) -> bool {
        matches!(self.0.seat, backend::Seat::Memory(_))
    }

    /// Returns a handle for calls in the name of the component `id`, through its links. The process
    /// joins the lattice with the first call, if it has not yet. While the bus is out of reach,
    /// such a first call fails as [`Disconnected`](crate::call::CallError::Disconnected) and did
    /// not run; the next one joins when the bus is back.
    ///
    /// ```no_run
    /// # use lattice_core::Lattice;
    /// # async fn example(lattice: Lattice) -> Result<(), Box<dyn std::error::Error>> {
    /// let web = lattice.caller("web")?;
    /// let greeting: String = web.call("example:hello/greeter@0.1.0", "greet", ("Ada",)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`NameError`] when `id` breaks its rule.
    pub fn caller(&self, id: impl IntoName<ComponentId>) -> Result<Caller, NameError> {
        Ok(Caller::new(
            self.client(),
            Source::Component(id.into_name()?),
        ))
    }

    /// Returns a handle for calls in the name of a wormhole.
    pub(crate) fn wormhole_caller(&self, id: WormholeId) -> Caller {
        Caller::new(self.client(), Source::Wormhole(id))
    }

    /// Returns a handle for calls without a link, which every holder of the lattice key may make:
    /// for tools and tests. Hosts log such calls, and can refuse them.
    ///
    /// ```no_run
    /// # use lattice_core::{Lattice, call::CallError};
    /// # async fn example(lattice: Lattice) -> Result<(), CallError> {
    /// const GREETER: &str = "example:hello/greeter@0.1.0";
    ///
    /// let operator = lattice.operator();
    /// let greeting: String = operator.call("greeter", GREETER, "greet", ("Ada",)).await?;
    /// # Ok(()) }
    /// ```
    pub fn operator(&self) -> Operator {
        Operator::new(self.client())
    }

    /// Returns the API for the lattice's links.
    pub fn links(&self) -> &Links {
        &self.0.connection.links
    }

    pub(crate) fn shared(&self) -> &JoinedLattice {
        &self.0
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// Returns this process's copy of the store. Its health shows whether it is up to date, and
    /// whether the store was replaced.
    pub fn replica(&self) -> &Replica {
        &self.0.connection.replica
    }

    /// Returns every live host and the components that it serves now.
    pub fn peers(&self) -> Arc<Peers> {
        self.0.connection.presence.peers()
    }

    /// Returns the published types of the lattice's components, also of those that don't run now.
    pub fn types(&self) -> &Types {
        &self.0.connection.types
    }

    /// Returns how much memory the messages of this connection take now; see
    /// [`Connect::message_memory`] for the limit.
    pub fn message_memory(&self) -> MessageMemory {
        let budgets = &self.0.connection.budgets;
        let held = |budget: &Budget| ByteSize::bytes(budget.held() as u64);
        MessageMemory {
            received: held(&budgets.received),
            calls: held(&budgets.calls),
            sending: held(&budgets.sending),
            results: held(&budgets.results),
        }
    }

    /// Waits until a host serves the component `id`, without a deadline: use
    /// `tokio::time::timeout`. Callers don't have to wait: a call to a component that no host
    /// serves fails at once with [`NotServed`](crate::call::CallError::NotServed).
    ///
    /// # Errors
    /// [`NameError`] when `id` isn't a valid component id.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn served(&self, id: impl IntoName<ComponentId>) -> Result<(), NameError> {
        self.0.connection.presence.served(&id.into_name()?).await;
        Ok(())
    }

    /// Joins the lattice as another node. Each node of an in-memory lattice has its own connection,
    /// and the nodes on NATS share this one.
    ///
    /// # Errors
    /// [`BusError`].
    pub async fn node(&self, options: NodeOptions) -> Result<Node, BusError> {
        self.join(options, Announce::Always).await
    }

    /// Serves a component from this process: `.await` the returned value. The process joins the
    /// lattice with the first component that it serves, if it has not yet.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn serve(&self, id: impl IntoName<ComponentId>, service: impl IntoService) -> Serve {
        Serve {
            lattice: self.clone(),
            id: id.into_name(),
            service: service.into_service(),
            limits: ServeLimits::default(),
        }
    }

    /// The client of this process's own node, which joins when it is first needed.
    fn client(&self) -> ClientHandle {
        let lattice = self.clone();
        ClientHandle::on_demand(move || {
            let lattice = lattice.clone();
            Box::pin(async move { Ok(lattice.own_node().await?.parts().client.clone()) })
        })
    }

    pub(crate) async fn own_node(&self) -> Result<&Node, BusError> {
        self.0
            .node
            .get_or_try_init(|| self.join(NodeOptions::default(), Announce::OnceServing))
            .await
    }

    async fn join(&self, options: NodeOptions, announce: Announce) -> Result<Node, BusError> {
        let connection = self.0.seat.connection(&self.0.connection).await?;
        let node = Node::join(connection, options, announce, &self.0.same_process).await?;
        site::attach(&node, self, announce);
        Ok(node)
    }
}

/// A component that is about to be served: `.await` it. Created by [`Lattice::serve`].
#[must_use = "nothing is served until it is awaited"]
pub struct Serve {
    lattice: Lattice,
    id: Result<ComponentId, NameError>,
    service: Arc<dyn Service>,
    limits: ServeLimits,
}

impl Serve {
    /// Sets how many calls run and wait at once, how large their arguments may be together, and how
    /// large a result may be.
    pub fn limits(mut self, limits: ServeLimits) -> Self {
        self.limits = limits;
        self
    }

    async fn start(self) -> Result<ServeHandle, ServeError> {
        let component = self.id?;
        let node = match self.lattice.own_node().await {
            Ok(node) => node,
            Err(source) => return Err(ServeError::Bus { component, source }),
        };
        node.serve(component, self.service, self.limits).await
    }
}

impl IntoFuture for Serve {
    type Output = Result<ServeHandle, ServeError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

impl fmt::Debug for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("id", &self.id)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Lattice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lattice")
            .field("name", self.name())
            .finish_non_exhaustive()
    }
}
