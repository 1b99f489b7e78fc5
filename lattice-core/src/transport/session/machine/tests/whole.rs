//! Channels that were received to their end before their session breaks.

use super::*;

/// Two ends, of which the second has received a chunk, and the end if there is one.
fn received(has_end: bool) -> Ends {
    let mut ends = Ends::new(window(1 << 20));
    ends.carry();
    ends.send(chunk("a")).expect("credit");
    if has_end {
        ends.one.end((ends.own, 0), ends.now).expect("open");
    }
    ends.carry();
    ends
}

/// Ways in which a session breaks.
const BREAKS: [fn(&mut Ends); 3] = [
    |ends| ends.other.fail_all(Broken::PeerLost, false),
    |ends| ends.other.fail_all(Broken::Closed, true),
    |ends| {
        ends.one.give_up(ends.own);
        ends.carry();
    },
];

#[test]
fn a_channel_that_was_received_to_its_end_stays_whole_when_its_session_breaks() {
    for breaks in BREAKS {
        let mut ends = received(true);
        breaks(&mut ends);
        assert!(ends.other.broken(ends.theirs).is_some());
        assert_eq!(ends.next(), Poll::Ready(Ok(Some(chunk("a")))));
        assert_eq!(ends.next(), Poll::Ready(Ok(None)));
        assert_eq!(ends.next(), Poll::Ready(Ok(None)), "it stays ended");
        assert_eq!(ends.other.room_held(), 0);
    }
}

#[test]
fn a_channel_that_has_reported_its_end_stays_ended_when_its_session_breaks() {
    for breaks in BREAKS {
        let mut ends = received(true);
        assert!(ends.next().is_ready());
        assert_eq!(ends.next(), Poll::Ready(Ok(None)));
        breaks(&mut ends);
        assert_eq!(ends.next(), Poll::Ready(Ok(None)));
    }
}

#[test]
fn a_channel_without_its_end_is_broken_with_its_session() {
    for breaks in BREAKS {
        let mut ends = received(false);
        breaks(&mut ends);
        let next = ends.next();
        assert!(matches!(next, Poll::Ready(Err(_))), "{next:?}");
        assert_eq!(ends.other.room_held(), 0);
    }
}

#[test]
fn a_whole_channel_of_a_broken_session_that_is_not_read_takes_no_memory_once_it_is_dropped() {
    let mut ends = received(true);
    BREAKS[0](&mut ends);
    assert!(ends.other.room_held() > 0, "it can still be read");
    let now = ends.now;
    ends.other.release_receiver((ends.theirs, 0), now);
    assert_eq!(ends.other.room_held(), 0);
    assert!(sent(&mut ends.other, now).is_empty());
    ends.other.release(ends.theirs, now);
    assert!(ends.other.is_empty(), "nothing is kept of it");
}
