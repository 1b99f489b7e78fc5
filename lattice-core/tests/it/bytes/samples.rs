//! Sample values and generators of values.

use bytes::Bytes;
use lattice_core::{
    auth::{Auth, LatticeKey},
    call::{CallError, Limit, Part, Ran},
    constellation::Phase,
    name::{ComponentId, HostId, InterfaceName, LatticeName, LinkName, WormholeId},
    store::{Incarnation, Revision},
    types::Digest,
    wire::{
        Beat, CallEnvelope, ChainMark, ComponentReport, Discovered, Duty, FunctionKey, Latency,
        LinkCalls, LogLevel, LogLine, Logs, MemoryUse, Origin, ProcessReport, Program, RecentCalls,
        ReplicaCount, Report, Served, Source, TraceContext, Versions,
    },
};
use proptest::prelude::*;
use std::{collections::BTreeMap, time::Duration};

pub(crate) fn auth(lattice: &str, key: u8) -> Auth {
    let key = LatticeKey::from_hex(&format!("{key:02x}").repeat(32)).expect("a key");
    Auth::keyed(&LatticeName::new(lattice).expect("a name"), &key)
}

pub(crate) fn host(id: &str) -> HostId {
    HostId::new(id).expect("a host")
}

pub(crate) fn component(id: &str) -> ComponentId {
    ComponentId::new(id).expect("a component")
}

pub(crate) fn origin(id: &str, epoch: u64) -> Origin {
    Origin::new(host(id), epoch)
}

pub(crate) fn bytes(hex: &str) -> Bytes {
    hex::decode(hex).expect("hex").into()
}

/// Every variant of [`CallError`] in the order of declaration, with its number on the wire.
pub(crate) fn call_errors() -> Vec<CallError> {
    let text = || "because".to_owned();
    let link = || LinkName::new("main").expect("a link");
    vec![
        CallError::NotLinked {
            source_id: component("a"),
            interface: "n:p/i@1".to_owned(),
            link: link(),
        },
        CallError::LinkRejected {
            source_id: component("a"),
            link: link(),
            reason: text(),
        },
        CallError::NotServed {
            component: component("b"),
        },
        CallError::NotExported {
            component: component("b"),
            interface: "n:p/i@1".to_owned(),
            function: "f".to_owned(),
        },
        CallError::SchemaMismatch {
            component: component("b"),
            interface: "n:p/i@1".to_owned(),
            function: "f".to_owned(),
            expected: "func()".to_owned(),
            found: "func() -> u8".to_owned(),
        },
        CallError::Overloaded {
            component: component("b"),
        },
        CallError::TooLarge {
            what: Part::Arguments,
            limit: 1 << 20,
        },
        CallError::LinkTableBehind,
        CallError::DeadlineExceeded { ran: Ran::Maybe },
        CallError::TooManyHops { limit: 32 },
        CallError::BadArguments { reason: text() },
        CallError::BadResult { reason: text() },
        CallError::CalleeFailed { reason: text() },
        CallError::InstanceLost { reason: text() },
        CallError::HostLost { host: host("h1") },
        CallError::HostGone { host: host("h1") },
        CallError::Stopping {
            component: component("b"),
        },
        CallError::Disconnected { ran: Ran::No },
        CallError::OperatorDenied,
        CallError::StoreUnavailable { reason: text() },
        CallError::InvalidName(ComponentId::new("A").expect_err("upper case")),
        CallError::Unrecognised {
            ran: Ran::Yes,
            message: text(),
        },
        CallError::LimitExceeded {
            limit: Limit::Cpu(Duration::from_millis(1_500)),
            reason: text(),
        },
        CallError::StaleHandle {
            resource: "n:p/i/r".to_owned(),
            reason: text(),
            is_lost: true,
        },
        CallError::TooManySessions {
            component: component("a"),
            limit: 1_024,
        },
        CallError::WormholeClosed {
            wormhole: WormholeId::new("web").expect("an id"),
            reason: text(),
        },
    ]
}

pub(crate) fn beat(components: usize) -> Beat {
    Beat {
        sent_ms: 1000,
        interval_ms: 500,
        versions: Versions::OURS,
        incarnation: Incarnation(9),
        revision: Revision(300),
        labels: BTreeMap::from([("zone".to_owned(), "eu".to_owned())]),
        duty: Duty::Works,
        components: vec![
            Served {
                id: component("kv"),
                digest: Digest([0x11; 32]),
                fence: 300,
                replica_counts: vec![ReplicaCount {
                    generation: 1,
                    serving: 2,
                    kept: 2,
                }],
            };
            components
        ],
    }
}

