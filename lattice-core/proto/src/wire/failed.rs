//! Calls that have failed on a host, as it tells them to another one that asks, by host RPC.
//!
//! Encoded by their fields in order, as the bodies in `body.rs`.

use crate::{name::ComponentId, value::bounded};
use serde::{Deserialize, Serialize};

/// The latest calls that have failed on one host, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCalls {
    /// The calls.
    #[serde(deserialize_with = "bounded::list::<_, _, { FailedCalls::MAX }>")]
    pub calls: Vec<FailedCall>,
}

/// A call that has failed on the host of its callee, or several that were alike. It has nothing of
/// their arguments, apart from what the error says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCall {
    /// When the last of them failed, by the host's clock, in milliseconds since 1970. For people
    /// only, since clocks disagree.
    pub failed_ms: u64,
    /// The component that was called.
    pub component: ComponentId,
    /// The function, as traces name it: `example:hello/greeter/greet`.
    pub function: String,
    /// Who has called: "component `web`", or "the operator".
    pub caller: String,
    /// The kind of the error: `deadline-exceeded`.
    pub error: String,
    /// The text of the error, at most 1,024 bytes.
    pub message: String,
    /// How long the last of them took, in microseconds. 0 if it was refused before it began.
    pub took_us: u64,
    /// How many calls of this function and caller have failed like this, one after the other or
    /// among others that are kept.
    pub times: u64,
}

impl FailedCalls {
    /// Most calls in an answer.
    pub const MAX: usize = 256;
}
