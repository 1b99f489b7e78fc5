//! Why a host, or something on it, does not start.

use crate::{actor::ActorError, engine::EngineError};
use lattice_core::{
    bus::BusError,
    name::{ComponentId, HostId, NameError},
    server::ServeError,
};

/// Why a host, or something on it, does not start or stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// An id breaks its rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Two components have one id.
    #[error("two components of the host are called `{component}`; give each an id of its own")]
    Twice {
        /// The id.
        component: ComponentId,
    },
    /// The engine to run actors on could not be made.
    #[error("the host has no engine to run actors on")]
    Engine(#[from] EngineError),
    /// The lattice could not be joined.
    #[error("the lattice could not be joined; check that its bus is there")]
    Join(#[from] BusError),
    /// A component can't be an actor.
    #[error("actor `{component}` can't be started")]
    Actor {
        /// Its id.
        component: ComponentId,
        /// Why.
        source: ActorError,
    },
    /// A component could not be put into service.
    #[error("a component could not be put into service")]
    Serve(#[from] ServeError),
    /// The component is not one that this host serves.
    #[error("host `{host}` does not serve `{component}`; `components()` lists what it does")]
    NotHere {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
    },
}
