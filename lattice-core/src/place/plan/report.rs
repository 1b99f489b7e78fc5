//! What a host says of what it runs.

use super::Generation;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Replicas of one generation of a component on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Which generation.
    pub generation: Generation,
    /// Replicas that serve.
    pub serving: u32,
    /// Those among them that the host means to keep: they are its own share. Others rely on no more than these.
    pub kept: u32,
}

/// What a host runs of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// What it is about.
    pub phase: Phase,
    /// What serves, by generation.
    pub tallies: Vec<Tally>,
}

/// What a host is about with a component.
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
