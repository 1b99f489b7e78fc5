//! Ends that hear nothing of each other.

use super::*;
use crate::wire::Item;

/// Two ends, of which the sender has no credit left, and everything it has sent was acknowledged.
fn without_credit() -> Ends {
    let mut ends = Ends::new(window(40_000));
    ends.carry();
    let bytes = Bytes::from(vec![7; MAX_CHUNK]);
    ends.send(Chunk { bytes, elements: 1 }).expect("credit");
    ends.carry();
    ends.wait(ms(60));
    ends.carry();
    assert!(ends.room().is_pending());
    ends
}

/// How long it takes until the sender learns that its channel is broken.
fn learns(ends: &mut Ends) -> (Duration, Broken) {
    let start = ends.now;
    loop {
        ends.wait(ms(50));
        ends.carry();
        let waited = ends.now - start;
        assert!(waited < Duration::from_mins(1), "it waits forever");
        if let Poll::Ready(ready) = ends.room() {
            let broken = ready.expect_err("there is no credit");
            return (waited, broken);
        }
    }
}

#[test]
fn a_sender_without_credit_learns_that_its_receiver_has_forgotten_it() {
    let mut ends = without_credit();
    // The host of the receiver takes that of the sender for lost, and says nothing.
    ends.other.fail_all(Broken::PeerLost, false);
    let (waited, broken) = learns(&mut ends);
    assert_eq!(broken, Broken::Forgotten);
    assert!(waited < Duration::from_secs(15), "{waited:?}");
}

#[test]
fn a_sender_without_credit_learns_that_its_reader_was_dropped_if_that_was_lost() {
    let mut ends = without_credit();
    let now = ends.now;
    ends.other.release_receiver((ends.theirs, 0), now);
    assert_eq!(sent(&mut ends.other, now).len(), 1, "lost");
    let (waited, broken) = learns(&mut ends);
    assert_eq!(broken, Broken::Dropped);
    assert!(waited < Duration::from_secs(15), "{waited:?}");
}

#[test]
fn a_sender_that_was_never_granted_credit_learns_that_its_session_is_gone() {
    let mut ends = Ends::new(window(40_000));
    let now = ends.now;
    let second = ends.one.open_next_channel(ends.own, now).expect("room");
    ends.carry();
    for _ in 0..1_200 {
        ends.wait(ms(50));
        ends.carry();
    }
    // Its receiver has not wanted it so far, and nothing is wrong.
    let room = ends.one.poll_room((ends.own, second), Waker::noop());
    assert!(room.is_pending());
    ends.other.fail_all(Broken::PeerLost, false);
    ends.one.release_sender((ends.own, 0), now);
    sent(&mut ends.one, now);
    for _ in 0..310 {
        ends.wait(ms(50));
        ends.carry();
    }
    let room = ends.one.poll_room((ends.own, second), Waker::noop());
    assert_eq!(room, Poll::Ready(Err(Broken::Forgotten)));
}

#[test]
fn a_question_is_answered_with_the_credit() {
    let mut ends = without_credit();
    assert!(ends.next().is_ready());
    let (now, own) = (ends.now, ends.own);
    assert_eq!(sent(&mut ends.other, now).len(), 1, "the credit is lost");
    deliver(&mut ends.other, vec![item_of(own, 0, Item::Ask)], now);
    ends.carry();
    assert!(ends.room().is_ready());
}

#[test]
fn a_receiver_that_waits_learns_that_its_sender_has_forgotten_it() {
    let mut ends = Ends::new(window(1 << 20));
    ends.carry();
    assert!(ends.next().is_pending());
    ends.one.fail_all(Broken::PeerLost, false);
    let start = ends.now;
    while ends.next().is_pending() {
        ends.wait(ms(50));
        ends.carry();
        let waited = ends.now - start;
        assert!(waited < Duration::from_secs(3), "it waits forever");
    }
    assert_eq!(ends.next(), Poll::Ready(Err(Broken::Forgotten)));
}

/// Else a call that still waits at its callee would fail.
#[test]
fn a_session_that_the_other_end_may_not_know_yet_is_not_asked_for() {
    let (mut one, now) = (machine(1), Instant::now());
    let key = one.open(Terms::default(), now).expect("room");
    one.open_channel(key, 0, now).expect("room");
    for second in 1..60 {
        let now = now + Duration::from_secs(second);
        one.tick(now);
        assert!(sent(&mut one, now).is_empty());
    }
    assert_eq!(one.broken(key), None);
}

#[test]
fn questions_do_not_keep_an_idle_session() {
    let (mut one, mut other) = (machine(1), machine(1));
    let start = Instant::now();
    let key = one.open(Terms::default(), start).expect("room");
    let terms = Terms {
        deadline: None,
        idle: Some(Duration::from_secs(10)),
    };
    let theirs = other.accept(key.number, terms, start).expect("room");
    for second in 1..=10 {
        let now = start + Duration::from_secs(second);
        deliver(&mut other, vec![item_of(key, 0, Item::Ask)], now);
        other.tick(now);
    }
    assert_eq!(other.broken(theirs), Some(Broken::Idle));
}
