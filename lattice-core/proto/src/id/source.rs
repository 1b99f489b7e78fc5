//! Where a call comes from.

use crate::name::{ComponentId, HostId, WormholeId};
use std::fmt;

/// The source of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A component, through a link.
    Component(ComponentId),
    /// A wormhole that is open.
    Wormhole(WormholeId),
    /// An operator: a holder of the lattice key, without a link.
    Operator,
    /// A host in its own name.
    Host(HostId),
}

impl Source {
    /// The component, if it is one.
    pub fn component(&self) -> Option<&ComponentId> {
        match self {
            Self::Component(id) => Some(id),
            Self::Wormhole(_) | Self::Operator | Self::Host(_) => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(id) => write!(f, "component `{id}`"),
            Self::Wormhole(id) => write!(f, "wormhole `{id}`"),
            Self::Operator => f.write_str("the operator"),
            Self::Host(id) => write!(f, "host `{id}`"),
        }
    }
}
