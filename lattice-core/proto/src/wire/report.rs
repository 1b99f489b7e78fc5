//! Report: what a host tells of its components' state and load, every few seconds, to whoever looks.
//!
//! Bodies as in `body.rs`; the fields of each struct below, in order. A host with many components says the head again in
//! each of several envelopes of one frame, with other components.

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

/// A host's report. Its sender, with its epoch, is the frame's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How long until the next one at the latest, in milliseconds.
    pub interval_ms: u32,
    /// How long this boot of the host has lived, in milliseconds.
    pub uptime_ms: u64,
    /// Calls that run or wait here for others.
    pub in_flight: u32,
    /// Resident memory of the process, in bytes, where it is known.
    pub memory: Option<u64>,
    /// The life of the store that it sees.
    pub incarnation: Incarnation,
    /// The last write of that store that it has seen.
    pub revision: Revision,
    /// Whether it reaches that store now.
    pub follows_store: bool,
    /// Components that did not fit.
    pub left_out: u32,
    /// The components that it serves or is to serve.
    #[serde(deserialize_with = "bounded::list::<_, _, { Report::MAX_COMPONENTS }>")]
    pub components: Vec<ComponentReport>,
}

/// What a host tells of one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentReport {
    /// The component.
    pub id: ComponentId,
    /// What it is doing.
    #[serde(serialize_with = "write_phase", deserialize_with = "read_phase")]
    pub phase: Phase,
    /// Which generation of it, where it has any.
    pub generation: Option<u64>,
    /// What went wrong last.
    #[serde(deserialize_with = "read_reason")]
    pub reason: Option<String>,
    /// Calls since it came into service.
    pub calls: u64,
    /// How many of them ended in an error, refused ones among them.
    pub errors: u64,
    /// How long they took lately; `None` when there were none.
    pub latency: Option<Latency>,
}

/// How long calls took, in microseconds, from their arrival to their end. At most that, to within a quarter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of them.
    pub p50_us: u32,
    /// 99 of 100.
    pub p99_us: u32,
}

/// Somebody looks: hosts report at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportWanted {}

impl Report {
    /// Most components in one envelope: as many as take no more than 64 KiB in memory, however short they are as bytes.
    pub const MAX_COMPONENTS: usize = 400;
}

impl Body for Report {
    const KIND: Kind = Kind::Report;
    /// An id of one character with its length, a phase, and five fields of one byte.
    const SMALLEST_ELEMENT: usize = 2 + 2 + 5;

    fn check(&self) -> Result<(), EnvelopeError> {
        body::at_most("components", self.components.len(), Self::MAX_COMPONENTS)
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
