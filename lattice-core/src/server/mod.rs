//! Components in service on a node: which one is called, whether the call is allowed, and how it
//! runs.
//!
//! | file | what it does |
//! | --- | --- |
//! | `registration`, `registry` | puts components into service and takes them out |
//! | `inbox`, `admission`, `wormhole_admission`, `host_rpc` | reads calls, checks them, finds the component |
//! | `component`, `running`, `queue`, `waiting`, `link_admission`, `outcome`, `meter`, `failures`, `blocking` | one component: its bounded queue, its links, its results |
//! | `link_updates`, `published`, `discovery` | keeps components informed of links, and others of components |
//! | `life` | the start, the health and the stop of a service |
//! | `drain` | an orderly end |

pub(crate) mod admission;
mod blocking;
pub(crate) mod component;
pub(crate) mod discovery;
mod drain;
mod failures;
mod host_rpc;
pub(crate) mod inbox;
mod life;
mod limits;
mod link_admission;
pub(crate) mod link_updates;
pub(crate) mod meter;
mod outcome;
pub(crate) mod published;
mod queue;
mod registration;
mod registry;
pub(crate) mod running;
mod waiting;
mod wormhole_admission;

#[cfg(feature = "apps")]
pub(crate) use life::ENDING;
pub use limits::ServeLimits;
pub(crate) use queue::Arguments;
pub(crate) use registration::IfServing;
pub use registration::{ServeError, ServeHandle};
pub(crate) use wormhole_admission::OpenWormhole;

use crate::{
    connection::Connection,
    membership::{Membership, ReplicaCounts, Roster},
    name::ComponentId,
    task_group::TaskGroup,
    transport::Transport,
    wire::{Origin, Served},
};
use arc_swap::ArcSwapOption;
use component::RunningComponent;
use host_rpc::NodeRpc;
use registry::Registry;
use std::{
    any::Any,
    sync::{Arc, OnceLock, atomic::AtomicU64},
};
use tokio::sync::Notify;
use wormhole_admission::KnownWormholes;

/// Returns what sites of this node know of it, unless the node is gone.
pub(crate) type Home = Box<dyn Fn() -> Option<Arc<dyn Any + Send + Sync>> + Send + Sync>;

/// The components that one node has in service.
pub(crate) struct Server {
    pub(crate) transport: Arc<Transport>,
    pub(crate) membership: Arc<Membership>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) registry: Registry,
    /// Handles the calls that other hosts make in their own name.
    host_rpc: ArcSwapOption<RunningComponent>,
    /// Handles those of them that every node does.
    node_rpc: NodeRpc,
    wormholes: KnownWormholes,
    /// Calls that run here for others, and other tasks that end with the node.
    pub(crate) tasks: TaskGroup,
    /// The condition of a component has changed.
    pub(crate) conditions: Notify,
    home: OnceLock<Home>,
    /// Frames of calls received so far.
    frames: AtomicU64,
    /// Those whose calls have begun or were refused.
    handled: AtomicU64,
}

impl Server {
    pub(crate) fn new(
        transport: Arc<Transport>,
        membership: Arc<Membership>,
        connection: Arc<Connection>,
    ) -> Self {
        Self {
            wormholes: KnownWormholes::of(&connection.replica),
            transport,
            membership,
            connection,
            registry: Registry::default(),
            host_rpc: ArcSwapOption::default(),
            node_rpc: NodeRpc::default(),
            tasks: TaskGroup::default(),
            conditions: Notify::new(),
            home: OnceLock::new(),
            frames: AtomicU64::new(0),
            handled: AtomicU64::new(0),
        }
    }

    /// The boot of the host that it is on.
    pub(crate) fn origin(&self) -> &Origin {
        self.transport.origin()
    }

    /// Sets what sites of this node know of it. Nothing is served before that.
    pub(crate) fn set_home(&self, home: Home) {
        self.home.get_or_init(|| home);
    }

    /// The component with this id, if it is in service here, and not in a process of its own.
    pub(crate) fn component(&self, id: &ComponentId) -> Option<Arc<RunningComponent>> {
        let component = self.registry.get(id);
        component.filter(|component| !component.life.is_elsewhere())
    }

    /// Ends everything that runs here at once.
    pub(crate) fn cut_off(&self) {
        self.tasks.cancel();
        let own = self.node_rpc.all();
        for rpc in own.into_iter().chain([&self.host_rpc]) {
            if let Some(rpc) = rpc.swap(None) {
                rpc.cut_off();
            }
        }
        for component in self.registry.take().values() {
            component.life.abandon();
            component.cut_off();
        }
    }
}

impl Roster for Server {
    fn is_empty(&self) -> bool {
        self.registry.load().is_empty()
    }

    fn components(&self, replica_counts: &ReplicaCounts) -> Vec<Served> {
        self.registry.roster(replica_counts)
    }
}
