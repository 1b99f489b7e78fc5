//! Sessions between two transports on one bus.

use super::*;
use crate::{
    auth::Auth,
    budget::Budgets,
    bus::{Subscription, memory::MemoryNetwork},
    call::CallError,
    name::{ComponentId, HostId, LatticeName},
    quantity::ByteSize,
    stream::Ledger,
    subject::Subjects,
    transport::{Events, Medium, Subscriptions, Transport, failure_detector, reply_reader},
    wire::{Discovered, Kind, Origin, ReplyEnvelope},
};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use std::{sync::Arc, time::Duration};
use tokio_util::task::AbortOnDropHandle;

/// One end, with the task that receives its items.
struct End {
    transport: Arc<Transport>,
    budgets: Budgets,
    inbox: Subscription,
    replies: Subscription,
    _reader: AbortOnDropHandle<()>,
}

impl End {
    async fn on(network: &MemoryNetwork, host: &str) -> Self {
        let budgets = Budgets::of(ByteSize::mib(16));
        let medium = Medium {
            bus: Arc::new(network.connect()),
            subjects: Subjects::new(&LatticeName::new("dev").expect("a name")),
            auth: Auth::trusting(),
            budgets: budgets.clone(),
        };
        let origin = Origin::new(HostId::new(host).expect("a host"), 1);
        let ledger = Ledger::new(medium.auth.clone());
        let (transport, subscriptions) = Transport::open(medium, origin, ledger)
            .await
            .expect("it opens");
        let Subscriptions {
            inbox,
            sessions,
            replies,
        } = subscriptions;
        let reader = tokio::spawn(reader::run(transport.clone(), sessions));
        Self {
            transport,
            budgets,
            inbox,
            replies,
            _reader: AbortOnDropHandle::new(reader),
        }
    }

    /// The next reply that arrives.
    async fn reply(&mut self) -> ReplyEnvelope {
        let message = self.replies.next().await.expect("it is open");
        let frame = self.transport.endpoint.open(message).expect("authentic");
        assert_eq!(frame.kind(), Kind::Reply);
        let envelope = frame.envelopes().next().expect("a reply");
        ReplyEnvelope::decode(envelope).expect("valid")
    }

    fn sessions_with(&self, other: &Self) -> Arc<PeerSessions> {
        let conn = self.transport.peer(other.transport.origin());
        conn.sessions().expect("open").clone()
    }
}

struct Pair {
    one: End,
    other: End,
    /// Kept, since a channel ends with its session's last handle.
    _sessions: [Session; 2],
}

async fn pair(window: Window) -> (Pair, SendHalf, RecvHalf) {
    let network = MemoryNetwork::new();
    let (one, other) = (
        End::on(&network, "one").await,
        End::on(&network, "other").await,
    );
    let opened = one.sessions_with(&other).open(Terms::default(), None);
    let opened = opened.expect("room");
    let sender = opened.open_channel(0).expect("room");
    let accepted = other
        .sessions_with(&one)
        .accept(opened.number(), Terms::default(), None);
    let accepted = accepted.expect("room");
    let receiver = accepted.receive(0, window).expect("room");
    let pair = Pair {
        one,
        other,
        _sessions: [opened, accepted],
    };
    (pair, sender, receiver)
}

async fn turns() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

const SMALL: Window = Window {
    bytes: 64 * 1024,
    most: 64 * 1024,
    elements: 8,
};

#[tokio::test]
async fn chunks_and_elements_arrive_and_then_the_end() {
    let (_pair, mut sender, mut receiver) = pair(SMALL).await;
    let sending = tokio::spawn(async move {
        for number in 0..100_u32 {
            assert!(sender.ready().await? > 0);
            sender.send(Bytes::from(vec![number as u8; 1_000]), 1)?;
        }
        sender.end()?;
        sender.complete().await
    });
    for number in 0..100_u32 {
        let (bytes, elements) = receiver.chunk().await.expect("whole").expect("a chunk");
        assert_eq!((bytes.len(), bytes[0], elements), (1_000, number as u8, 1));
    }
    assert_eq!(receiver.chunk().await, Ok(None));
    assert_eq!(sending.await.expect("no panic"), Ok(()));
}

