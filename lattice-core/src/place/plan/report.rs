//! A host's report of its replicas.

use crate::wire::ReplicaCount;
use tokio::time::Instant;

/// The status of one component on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The phase of the component on the host.
    pub phase: Phase,
    /// The serving replicas, by generation.
    pub replica_counts: Vec<ReplicaCount>,
}

/// The phase of a component on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// All replicas of its share serve.
    Serving,
    /// Some replicas of its share don't serve yet.
    Starting,
    /// Replicas of the old generation serve until it is their turn to be updated.
    Updating,
    /// It serves more than its share until the new owners serve.
    HandingOver,
    /// It waits for the lease.
    WaitingForLease,
    /// Its replicas fail again and again.
    CrashLooping {
        /// How many failures there were in a row.
        failures: u32,
        /// When the next try is due.
        again: Instant,
    },
    /// Its replicas finish the calls that they have.
    Draining,
    /// It runs no replica any more.
    Gone,
}
