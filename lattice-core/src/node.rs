//! A node: one participant of the lattice on the bus, a host or a caller.
//!
//! It has an identity (host id and boot epoch) and five parts, each of which owns its state: the
//! transport, membership, a server for its components, a client for its calls, and telemetry. This
//! module joins them and runs their tasks.
//!
//! States: *live* → *leaving* (it has sent its goodbye and finishes its calls) → gone. A node that
//! is dropped without [`shutdown`](Node::shutdown) vanishes without notice, as after a power cut.

use crate::{
    bus::BusError,
    call::{CallError, Context, FunctionRef},
    client::{Caller, Client, ClientHandle, SameProcess},
    connection::Connection,
    drained::Drained,
    entropy,
    membership::{self, Announce, Membership, epoch},
    name::{ComponentId, HostId, IntoName, NameError},
    serve::{IntoService, Service},
    server::{self, IfServing, ServeError, ServeHandle, ServeLimits, Server},
    sync::Mutex,
    telemetry::{self, LogSink, Telemetry},
    transport::{self, Subscriptions, Transport},
    wire::{ComponentStatus, Origin},
};
use bytes::Bytes;
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};
use tokio_util::task::AbortOnDropHandle;

/// How a node appears to others.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct NodeOptions {
    /// Its host id; a random one by default. If two live hosts have one id, the later boot wins.
    pub host: Option<HostId>,
    /// Labels for placement and for people. A node whose labels break a bound of
    /// [`check_labels`](crate::membership::check_labels) can't join.
    pub labels: BTreeMap<String, String>,
}

impl NodeOptions {
    /// Sets the host id.
    ///
    /// # Errors
    /// [`NameError`] when `id` breaks its rule.
    pub fn host(mut self, id: impl IntoName<HostId>) -> Result<Self, NameError> {
        self.host = Some(id.into_name()?);
        Ok(self)
    }

    /// Adds a label.
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// One participant of the lattice; see the [module](self). Cheap to clone; the last clone takes it
/// off the bus.
#[derive(Clone)]
pub struct Node(Arc<Owner>);

/// The tasks hold the parts only, so that dropping the last handle ends them.
struct Owner {
    parts: Arc<NodeParts>,
    tasks: Mutex<Vec<AbortOnDropHandle<()>>>,
}

/// The parts of a node. Holding them does not keep the node on the bus.
pub(crate) struct NodeParts {
    pub(crate) connection: Arc<Connection>,
    pub(crate) transport: Arc<Transport>,
    pub(crate) membership: Arc<Membership>,
    pub(crate) server: Arc<Server>,
    pub(crate) client: Arc<Client>,
    pub(crate) telemetry: Arc<Telemetry>,
}

impl Node {
    /// Joins the lattice: subscribes, and starts the node's tasks.
    pub(crate) async fn join(
        connection: Arc<Connection>,
        options: NodeOptions,
        announce: Announce,
        same_process: &SameProcess,
    ) -> Result<Self, BusError> {
        let labels = options.labels.iter();
        membership::check_labels(labels.map(|(name, value)| (name.as_str(), value.as_str())))
            .map_err(|error| BusError::Refused(error.to_string()))?;
        let epoch = epoch::epoch(&connection.records, options.host.as_ref()).await;
        let origin = Origin::new(options.host.unwrap_or_else(entropy::host_id), epoch);
        let (transport, subscriptions) = Transport::open(connection.medium(), origin).await?;
        let presence = connection.presence.clone();
        let membership = Membership::new(transport.clone(), presence, options.labels, announce);
        let membership = Arc::new(membership);
        let server = Server::new(transport.clone(), membership.clone(), connection.clone());
        let server = Arc::new(server);
        let others = match announce {
            Announce::Always => SameProcess::default(),
            Announce::WhileServing => same_process.clone(),
        };
        let client = Client::new(connection.clone(), server.clone(), others);
        let parts = Arc::new(NodeParts {
            client: Arc::new(client),
            telemetry: Arc::new(Telemetry::new(server.clone())),
            connection,
            transport,
            membership,
            server,
        });
        if announce == Announce::Always {
            same_process.add(&parts.server);
        }
        let tasks = Mutex::new(parts.start(subscriptions));
        Ok(Self(Arc::new(Owner { parts, tasks })))
    }

    /// Its host id.
    pub fn host_id(&self) -> &HostId {
        &self.origin().host
    }

    /// The host id and the epoch of this boot.
    pub fn origin(&self) -> &Origin {
        self.0.parts.transport.origin()
    }

    /// Puts a component into service on this node: its types are published, calls that its links
    /// grant reach it, and a beat that is sent at once announces it to other hosts.
    ///
    /// # Errors
    /// [`ServeError`]; nothing is served then.
    pub async fn serve(
        &self,
        id: impl IntoName<ComponentId>,
        service: impl IntoService,
        limits: ServeLimits,
    ) -> Result<ServeHandle, ServeError> {
        let (component, service) = (id.into_name()?, service.into_service());
        let server = &self.0.parts.server;
        server
            .serve(component, service, limits, IfServing::Reject)
            .await
    }