#[tokio::test]
async fn a_sender_that_is_dropped_breaks_the_channel() {
    let (_pair, mut sender, mut receiver) = pair(SMALL).await;
    sender.ready().await.expect("room");
    sender.send(Bytes::from_static(b"x"), 1).expect("room");
    drop(sender);
    let last = loop {
        match receiver.chunk().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert_eq!(last, Err(Broken::Dropped));
}

#[tokio::test]
async fn a_reader_that_is_dropped_stops_its_sender() {
    let (_pair, mut sender, receiver) = pair(SMALL).await;
    sender.ready().await.expect("room");
    drop(receiver);
    turns().await;
    assert_eq!(sender.ready().await, Err(Broken::Dropped));
}

#[tokio::test]
async fn a_session_that_is_dropped_before_it_is_complete_keeps_nothing() {
    let network = MemoryNetwork::new();
    let (one, other) = (
        End::on(&network, "one").await,
        End::on(&network, "other").await,
    );
    let opened = one.sessions_with(&other).open(Terms::default(), None);
    let opened = opened.expect("room");
    let mut sender = opened.open_channel(0).expect("room");
    let number = opened.number();
    let accepted = other
        .sessions_with(&one)
        .accept(number, Terms::default(), None);
    let accepted = accepted.expect("room");
    let mut receiver = accepted.receive(0, SMALL).expect("room");
    sender.ready().await.expect("room");
    let owner = Arc::new([1_u8; 5_000]);
    let bytes = Bytes::from_owner(Owned(owner.clone()));
    sender.send(bytes, 1).expect("room");
    assert!(Arc::strong_count(&owner) > 1, "until it is acknowledged");
    opened.give_up();
    assert_eq!(Arc::strong_count(&owner), 1);
    turns().await;
    assert_eq!(receiver.chunk().await, Err(Broken::Dropped));
}

#[tokio::test]
async fn a_result_that_is_refused_is_given_up_and_its_caller_learns_that() {
    let network = MemoryNetwork::new();
    let (mut one, other) = (
        End::on(&network, "one").await,
        End::on(&network, "other").await,
    );
    let path = other.transport.reply_path(one.transport.origin());
    path.run(7, |running| {
        let transport = other.transport.clone();
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        let result = Bytes::from(vec![1; 100_000]);
        let sending = async move {
            let sent = transport.reply_in_session(running, result.into(), None, deadline);
            sent.await;
        };
        tokio::spawn(sending).abort_handle()
    });
    let opening = one.reply().await.session.expect("an opening");
    one.sessions_with(&other).refuse(opening.session);
    let reply = one.reply().await;
    let lost = matches!(reply.outcome, Err(CallError::InstanceLost { .. }));
    assert!(lost && reply.session.is_none(), "{reply:?}");
    turns().await;
    assert_eq!(other.budgets.sending.held(), 0);
}

#[tokio::test]
async fn a_component_has_no_more_sessions_than_its_share_and_leaves_room_to_others() {
    let network = MemoryNetwork::new();
    let (one, other, third) = (
        End::on(&network, "one").await,
        End::on(&network, "other").await,
        End::on(&network, "third").await,
    );
    let id = |id| ComponentId::new(id).expect("an id");
    let (greedy, neighbour) = (id("greedy"), id("neighbour"));
    let (with_other, with_third) = (one.sessions_with(&other), one.sessions_with(&third));
    let open = |sessions: &Arc<PeerSessions>, id| sessions.open(Terms::default(), Some(id));
    let mut held: Vec<_> = (0..1_000).map(|_| open(&with_other, &greedy)).collect();
    // Those that peers open for it count too.
    let accept = |number| with_third.accept(number, Terms::default(), Some(&greedy));
    held.extend((1..=24).map(accept));
    assert!(held.iter().all(Result::is_ok));
    let most = 1_024;
    let refused = [open(&with_third, &greedy), accept(25)].map(Result::err);
    assert_eq!(refused, [Some(Refused::TooManyOfComponent { most }); 2]);
    assert!(open(&with_other, &neighbour).is_ok());
    assert!(
        with_other.open(Terms::default(), None).is_ok(),
        "no component's"
    );
    held.truncate(1_023);
    assert!(open(&with_third, &greedy).is_ok());
}

#[tokio::test]
async fn an_opening_is_taken_once_even_if_its_caller_was_lost_meanwhile() {
    let network = MemoryNetwork::new();
    let (one, other) = (
        End::on(&network, "one").await,
        End::on(&network, "other").await,
    );
    let caller = one.transport.origin();
    assert!(other.transport.reply_path(caller).opens(5));
    other.transport.callers_lost(|lost| lost == caller);
    other.transport.peer_lost(caller);
    assert!(!other.transport.reply_path(caller).opens(5));
    assert!(other.transport.reply_path(caller).opens(6));
}

struct Owned(Arc<[u8; 5_000]>);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

#[tokio::test]
async fn what_is_sent_and_what_is_received_is_counted_until_it_is_taken() {
    let (pair, sender, mut receiver) = pair(SMALL).await;
    let mut sender = sender.counted();
    let mut sent = 0;
    turns().await;
    while let Some(Ok(_)) = sender.ready().now_or_never() {
        let bytes = Bytes::from(vec![1; 10_000]);
        sender.send(bytes, 1).expect("room");
        sent += 10_000;
        assert!(pair.one.budgets.sending.held() <= 3 * MAX_CHUNK + sent);
    }
    turns().await;
    assert!(sent > 0);
    assert_eq!(pair.other.budgets.received.held(), 64 * 1024);
    // The receiver has acknowledged all; what is left is the room for the next chunk.
    tokio::time::sleep(Duration::from_millis(60)).await;
    pair.other
        .transport
        .peer(pair.one.transport.origin())
        .sessions
        .tick();
    turns().await;
    assert!(pair.one.budgets.sending.held() <= MAX_CHUNK);
    sender.end().expect("open");
    while let Ok(Some(_)) = receiver.chunk().await {}
    drop((sender, receiver));
    turns().await;
    let held = [&pair.one.budgets, &pair.other.budgets]
        .map(|all| all.sending.held() + all.received.held());
    assert_eq!(held, [0, 0]);
}

#[tokio::test]
async fn a_lost_peer_a_lost_bus_and_a_node_that_leaves_break_sessions_at_once() {
    let (lost, mut sender, mut receiver) = pair(SMALL).await;
    sender.ready().await.expect("room");
    lost.one.transport.peer_lost(lost.other.transport.origin());
    assert_eq!(sender.ready().await, Err(Broken::PeerLost));
    lost.other.transport.bus_lost();
    assert_eq!(receiver.chunk().await, Err(Broken::Disconnected));
    let (left, mut sender, _receiver) = pair(SMALL).await;
    sender.ready().await.expect("room");
    left.one.transport.close();
    assert_eq!(sender.ready().await, Err(Broken::Closed));
}

#[tokio::test]
async fn a_peer_that_was_forgotten_by_the_other_end_learns_it() {
    let (pair, mut sender, _receiver) = pair(SMALL).await;
    sender.ready().await.expect("room");
    // The other end has considered this one lost, and didn't say so.
    pair.other.transport.peer_lost(pair.one.transport.origin());
    sender.send(Bytes::from_static(b"x"), 1).expect("room");
    turns().await;
    assert_eq!(sender.ready().await, Err(Broken::Forgotten));
}

struct Ignored;

impl Events for Ignored {
    fn discovered(&self, _: Discovered) {}

    fn question_in_doubt(&self, _: u64) {}

    fn host_lost(&self, _: &Origin) {}
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_call_lives_as_long_as_its_peer_answers_probes() {
    let (pair, mut sender, _receiver) = pair(SMALL).await;
    sender.ready().await.expect("room");
    let Pair {
        one,
        other,
        _sessions,
    } = pair;
    let events = Arc::new(Ignored);
    let detector = failure_detector::run(one.transport.clone(), events.clone());
    let replies = reply_reader::run(one.transport.clone(), events, one.replies);
    let detector = AbortOnDropHandle::new(tokio::spawn(detector));
    let replies = AbortOnDropHandle::new(tokio::spawn(replies));
    let (transport, mut inbox) = (other.transport.clone(), other.inbox);
    let answers = tokio::spawn(async move {
        while let Some(message) = inbox.next().await {
            let frame = transport.endpoint.open(message).expect("authentic");
            assert_eq!(frame.kind(), Kind::Probe);
            transport.acknowledge(&frame);
        }
    });
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(sender.ready().await.is_ok(), "its peer has answered");
    answers.abort();
    let begun = tokio::time::Instant::now();
    while sender.ready().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(sender.ready().await, Err(Broken::PeerLost));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    drop((detector, replies));
}

#[tokio::test]
async fn results_that_are_not_delivered_leave_memory_for_chunks() {
    let (pair, sender, _receiver) = pair(SMALL).await;
    let mut sender = sender.counted();
    turns().await;
    let limit = 4 << 20;
    // Results for many callers, of which none takes its own.
    let sessions: Vec<_> = (0..64)
        .map(|number| {
            let host = HostId::new(&format!("caller-{number}")).expect("a host");
            let conn = pair.one.transport.peer(&Origin::new(host, 1));
            conn.sessions().expect("open").clone()
        })
        .collect();
    let results: Vec<_> = sessions
        .iter()
        .flat_map(|sessions| std::iter::from_fn(|| sessions.hold_result(16 << 10)))
        .collect();
    let held = pair.one.budgets.sending.held();
    assert!(held > limit / 2 && held <= limit / 4 * 3, "{held}");
    assert!(matches!(sender.ready().now_or_never(), Some(Ok(_))));
    drop(results);
}
