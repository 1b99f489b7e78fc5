//! A node: one participant of the lattice on the bus, a host or a caller.
//!
//! It has an identity (host id and boot epoch) and five parts, each of which owns its state: the
//! transport, membership, a server for its components, a client for its calls, and telemetry. This
//! module joins them and runs their tasks.
//!
//! States: *live* → *leaving* (it has sent its goodbye and finishes its calls) → gone. A node that
//! is dropped without [`shutdown`](Node::shutdown) vanishes without notice, as after a power cut.

mod options;
mod parts;

pub use self::options::NodeOptions;
pub(crate) use self::parts::NodeParts;

use crate::{
    bus::BusError,
    call::{CallError, Context, FunctionRef},
    client::{Caller, ClientHandle, SameProcess},
    connection::Connection,
    drained::Drained,
    id::{Fence, Source},
    membership::Announce,
    name::{ComponentId, HostId, IntoName, NameError},
    serve::{IntoService, LeaseDeadline, Leased, Service},
    server::{IfServing, ServeError, ServeHandle, ServeLimits},
    sync::Mutex,
    telemetry::{LogSink, Metrics},
    wire::{ComponentStatus, MemoryUse, Origin},
};
use bytes::Bytes;
use std::{fmt, sync::Arc, time::Duration};
use tokio_util::task::AbortOnDropHandle;

/// One participant of the lattice; see the [module](self). Cheap to clone; the last clone takes it
/// off the bus.
#[derive(Clone)]
pub struct Node(Arc<Owner>);

/// The tasks hold the parts only, so that dropping the last handle ends them.
struct Owner {
    parts: Arc<NodeParts>,
    tasks: Mutex<Vec<AbortOnDropHandle<()>>>,
}

impl Node {
    /// Joins the lattice: subscribes, and starts the node's tasks.
    pub(crate) async fn join(
        connection: Arc<Connection>,
        options: NodeOptions,
        announce: Announce,
        same_process: &SameProcess,
    ) -> Result<Self, BusError> {
        let (parts, tasks) = NodeParts::open(connection, options, announce, same_process).await?;
        let tasks = Mutex::new(tasks);
        Ok(Self(Arc::new(Owner { parts, tasks })))
    }

    /// Returns its host id.
    pub fn host_id(&self) -> &HostId {
        &self.origin().host
    }

    /// Returns the host id and the epoch of this boot.
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

    /// Puts a component into service that runs once, as long as this lease is held.
    ///
    /// # Errors
    /// [`ServeError`]; nothing is served then.
    #[doc(hidden)]
    pub async fn serve_under(
        &self,
        (fence, until): (Fence, LeaseDeadline),
        component: ComponentId,
        service: Arc<dyn Service>,
        limits: ServeLimits,
    ) -> Result<ServeHandle, ServeError> {
        let leased = Leased {
            component: component.clone(),
            service,
            fence,
            until,
        };
        let fence = Some(fence);
        let server = &self.0.parts.server;
        server
            .serve(
                component,
                Arc::new(leased),
                limits,
                IfServing::Replace { fence },
            )
            .await
    }

    /// Returns a handle for calls in the name of the component `id`, through its links.
    ///
    /// # Errors
    /// [`NameError`] when `id` breaks its rule.
    pub fn caller(&self, id: impl IntoName<ComponentId>) -> Result<Caller, NameError> {
        let client = ClientHandle::Ready(self.0.parts.client.clone());
        Ok(Caller::new(client, Source::Component(id.into_name()?)))
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

    /// Has `read` say in each report from now on how many bytes of memory the guests of this node
    /// use and may use. Only the first one counts.
    #[doc(hidden)]
    pub fn report_guest_memory(&self, read: impl Fn() -> (u64, u64) + Send + Sync + 'static) {
        let read = move || {
            let (used, limit) = read();
            MemoryUse { used, limit }
        };
        self.0.parts.telemetry.report_guest_memory(Box::new(read));
    }

    /// Returns the sink for the log lines of this node's components.
    pub fn log_sink(&self) -> LogSink {
        self.0.parts.telemetry.log_sink().clone()
    }

    /// Returns the metrics of this node and of its connection, which it may share with other nodes
    /// of this process. From the first call on, the durations of calls are recorded by method; see
    /// [`telemetry::metrics`](crate::telemetry::metrics) for what that costs.
    pub fn metrics(&self) -> Metrics {
        self.0.parts.telemetry.metrics()
    }

    /// Returns how many handles of resources on this node other hosts hold, and how many of theirs
    /// this node holds.
    #[doc(hidden)]
    pub fn handles(&self) -> (usize, usize) {
        let parts = &self.0.parts;
        parts.connection.handles.counts(self.origin())
    }

    /// Returns how many messages were dropped because they were forged, replayed, malformed or not
    /// for this node.
    pub fn refused(&self) -> u64 {
        self.0.parts.transport.endpoint.refused()
    }

    /// Returns how many calls wait for a reply from another host.
    pub fn in_flight(&self) -> usize {
        self.0.parts.transport.in_flight.len()
    }

    /// Sends a goodbye, takes no new work, and finishes its running calls and its streams with
    /// other hosts, for at most `grace`. Streams that are still open then are broken off at once.
    /// For a moment after that, late calls are refused as not run.
    pub async fn shutdown(&self, grace: Duration) -> Drained {
        self.shutdown_after(grace, std::future::ready(())).await
    }

    /// Like [`shutdown`](Self::shutdown), and stays known to other hosts until `work` has ended as
    /// well. They end the calls of a host that is gone.
    #[doc(hidden)]
    pub async fn shutdown_after(&self, grace: Duration, work: impl Future<Output = ()>) -> Drained {
        let parts = &self.0.parts;
        let ended = async {
            let (drained, ()) = tokio::join!(parts.server.drain(grace), work);
            drained
        };
        let drained = parts.membership.leave(grace, ended).await;
        parts.handles.leave().await;
        drained
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