    /// Returns a handle for calls in the name of the component `id`, through its links.
    ///
    /// # Errors
    /// [`NameError`] when `id` breaks its rule.
    pub fn caller(&self, id: impl IntoName<ComponentId>) -> Result<Caller, NameError> {
        let client = ClientHandle::Ready(self.0.parts.client.clone());
        Ok(Caller::new(client, id.into_name()?))
    }

    /// Handles the calls that other hosts make in their own name from now on. The source of such a
    /// request is [`Source::Host`](crate::id::Source::Host); `name` is for messages.
    #[doc(hidden)]
    pub fn serve_host_rpc(
        &self,
        name: ComponentId,
        service: Arc<dyn Service>,
        limits: ServeLimits,
    ) {
        self.0.parts.server.serve_host_rpc(name, service, limits);
    }

    /// Calls another host in this host's own name.
    ///
    /// # Errors
    /// A [`CallError`], by the deadline: [`CallError::NotServed`] from a host that handles no such
    /// calls.
    #[doc(hidden)]
    pub async fn call_host(
        &self,
        host: &Origin,
        function: &FunctionRef,
        args: Bytes,
        context: Context,
    ) -> Result<Bytes, CallError> {
        let client = &self.0.parts.client;
        client.call_host(host, function, args, context).await
    }

    /// Sets the state of a component that this node is to run: sent to all members within half a
    /// second, and in each report from then on. For a component that it serves and that has no
    /// state, a node reports that it serves.
    #[doc(hidden)]
    pub fn set_status(&self, component: &ComponentId, status: ComponentStatus) {
        self.0.parts.telemetry.set_status(component, status);
    }

    /// Removes the state of a component.
    #[doc(hidden)]
    pub fn clear_status(&self, component: &ComponentId) {
        self.0.parts.telemetry.clear_status(component);
    }

    /// Returns the sink for the log lines of this node's components.
    pub fn log_sink(&self) -> LogSink {
        self.0.parts.telemetry.log_sink().clone()
    }

    /// Messages that were dropped because they were forged, replayed, malformed or not for this
    /// node.
    pub fn refused(&self) -> u64 {
        self.0.parts.transport.endpoint.refused()
    }

    /// Calls that wait for a reply from another host.
    pub fn in_flight(&self) -> usize {
        self.0.parts.transport.in_flight.len()
    }

    /// Sends a goodbye, takes no new work, and finishes its running calls, for at most `grace`. For
    /// a moment after that, late calls are refused as not run.
    pub async fn shutdown(&self, grace: Duration) -> Drained {
        self.0.parts.membership.leave(grace).await;
        self.0.parts.server.drain(grace).await
    }

    /// Leaves the bus at once and without notice, like a host that loses power: for tests and
    /// demonstrations.
    pub fn kill(&self) {
        self.0.parts.membership.stop_beats();
        self.0.tasks.lock().clear();
        self.0.parts.vanish();
    }

    pub(crate) fn parts(&self) -> &Arc<NodeParts> {
        &self.0.parts
    }
}

impl NodeParts {
    fn start(&self, subscriptions: Subscriptions) -> Vec<AbortOnDropHandle<()>> {
        let Subscriptions { inbox, replies } = subscriptions;
        let transport = || self.transport.clone();
        let (client, membership) = (|| self.client.clone(), || self.membership.clone());
        let (server, telemetry) = (|| self.server.clone(), || self.telemetry.clone());
        let replica = self.connection.replica.clone();
        let tasks = [
            tokio::spawn(server::inbox::run(server(), inbox)),
            tokio::spawn(transport::reply_reader::run(transport(), client(), replies)),
            tokio::spawn(membership::heartbeat::run(membership(), server(), replica)),
            tokio::spawn(transport::failure_detector::run(transport(), client())),
            tokio::spawn(transport::idle_cleanup::run(transport())),
            tokio::spawn(membership::follow::hosts(membership())),
            tokio::spawn(membership::follow::bus(membership())),
            tokio::spawn(membership::follow::live(membership())),
            tokio::spawn(server::link_updates::run(server())),
            tokio::spawn(server::published::run(server())),
            tokio::spawn(telemetry::report::run(telemetry())),
            tokio::spawn(telemetry::logs::run(telemetry())),
        ];
        tasks.map(AbortOnDropHandle::new).into()
    }

    fn vanish(&self) {
        self.transport.silence();
        self.server.cut_off();
        self.transport.close();
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("origin", self.origin())
            .finish_non_exhaustive()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.parts.membership.is_abandoned() {
            tracing::warn!(
                host = %self.parts.transport.origin().host,
                "a host was dropped while it was live: its calls are cut off, and other hosts have to detect that; call `shutdown` first"
            );
        }
        self.parts.vanish();
    }
}
