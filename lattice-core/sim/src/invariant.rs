//! The invariants, and violations of them.

use std::{fmt, time::Duration};

/// An invariant that a simulation checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Invariant {
    /// A call ends at most 50 ms after its deadline, by the clock of its host, with a value or an
    /// error.
    EndsInTime,
    /// A call that failed with [`Ran::No`](lattice_core::call::Ran::No) did not run, and a call
    /// that returned a value ran.
    SaysWhetherItRan,
    /// A call that isn't idempotent runs at most once.
    RunsOnce,
    /// Nothing runs without a grant.
    Granted,
    /// A component that runs once runs on one host at a time, the holder of its lease. No value
    /// comes from a former holder.
    OneHolder,
    /// Desired state that was written stays until it is changed.
    KeepsDesired,
    /// No byte of large arguments, of a large result or of a stream that ends cleanly is lost,
    /// doubled or in another place.
    KeepsBytes,
    /// No handle outlives its lease: a resource is dropped at most 10 s after its holder has died
    /// or was cut off for as long as the lease, and within a minute after its last handle is gone.
    EndsLeases,
    /// A resource is there as long as a host holds it that is not cut off for nearly as long as the
    /// lease, and its handle leads to it.
    KeepsHandles,
    /// The messages of a host never take more memory than it has for them.
    BoundsMemory,
    /// Some time after the last trouble every replica runs exactly once, all hosts agree on where,
    /// and all calls succeed.
    Settles,
    /// When no calls are made any more, nothing is in flight, and no memory is held.
    EndsIdle,
}

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The invariant.
    pub invariant: Invariant,
    /// The simulated time.
    pub at: Duration,
    /// A description of the violation.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            invariant,
            at,
            what,
        } = self;
        write!(f, "{invariant:?} at {:.3} s: {what}", at.as_secs_f64())
    }
}
