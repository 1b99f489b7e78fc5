//! Envelopes.

use super::samples::{
    any_bytes, any_call, beat, bytes, call_errors, component, damage, discovered, logs, process,
    report,
};
use bytes::{Bytes, BytesMut};
use lattice_core::{
    call::{CallError, Ran},
    constellation::{MAX_REASON, Phase},
    name::LinkName,
    store::{Incarnation, Revision},
    wire::{
        Beat, BeatPart, Body, CallEnvelope, ChainMark, Discover, Discovered, EnvelopeError,
        FunctionKey, Goodbye, KeepAlive, Kind, LogLevel, Logs, LogsWanted, MAX_MARKS, Probe,
        ProbeAck, ReplyEnvelope, Report, ReportWanted, Source, TraceContext, Versions, envelope_id,
    },
};
use proptest::prelude::*;
use std::{collections::BTreeMap, fmt::Debug, time::Duration};

const FULL_CALL: &str = "01000000000000008877665544332211d00700000500000000000000060000000000000007000000000000001f00080900000005040466726f6e746261636b6d61696eaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb010a00000000000000020a000000000000000b000000000000000c00000001000000000000000200000000000000ffffffff0102";
const LEAST_CALL: &str = "02000000000000000300000000000000000000000000000000000000000000000000000000000000000000000000000000000200010062";

fn mark(process: u64, turn: u64, entry: u32) -> ChainMark {
    ChainMark {
        process,
        turn,
        entry,
    }
}

fn full_call() -> CallEnvelope {
    CallEnvelope {
        id: 1,
        function: FunctionKey(0x1122_3344_5566_7788),
        deadline_left: Duration::from_secs(2),
        source: Source::Component(component("front")),
        target: component("back"),
        link: LinkName::new("main").expect("a link"),
        incarnation: Incarnation(5),
        link_revision: Revision(6),
        fence: 7,
        hops: 8,
        attempt: 9,
        idempotent: true,
        trace: Some(TraceContext {
            trace_id: [0xaa; 16],
            span_id: [0xbb; 8],
            flags: 1,
        }),
        instance: Some(10),
        marks: vec![mark(0x0a, 0x0b, 0x0c), mark(1, 2, u32::MAX)],
        has_handles: true,
        session: None,
        args: Bytes::from_static(b"\x01\x02"),
    }
}

fn least_call() -> CallEnvelope {
    CallEnvelope {
        id: 2,
        function: FunctionKey(3),
        deadline_left: Duration::ZERO,
        source: Source::Operator,
        target: component("b"),
        link: LinkName::default(),
        incarnation: Incarnation(0),
        link_revision: Revision(0),
        fence: 0,
        hops: 0,
        attempt: 0,
        idempotent: false,
        trace: None,
        instance: None,
        marks: Vec::new(),
        has_handles: false,
        session: None,
        args: Bytes::new(),
    }
}

fn encode_call(call: &CallEnvelope) -> Bytes {
    let mut buf = BytesMut::new();
    call.encode_into(&mut buf);
    buf.freeze()
}

fn encode_reply(id: u64, outcome: Result<Bytes, CallError>) -> Bytes {
    let mut buf = BytesMut::new();
    let session = None;
    ReplyEnvelope {
        id,
        session,
        has_handles: false,
        outcome,
    }
    .encode_into(&mut buf);
    buf.freeze()
}

#[test]
fn golden_calls() {
    for (call, golden) in [(full_call(), FULL_CALL), (least_call(), LEAST_CALL)] {
        assert_eq!(hex::encode(encode_call(&call)), golden);
        assert_eq!(CallEnvelope::decode(bytes(golden)), Ok(call));
    }
}

#[test]
fn golden_replies() {
    let ok = "01000000000000000000002a";
    assert_eq!(hex::encode(encode_reply(1, Ok(bytes("2a")))), ok);
    let passed = "01000000000000000200002a";
    let decoded = ReplyEnvelope::decode(bytes(passed)).expect("a reply");
    assert!(decoded.has_handles);
    let mut again = BytesMut::new();
    decoded.encode_into(&mut again);
    assert_eq!(hex::encode(again), passed);
    let overloaded = CallError::Overloaded {
        component: component("b"),
    };
    let golden = format!(
        "02000000000000000100000099000000{}050162",
        hex::encode(overloaded.to_string())
    );
    assert_eq!(hex::encode(encode_reply(2, Err(overloaded))), golden);
}

