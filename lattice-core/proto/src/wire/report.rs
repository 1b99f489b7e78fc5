//! Reports: the state and load of a host's components, sent every few seconds to those who watch.
//!
//! Bodies as in `body.rs`, with the fields of each struct below, in order. A host with many
//! components or links sends several envelopes in one frame: each repeats the head, with other
//! components and links.

use super::{
    EnvelopeError, Kind,
    body::{self, Body},
    status::{Phase, cut},
};
use crate::{
    id::{Incarnation, Revision},
    name::{ComponentId, InterfaceName, LinkName},
    value::{self, ValueError, bounded},
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
    /// The program of the host. Older hosts don't send it, so it is read apart from the rest.
    #[serde(skip_deserializing)]
    pub program: Program,
    /// The recent calls over links to its components. They are read apart from the rest, too.
    #[serde(skip_deserializing)]
    pub recent: RecentCalls,
}

/// What is reported of the program of a host. Without anything in reports of older hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The release of Lattice, at most [`Program::MAX_RELEASE`] bytes; `None` if not known.
    #[serde(deserialize_with = "read_release")]
    pub release: Option<String>,
    /// The memory of its guests, if it runs some.
    pub guest_memory: Option<MemoryUse>,
}

/// Memory in use, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUse {
    /// What is used.
    pub used: u64,
    /// What may be used.
    pub limit: u64,
}

/// The recent calls over links that lead to components of a host. Without any in reports of older
/// hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentCalls {
    /// The time up to the report in which they were made, in milliseconds.
    pub over_ms: u32,
    /// The links over which calls came in that time, those with most calls first. Less busy ones
    /// that don't fit are left out.
    #[serde(deserialize_with = "bounded::list::<_, _, { Report::MAX_LINKS }>")]
    pub links: Vec<LinkCalls>,
}

/// The recent calls over one link, as the host of its target has served them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkCalls {
    /// The component that calls.
    pub source: ComponentId,
    /// The interface of the link, with its full version.
    pub interface: InterfaceName,
    /// The name of the link.
    pub name: LinkName,
    /// The component that was called. The link may lead to another one since.
    pub target: ComponentId,
    /// Calls that began, or were refused.
    pub calls: u64,
    /// Calls that ended in an error, including refused ones.
    pub errors: u64,
    /// How long calls took; `None` if none has ended that was timed.
    pub latency: Option<Latency>,
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
    /// Most components in one envelope. So many, with their processes and links, take at most
    /// 64 KiB in memory beyond twice their bytes, however short these are.
    pub const MAX_COMPONENTS: usize = 400;
    /// Most processes in one envelope. Those of further components aren't reported.
    pub const MAX_PROCESSES: usize = 100;
    /// Most links in one envelope. A host with more busy links sends more envelopes.
    pub const MAX_LINKS: usize = 64;
}

impl LinkCalls {
    /// Fewest bytes: an interface with three labels of one character, three names of one, and three
    /// fields of one byte.
    const SMALLEST: usize = 6 + 3 * 2 + 3;
}

impl Program {
    /// Most bytes of the name of a release. The rest of a longer one is cut off.
    pub const MAX_RELEASE: usize = 32;
}

impl Body for Report {
    const KIND: Kind = Kind::Report;
    /// A process: an id of one character with its length, and five fields of one byte. A component
    /// has more.
    const SMALLEST_ELEMENT: usize = 2 + 5;

    fn check(&self) -> Result<(), EnvelopeError> {
        body::at_most("components", self.components.len(), Self::MAX_COMPONENTS)?;
        body::at_most("processes", self.processes.len(), Self::MAX_PROCESSES)?;
        body::at_most("links", self.recent.links.len(), Self::MAX_LINKS)
    }