pub(crate) fn discovered(hosts: usize) -> Discovered {
    Discovered {
        id: 7,
        component: component("kv"),
        hosts: vec![(origin("h1", 3), Digest([0x22; 32])); hosts],
    }
}

pub(crate) fn report(components: usize) -> Report {
    Report {
        interval_ms: 5_000,
        uptime_ms: 60_000,
        in_flight: 3,
        memory: Some(1 << 20),
        incarnation: Incarnation(9),
        revision: Revision(300),
        follows_store: true,
        left_out: 0,
        components: vec![
            ComponentReport {
                id: component("kv"),
                phase: Phase::CrashLooping { failures: 4 },
                generation: Some(2),
                reason: Some("no".to_owned()),
                calls: 7,
                errors: 1,
                latency: Some(Latency {
                    p50_us: 10,
                    p99_us: 300,
                }),
            };
            components
        ],
        processes: vec![process(); components.min(1)],
        program: Program {
            release: Some("0.1.0".to_owned()),
            guest_memory: Some(MemoryUse {
                used: 1 << 20,
                limit: 1 << 21,
            }),
        },
        recent: RecentCalls {
            over_ms: 10_000,
            links: vec![link_calls(); components.min(1)],
        },
    }
}

fn link_calls() -> LinkCalls {
    LinkCalls {
        source: component("web"),
        interface: InterfaceName::new("n:p/i@0.1.0").expect("an interface"),
        name: LinkName::default(),
        target: component("kv"),
        calls: 300,
        errors: 1,
        latency: Some(Latency {
            p50_us: 10,
            p99_us: 300,
        }),
    }
}

pub(crate) fn process() -> ProcessReport {
    ProcessReport {
        component: component("kv"),
        restarts: 2,
        uptime_ms: Some(60_000),
        memory: Some(1 << 20),
        cpu_ms: Some(300),
        last_exit: Some("hm".to_owned()),
    }
}

pub(crate) fn logs(lines: usize) -> Logs {
    Logs {
        dropped: 3,
        lines: vec![
            LogLine {
                number: 7,
                said_ms: 1_000,
                component: component("kv"),
                level: LogLevel::Warn,
                text: "ho".to_owned(),
            };
            lines
        ],
    }
}

const LABEL: &str = "[a-z0-9][a-z0-9-]{0,62}";

pub(crate) fn any_origin() -> impl Strategy<Value = Origin> {
    (LABEL, any::<u64>()).prop_map(|(id, epoch)| origin(&id, epoch))
}

pub(crate) fn any_bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

pub(crate) fn any_source() -> impl Strategy<Value = Source> {
    prop_oneof![
        LABEL.prop_map(|id| Source::Component(component(&id))),
        LABEL.prop_map(|id| Source::Wormhole(WormholeId::new(&id).expect("a wormhole"))),
        Just(Source::Operator),
        LABEL.prop_map(|id| Source::Host(host(&id))),
    ]
}

pub(crate) fn any_trace() -> impl Strategy<Value = Option<TraceContext>> {
    prop::option::of(
        any::<([u8; 16], [u8; 8], u8)>().prop_map(|(trace_id, span_id, flags)| TraceContext {
            trace_id,
            span_id,
            flags,
        }),
    )
}

pub(crate) fn any_call() -> impl Strategy<Value = CallEnvelope> {
    let link = prop_oneof![Just("default".to_owned()), LABEL];
    let numbers = any::<(u64, u64, u32, u64, u64, u64, u8, u8, bool)>();
    (numbers, any_source(), LABEL, link, any_trace(), any_bytes()).prop_map(
        |(n, source, target, link, trace, args)| CallEnvelope {
            id: n.0,
            function: FunctionKey(n.1),
            deadline_left: Duration::from_millis(n.2.into()),
            source,
            target: component(&target),
            link: LinkName::new(&link).expect("a link"),
            incarnation: Incarnation(n.3),
            link_revision: Revision(n.4),
            fence: n.5,
            hops: n.6,
            attempt: n.7,
            idempotent: n.8,
            trace,
            instance: (n.0 % 3 == 0).then_some(n.0),
            marks: (0..n.5 % 4)
                .map(|number| ChainMark {
                    process: n.1.wrapping_add(number),
                    turn: n.3,
                    entry: n.2,
                })
                .collect(),
            has_handles: n.0 % 2 == 0,
            session: None,
            args,
        },
    )
}

/// Calls `check` with every truncation of `whole`, and with each bit of it flipped.
pub(crate) fn damage(whole: &Bytes, mut check: impl FnMut(Bytes)) {
    for length in 0..whole.len() {
        check(whole.slice(..length));
    }
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        check(damaged.into());
    }
}