#[test]
fn golden_bodies() {
    fn golden<B: Body + PartialEq + Debug>(body: &B, kind: Kind, hex: &str) {
        assert_eq!(hex::encode(body.encode().expect("in bounds")), hex);
        assert_eq!(B::decode(bytes(hex)).as_ref(), Ok(body));
        assert_eq!(B::KIND, kind);
    }
    let digest = "11".repeat(32);
    golden(
        &beat(1),
        Kind::Beat,
        &format!("01e807f403010109ac0201047a6f6e650265750001026b76{digest}ac0201010202"),
    );
    let part = BeatPart {
        part: 2,
        parts: 300,
        unsaid: "why".to_owned(),
        beat: beat(1),
    };
    golden(
        &part,
        Kind::BeatPart,
        &format!(
            "0102ac0203776879e807f403010109ac0201047a6f6e650265750001026b76{digest}ac0201010202"
        ),
    );
    let keep_alive = KeepAlive {
        of_ms: 1000,
        interval_ms: 500,
        incarnation: Incarnation(9),
        revision: Revision(300),
    };
    golden(&keep_alive, Kind::KeepAlive, "01e807f40309ac02");
    golden(&Goodbye { grace_ms: 5000 }, Kind::Goodbye, "018827");
    let question = Discover {
        id: 7,
        component: component("kv"),
    };
    golden(&question, Kind::Discover, "0107026b76");
    let digest = "22".repeat(32);
    golden(
        &discovered(1),
        Kind::Discovered,
        &format!("0107026b760102683103{digest}"),
    );
    let probe = Probe { nonce: u64::MAX };
    golden(&probe, Kind::Probe, "01ffffffffffffffffff01");
    let ack = ProbeAck {
        nonce: 1,
        epoch: 255,
    };
    golden(&ack, Kind::ProbeAck, "0101ff01");
    golden(
        &report(1),
        Kind::Report,
        "018827e0d403030180804009ac02010001026b760504010201026e6f0701010aac0201026b760201e0d4030180804001ac020102686d0105302e312e300180804080808001904e01037765620b6e3a702f6940302e312e300764656661756c74026b76ac0201010aac02",
    );
    golden(&ReportWanted {}, Kind::ReportWanted, "01");
    let wanted = LogsWanted {
        component: Some(component("kv")),
        lease_ms: 5000,
        recent: 9,
    };
    golden(&wanted, Kind::LogsWanted, "0101026b76882709");
    golden(&logs(1), Kind::Logs, "01030107e807026b760302686f");
}

#[test]
fn every_error_has_a_fixed_number_and_round_trips() {
    for (number, error) in call_errors().into_iter().enumerate() {
        let envelope = encode_reply(3, Err(error.clone()));
        let text = error.to_string();
        assert_eq!(usize::from(envelope[16 + text.len()]), number, "{text}");
        let reply = ReplyEnvelope::decode(envelope).expect("a reply");
        assert_eq!((reply.id, reply.outcome), (3, Err(error)));
    }
}

#[test]
fn an_unknown_error_keeps_its_ran_value_and_message() {
    for (mark, ran) in [(0, Ran::No), (1, Ran::Maybe), (2, Ran::Yes)] {
        for fields in ["", "7f", "7f0102", "ffffffff7f", "05", "0501ff", "05016200"] {
            let envelope = format!("0300000000000000010000{mark:02x}040000006e657721{fields}");
            let reply = ReplyEnvelope::decode(bytes(&envelope)).expect("a reply");
            let message = "new!".to_owned();
            assert_eq!(reply.outcome, Err(CallError::Unrecognised { ran, message }));
        }
    }
}

#[test]
fn the_ran_value_sent_by_the_peer_is_used() {
    // `Overloaded` did not run, but the peer sends that this one did.
    let envelope = bytes("030000000000000001000002020000006f6b050162");
    let reply = ReplyEnvelope::decode(envelope).expect("a reply");
    let message = "ok".to_owned();
    let ran = Ran::Yes;
    assert_eq!(reply.outcome, Err(CallError::Unrecognised { ran, message }));
}

