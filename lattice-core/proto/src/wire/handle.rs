//! The name of a resource, as hosts send it to each other, and their requests about handles.
//!
//! Encoded by their fields in order, as the bodies in `body.rs`.

use super::Origin;
use crate::{auth::SealedToken, name::ComponentId};
use serde::{Deserialize, Serialize};

/// A resource, as one host names it to another. Knowing it gives no right to use it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ResourceName {
    /// The boot of the host on which it lives.
    pub origin: Origin,
    /// The component in which it lives.
    pub component: ComponentId,
    /// The instance of the component.
    pub instance: u64,
    /// The number under which that host has given it to the holder. Each time a host gets the
    /// handle, it has a new one. 0 if it lives nowhere any more, and only the token is left of it.
    pub id: u64,
    /// The boot that holds it, if that isn't the one that sends this name: another node of the same
    /// process.
    pub holder: Option<Origin>,
    /// Its type: `package/interface/name` without a version.
    pub ty: String,
    /// What another replica makes the resource anew from, if it is portable.
    pub token: Option<SealedToken>,
}

/// A request of one host to another about handles, by host RPC, on behalf of one of its boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandleRequest {
    /// The epoch of that boot.
    pub epoch: u64,
    /// The question.
    pub ask: HandleAsk,
}

/// The question of a [`HandleRequest`].
// The order of the variants is the wire format: new ones go to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandleAsk {
    /// It has dropped these handles of the other host's resources.
    Drop(Vec<u64>),
    /// It was sent a handle of the other host's resource by a third host.
    Claim {
        /// The number of the handle.
        id: u64,
        /// Whether it was given, and not lent.
        is_owned: bool,
        /// The boot that holds it, as far as is known.
        from: Origin,
    },
    /// Which of these handles of its own resources does the other host hold?
    Holds(Vec<u64>),
    /// It holds none of the other host's handles any more.
    Gone,
}

/// The answer to a [`HandleRequest`].
// The order of the variants is the wire format: new ones go to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandleAnswer {
    /// It is done.
    Done,
    /// The handle has this number now.
    Claimed(u64),
    /// The handle can't be used.
    Stale {
        /// Why.
        reason: String,
        /// Whether it was lost, and not dropped or given away.
        is_lost: bool,
    },
    /// These are held.
    Held(Vec<u64>),
}
