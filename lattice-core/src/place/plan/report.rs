//! What a host reports of what it runs.

use crate::wire::ReplicaCount;
use tokio::time::Instant;

/// What a host runs of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// What the host is doing.
    pub phase: Phase,
    /// What serves, by generation.
    pub replica_counts: Vec<ReplicaCount>,
}

/// What a host is doing about a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Its whole share serves.
    Serving,
    /// Some of its share is on its way.
    Starting,
    /// The old generation serves until it is its turn.
    Updating,
    /// It serves more than its share, until the hosts that should do.
    HandingOver,
    /// It waits for the lease.
    WaitingForLease,
    /// What it starts fails again and again.
    CrashLooping {
        /// How often in a row.
        failures: u32,
        /// When it is tried again.
        again: Instant,
    },
    /// It finishes what it has.
    Draining,
    /// It runs nothing of it any more.
    Gone,
}
