//! Items of sessions.

use crate::allocation::bounded;
use bytes::{Buf as _, Bytes, BytesMut};
use lattice_core::{
    __private::alone::{Received, SessionEnd},
    wire::SessionItem,
};
use std::time::Duration;

/// How much an end may receive.
const MEMORY: usize = 256 * 1024;

/// Decodes any bytes as items of sessions, and passes them to an end that has some sessions.
///
/// Each item begins with its length and the milliseconds before it, in one byte each.
pub fn session(input: &[u8]) {
    let mut end = SessionEnd::new(MEMORY, 8);
    let sending = end.open(Duration::from_secs(1));
    let receiving = end.accept(1, 40_000);
    let (mut rest, mut time) = (Bytes::copy_from_slice(input), Duration::ZERO);
    while rest.len() >= 2 {
        let length = usize::from(rest.get_u8()).min(rest.len() - 1);
        time += Duration::from_millis(u64::from(rest.get_u8()) * 8);
        let envelope = rest.split_to(length.min(rest.len()));
        item(&envelope);
        if let Ok(item) = SessionItem::decode(envelope) {
            end.take(item);
        }
        if let Some(sending) = sending {
            let _ = end.send(sending, Bytes::from_static(b"chunk"));
        }
        if let Some(receiving) = receiving {
            while let Received::Chunk(_) = end.receive(receiving) {}
        }
        end.advance(time);
        assert!(end.items().len() < 20_000);
        assert!(end.held() <= MEMORY && end.open_sessions() <= 2);
    }
}

/// Decodes any bytes as an item.
pub(crate) fn item(envelope: &[u8]) {
    let envelope = Bytes::copy_from_slice(envelope);
    let Ok(item) = bounded(envelope.len(), || SessionItem::decode(envelope.clone())) else {
        return;
    };
    let mut again = BytesMut::new();
    item.encode_into(&mut again);
    assert!(again.len() <= envelope.len());
    assert_eq!(SessionItem::decode(again.freeze()), Ok(item));
}
