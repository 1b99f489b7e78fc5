//! Sizes and capacities.

use super::*;

pub(super) async fn oversized_values_are_rejected(test: &TestBus) {
    let to = subject("large");
    let mut inbox = subscribe(&test.two, &to).await;
    let most = test.one.max_payload();
    let fits = Bytes::from(vec![b'a'; most]);
    let sent = test
        .one
        .publish(to.clone(), None, vec![b'b'; most + 1].into());
    match within("publish", sent).await {
        Err(BusError::TooLarge { size, limit }) => assert_eq!((size, limit), (most + 1, most)),
        other => panic!("{} bytes: {other:?}", most + 1),
    }
    ok("publish", test.one.publish(to, None, fits.clone())).await;
    let message = next(&mut inbox).await;
    assert!(
        message.body == Body::Payload(fits),
        "the largest payload arrives complete, and as the only message"
    );
}

pub(super) async fn a_full_subscription_drops_and_counts(test: &TestBus) {
    let to = subject("full");
    let mut inbox = ok("subscribe", test.two.subscribe(to.clone(), 4)).await;
    for number in 0..10 {
        publish(&test.one, &to, &number.to_string()).await;
    }
    until("six of ten are dropped", || inbox.dropped() == 6).await;
    for number in 0..4 {
        expect(&mut inbox, &number.to_string()).await;
    }
    publish(&test.one, &to, "there is room again").await;
    expect(&mut inbox, "there is room again").await;
    assert_eq!(inbox.dropped(), 6);
}

pub(super) async fn a_full_subscription_does_not_affect_others(test: &TestBus) {
    const MESSAGES: usize = 500;
    let to = subject("alone");
    let full = ok("subscribe", test.two.subscribe(to.clone(), 1)).await;
    let mut roomy = subscribe(&test.two, &to).await;
    for number in 0..MESSAGES {
        publish(&test.one, &to, &number.to_string()).await;
    }
    for number in 0..MESSAGES {
        expect(&mut roomy, &number.to_string()).await;
    }
    assert_eq!(roomy.dropped(), 0);
    until("all but one are dropped", || {
        full.dropped() == MESSAGES as u64 - 1
    })
    .await;
}

pub(super) async fn a_capacity_of_zero_counts_as_one(test: &TestBus) {
    let to = subject("none");
    let mut inbox = ok("subscribe", test.two.subscribe(to.clone(), 0)).await;
    publish(&test.one, &to, "first").await;
    publish(&test.one, &to, "second").await;
    until("the second is dropped", || inbox.dropped() == 1).await;
    expect(&mut inbox, "first").await;
}
