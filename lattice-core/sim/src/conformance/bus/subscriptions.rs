//! Subscriptions, queue groups, and dropped futures.

use super::*;
use futures_util::{FutureExt, poll};
use std::collections::BTreeSet;

pub(super) async fn subscriptions_receive_all_later_messages(test: &TestBus) {
    for round in 0..50 {
        let to = subject(&format!("follows.{round}"));
        let mut inbox = subscribe(&test.two, &to).await;
        publish(&test.one, &to, "at once").await;
        expect(&mut inbox, "at once").await;
    }
}

pub(super) async fn dropping_a_subscription_ends_it(test: &TestBus) {
    let (to, reply) = (subject("ended.to"), subject("ended.reply"));
    let mut replies = subscribe(&test.one, &reply).await;
    let other = subscribe(&test.two, &to).await;
    drop(subscribe(&test.two, &to).await);
    drop(join(&test.two, &to, "g").await);
    drop(other);
    flush(&test.two).await;
    ask(&test.one, &to, &reply, "is there a receiver left?").await;
    assert_eq!(next(&mut replies).await.body, Body::NoResponders);
}

pub(super) async fn a_group_delivers_each_message_to_one_member(test: &TestBus) {
    const MESSAGES: usize = 300;
    let to = subject("group.to");
    let mut members = Vec::new();
    for bus in [&test.one, &test.two, &test.two] {
        members.push(join(bus, &to, "g").await);
    }
    let mut everything = subscribe(&test.two, &to).await;
    for number in 0..MESSAGES {
        publish(&test.one, &to, &number.to_string()).await;
    }
    for number in 0..MESSAGES {
        expect(&mut everything, &number.to_string()).await;
    }
    let mut seen = BTreeSet::new();
    let mut shares = vec![0; members.len()];
    while seen.len() < MESSAGES {
        let nexts = members.iter_mut().map(|member| Box::pin(member.next()));
        let any = within(
            "a message at some member",
            futures_util::future::select_all(nexts),
        );
        let (message, member, _) = any.await;
        let text = message.as_ref().map(text_of).unwrap_or_default();
        assert!(seen.insert(text.clone()), "{text} reached two members");
        shares[member] += 1;
    }
    assert!(
        shares.iter().all(|share| *share > MESSAGES / 20),
        "the members' shares are {shares:?}"
    );
    for member in &mut members {
        assert!(
            member.next().now_or_never().is_none(),
            "some messages arrived twice"
        );
    }
}

pub(super) async fn groups_are_independent(test: &TestBus) {
    let to = subject("groups.to");
    let mut first = join(&test.one, &to, "first").await;
    let mut second = join(&test.two, &to, "second").await;
    for number in 0..20 {
        publish(&test.one, &to, &number.to_string()).await;
    }
    for number in 0..20 {
        expect(&mut first, &number.to_string()).await;
        expect(&mut second, &number.to_string()).await;
    }
}

pub(super) async fn a_group_continues_without_a_member(test: &TestBus) {
    let to = subject("fewer.to");
    let mut stays = join(&test.one, &to, "g").await;
    drop(join(&test.two, &to, "g").await);
    flush(&test.two).await;
    for number in 0..20 {
        publish(&test.one, &to, &number.to_string()).await;
        expect(&mut stays, &number.to_string()).await;
    }
}

pub(super) async fn an_invalid_group_is_rejected(test: &TestBus) {
    for group in ["", " ", "two words", "line\r\nPUB x 1"] {
        let joined = test.one.queue_subscribe(subject("bad.group"), group, ROOM);
        let result = within("queue_subscribe", joined).await;
        assert!(
            matches!(result, Err(BusError::Refused(_))),
            "group {group:?}: {result:?}"
        );
    }
}

pub(super) async fn a_dropped_subscribe_leaves_no_subscription(test: &TestBus) {
    let (to, reply) = (subject("gone.to"), subject("gone.reply"));
    let mut replies = subscribe(&test.one, &reply).await;
    for polls in 0..4 {
        let mut future = test.two.subscribe(to.clone(), ROOM);
        for _ in 0..polls {
            if poll!(&mut future).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(future);
        flush(&test.two).await;
        ask(&test.one, &to, &reply, "is there a receiver left?").await;
        assert_eq!(next(&mut replies).await.body, Body::NoResponders);
    }
}

pub(super) async fn a_dropped_publish_is_all_or_nothing(test: &TestBus) {
    let to = subject("dropped.to");
    let mut inbox = subscribe(&test.two, &to).await;
    let large = Bytes::from(vec![b'x'; 64 * 1024]);
    drop(test.one.publish(to.clone(), None, "never polled".into()));
    for _ in 0..200 {
        let mut future = test.one.publish(to.clone(), None, large.clone());
        let _ = poll!(&mut future);
        drop(future);
    }
    publish(&test.one, &to, "marker").await;
    loop {
        let message = next(&mut inbox).await;
        if text_of(&message) == "marker" {
            break;
        }
        assert_eq!(message.body, Body::Payload(large.clone()));
    }
}