#[test]
fn a_damaged_envelope_never_panics_and_a_truncated_one_is_never_another() {
    for whole in [encode_call(&full_call()), encode_call(&least_call())] {
        let args = CallEnvelope::decode(whole.clone()).expect("a call").args;
        damage(&whole, |part| {
            if let Ok(call) = CallEnvelope::decode(part.clone()) {
                // Only arguments can be cut off, since the frame contains the length of the
                // envelope.
                assert!(part.len() + args.len() >= whole.len());
                assert_eq!(call.id, envelope_id(&part).expect("an id"));
            }
        });
    }
    for error in call_errors() {
        damage(&encode_reply(1, Err(error)), |part| {
            let _ = ReplyEnvelope::decode(part);
        });
    }
}

#[test]
fn a_damaged_body_never_panics_and_a_truncated_one_is_rejected() {
    fn check<B: Body + Debug>(body: &B) {
        let whole = body.encode().expect("in bounds");
        damage(&whole, |part| {
            let cut = part.len() < whole.len();
            let decoded = B::decode(part);
            assert!(!cut || decoded.is_err(), "{decoded:?}");
        });
    }
    check(&beat(3));
    check(&discovered(3));
    check(&logs(3));
    check(&Discover {
        id: 300,
        component: component("kv"),
    });
    check(&Goodbye { grace_ms: 300 });
    check(&Probe { nonce: 300 });
    check(&ProbeAck {
        nonce: 1,
        epoch: 300,
    });
}

#[test]
fn bodies_accept_new_fields_at_their_end() {
    let mut grown = beat(2).encode().expect("in bounds").to_vec();
    grown.extend(b"a field of a later version");
    assert_eq!(Beat::decode(grown.into()), Ok(beat(2)));
    let other = Probe::decode(bytes("0201")).expect_err("another version");
    assert!(matches!(other, EnvelopeError::Unknown { number: 2, .. }));
    assert_eq!(Probe::decode(Bytes::new()), Err(EnvelopeError::Truncated));
}

#[test]
fn a_phase_of_a_newer_version_leaves_the_rest_of_a_report_readable() {
    let mut newer = report(1).encode().expect("in bounds").to_vec();
    let phase = newer.len() - 14 - 20 - 15 - 37;
    assert_eq!(newer[phase..phase + 2], [5, 4]);
    newer[phase] = 200;
    let read = Report::decode(newer.into()).expect("a report");
    assert_eq!(read.components[0].phase, Phase::Unknown);
    assert_eq!(read.components[0].calls, 7);
}

#[test]
fn a_long_reason_is_truncated() {
    let mut long = report(1);
    long.components[0].reason = Some("é".repeat(MAX_REASON));
    let read = Report::decode(long.encode().expect("in bounds")).expect("a report");
    let reason = read.components[0].reason.as_deref().expect("a reason");
    assert!(reason.len() <= MAX_REASON && reason.contains('…'));
    let mut long = report(1);
    long.processes[0].last_exit = Some("é".repeat(MAX_REASON));
    let read = Report::decode(long.encode().expect("in bounds")).expect("a report");
    let reason = read.processes[0].last_exit.as_deref().expect("a reason");
    assert!(reason.len() <= MAX_REASON && reason.contains('…'));
}

#[test]
fn a_long_line_is_truncated_and_an_unknown_level_is_an_error() {
    let mut long = logs(1);
    long.lines[0].text = "é".repeat(5_000);
    let read = Logs::decode(long.encode().expect("in bounds")).expect("lines");
    assert_eq!(read.lines[0].text, "é".repeat(1_024));
    let mut newer = logs(1).encode().expect("in bounds").to_vec();
    let level = newer.len() - 4;
    assert_eq!(newer[level], 3);
    newer[level] = 200;
    let read = Logs::decode(newer.into()).expect("lines");
    assert_eq!(read.lines[0].level, LogLevel::Error);
}

