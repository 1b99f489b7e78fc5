//! Features of the memory bus only: partitioning or killing one host of several, and delivery
//! within the call.

use super::{error_of, subjects, within};
use futures_util::{FutureExt, StreamExt};
use lattice_core::{
    bus::{
        Body, Bus, BusError, BusState,
        memory::{MemoryBus, MemoryNetwork},
    },
    subject::Subject,
};

fn send(bus: &MemoryBus, to: &Subject, reply: Option<&Subject>, text: &'static str) {
    bus.publish(to.clone(), reply.cloned(), text.into())
        .now_or_never()
        .expect("publish completes without waiting")
        .expect("publishes");
}

#[tokio::test]
async fn one_host_can_be_partitioned_from_the_others() {
    let network = MemoryNetwork::new();
    let (host, other, caller) = (network.connect(), network.connect(), network.connect());
    let (to, beat) = (
        subjects().serves(&"x".parse().expect("valid")),
        subjects().beat(),
    );
    let mut calls = host.subscribe(to.clone(), 8).await.expect("subscribes");
    let mut beats = other.subscribe(beat.clone(), 8).await.expect("subscribes");
    let reply = subjects().serves(&"asker".parse().expect("valid"));
    let mut replies = caller
        .subscribe(reply.clone(), 8)
        .await
        .expect("subscribes");

    send(&caller, &to, Some(&reply), "waiting");
    host.disconnect();
    assert_eq!(host.watch_state().current(), BusState::Disconnected);
    assert_eq!(other.watch_state().current(), BusState::Connected);
    send(&caller, &to, Some(&reply), "lost");
    let bounced = within("the reply", replies.next()).await.expect("open");
    assert_eq!(bounced.body, Body::NoResponders);
    send(&caller, &beat, None, "the others continue");
    assert!(beats.next().now_or_never().is_some());
    let error = error_of(host.publish(beat, None, "x".into()).await);
    assert!(matches!(error, BusError::Disconnected), "{error:?}");

    host.reconnect();
    send(&caller, &to, Some(&reply), "back");
    for text in ["waiting", "back"] {
        let message = within("a call", calls.next()).await.expect("open");
        assert_eq!(message.body, Body::Payload(text.into()));
    }
}

#[tokio::test]
async fn killing_a_host_ends_its_subscriptions() {
    let network = MemoryNetwork::new();
    let (host, caller) = (network.connect(), network.connect());
    let to = subjects().beat();
    let reply = subjects().serves(&"asker".parse().expect("valid"));
    let mut replies = caller
        .subscribe(reply.clone(), 8)
        .await
        .expect("subscribes");
    let mut calls = host.subscribe(to.clone(), 8).await.expect("subscribes");
    let mut shared = host
        .queue_subscribe(to.clone(), "g", 8)
        .await
        .expect("subscribes");
    host.close();
    assert!(within("the end", calls.next()).await.is_none());
    assert!(within("the end", shared.next()).await.is_none());
    send(&caller, &to, Some(&reply), "is there a receiver?");
    let bounced = within("the reply", replies.next()).await.expect("open");
    assert_eq!(bounced.body, Body::NoResponders);
    host.reconnect();
    assert_eq!(host.watch_state().current(), BusState::Closed);
}

#[tokio::test]
async fn networks_are_isolated_and_have_their_own_limits() {
    let (one, two) = (
        MemoryBus::new(),
        MemoryNetwork::with_max_payload(4).connect(),
    );
    let beat = subjects().beat();
    let mut inbox = two.subscribe(beat.clone(), 8).await.expect("subscribes");
    send(&one, &beat, None, "in the other network");
    let error = error_of(two.publish(beat.clone(), None, "12345".into()).await);
    assert!(
        matches!(error, BusError::TooLarge { size: 5, limit: 4 }),
        "{error:?}"
    );
    send(&two.network().connect(), &beat, None, "1234");
    let message = within("the message", inbox.next()).await.expect("open");
    assert_eq!(message.body, Body::Payload("1234".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_subscriber_misses_nothing_while_others_subscribe_and_unsubscribe() {
    const MESSAGES: u32 = 20_000;
    let network = MemoryNetwork::new();
    let beat = subjects().beat();
    let reader = network.connect();
    let mut inbox = reader
        .subscribe(beat.clone(), MESSAGES as usize)
        .await
        .expect("subscribes");
    let publisher = tokio::spawn({
        let (bus, beat) = (network.connect(), beat.clone());
        async move {
            for number in 0..MESSAGES {
                bus.publish(beat.clone(), None, number.to_le_bytes().to_vec().into())
                    .await
                    .expect("publishes");
            }
        }
    });
    let visitor = tokio::spawn({
        let (bus, beat) = (network.connect(), beat.clone());
        async move {
            loop {
                let visit = bus.subscribe(beat.clone(), 1).await.expect("subscribes");
                bus.disconnect();
                bus.reconnect();
                drop(visit);
                tokio::task::yield_now().await;
            }
        }
    });
    for due in 0..MESSAGES {
        let message = within("the message", inbox.next()).await.expect("open");
        assert_eq!(
            message.body,
            Body::Payload(due.to_le_bytes().to_vec().into())
        );
    }
    publisher.await.expect("no panic");
    visitor.abort();
    assert!(visitor.await.is_err_and(|error| error.is_cancelled()));
}
