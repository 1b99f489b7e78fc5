//! Errors of hosts.

use crate::{actor::ActorError, engine::EngineError};
use lattice_core::{
    bus::BusError,
    membership::LabelError,
    name::{ComponentId, HostId, NameError},
    server::ServeError,
};

/// Why a host, or a component on it, does not start or stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// An id breaks its rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The host can't have these labels.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// Two components have the same id.
    #[error("two components of the host have the id `{component}`; give each its own id")]
    Twice {
        /// The id.
        component: ComponentId,
    },
    /// The engine that runs actors could not be created.
    #[error("the engine that runs actors could not be created")]
    Engine(#[from] EngineError),
    /// The lattice could not be joined.
    #[error("the lattice could not be joined; check that its bus can be reached")]
    Join(#[from] BusError),
    /// A component can't be an actor.
    #[error("actor `{component}` can't be started")]
    Actor {
        /// The component's id.
        component: ComponentId,
        /// The reason.
        source: ActorError,
    },
    /// A component could not be put into service.
    #[error("a component could not be put into service")]
    Serve(#[from] ServeError),
    /// An address for requests could not be opened.
    #[cfg(feature = "http")]
    #[error(transparent)]
    Ingress(#[from] crate::http::IngressError),
    /// The metrics could not be served.
    #[cfg(feature = "http")]
    #[error(transparent)]
    Metrics(#[from] crate::http::MetricsError),
    /// This host does not serve the component.
    #[error(
        "host `{host}` does not serve `{component}`; `components()` returns the components that it serves"
    )]
    NotHere {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
    },
}