#[test]
fn bodies_are_bounded_when_encoding_and_decoding() {
    let most = beat(4096).encode().expect("in bounds");
    assert_eq!(Beat::decode(most), Ok(beat(4096)));
    let too_many = beat(4097).encode().expect_err("too many");
    assert!(matches!(
        too_many,
        EnvelopeError::TooMany { count: 4097, .. }
    ));
    let most = discovered(1024).encode().expect("in bounds");
    assert_eq!(Discovered::decode(most), Ok(discovered(1024)));
    discovered(1025).encode().expect_err("too many");
    let most = report(400).encode().expect("in bounds");
    assert_eq!(Report::decode(most), Ok(report(400)));
    report(401).encode().expect_err("too many");
    let processes = |count| Report {
        processes: vec![process(); count],
        ..report(1)
    };
    let most = processes(100).encode().expect("in bounds");
    assert_eq!(Report::decode(most), Ok(processes(100)));
    processes(101).encode().expect_err("too many");
    let most = logs(400).encode().expect("in bounds");
    assert_eq!(Logs::decode(most), Ok(logs(400)));
    logs(401).encode().expect_err("too many");
    let labels = (0..65).map(|n| (n.to_string(), String::new()));
    let labelled = Beat {
        labels: labels.collect::<BTreeMap<_, _>>(),
        ..beat(0)
    };
    labelled.encode().expect_err("too many");

    // A sender that ignores the bounds sends one more host than allowed.
    let head = "0107026b76";
    let one = format!("02683103{}", "22".repeat(32));
    let flood = format!("{head}8108{}", one.repeat(1025));
    Discovered::decode(bytes(&flood)).expect_err("too many");
    let fits = format!("{head}8008{}", one.repeat(1024));
    assert_eq!(Discovered::decode(bytes(&fits)), Ok(discovered(1024)));
}

/// Returns the error of decoding the full call after `change`.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> EnvelopeError {
    let mut envelope = bytes(FULL_CALL).to_vec();
    change(&mut envelope);
    CallEnvelope::decode(envelope.into()).expect_err("changed")
}

#[test]
fn each_field_of_a_call_is_checked() {
    let unknown = |what, number| EnvelopeError::Unknown { what, number };
    assert_eq!(changed(|e| e.truncate(53)), EnvelopeError::Truncated);
    assert_eq!(changed(|e| e[44] = 0x33), unknown("flags", 0x20));
    assert_eq!(changed(|e| e[45] = 0x80), unknown("flags", 0x8000));
    assert_eq!(changed(|e| e[48] = 2), EnvelopeError::Channels { count: 2 });
    // Its arguments are shorter than an opening.
    assert_eq!(changed(|e| e[48] = 1), EnvelopeError::Truncated);
    assert_eq!(changed(|e| e[50] = 4), unknown("source kind", 4));
    assert_eq!(changed(|e| e[50] = 2), unknown("source kind", 2));
    assert_eq!(changed(|e| e[52] = 255), EnvelopeError::Truncated);
    let name = |error: EnvelopeError| matches!(error, EnvelopeError::BadName(_));
    assert!(name(changed(|e| e[51] = 0)));
    assert!(name(changed(|e| e[52] = 0)));
    assert!(name(changed(|e| e[54] = b'F')));
    assert!(name(changed(|e| e[59] = 0xff)));
    assert!(name(changed(|e| e[63] = b'.')));
    assert_eq!(changed(|e| e.truncate(67 + 24)), EnvelopeError::Truncated);
    // The number of marks.
    assert_eq!(changed(|e| e[100] = 0), EnvelopeError::Contradiction);
    let too_many = EnvelopeError::TooMany {
        what: "marks",
        count: MAX_MARKS + 1,
        limit: MAX_MARKS,
    };
    assert_eq!(changed(|e| e[100] = 33), too_many);
    for length in [100, 101, 140] {
        assert_eq!(changed(|e| e.truncate(length)), EnvelopeError::Truncated);
    }
}

