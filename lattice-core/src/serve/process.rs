//! What a service reports of the process that serves in its place.

use std::time::Duration;

/// What is known of a process that serves a component, and that another node looks after. See
/// [`Service::process`](super::Service::process).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessUsage {
    /// How often a process was started again.
    pub restarts: u32,
    /// How long the process has served. `None` while there is none.
    pub uptime: Option<Duration>,
    /// Its resident memory in bytes, where it is known.
    pub memory: Option<u64>,
    /// The CPU time that it has used, where it is known.
    pub cpu: Option<Duration>,
    /// Why the process before it ended, if one has.
    pub last_exit: Option<String>,
}
