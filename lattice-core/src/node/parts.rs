//! The parts of a node, and their tasks.

use super::NodeOptions;
use crate::{
    bus::BusError,
    client::{Client, SameProcess},
    connection::Connection,
    entropy,
    handles::{self, HandleRpc},
    membership::{self, Announce, Membership, epoch},
    server::{self, Server},
    telemetry::{self, Telemetry, failures},
    transport::{self, Subscriptions, Transport},
    wire::Origin,
};
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;

/// The parts of a node. Holding them does not keep the node on the bus.
pub(crate) struct NodeParts {
    pub(crate) connection: Arc<Connection>,
    pub(crate) transport: Arc<Transport>,
    pub(crate) membership: Arc<Membership>,
    pub(crate) server: Arc<Server>,
    pub(crate) client: Arc<Client>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) handles: Arc<HandleRpc>,
}

impl NodeParts {
    /// Joins the lattice: subscribes, creates the parts, and starts their tasks.
    pub(super) async fn open(
        connection: Arc<Connection>,
        options: NodeOptions,
        announce: Announce,
        same_process: &SameProcess,
    ) -> Result<(Arc<Self>, Vec<AbortOnDropHandle<()>>), BusError> {
        let labels = options.labels.iter();
        membership::check_labels(labels.map(|(name, value)| (name.as_str(), value.as_str())))
            .map_err(|error| BusError::Refused(error.to_string()))?;
        let epoch = epoch::epoch(&connection.records, options.host.as_ref()).await;
        let origin = Origin::new(options.host.unwrap_or_else(entropy::host_id), epoch);
        let (transport, subscriptions) =
            Transport::open(connection.medium(), origin, connection.handles.clone()).await?;
        let presence = connection.presence.clone();
        let membership = Membership::new(transport.clone(), presence, options.labels, announce);
        let membership = Arc::new(membership);
        let server = Server::new(transport.clone(), membership.clone(), connection.clone());
        let server = Arc::new(server);
        let others = match announce {
            Announce::Always => SameProcess::default(),
            Announce::OnceServing => same_process.clone(),
        };
        let client = Arc::new(Client::new(connection.clone(), server.clone(), others));
        let handles = HandleRpc::start(client.clone(), server.clone())
            .map_err(|error| BusError::Refused(error.to_string()))?;
        failures::start(&server).map_err(|error| BusError::Refused(error.to_string()))?;
        let parts = Arc::new(Self {
            client,
            handles,
            telemetry: Arc::new(Telemetry::new(server.clone())),
            connection,
            transport,
            membership,
            server,
        });
        if announce == Announce::Always {
            same_process.add(&parts.server);
        }
        let tasks = parts.start(subscriptions);
        Ok((parts, tasks))
    }

    fn start(&self, subscriptions: Subscriptions) -> Vec<AbortOnDropHandle<()>> {
        let Subscriptions {
            inbox,
            replies,
            sessions,
        } = subscriptions;
        let transport = || self.transport.clone();
        let (client, membership) = (|| self.client.clone(), || self.membership.clone());
        let (server, telemetry) = (|| self.server.clone(), || self.telemetry.clone());
        let replica = self.connection.replica.clone();
        let tasks = [
            tokio::spawn(server::inbox::run(server(), inbox)),
            tokio::spawn(transport::reply_reader::run(transport(), client(), replies)),
            tokio::spawn(transport::session::reader::run(transport(), sessions)),
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
            tokio::spawn(handles::run(self.handles.clone())),
        ];
        tasks.map(AbortOnDropHandle::new).into()
    }

    /// Takes the node off the bus, without notice.
    pub(super) fn vanish(&self) {
        self.transport.silence();
        self.server.cut_off();
        self.connection.handles.leave(self.transport.origin());
        self.transport.close();
    }
}
