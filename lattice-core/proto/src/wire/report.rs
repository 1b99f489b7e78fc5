//! Reports: the state and load of a host's components, sent every few seconds to those who watch.
//!
//! Bodies as in `body.rs`, with the fields of each struct below, in order. A host with many
//! components sends several envelopes in one frame: each repeats the head, with other components.

use super::{
    EnvelopeError, Kind,
    body::{self, Body},
    status::{Phase, cut},
};
use crate::{
    id::{Incarnation, Revision},
    name::ComponentId,
    value::bounded,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A host's report. The host and its epoch are the sender of the frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The longest time until the next one, in milliseconds.
    pub interval_ms: u32,
    /// How long this boot of the host has run, in milliseconds.
    pub uptime_ms: u64,
    /// Calls that run or are queued on the host.
    pub in_flight: u32,
    /// Resident memory of the process in bytes, if known.
    pub memory: Option<u64>,
    /// The incarnation of the store that the host sees.
    pub incarnation: Incarnation,
    /// The last write of that store that the host has seen.
    pub revision: Revision,
    /// Whether the host follows that store now.
    pub follows_store: bool,
    /// The number of components that did not fit.
    pub left_out: u32,
    /// The components that the host serves or should serve.
    #[serde(deserialize_with = "bounded::list::<_, _, { Report::MAX_COMPONENTS }>")]
    pub components: Vec<ComponentReport>,
    /// The processes in which providers among these components run.
    #[serde(deserialize_with = "bounded::list::<_, _, { Report::MAX_PROCESSES }>")]
    pub processes: Vec<ProcessReport>,
}

/// A host's report of one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentReport {
    /// The component.
    pub id: ComponentId,
    /// Its phase.
    #[serde(serialize_with = "write_phase", deserialize_with = "read_phase")]
    pub phase: Phase,
    /// Its generation, if it has one.
    pub generation: Option<u64>,
    /// The last thing that went wrong.
    #[serde(deserialize_with = "read_reason")]
    pub reason: Option<String>,
    /// Calls since it came into service.
    pub calls: u64,
    /// How many of them ended in an error, including refused ones.
    pub errors: u64,
    /// How long recent calls took; `None` if there were none.
    pub latency: Option<Latency>,
}

/// A host's report of the process that serves a component as another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessReport {
    /// The component.
    pub component: ComponentId,
    /// How often a process was started again.
    pub restarts: u32,
    /// How long the process has served, in milliseconds; `None` while there is none.
    pub uptime_ms: Option<u64>,
    /// Its resident memory in bytes, if known.
    pub memory: Option<u64>,
    /// The CPU time that it has used, in milliseconds, if known.
    pub cpu_ms: Option<u64>,
    /// Why the process before it ended.
    #[serde(deserialize_with = "read_reason")]
    pub last_exit: Option<String>,
}

/// How long calls took from their arrival to their end, in microseconds. A time is an upper bound
/// that is at most a quarter too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50_us: u32,
    /// The 99th percentile.
    pub p99_us: u32,
}

/// Requests that hosts report at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportWanted {}

impl Report {
    /// Most components in one envelope. So many, with their processes, take at most 64 KiB in
    /// memory, however short they are in bytes.
    pub const MAX_COMPONENTS: usize = 400;
    /// Most processes in one envelope. Those of further components aren't reported.
    pub const MAX_PROCESSES: usize = 100;
}

impl Body for Report {
    const KIND: Kind = Kind::Report;
    /// A process: an id of one character with its length, and five fields of one byte. A component
    /// has more.
    const SMALLEST_ELEMENT: usize = 2 + 5;

    fn check(&self) -> Result<(), EnvelopeError> {
        body::at_most("components", self.components.len(), Self::MAX_COMPONENTS)?;
        body::at_most("processes", self.processes.len(), Self::MAX_PROCESSES)
    }
}

impl Body for ReportWanted {
    const KIND: Kind = Kind::ReportWanted;
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it like that"
)]
fn write_phase<S: Serializer>(phase: &Phase, to: S) -> Result<S::Ok, S::Error> {
    phase.to_wire().serialize(to)
}

fn read_phase<'de, D: Deserializer<'de>>(from: D) -> Result<Phase, D::Error> {
    Deserialize::deserialize(from).map(Phase::from_wire)
}

fn read_reason<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(cut))
}
