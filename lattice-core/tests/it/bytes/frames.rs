//! Frames.

use super::samples::{any_bytes, any_origin, auth, bytes, damage, origin};
use bytes::{BufMut, Bytes};
use lattice_core::{
    auth::Auth,
    wire::{Frame, FrameError, FrameWriter, Kind, Lane, Origin, Probe},
};
use proptest::prelude::*;

const KEYED: &str = "4c54430101220100020100000000000003000000000000000400000000000000020202006831683202000000616200000000960f78f64cf2aa5c7051a8ef4ad339f4";
const OPEN: &str = "4c5443010000050101000000000000000300000000000000000000000000000002000100683101000000ff00000000000000000000000000000000";

fn frame(
    auth: &Auth,
    target: Option<Origin>,
    (kind, lane, sequence): (Kind, Lane, u64),
    envelopes: &[&[u8]],
) -> Bytes {
    let mut writer = FrameWriter::new(origin("h1", 3), target, kind, lane);
    for envelope in envelopes {
        writer.push(|buf| buf.put_slice(envelope)).expect("room");
    }
    writer.seal(auth, sequence)
}

fn keyed() -> Bytes {
    let head = (Kind::Call, Lane::Small, 0x0102);
    frame(&auth("prod", 7), Some(origin("h2", 4)), head, &[b"ab", b""])
}

#[test]
fn golden_frames() {
    assert_eq!(hex::encode(keyed()), KEYED);
    let head = (Kind::Beat, Lane::Bulk, 1);
    let open = frame(&Auth::trusting(), None, head, &[b"\xff"]);
    assert_eq!(hex::encode(open), OPEN);
}

#[test]
fn golden_frames_open() {
    let frame = Frame::open(&auth("prod", 7), bytes(KEYED)).expect("a frame");
    assert_eq!((frame.kind(), frame.lane()), (Kind::Call, Lane::Small));
    assert_eq!(frame.sequence(), 0x0102);
    assert_eq!(frame.sender(), &origin("h1", 3));
    assert_eq!(frame.target(), Some(&origin("h2", 4)));
    assert_eq!(frame.envelopes().len(), 2);
    assert_eq!(frame.envelopes().collect::<Vec<_>>(), ["ab", ""]);
    assert!(frame.is_for(&origin("h2", 4)));
    assert!(!frame.is_for(&origin("h2", 5)) && !frame.is_for(&origin("h1", 4)));

    let everyone = Frame::open(&Auth::trusting(), bytes(OPEN)).expect("a frame");
    assert_eq!((everyone.kind(), everyone.lane()), (Kind::Beat, Lane::Bulk));
    assert!(everyone.target().is_none() && everyone.is_for(&origin("any", 1)));
}

#[test]
fn envelopes_share_the_memory_of_their_message() {
    let message = bytes(KEYED);
    let range = message.as_ptr_range();
    let frame = Frame::open(&auth("prod", 7), message.clone()).expect("a frame");
    let envelope = frame.envelopes().next().expect("an envelope");
    assert!(range.contains(&envelope.as_ptr()));
}

#[test]
fn a_damaged_frame_never_opens() {
    damage(&keyed(), |message| {
        let error = Frame::open(&auth("prod", 7), message).expect_err("damaged");
        assert!(!error.to_string().is_empty());
    });
    // Without a key flipped bits may result in another valid frame, but never in a panic or a hang.
    damage(&bytes(OPEN), |message| {
        if let Ok(frame) = Frame::open(&Auth::trusting(), message) {
            assert_eq!(frame.envelopes().count(), frame.envelopes().len());
        }
    });
}

#[test]
fn every_truncation_is_an_error_without_a_key() {
    for length in 0..bytes(OPEN).len() {
        let cut = Frame::open(&Auth::trusting(), bytes(OPEN).slice(..length));
        assert!(cut.is_err(), "{length}");
    }
}

#[test]
fn a_forged_frame_is_rejected_with_the_reason() {
    let ours = auth("prod", 7);
    let from = |auth: &Auth| frame(auth, None, (Kind::Call, Lane::Small, 1), &[b"x"]);
    let refused = |by: &Auth, message| Frame::open(by, message).expect_err("forged");

    let other_key = refused(&ours, from(&auth("prod", 8)));
    assert!(matches!(other_key, FrameError::OtherKey { ours: 0x22, .. }));
    let other_lattice = refused(&ours, from(&auth("test", 7)));
    assert_eq!(other_lattice, FrameError::BadTag);
    let no_key = refused(&ours, from(&Auth::trusting()));
    assert_eq!(no_key, FrameError::Unauthenticated);
    let needs_key = refused(&Auth::trusting(), from(&ours));
    assert_eq!(needs_key, FrameError::KeyNeeded);

    // An attacker knows the key id, but not the key.
    let mut claimed = from(&auth("prod", 8)).to_vec();
    claimed[5] = 0x22;
    assert_eq!(refused(&ours, claimed.into()), FrameError::BadTag);
}

/// Returns the bytes of a frame without a key, after `change`.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> FrameError {
    let mut message = bytes(OPEN).to_vec();
    change(&mut message);
    Frame::open(&Auth::trusting(), message.into()).expect_err("changed")
}

