//! Sessions between two transports on one bus.

use super::*;
use crate::{
    auth::Auth,
    budget::Budgets,
    bus::memory::MemoryNetwork,
    name::{HostId, LatticeName},
    quantity::ByteSize,
    subject::Subjects,
    transport::{Medium, Subscriptions, Transport},
    wire::Origin,
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use std::{sync::Arc, time::Duration};
use tokio_util::task::AbortOnDropHandle;

/// One end, with the task that receives its items.
struct End {
    transport: Arc<Transport>,
    budgets: Budgets,
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
        let (transport, subscriptions) = Transport::open(medium, origin).await.expect("it opens");
        let Subscriptions { sessions, .. } = subscriptions;
        let reader = tokio::spawn(reader::run(transport.clone(), sessions));
        Self {
            transport,
            budgets,
            _reader: AbortOnDropHandle::new(reader),
        }
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
    let opened = one.sessions_with(&other).open(Terms::default());
    let opened = opened.expect("room");
    let sender = opened.open_channel(0).expect("room");
    let accepted = other
        .sessions_with(&one)
        .accept(opened.number(), Terms::default());
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
