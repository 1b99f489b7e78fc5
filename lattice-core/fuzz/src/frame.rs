//! Frames, with the envelopes in them.

use crate::{allocation::bounded, body, envelope, session};
use bytes::{BufMut, Bytes};
use lattice_core::{
    auth::{Auth, LatticeKey, Purpose},
    name::LatticeName,
    wire::{Frame, FrameWriter, Kind},
};
use std::sync::LazyLock;

static KEYED: LazyLock<Auth> = LazyLock::new(|| {
    let key = LatticeKey::from_hex(&"07".repeat(32)).expect("a key");
    Auth::keyed(&LatticeName::new("prod").expect("a name"), &key)
});

/// Opens any bytes as a message from the bus.
pub fn frame(input: &[u8]) {
    opened(&Auth::trusting(), Bytes::copy_from_slice(input));
    let message = tagged(&Auth::trusting(), input);
    opened(&Auth::trusting(), message);
    let message = tagged(&KEYED, input);
    opened(&KEYED, message.clone());
    // Without the key the frame never opens.
    assert!(Frame::open(&Auth::trusting(), message).is_err());
}

/// Returns the input with a valid tag, as only a holder of the key can make it, so that it gets
/// past the check.
fn tagged(auth: &Auth, input: &[u8]) -> Bytes {
    let mut message = input.to_vec();
    if let Some(suite) = message.get_mut(4..6) {
        suite.copy_from_slice(&[auth.suite(), auth.key_id()]);
    }
    let tag = auth.tag(Purpose::Frame, &[&message]);
    message.extend(tag);
    message.into()
}

fn opened(auth: &Auth, message: Bytes) {
    let Ok(frame) = bounded(message.len(), || Frame::open(auth, message.clone())) else {
        return;
    };
    let (sender, target) = (frame.sender().clone(), frame.target().cloned());
    let mut again = FrameWriter::new(sender, target, frame.kind(), frame.lane());
    for envelope in frame.envelopes() {
        again.push(|buf| buf.put_slice(&envelope)).expect("room");
        decoded(frame.kind(), &envelope);
    }
    assert_eq!(frame.envelopes().count(), frame.envelopes().len());
    assert_eq!(again.seal(auth, frame.sequence()), message);
}

fn decoded(kind: Kind, envelope: &Bytes) {
    match kind {
        Kind::Call => envelope::call(envelope),
        Kind::Reply => envelope::reply(envelope),
        Kind::Session => session::item(envelope),
        other => body::of_kind(other, envelope),
    }
}
