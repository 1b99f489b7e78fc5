use super::*;
use futures_util::FutureExt;
use lattice_core::bus::{Body, memory::MemoryNetwork};
use std::collections::BTreeSet;

const MESSAGES: u32 = 500;

/// Publishes numbers through `faults`, a millisecond apart. Returns the numbers that arrived, in
/// order, and the counts.
async fn run(seed: u64, faults: Faults) -> (Vec<u32>, FaultCounts) {
    let network = MemoryNetwork::new();
    let bus = FaultBus::new(Arc::new(network.connect()), seed);
    bus.set(faults);
    let subject = Subject::from_wire("t.numbers");
    let mut numbers = network
        .connect()
        .subscribe(subject.clone(), 4096)
        .await
        .expect("subscribes");
    for number in 0..MESSAGES {
        bus.publish(subject.clone(), None, number.to_le_bytes().to_vec().into())
            .await
            .expect("publishes");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut seen = Vec::new();
    while let Some(Some(message)) = tokio::task::unconstrained(numbers.next()).now_or_never() {
        let Body::Payload(bytes) = message.body else {
            panic!("{message:?}")
        };
        seen.push(u32::from_le_bytes(
            bytes.as_ref().try_into().expect("a number"),
        ));
    }
    (seen, bus.counts())
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_faults() {
    let faults = Faults::none()
        .losing(0.1)
        .doubling(0.1)
        .delaying(0.2, Duration::from_millis(30))
        .reordering(0.1, Duration::from_millis(20));
    let first = run(11, faults).await;
    assert_eq!(first, run(11, faults).await);
    assert_ne!(first.0, run(12, faults).await.0);
    let counts = first.1;
    for (fault, count) in [
        ("lost", counts.lost),
        ("doubled", counts.doubled),
        ("delayed", counts.delayed),
        ("reordered", counts.reordered),
    ] {
        assert!(
            (20..150).contains(&count),
            "{count} of {MESSAGES} were {fault}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn without_faults_every_message_is_unchanged() {
    let (seen, counts) = run(1, Faults::none()).await;
    assert_eq!(seen, (0..MESSAGES).collect::<Vec<_>>());
    assert_eq!(counts.published, u64::from(MESSAGES));
    assert_eq!(
        counts,
        FaultCounts {
            published: counts.published,
            ..FaultCounts::default()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn lost_messages_are_missing_and_duplicated_messages_arrive_twice() {
    let (seen, counts) = run(2, Faults::none().losing(0.2)).await;
    assert_eq!(seen.len() as u64, u64::from(MESSAGES) - counts.lost);
    let (seen, counts) = run(2, Faults::none().doubling(0.2)).await;
    assert_eq!(seen.len() as u64, u64::from(MESSAGES) + counts.doubled);
    assert!(seen.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn delay_keeps_the_order_and_reordering_does_not() {
    let longest = Duration::from_millis(50);
    let (seen, counts) = run(3, Faults::none().delaying(0.3, longest)).await;
    assert_eq!(seen, (0..MESSAGES).collect::<Vec<_>>());
    assert!(counts.delayed > 50);
    let (seen, _) = run(3, Faults::none().reordering(0.3, longest)).await;
    assert!(!seen.is_sorted());
    assert_eq!(
        seen.into_iter().collect::<BTreeSet<_>>(),
        (0..MESSAGES).collect()
    );
}

#[tokio::test(start_paused = true)]
async fn a_partition_drops_messages_both_ways_until_it_heals() {
    let network = MemoryNetwork::new();
    let other = network.connect();
    let bus = FaultBus::new(Arc::new(network.connect()), 4);
    let (cut, open) = (Subject::from_wire("t.cut"), Subject::from_wire("t.open"));
    let reply = Subject::from_wire("t.reply");
    let mut replies = bus.subscribe(reply.clone(), 8).await.expect("subscribes");
    let mut inside = bus.subscribe(cut.clone(), 8).await.expect("subscribes");
    let mut outside = other.subscribe(open.clone(), 8).await.expect("subscribes");
    let payload = || Bytes::from_static(b"x");

    bus.partition(|subject| subject.as_str() == "t.cut");
    let sent = bus.publish(cut.clone(), Some(reply.clone()), payload());
    sent.await.expect("a partition is not noticed");
    other
        .publish(cut.clone(), None, payload())
        .await
        .expect("publishes");
    bus.publish(open.clone(), None, payload())
        .await
        .expect("publishes");
    assert!(outside.next().now_or_never().is_some());
    assert!(inside.next().now_or_never().is_none());
    assert!(
        replies.next().now_or_never().is_none(),
        "no `NoResponders` is sent"
    );
    assert_eq!(bus.counts().cut, 2);

    bus.heal();
    other
        .publish(cut, None, payload())
        .await
        .expect("publishes");
    assert!(inside.next().now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn delayed_messages_over_the_bound_are_dropped_and_counted() {
    let bus = FaultBus::new(Arc::new(MemoryNetwork::new().connect()), 5);
    bus.set(Faults::none().delaying(1.0, Duration::from_hours(1)));
    for _ in 0..70_000 {
        let sent = bus.publish(Subject::from_wire("t.flood"), None, Bytes::new());
        sent.await.expect("publishes");
    }
    assert_eq!(bus.counts().overflowed, 70_000 - 65_536);
}
