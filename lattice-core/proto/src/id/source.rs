//! Who a call comes from.

use crate::name::{ComponentId, HostId, WormholeId};
use std::fmt;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A component, over a link.
    Component(ComponentId),
    /// A public endpoint, because it is open.
    Wormhole(WormholeId),
    /// A holder of the lattice key, by the operator right.
    Operator,
    /// A host by itself.
    Host(HostId),
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
