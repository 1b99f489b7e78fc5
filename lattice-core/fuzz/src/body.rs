//! The bodies of frames that are not calls, replies or sessions.

use crate::allocation::bounded;
use bytes::Bytes;
use lattice_core::wire::{
    Beat, BeatPart, Body, Discover, Discovered, Goodbye, KeepAlive, Kind, Logs, LogsWanted, Probe,
    ProbeAck, Report, ReportWanted,
};
use std::fmt::Debug;

/// Decodes any bytes as a body. The first byte selects the kind.
pub fn body(input: &[u8]) {
    const KINDS: [Kind; 12] = [
        Kind::Beat,
        Kind::Goodbye,
        Kind::Discover,
        Kind::Discovered,
        Kind::Probe,
        Kind::ProbeAck,
        Kind::Report,
        Kind::ReportWanted,
        Kind::KeepAlive,
        Kind::LogsWanted,
        Kind::Logs,
        Kind::BeatPart,
    ];
    if let Some((first, rest)) = input.split_first() {
        of_kind(KINDS[usize::from(*first) % KINDS.len()], rest);
    }
}

pub(crate) fn of_kind(kind: Kind, envelope: &[u8]) {
    match kind {
        Kind::Beat => decoded::<Beat>(envelope),
        Kind::BeatPart => decoded::<BeatPart>(envelope),
        Kind::Goodbye => decoded::<Goodbye>(envelope),
        Kind::KeepAlive => decoded::<KeepAlive>(envelope),
        Kind::Discover => decoded::<Discover>(envelope),
        Kind::Discovered => decoded::<Discovered>(envelope),
        Kind::Probe => decoded::<Probe>(envelope),
        Kind::ProbeAck => decoded::<ProbeAck>(envelope),
        Kind::Report => decoded::<Report>(envelope),
        Kind::ReportWanted => decoded::<ReportWanted>(envelope),
        Kind::LogsWanted => decoded::<LogsWanted>(envelope),
        Kind::Logs => decoded::<Logs>(envelope),
        other => panic!("a frame of the reserved kind {other} was opened"),
    }
}

fn decoded<B: Body + PartialEq + Debug>(envelope: &[u8]) {
    let envelope = Bytes::copy_from_slice(envelope);
    let length = envelope.len();
    let Ok(body) = bounded(length, || B::decode(envelope)) else {
        return;
    };
    let again = body.encode().expect("what was read is within its bounds");
    assert_eq!(B::decode(again), Ok(body));
}
