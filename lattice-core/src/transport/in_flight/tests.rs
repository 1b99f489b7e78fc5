//! The table of calls in flight.

use super::*;
use crate::wire::Lane;
use futures_util::FutureExt as _;
use std::time::Duration;

const OK: Outcome = Ok(Reply::Whole(Bytes::from_static(b"x")));

fn token(number: u64) -> PeerToken {
    PeerToken::from_number(number)
}

fn id(frame: u64) -> FrameId {
    FrameId::new(Lane::Small, frame)
}

fn waits(peer: u64, since: Instant, within: Duration) -> NewCall {
    NewCall {
        peer: token(peer),
        since,
        deadline: since + within,
        caller: Waker::noop().clone(),
    }
}

fn try_open(in_flight: &InFlight, peer: u64, frame: u64) -> Option<ResponseFuture<'_>> {
    let call = waits(peer, Instant::now(), Duration::from_secs(2));
    let mut answer = in_flight.open(call, id(frame))?;
    assert_eq!((&mut answer).now_or_never(), None, "it is pending");
    Some(answer)
}

fn open(in_flight: &InFlight, peer: u64, frame: u64) -> ResponseFuture<'_> {
    try_open(in_flight, peer, frame).expect("room")
}

fn complete(in_flight: &InFlight, id: u64, peer: u64, outcome: Outcome) {
    in_flight.complete(token(peer), &mut vec![(id, outcome)], None, &mut Vec::new());
}

#[test]
fn a_reply_completes_only_its_own_call() {
    let in_flight = InFlight::new(8);
    let (mut a, mut b) = (open(&in_flight, 1, 1), open(&in_flight, 2, 1));
    complete(&in_flight, a.id, 2, OK);
    assert_eq!((&mut a).now_or_never(), None, "another peer can't reply");
    complete(&in_flight, a.id, 1, OK);
    complete(&in_flight, a.id, 1, Err(CallError::LinkTableBehind));
    assert_eq!(
        (&mut a).now_or_never(),
        Some(OK),
        "a second reply is ignored"
    );
    assert_eq!((&mut b).now_or_never(), None);
    drop((a, b));
    assert_eq!(in_flight.len(), 0);
}

#[test]
fn a_dropped_caller_frees_its_slot_and_a_late_reply_is_ignored() {
    let in_flight = InFlight::new(1);
    let answer = open(&in_flight, 1, 1);
    assert!(try_open(&in_flight, 1, 2).is_none(), "bounded");
    let late = answer.id;
    drop(answer);
    let mut next = open(&in_flight, 1, 3);
    assert_ne!(next.id, late);
    complete(&in_flight, late, 1, OK);
    assert_eq!((&mut next).now_or_never(), None);
}

#[test]
fn a_lost_peer_fails_its_calls_frame_by_frame() {
    let in_flight = InFlight::new(8);
    let (mut a, mut b) = (open(&in_flight, 1, 1), open(&in_flight, 1, 2));
    let _other = open(&in_flight, 2, 2);
    let count = in_flight.fail(Some(token(1)), |frame| {
        (frame == id(2)).then_some(CallError::LinkTableBehind)
    });
    assert_eq!(count, 1);
    assert_eq!((&mut a).now_or_never(), None);
    let ended = (&mut b).now_or_never();
    assert_eq!(ended, Some(Err(CallError::LinkTableBehind)));
}

#[test]
fn a_reply_before_the_first_poll_wakes_the_caller() {
    struct Count(std::sync::atomic::AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let count = std::sync::Arc::new(Count(0.into()));
    let in_flight = InFlight::new(1);
    let mut call = waits(1, Instant::now(), Duration::from_secs(2));
    call.caller = count.clone().into();
    let mut answer = in_flight.open(call, id(1)).expect("room");
    let mut callers = Vec::new();
    in_flight.complete(token(1), &mut vec![(answer.id, OK)], None, &mut callers);
    callers.into_iter().for_each(Waker::wake);
    assert_eq!(count.0.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert_eq!((&mut answer).now_or_never(), None);
    assert_eq!((&mut answer).now_or_never(), Some(OK));
}

#[test]
fn a_sweep_ends_late_calls_and_returns_the_oldest_pending_call_of_each_peer() {
    let in_flight = InFlight::new(8);
    let (start, second) = (Instant::now(), Duration::from_secs(1));
    let open = |since, within| {
        in_flight
            .open(waits(1, since, within), id(1))
            .expect("room")
    };
    let mut late = open(start, second);
    assert!(late.is_due_early, "no sweep is planned");
    assert_eq!((&mut late).now_or_never(), None);
    let old = open(start, second * 3);
    assert!(!old.is_due_early, "a sweep comes before that");
    let _new = open(start + second, second * 9);
    let found = in_flight.sweep(start + second);
    let ended = (&mut late).now_or_never();
    assert_eq!(
        ended,
        Some(Err(CallError::DeadlineExceeded { ran: Ran::Maybe }))
    );
    assert_eq!(found.oldest, HashMap::from([(token(1), start)]));
    assert_eq!(found.next_deadline, Some(start + second * 3));
    assert!(!in_flight.sweep_again(None), "calls are pending");
    assert!(in_flight.sweep_again(found.next_deadline));
}

#[test]
fn a_result_with_handles_that_its_caller_does_not_take_is_returned() {
    let passed = |text| Ok(Reply::Passed(Bytes::from_static(text)));
    let in_flight = InFlight::new(2);
    // It comes, and its caller is dropped before it looks.
    let answer = open(&in_flight, 1, 1);
    complete(&in_flight, answer.id, 1, passed(b"here"));
    let late = answer.id;
    drop(answer);
    let unclaimed = in_flight.take_unclaimed();
    assert_eq!(unclaimed, [(token(1), Bytes::from_static(b"here"))]);
    assert!(in_flight.take_unclaimed().is_empty());
    // It comes too late, beside one that its caller takes.
    let mut other = open(&in_flight, 1, 2);
    let mut replies = vec![
        (late, passed(b"late")),
        (late, OK),
        (other.id, passed(b"taken")),
    ];
    let unclaimed = in_flight.complete(token(1), &mut replies, None, &mut Vec::new());
    assert_eq!(unclaimed, [Bytes::from_static(b"late")]);
    assert_eq!((&mut other).now_or_never(), Some(passed(b"taken")));
    assert!(in_flight.take_unclaimed().is_empty());
}
