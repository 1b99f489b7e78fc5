//! What a receiver says it has taken, for a sender that waits for that.

use super::*;
use crate::wire::{CancelReason, Item};

/// Two ends, of which the second has received two chunks that are tracked, and the end if there is
/// one. It has taken so many of them.
fn received(has_end: bool, taken: usize) -> Ends {
    let mut ends = Ends::new(window(1 << 20));
    ends.carry();
    for text in ["a", "b"] {
        ends.send(chunk(text)).expect("credit");
    }
    ends.one.track_chunks((ends.own, 0), 2);
    if has_end {
        ends.one.end((ends.own, 0), ends.now).expect("open");
    }
    ends.carry();
    for _ in 0..taken {
        assert!(matches!(ends.next(), Poll::Ready(Ok(Some(_)))));
    }
    let now = ends.now;
    ends.other.settle_chunks((ends.theirs, 0), now);
    ends
}

fn taken(ends: &Ends) -> (u64, bool) {
    let Taken { chunks, is_final } = ends.one.taken((ends.own, 0));
    (chunks, is_final)
}

fn complete(ends: &mut Ends) -> Poll<Result<(), Broken>> {
    ends.one.poll_complete((ends.own, 0), Waker::noop())
}

#[test]
fn a_channel_is_complete_once_what_is_tracked_was_taken() {
    let mut ends = received(true, 1);
    ends.wait(ms(60));
    ends.carry();
    assert!(complete(&mut ends).is_pending(), "one is not taken");
    assert_eq!(taken(&ends), (1, false));
    assert!(ends.next().is_ready());
    let now = ends.now;
    ends.other.settle_chunks((ends.theirs, 0), now);
    ends.wait(ms(60));
    ends.carry();
    assert_eq!(complete(&mut ends), Poll::Ready(Ok(())));
    assert_eq!(taken(&ends), (u64::MAX, true));
}

#[test]
fn a_sender_learns_that_all_was_taken_although_the_last_credit_is_lost() {
    let mut ends = received(true, 2);
    let now = ends.now;
    assert_eq!(ends.next(), Poll::Ready(Ok(None)));
    assert!(!sent(&mut ends.other, now).is_empty(), "lost");
    assert!(complete(&mut ends).is_pending());
    let start = ends.now;
    while complete(&mut ends).is_pending() {
        ends.wait(ms(50));
        ends.carry();
        assert!(ends.now - start < Duration::from_secs(6), "it isn't asked");
    }
    assert_eq!(complete(&mut ends), Poll::Ready(Ok(())));
}

#[test]
fn a_reader_that_is_dropped_says_what_it_has_taken_however_often_it_is_asked() {
    for has_end in [false, true] {
        let mut ends = received(has_end, 1);
        let now = ends.now;
        ends.other.release_receiver((ends.theirs, 0), now);
        let lost = sent(&mut ends.other, now);
        let dropped = Item::Cancel {
            reason: CancelReason::Dropped,
            own_channel: false,
            taken: Some(1),
        };
        assert!(lost.iter().any(|item| item.item == dropped), "{lost:?}");
        let start = ends.now;
        while complete(&mut ends).is_pending() {
            ends.wait(ms(50));
            ends.carry();
            assert!(ends.now - start < Duration::from_secs(6), "{has_end}");
        }
        let refused = Poll::Ready(Err(Broken::Dropped));
        assert_eq!(complete(&mut ends), refused, "{has_end}");
        assert_eq!(taken(&ends), (1, true), "{has_end}");
    }
}

#[test]
fn what_is_known_of_a_broken_session_is_not_final() {
    let mut ends = received(false, 1);
    ends.wait(ms(60));
    ends.carry();
    ends.one.fail_all(Broken::PeerLost, false);
    assert_eq!(taken(&ends), (1, false));
}

#[test]
fn many_chunks_that_are_taken_are_told_at_once() {
    let mut ends = Ends::new(window(1 << 20));
    ends.carry();
    for _ in 0..64 {
        ends.send(chunk("x")).expect("credit");
    }
    ends.carry();
    let now = ends.now;
    for number in 1..=64 {
        assert!(ends.next().is_ready());
        ends.other.settle_chunks((ends.theirs, 0), now);
        ends.carry();
        let told = if number == 64 { 64 } else { 0 };
        assert_eq!(taken(&ends), (told, false));
    }
}

/// Its sender may have forgotten the channel, which it learns from the reply.
#[test]
fn a_credit_is_repeated_while_a_whole_channel_is_not_read() {
    let mut ends = received(true, 0);
    ends.one.fail_all(Broken::PeerLost, false);
    let start = ends.now;
    while ends.other.broken(ends.theirs).is_none() {
        ends.wait(ms(50));
        ends.carry();
        assert!(ends.now - start < Duration::from_secs(3), "it isn't told");
    }
    let at = (ends.theirs, 0);
    let is_left = |ends: &mut Ends, elements: u32| {
        let is_such = |found: u32| found == elements;
        ends.other.poll_left(at, Waker::noop(), is_such)
    };
    assert!(is_left(&mut ends, 1) && !is_left(&mut ends, 2));
    assert!(ends.next().is_ready() && ends.next().is_ready());
    assert!(!is_left(&mut ends, 1));
    assert_eq!(ends.next(), Poll::Ready(Ok(None)));
}

#[test]
fn a_channel_that_is_withdrawn_is_gone_for_both_ends() {
    let mut ends = Ends::new(window(1 << 20));
    let now = ends.now;
    let second = ends.one.open_next_channel(ends.own, now).expect("room");
    ends.carry();
    ends.one.withdraw((ends.own, second));
    let room = ends.one.poll_room((ends.own, second), Waker::noop());
    assert_eq!(room, Poll::Ready(Err(Broken::Forgotten)));
    ends.carry();
    let (theirs, window) = (ends.theirs, window(1 << 20));
    let late = ends.other.receive(theirs, second, window, now);
    assert_eq!(late, Err(Refused::Broken(Broken::Dropped)));
    assert_eq!(ends.one.broken(ends.own), None);
}