    fn read(fields: &[u8]) -> Result<Self, ValueError> {
        let (mut report, rest) = value::read_front::<Self>(fields, Self::SMALLEST_ELEMENT)?;
        if rest.is_empty() {
            return Ok(report);
        }
        let (program, rest) = value::read_front(rest, 1)?;
        report.program = program;
        if !rest.is_empty() {
            report.recent = value::read_prefix(rest, LinkCalls::SMALLEST)?;
        }
        Ok(report)
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

fn read_release<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let release = Option::<String>::deserialize(from)?;
    Ok(release.map(|mut release| {
        release.truncate(release.floor_char_boundary(Program::MAX_RELEASE));
        release
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(program: Program) -> Report {
        Report {
            interval_ms: 5_000,
            uptime_ms: 60_000,
            in_flight: 3,
            memory: None,
            incarnation: Incarnation(9),
            revision: Revision(300),
            follows_store: true,
            left_out: 0,
            components: Vec::new(),
            processes: Vec::new(),
            program,
            recent: RecentCalls::default(),
        }
    }

    fn called(calls: u64) -> LinkCalls {
        LinkCalls {
            source: ComponentId::new("web").expect("an id"),
            interface: InterfaceName::new("n:p/i@0.1.0").expect("a name"),
            name: LinkName::default(),
            target: ComponentId::new("kv").expect("an id"),
            calls,
            errors: 1,
            latency: None,
        }
    }

    fn recent(links: usize) -> RecentCalls {
        RecentCalls {
            over_ms: 10_000,
            links: vec![called(300); links],
        }
    }

    fn program(release: &str) -> Program {
        Program {
            release: Some(release.to_owned()),
            guest_memory: Some(MemoryUse {
                used: 1 << 20,
                limit: 1 << 21,
            }),
        }
    }

    #[test]
    fn a_report_of_an_older_host_has_less_and_one_that_is_cut_is_refused() {
        let whole = Report {
            recent: recent(1),
            ..report(program("0.1.0"))
        };
        let bytes = whole.encode().expect("in bounds");
        // Without the recent calls, of which there are none there, in two bytes.
        let before_calls = report(program("0.1.0")).encode().expect("in bounds").len() - 2;
        // Without its program, which is two absent options there.
        let before_program = report(Program::default())
            .encode()
            .expect("in bounds")
            .len()
            - 2
            - 2;
        for length in 0..bytes.len() {
            let read = Report::decode(bytes.slice(..length));
            if length == before_program {
                assert_eq!(read, Ok(report(Program::default())));
            } else if length == before_calls {
                assert_eq!(read, Ok(report(program("0.1.0"))));
            } else {
                assert!(read.is_err(), "{length}: {read:?}");
            }
        }
        assert_eq!(Report::decode(bytes), Ok(whole));
    }

    #[test]
    fn a_report_of_a_newer_host_may_have_more_at_its_end() {
        let known = Report {
            recent: recent(2),
            ..report(program("0.2.0"))
        };
        let newer = known.encode().expect("in bounds");
        let newer = [&newer[..], b"a field of a later version"].concat();
        assert_eq!(Report::decode(newer.into()), Ok(known));
    }

    #[test]
    fn a_report_has_a_bounded_number_of_links_with_valid_names() {
        let with = |links| Report {
            recent: recent(links),
            ..report(program("0.1.0"))
        };
        let most = with(Report::MAX_LINKS).encode().expect("in bounds");
        assert_eq!(Report::decode(most.clone()), Ok(with(Report::MAX_LINKS)));
        let refused = with(Report::MAX_LINKS + 1).encode();
        assert!(
            matches!(refused, Err(EnvelopeError::TooMany { what: "links", .. })),
            "{refused:?}"
        );
        // A sender that ignores the bound.
        let count = most.len()
            - value::to_bytes(&recent(Report::MAX_LINKS).links)
                .expect("encodes")
                .len();
        let mut more = most.to_vec();
        assert_eq!(usize::from(more[count]), Report::MAX_LINKS);
        more[count] += 1;
        more.extend(value::to_bytes(&called(300)).expect("encodes"));
        assert!(Report::decode(more.into()).is_err(), "too many");
        let mut wrong = with(1).encode().expect("in bounds").to_vec();
        let source = wrong.windows(3).rposition(|text| text == b"web");
        wrong[source.expect("its name")] = b'-';
        assert!(Report::decode(wrong.into()).is_err(), "not a name");
    }

    #[test]
    fn a_long_release_is_cut() {
        let long = report(program(&"é".repeat(40)));
        let read = Report::decode(long.encode().expect("in bounds")).expect("a report");
        let release = read.program.release.expect("it has one");
        assert_eq!(release, "é".repeat(Program::MAX_RELEASE / 2));
    }
}
