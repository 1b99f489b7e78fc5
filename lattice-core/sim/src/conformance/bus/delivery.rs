//! Delivery and order.

use super::*;

pub(super) async fn published_messages_arrive_completely(test: &TestBus) {
    let (to, reply) = (subject("whole.to"), subject("whole.reply"));
    let mut inbox = subscribe(&test.two, &to).await;
    let all_bytes: Vec<u8> = (0..=u8::MAX).collect();
    for payload in [Bytes::new(), all_bytes.into()] {
        let sent = test
            .one
            .publish(to.clone(), Some(reply.clone()), payload.clone());
        ok("publish", sent).await;
        let message = next(&mut inbox).await;
        assert_eq!(message.subject, to);
        assert_eq!(message.reply, Some(reply.clone()));
        assert_eq!(message.body, Body::Payload(payload));
    }
    publish(&test.one, &to, "no reply wanted").await;
    assert_eq!(next(&mut inbox).await.reply, None);
}

pub(super) async fn every_subscriber_receives_one(test: &TestBus) {
    let to = subject("broadcast");
    let mut inboxes = Vec::new();
    for bus in [&test.one, &test.one, &test.two, &test.two] {
        inboxes.push(subscribe(bus, &to).await);
    }
    publish(&test.one, &to, "first").await;
    publish(&test.one, &to, "second").await;
    for inbox in &mut inboxes {
        expect(inbox, "first").await;
        expect(inbox, "second").await;
    }
}

pub(super) async fn a_star_matches_one_token(test: &TestBus) {
    let mut last = subscribe(&test.two, &subject("star.a.*")).await;
    let mut middle = subscribe(&test.two, &subject("star.*.z")).await;
    let mut both = subscribe(&test.two, &subject("star.*.*")).await;
    for to in ["star.a", "star.a.x.y", "star.a.x", "star.b.z", "star.a.z"] {
        publish(&test.one, &subject(to), to).await;
    }
    for (inbox, expected) in [
        (&mut last, ["star.a.x", "star.a.z"].as_slice()),
        (&mut middle, &["star.b.z", "star.a.z"]),
        (&mut both, &["star.a.x", "star.b.z", "star.a.z"]),
    ] {
        for to in expected {
            let message = next(inbox).await;
            assert_eq!(text_of(&message), *to);
            assert_eq!(message.subject, subject(to), "it names its own subject");
        }
    }
}

pub(super) async fn messages_without_subscribers_are_dropped(test: &TestBus) {
    let to = subject("unwanted");
    publish(&test.one, &to, "too early").await;
    flush(&test.one).await;
    let mut inbox = subscribe(&test.two, &to).await;
    publish(&test.one, &subject("unwanted.deeper"), "elsewhere").await;
    publish(&test.one, &to, "in time").await;
    expect(&mut inbox, "in time").await;
}

pub(super) async fn a_request_without_subscribers_gets_no_responders(test: &TestBus) {
    let mut replies = subscribe(&test.one, &subject("lonely.reply.*")).await;
    let (to, reply) = (subject("lonely.to"), subject("lonely.reply.7"));
    ask(&test.one, &to, &reply, "is there a receiver?").await;
    let message = next(&mut replies).await;
    assert_eq!(message.body, Body::NoResponders);
    assert_eq!(
        message.subject, reply,
        "it names the subject of the request"
    );

    let mut responder = subscribe(&test.two, &to).await;
    ask(
        &test.one,
        &to,
        &subject("lonely.reply.8"),
        "is there a receiver now?",
    )
    .await;
    let question = next(&mut responder).await;
    let reply = question.reply.clone().unwrap_or(question.subject);
    publish(&test.two, &reply, "yes").await;
    expect(&mut replies, "yes").await;
}

pub(super) async fn no_responders_is_sent_only_to_the_requester(test: &TestBus) {
    let (to, reply) = (subject("told.to"), subject("told.reply"));
    let mut own = subscribe(&test.one, &reply).await;
    let mut others = subscribe(&test.two, &reply).await;
    ask(&test.one, &to, &reply, "is there a receiver?").await;
    assert_eq!(next(&mut own).await.body, Body::NoResponders);
    publish(&test.one, &reply, "marker").await;
    expect(&mut others, "marker").await;
}

pub(super) async fn one_publisher_keeps_its_order(test: &TestBus) {
    let to = subject("order");
    let mut inbox = subscribe(&test.two, &to).await;
    let from = |bus: Arc<dyn Bus>, name: &'static str| {
        let to = to.clone();
        async move {
            for number in 0..1000 {
                publish(&bus, &to, &format!("{name} {number}")).await;
                // Lets the other publisher in between.
                if number % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    };
    let read = async {
        let mut due = [("one", 0), ("two", 0)];
        for _ in 0..2000 {
            let text = next_text(&mut inbox).await;
            let Some((_, number)) = due.iter_mut().find(|(name, _)| text.starts_with(name)) else {
                panic!("{text} has no known sender")
            };
            assert!(
                text.ends_with(&format!(" {number}")),
                "{text} arrived instead of {number}"
            );
            *number += 1;
        }
    };
    tokio::join!(
        from(test.one.clone(), "one"),
        from(test.two.clone(), "two"),
        read
    );
}

pub(super) async fn flush_delivers_all_earlier_messages(test: &TestBus) {
    for round in 0..20 {
        let to = subject(&format!("flush.{round}"));
        publish(&test.one, &to, "before").await;
        flush(&test.one).await;
        let mut inbox = subscribe(&test.two, &to).await;
        publish(&test.one, &to, "after").await;
        expect(&mut inbox, "after").await;
    }
}