#[test]
fn of_too_many_marks_the_latest_are_sent() {
    let marks = |turns: std::ops::Range<u64>| turns.map(|turn| mark(turn, turn, 0)).collect();
    let call = CallEnvelope {
        marks: marks(0..40),
        ..least_call()
    };
    let decoded = CallEnvelope::decode(encode_call(&call)).expect("a call");
    let latest: Vec<ChainMark> = marks(8..40);
    assert_eq!((decoded.marks.len(), decoded.marks), (MAX_MARKS, latest));
}

#[test]
fn each_field_of_a_reply_is_checked() {
    let refused = |hex: &str| ReplyEnvelope::decode(bytes(hex)).expect_err("malformed");
    let unknown = |what, number| EnvelopeError::Unknown { what, number };
    assert_eq!(refused("01000000000000000000"), EnvelopeError::Truncated);
    assert_eq!(refused("0100000000000000030000"), unknown("status", 3));
    let channels = EnvelopeError::Channels { count: 0x0102 };
    assert_eq!(refused("0100000000000000000201"), channels);
    assert_eq!(refused("0100000000000000010000"), EnvelopeError::Truncated);
    let ran = unknown("outcome", 3);
    assert_eq!(refused("01000000000000000100000300000000"), ran);
    let long = "010000000000000001000000ffffffff61";
    assert_eq!(refused(long), EnvelopeError::Truncated);
    let text = "01000000000000000100000002000000fffe";
    assert!(matches!(refused(text), EnvelopeError::Body(_)));
}

#[test]
fn deadlines_are_whole_milliseconds_and_saturate() {
    let through = |left| {
        let call = CallEnvelope {
            deadline_left: left,
            ..least_call()
        };
        let decoded = CallEnvelope::decode(encode_call(&call)).expect("a call");
        decoded.deadline_left
    };
    assert_eq!(
        through(Duration::from_micros(1999)),
        Duration::from_millis(1)
    );
    assert_eq!(through(Duration::from_micros(999)), Duration::ZERO);
    let most = Duration::from_millis(u32::MAX.into());
    assert_eq!(through(most), most);
    assert_eq!(through(Duration::MAX), most);
}

#[test]
fn version_ranges_select_a_common_version() {
    let versions = |min, max| Versions { min, max };
    assert_eq!(Versions::OURS.common(Versions::OURS), Some(1));
    assert_eq!(versions(1, 3).common(versions(2, 5)), Some(3));
    assert_eq!(versions(1, 2).common(versions(3, 5)), None);
    assert_eq!(versions(4, 5).common(versions(1, 3)), None);
}

proptest! {
    #[test]
    fn calls_round_trip(call in any_call()) {
        let envelope = encode_call(&call);
        prop_assert_eq!(envelope_id(&envelope), Some(call.id));
        let range = envelope.as_ptr_range();
        let decoded = CallEnvelope::decode(envelope).expect("a call");
        let shared = decoded.args.is_empty() || range.contains(&decoded.args.as_ptr());
        prop_assert!(shared, "arguments are not copied");
        prop_assert_eq!(decoded, call);
    }

    #[test]
    fn results_round_trip(id in any::<u64>(), result in any_bytes()) {
        let reply = ReplyEnvelope::decode(encode_reply(id, Ok(result.clone()))).expect("a reply");
        prop_assert_eq!((reply.id, reply.outcome), (id, Ok(result)));
    }

    #[test]
    fn any_bytes_are_decoded_or_rejected(envelope in any_bytes()) {
        let _ = CallEnvelope::decode(envelope.clone());
        let _ = ReplyEnvelope::decode(envelope.clone());
        let _ = Beat::decode(envelope.clone());
        let _ = BeatPart::decode(envelope.clone());
        let _ = Goodbye::decode(envelope.clone());
        let _ = KeepAlive::decode(envelope.clone());
        let _ = Discover::decode(envelope.clone());
        let _ = Discovered::decode(envelope.clone());
        let _ = Probe::decode(envelope.clone());
        let _ = ProbeAck::decode(envelope.clone());
        let _ = Report::decode(envelope.clone());
        let _ = ReportWanted::decode(envelope.clone());
        let _ = Logs::decode(envelope.clone());
        let _ = LogsWanted::decode(envelope.clone());
        prop_assert_eq!(envelope_id(&envelope).is_some(), envelope.len() >= 8);
    }
}
