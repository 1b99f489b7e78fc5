//! The record of a call: its caller, where it ran, and how it ended.

use super::store::Boot;
use lattice_core::{call::Ran, name::ComponentId};
use std::{fmt, time::Duration};

/// The grant of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Via {
    Operator,
    /// A link that always exists.
    Link(ComponentId),
    /// A link that comes and goes.
    Guest,
    /// Nothing.
    Unlinked,
}

/// One call.
#[derive(Debug)]
pub(super) struct CallRecord {
    pub(super) id: u64,
    pub(super) boot: Boot,
    pub(super) target: &'static str,
    pub(super) via: Via,
    pub(super) repeatable: bool,
    pub(super) begun: Duration,
    pub(super) timeout: Duration,
    pub(super) runs: Vec<Run>,
    pub(super) ended: Option<Ended>,
}

/// One run of a call.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) boot: Boot,
    pub(super) at: Duration,
    /// It ended after another host had started to run the component.
    pub(super) is_stale: bool,
}

/// How a call ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) at: Duration,
    /// By the clock of its host, corrected for its speed.
    pub(super) took: Duration,
    pub(super) outcome: Result<u64, (Ran, String)>,
}

impl fmt::Display for CallRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            boot,
            target,
            via,
            ..
        } = self;
        write!(f, "call {id} from {} via {via:?} to {target}", boot.host)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Boot { host, number } = self.boot;
        write!(f, "{host} (boot {number}, {:.3} s)", self.at.as_secs_f64())
    }
}