#[test]
fn each_field_is_checked() {
    assert_eq!(changed(|m| m[0] = b'X'), FrameError::NotAFrame);
    assert_eq!(changed(|m| m.truncate(51)), FrameError::Truncated);
    let version = FrameError::UnsupportedVersion { version: 2 };
    assert_eq!(changed(|m| m[3] = 2), version);
    let suite = FrameError::UnsupportedSuite { suite: 2 };
    assert_eq!(changed(|m| m[4] = 2), suite);
    let key = FrameError::OtherKey { found: 1, ours: 0 };
    assert_eq!(changed(|m| m[5] = 1), key);
    let lane = FrameError::UnsupportedLane { lane: 2 };
    assert_eq!(changed(|m| m[7] = 2), lane);
    assert_eq!(changed(|m| m[24] = 1), FrameError::Malformed);
    assert_eq!(changed(|m| m[32] = 200), FrameError::Truncated);
    assert!(matches!(changed(|m| m[36] = b'H'), FrameError::BadHost(_)));
    assert_eq!(changed(|m| m[34] = 0), FrameError::Malformed);
    assert_eq!(changed(|m| m[34] = 2), FrameError::Truncated);
    assert_eq!(changed(|m| m[38] = 0), FrameError::Malformed);
    assert_eq!(changed(|m| m[38] = 2), FrameError::Truncated);
    assert_eq!(changed(|m| m[41] = 0xff), FrameError::Truncated);
    let last = bytes(OPEN).len() - 1;
    assert_eq!(changed(|m| m[last] = 1), FrameError::BadTag);
}

#[test]
fn unknown_kinds_are_reported() {
    for number in 0..=u8::MAX {
        let mut message = bytes(OPEN).to_vec();
        message[6] = number;
        let opened = Frame::open(&Auth::trusting(), message.into());
        match Kind::from_number(number) {
            Some(kind) => {
                assert_eq!(opened.expect("a frame").kind(), kind);
                assert_eq!(kind as u8, number);
            }
            _ => assert_eq!(
                opened.expect_err("no kind"),
                FrameError::UnsupportedKind { kind: number }
            ),
        }
    }
    let numbers: Vec<u8> = Kind::ALL.iter().map(|kind| *kind as u8).collect();
    assert_eq!(hex::encode(numbers), "0102030405060708090b0c0d0e0f2024");
}

#[test]
fn a_writer_counts_and_is_bounded() {
    let target = Some(origin("h2", 4));
    let mut writer = FrameWriter::new(origin("h1", 3), target, Kind::Call, Lane::Small);
    assert!(writer.is_empty());
    let empty = writer.len();
    writer.push(|buf| buf.put_slice(b"abc")).expect("room");
    assert_eq!((writer.count(), writer.len()), (1, empty + 7));
    for _ in 1..u16::MAX {
        writer.push(|_| {}).expect("room");
    }
    let full = writer.len();
    writer.push(|buf| buf.put_u8(1)).expect_err("full");
    assert_eq!((writer.count(), writer.len()), (u16::MAX, full));
    let message = writer.seal(&Auth::trusting(), 1);
    assert_eq!(message.len(), full);
    let frame = Frame::open(&Auth::trusting(), message).expect("a frame");
    assert_eq!(frame.envelopes().count(), usize::from(u16::MAX));
}

#[test]
fn an_envelope_that_shortens_the_buffer_is_undone() {
    let mut writer = FrameWriter::new(origin("h1", 3), None, Kind::Call, Lane::Small);
    writer.push(bytes::BytesMut::clear).expect_err("eaten");
    assert!(writer.is_empty());
    writer.push(|buf| buf.put_slice(b"x")).expect("room");
    let message = writer.seal(&Auth::trusting(), 1);
    let frame = Frame::open(&Auth::trusting(), message).expect("a frame");
    assert_eq!(frame.envelopes().collect::<Vec<_>>(), ["x"]);
}

#[test]
fn a_message_with_one_body_round_trips() {
    let auth = auth("prod", 7);
    let probe = Probe { nonce: 9 };
    let target = Some(origin("h2", 4));
    let message = FrameWriter::message(&auth, origin("h1", 3), target, 5, &probe).expect("small");
    let frame = Frame::open(&auth, message).expect("a frame");
    assert_eq!((frame.kind(), frame.sequence()), (Kind::Probe, 5));
}

proptest! {
    #[test]
    fn frames_round_trip(
        sender in any_origin(),
        target in prop::option::of(any_origin()),
        sequence in any::<u64>(),
        lane in prop::sample::select(&Lane::ALL),
        envelopes in prop::collection::vec(any_bytes(), 1..20),
    ) {
        let auth = auth("prod", 7);
        let mut writer = FrameWriter::new(sender.clone(), target.clone(), Kind::Reply, lane);
        for envelope in &envelopes {
            writer.push(|buf| buf.put_slice(envelope)).expect("room");
        }
        let frame = Frame::open(&auth, writer.seal(&auth, sequence)).expect("a frame");
        prop_assert_eq!((frame.kind(), frame.lane(), frame.sequence()), (Kind::Reply, lane, sequence));
        prop_assert_eq!(frame.sender(), &sender);
        prop_assert_eq!(frame.target(), target.as_ref());
        prop_assert_eq!(frame.envelopes().collect::<Vec<_>>(), envelopes);
    }

    #[test]
    fn any_bytes_after_a_header_are_decoded_or_rejected(
        head in prop::sample::select(&[0_usize, 3, 6, 36, 38][..]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut message = bytes(OPEN)[..head].to_vec();
        message.extend(rest);
        message.extend([0; 16]);
        if let Ok(frame) = Frame::open(&Auth::trusting(), message.clone().into()) {
            prop_assert!(frame.envelopes().count() > 0);
        }
        prop_assert!(Frame::open(&auth("prod", 7), message.into()).is_err());
    }
}
