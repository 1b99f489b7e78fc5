//! Subscriptions, queue groups, and what a dropped future leaves.

use super::*;
use futures_util::{FutureExt, poll};
use std::collections::BTreeSet;

pub(super) async fn they_see_all_that_follows(rig: &Rig) {
    for round in 0..50 {
        let to = subject(&format!("follows.{round}"));
        let mut inbox = subscribe(&rig.two, &to).await;
        publish(&rig.one, &to, "at once").await;
        expect(&mut inbox, "at once").await;
    }
}

pub(super) async fn dropping_one_ends_it(rig: &Rig) {
    let (to, reply) = (subject("ended.to"), subject("ended.reply"));
    let mut replies = subscribe(&rig.one, &reply).await;
    let other = subscribe(&rig.two, &to).await;
    drop(subscribe(&rig.two, &to).await);
    drop(join(&rig.two, &to, "g").await);
    drop(other);
    flush(&rig.two).await;
    ask(&rig.one, &to, &reply, "anyone left?").await;
    assert_eq!(next(&mut replies).await.body, Body::NoResponders);
}

pub(super) async fn a_group_gives_each_message_to_one(rig: &Rig) {
    const MESSAGES: usize = 300;
    let to = subject("group.to");
    let mut members = Vec::new();
    for bus in [&rig.one, &rig.two, &rig.two] {
        members.push(join(bus, &to, "g").await);
    }
    let mut everything = subscribe(&rig.two, &to).await;
    for number in 0..MESSAGES {
        publish(&rig.one, &to, &number.to_string()).await;
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
        assert!(member.next().now_or_never().is_none(), "some came twice");
    }
}

pub(super) async fn groups_do_not_share(rig: &Rig) {
    let to = subject("groups.to");
    let mut first = join(&rig.one, &to, "first").await;
    let mut second = join(&rig.two, &to, "second").await;
    for number in 0..20 {
        publish(&rig.one, &to, &number.to_string()).await;
    }
    for number in 0..20 {
        expect(&mut first, &number.to_string()).await;
        expect(&mut second, &number.to_string()).await;
    }
}

pub(super) async fn a_group_goes_on_without_a_member(rig: &Rig) {
    let to = subject("fewer.to");
    let mut stays = join(&rig.one, &to, "g").await;
    drop(join(&rig.two, &to, "g").await);
    flush(&rig.two).await;
    for number in 0..20 {
        publish(&rig.one, &to, &number.to_string()).await;
        expect(&mut stays, &number.to_string()).await;
    }
}

pub(super) async fn a_bad_group_is_refused(rig: &Rig) {
    for group in ["", " ", "two words", "line\r\nPUB x 1"] {
        let joined = rig.one.queue_subscribe(subject("bad.group"), group, ROOM);
        let result = within("queue_subscribe", joined).await;
        assert!(
            matches!(result, Err(BusError::Refused(_))),
            "group {group:?}: {result:?}"
        );
    }
}

pub(super) async fn a_dropped_subscribe_leaves_nothing(rig: &Rig) {
    let (to, reply) = (subject("gone.to"), subject("gone.reply"));
    let mut replies = subscribe(&rig.one, &reply).await;
    for polls in 0..4 {
        let mut future = rig.two.subscribe(to.clone(), ROOM);
        for _ in 0..polls {
            if poll!(&mut future).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(future);
        flush(&rig.two).await;
        ask(&rig.one, &to, &reply, "anyone left?").await;
        assert_eq!(next(&mut replies).await.body, Body::NoResponders);
    }
}

pub(super) async fn a_dropped_publish_is_whole_or_nothing(rig: &Rig) {
    let to = subject("dropped.to");
    let mut inbox = subscribe(&rig.two, &to).await;
    let large = Bytes::from(vec![b'x'; 64 * 1024]);
    drop(rig.one.publish(to.clone(), None, "never polled".into()));
    for _ in 0..200 {
        let mut future = rig.one.publish(to.clone(), None, large.clone());
        let _ = poll!(&mut future);
        drop(future);
    }
    publish(&rig.one, &to, "marker").await;
    loop {
        let message = next(&mut inbox).await;
        if text_of(&message) == "marker" {
            break;
        }
        assert_eq!(message.body, Body::Payload(large.clone()));
    }
}
