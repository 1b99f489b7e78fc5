//! A queue, its frames on the bus, and what is known of them when they are withdrawn.

use super::*;
use crate::{
    auth::Auth,
    budget::Budgets,
    bus::{
        Bus as _, Subscription,
        memory::{MemoryBus, MemoryNetwork},
    },
    name::{HostId, LatticeName},
    subject::Subjects,
    transport::Medium,
    wire::Frame,
};
use bytes::BufMut as _;
use futures_util::StreamExt as _;

/// A queue to one subject, and what arrives there.
async fn queue() -> (SendQueue, Subscription) {
    queue_on(Arc::new(MemoryNetwork::new().connect())).await
}

async fn queue_on(bus: Arc<MemoryBus>) -> (SendQueue, Subscription) {
    let host = |id| Origin::new(HostId::new(id).expect("a host"), 1);
    let subject = Subject::from_wire("to");
    let arriving = bus.subscribe(subject.clone(), 64).await;
    let arriving = arriving.expect("subscribed");
    let medium = Medium {
        bus,
        subjects: Subjects::new(&LatticeName::new("dev").expect("a name")),
        auth: Auth::trusting(),
        budgets: Budgets::default(),
    };
    let endpoint = Endpoint::new(medium, host("a"), |_, _| true);
    let address = Address {
        to: Destination::Unreported(subject),
        peer: host("b"),
        kind: Kind::Reply,
        lane: Lane::Small,
    };
    let queue = SendQueue::start(Arc::new(endpoint), address, |_| panic!("nothing is lost"));
    (queue, arriving)
}

fn push(queue: &SendQueue) -> Option<FlushGuard<'_>> {
    let encode = |(): &(), buffer: &mut BytesMut| buffer.put_u64_le(7);
    queue.push(8, |_| Some(()), encode).expect("room").1
}

fn envelopes(arriving: &mut Subscription) -> Option<usize> {
    let message = arriving.next().now_or_never()??;
    let crate::bus::Body::Payload(bytes) = message.body else {
        return None;
    };
    let frame = Frame::open(&Auth::trusting(), bytes).expect("a frame");
    Some(frame.envelopes().count())
}

#[tokio::test]
async fn the_first_push_is_obliged_to_flush_and_takes_the_others_along() {
    let (queue, mut arriving) = queue().await;
    let guard = push(&queue).expect("no other push flushes");
    assert!(push(&queue).is_none(), "the first one does");
    assert_eq!(envelopes(&mut arriving), None);
    guard.flush();
    assert_eq!(envelopes(&mut arriving), Some(2));
    assert!(queue.is_idle());
    assert!(push(&queue).is_some(), "it is flushed");
}

#[tokio::test]
async fn a_dropped_guard_leaves_the_flush_to_the_task() {
    let (queue, mut arriving) = queue().await;
    drop(push(&queue));
    assert_eq!(envelopes(&mut arriving), None);
    queue.sent().await;
    assert_eq!(envelopes(&mut arriving), Some(1));
}

#[tokio::test]
async fn withdrawn_frames_never_leave_and_a_closed_queue_takes_nothing() {
    let (queue, mut arriving) = queue().await;
    let mut frame = 0;
    let admit = |id: FrameId| {
        frame = id.number();
        Some(())
    };
    let pushed = queue.push(8, admit, |(): &(), buffer| buffer.put_u64_le(7));
    let withdrawn = queue.withdraw(Then::Close);
    pushed.expect("room").1.expect("the first").flush();
    queue.sent().await;
    assert_eq!(envelopes(&mut arriving), None);
    assert_eq!(withdrawn.fate(frame), Some(Fate::Withheld));
    let pushed = queue.push(8, |_| Some(()), |(): &(), _| {});
    assert!(matches!(pushed, Err(NotQueued::Closed)));
}

#[tokio::test]
async fn of_a_frame_that_was_opened_since_a_withdrawal_it_tells_nothing() {
    let (queue, mut arriving) = queue().await;
    let mut frames = Vec::new();
    let mut send = |flush: bool| {
        let admit = |id: FrameId| {
            frames.push(id.number());
            Some(())
        };
        let pushed = queue.push(8, admit, |(), buffer| buffer.put_u64_le(7));
        let guard = pushed.expect("room").1.expect("the first");
        if flush {
            guard.flush();
        } else {
            // As if the caller were interrupted here.
            guard.disarm();
        }
    };
    send(true);
    send(false);
    let withdrawn = queue.withdraw(Then::GoOn);
    // The queue still counts on the flush that was interrupted.
    queue.flush();
    send(true);
    let fates: Vec<_> = frames.iter().map(|at| withdrawn.fate(*at)).collect();
    let expected = [Some(Fate::MayHaveArrived), Some(Fate::Withheld), None];
    assert_eq!(fates, expected);
    assert_eq!(envelopes(&mut arriving), Some(1));
    assert_eq!(envelopes(&mut arriving), Some(1), "the last one was sent");
    assert_eq!(envelopes(&mut arriving), None);
}

#[test]
fn a_frame_that_the_bus_was_asked_to_take_before_may_have_arrived() {
    let limit = BusError::TooLarge { size: 2, limit: 1 };
    for error in [BusError::Disconnected, BusError::Closed, limit] {
        assert_eq!(fate_of_refused(&error, false), Fate::Withheld, "{error}");
        assert_eq!(fate_of_refused(&error, true), Fate::MayHaveArrived);
    }
    let after = std::time::Duration::from_secs(1);
    for error in [
        BusError::Unconfirmed { after },
        BusError::Refused(String::new()),
    ] {
        assert_eq!(fate_of_refused(&error, false), Fate::MayHaveArrived);
    }
}

#[tokio::test]
async fn frames_fit_the_largest_message_of_the_bus() {
    const LIMIT: usize = 2_048;
    let bus = Arc::new(MemoryNetwork::with_max_payload(LIMIT).connect());
    let (queue, mut arriving) = queue_on(bus).await;
    let guards: Vec<_> = (0..64)
        .map(|_| {
            queue.push(
                100,
                |_| Some(()),
                |(): &(), buffer| buffer.put_bytes(7, 100),
            )
        })
        .map(|pushed| pushed.expect("room").1)
        .collect();
    drop(guards);
    queue.sent().await;
    let mut all = 0;
    while let Some(count) = envelopes(&mut arriving) {
        all += count;
    }
    assert_eq!(all, 64, "none was lost");
}
