//! What an app says of an actor's limits.

use serde::{Deserialize, Serialize};
use std::{num::NonZeroU32, time::Duration};

/// What differs from a host's default limits; what is `None` stays as the host has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LimitOverrides {
    /// All linear memories of one instance together, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// CPU time of one call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Duration>,
    /// Time of one call, waiting included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall: Option<Duration>,
    /// Calls that run at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<NonZeroU32>,
    /// Calls that may wait for one of those to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued: Option<u32>,
    /// Largest encoded result of a call, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<u64>,
    /// Elements of all tables of one instance together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_elements: Option<u32>,
    /// Calls that one instance may have under way to others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outgoing: Option<NonZeroU32>,
}
