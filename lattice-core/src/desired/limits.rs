//! The limits of an actor that an app declares.

use serde::{Deserialize, Serialize};
use std::{num::NonZeroU32, time::Duration};

/// Limits that differ from a host's defaults. A limit that is `None` stays at the host's default.
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
    /// The time of one call, waiting included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall: Option<Duration>,
    /// How many calls may run at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<NonZeroU32>,
    /// How many calls may wait for a running call to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued: Option<u32>,
    /// Largest encoded result of a call, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<u64>,
    /// Elements of all tables of one instance together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_elements: Option<u32>,
    /// How many calls to other components one instance may have in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outgoing: Option<NonZeroU32>,
    /// Bytes that the arguments of these calls may take together, while they are on their way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outgoing_bytes: Option<u64>,
    /// How many resources of one instance other components may hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handles: Option<NonZeroU32>,
    /// How long an instance is kept for handles and streams that other components hold and don't
    /// use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Duration>,
    /// How requests of HTTP share instances.
    #[serde(skip_serializing_if = "ReuseOverrides::is_default")]
    pub reuse: ReuseOverrides,
}

/// How requests of HTTP share the instances of an actor of version 0.3, as far as it differs from a
/// host's defaults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ReuseOverrides {
    /// How many requests one instance serves at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<NonZeroU32>,
    /// How many requests one instance serves in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<NonZeroU32>,
    /// How long an instance without requests is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Duration>,
}

impl ReuseOverrides {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
