//! Sessions that live for long.

use super::*;
use crate::wire::{CancelReason, Item};

/// Sends a chunk and the end in a further channel, and reads them.
fn exchange(ends: &mut Ends) -> u32 {
    let (own, theirs, now) = (ends.own, ends.theirs, ends.now);
    let channel = ends.one.open_next_channel(own, now).expect("room");
    let received = ends.other.receive(theirs, channel, window(40_000), now);
    received.expect("room");
    ends.carry();
    let at = (own, channel);
    let sent = ends.one.send(at, chunk("x"), None, now);
    sent.expect("credit");
    ends.one.end(at, now).expect("open");
    ends.carry();
    let mut next = || ends.other.poll_chunk((theirs, channel), Waker::noop(), now);
    assert_eq!(next(), Poll::Ready(Ok(Some(chunk("x")))));
    assert_eq!(next(), Poll::Ready(Ok(None)));
    ends.one.release_sender(at, now);
    ends.other.release_receiver((theirs, channel), now);
    channel
}

#[test]
fn a_session_has_any_number_of_channels_one_after_the_other() {
    let mut ends = Ends::new(window(40_000));
    for number in 1..20_000 {
        assert_eq!(exchange(&mut ends), number);
    }
    for (machine, key) in [(&ends.one, ends.own), (&ends.other, ends.theirs)] {
        let session = &machine.sessions[&key];
        let open = session.outgoing.len() + session.incoming.len();
        assert_eq!(open, 1, "the first one");
        let remembered = session.gone.remembered();
        assert!(remembered < 2_000, "{remembered}");
    }
    // A number is never used again.
    let (now, own, theirs) = (ends.now, ends.own, ends.theirs);
    let again = ends.one.open_channel(own, 7, now);
    assert_eq!(again, Err(Refused::Repeated));
    let again = ends.other.receive(theirs, 7, window(40_000), now);
    assert_eq!(again, Err(Refused::Repeated));
}

#[test]
fn late_items_of_a_channel_of_long_ago_change_nothing() {
    let mut ends = Ends::new(window(40_000));
    let first = exchange(&mut ends);
    for _ in 0..3_000 {
        exchange(&mut ends);
    }
    let (now, own, theirs) = (ends.now, ends.own, ends.theirs);
    let late = Item::Chunk {
        number: 0,
        elements: 1,
        bytes: Bytes::from_static(b"x"),
    };
    deliver(&mut ends.other, vec![item_of(own, first, late)], now);
    let told = sent(&mut ends.other, now);
    let dropped = Item::Cancel {
        reason: CancelReason::Dropped,
        own_channel: false,
        taken: None,
    };
    assert_eq!(told, [item_of(theirs, first, dropped)]);
    deliver(&mut ends.one, told, now);
    let late = Item::Credit {
        received: 1,
        bytes: 40_000,
        elements: u64::MAX,
        taken: 0,
        gap: false,
    };
    deliver(&mut ends.one, vec![item_of(theirs, first, late)], now);
    ends.carry();
    assert_eq!(ends.one.broken(own), None);
    assert_eq!(ends.other.broken(theirs), None);
    exchange(&mut ends);
}

#[test]
fn a_channel_that_was_received_is_whole_whatever_its_sender_says_then() {
    let mut ends = Ends::new(window(40_000));
    ends.carry();
    ends.send(chunk("a")).expect("credit");
    ends.one.end((ends.own, 0), ends.now).expect("open");
    ends.carry();
    let dropped = Item::Cancel {
        reason: CancelReason::Dropped,
        own_channel: true,
        taken: None,
    };
    let (now, own) = (ends.now, ends.own);
    deliver(&mut ends.other, vec![item_of(own, 0, dropped)], now);
    assert_eq!(ends.next(), Poll::Ready(Ok(Some(chunk("a")))));
    assert_eq!(ends.next(), Poll::Ready(Ok(None)));
}
