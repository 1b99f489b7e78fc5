//! What every backend does.

use super::{
    actor::{Behaviour, BrokerMessage},
    eventually,
    scene::{Backend, Scene},
};
use crate::log::Log;
use lattice_provider_sdk::Context;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

pub(crate) async fn a_message_reaches_each_matching_link_once(backend: Backend) {
    let scene = Scene::new(backend).await;
    let (_one, mut one) = scene.actor("one", Behaviour::Keep).await;
    let (_two, mut two) = scene.actor("two", Behaviour::Keep).await;
    let config = |subjects: &[&str]| scene.backend.config(subjects, &json!({}));
    // The stream is that of the first link.
    scene.subscribe("one", &config(&["orders.>"])).await;
    scene.reaches("orders.created.1", &mut one).await;
    scene.subscribe("two", &config(&["orders.*.1"])).await;
    scene.reaches("orders.created.1", &mut two).await;

    for subject in ["orders.created.1", "orders.created.2", "other"] {
        scene.publish(subject, subject).await.expect("published");
    }
    scene
        .publish("orders.created.1", "last")
        .await
        .expect("published");
    let mut bodies = one.bodies(3).await;
    bodies.sort();
    assert_eq!(bodies, ["last", "orders.created.1", "orders.created.2"]);
    let mut bodies = two.bodies(2).await;
    bodies.sort();
    assert_eq!(bodies, ["last", "orders.created.1"]);
    assert!(one.is_empty() && two.is_empty(), "each message came once");
}

pub(crate) async fn bodies_arrive_as_they_were_sent(backend: Backend) {
    let scene = Scene::new(backend).await;
    let (_actor, mut received) = scene.actor("actor", Behaviour::Keep).await;
    let config = scene
        .backend
        .config(&["a.*"], &json!({ "max-in-flight": 1 }));
    scene.subscribe("actor", &config).await;
    scene.reaches("a.b", &mut received).await;
    let all_bytes: Vec<u8> = (0..=u8::MAX).collect();
    let large = vec![7; 512 * 1024];
    for (subject, body) in [("a.b", vec![]), ("a.ü-_$", all_bytes), ("a.0", large)] {
        scene.publish(subject, &body).await.expect("published");
        let message = received.next().await;
        assert_eq!((&*message.subject, message.body.to_vec()), (subject, body));
        assert_eq!(message.reply_to, None);
    }
}

pub(crate) async fn wrong_subjects_are_refused(backend: Backend) {
    let scene = Scene::new(backend).await;
    scene.health(None).await;
    for subject in ["", "a..b", "a.*", ">", "a b", "a\r\nPUB b"] {
        let refusal = scene.publish(subject, "x").await.expect_err(subject);
        assert!(refusal.contains("subject"), "{refusal}");
    }
    let limited =
        lattice_provider_sdk::Link::new("web", lattice_providers::messaging::CONSUMER, "messaging");
    let limited = limited.expect("valid").config(&json!({ "publish": "a.*" }));
    let limited = limited.expect("JSON");
    scene.lattice.links().replace(limited).await.expect("put");
    let refusal = scene.publish("b", "x").await.expect_err("another subject");
    assert!(refusal.contains("may not publish to `b`"), "{refusal}");
    scene.publish("a.b", "x").await.expect("its own subject");
}

pub(crate) async fn messages_of_one_link_are_handled_in_order(backend: Backend) {
    let scene = Scene::new(backend).await;
    let alone = Behaviour::Alone(Arc::new(Semaphore::new(1)));
    let (_actor, mut received) = scene.actor("actor", alone).await;
    let config = scene.backend.config(&["a"], &json!({ "max-in-flight": 1 }));
    scene.subscribe("actor", &config).await;
    scene.reaches("a", &mut received).await;
    let numbers: Vec<String> = (0..100).map(|number| format!("{number}")).collect();
    for number in &numbers {
        scene.publish("a", number).await.expect("published");
    }
    assert_eq!(received.bodies(100).await, numbers);
}

pub(crate) async fn a_message_that_fails_too_often_is_set_aside(backend: Backend) {
    let scene = Scene::new(backend).await;
    let (_failing, mut failing) = scene.actor("failing", Behaviour::Fail).await;
    let (_aside, mut aside) = scene.actor("aside", Behaviour::Keep).await;
    let more = json!({ "max-deliver": 3, "backoff": "10ms", "dead-letter": "dead.a" });
    let config = scene.backend.config(&["a"], &more);
    scene.subscribe("failing", &config).await;
    scene.reaches("a", &mut failing).await;
    let config = scene.backend.config(&["dead.a"], &json!({}));
    scene.subscribe("aside", &config).await;
    scene.reaches("dead.a", &mut aside).await;

    scene.publish("a", "bad").await.expect("published");
    let message = aside.next().await;
    assert_eq!((&*message.subject, &*message.body), ("dead.a", &b"bad"[..]));
    let deliveries = failing.bodies(scene.backend.deliveries()).await;
    assert!(deliveries.iter().all(|body| body == "bad"));
    // One that comes later isn't held up.
    scene.publish("a", "next").await.expect("published");
    assert_eq!(failing.next().await.body, "next");
}

pub(crate) async fn others_stay_in_order_around_a_message_that_fails(backend: Backend) {
    let scene = Scene::new(backend).await;
    let (_actor, mut received) = scene.actor("actor", Behaviour::FailAt("bad")).await;
    let (_aside, mut aside) = scene.actor("aside", Behaviour::Keep).await;
    let more = json!({
        "max-in-flight": 1, "max-deliver": 3, "backoff": "10ms", "dead-letter": "dead.a",
    });
    let config = scene.backend.config(&["a"], &more);
    scene.subscribe("actor", &config).await;
    scene.reaches("a", &mut received).await;
    let config = scene.backend.config(&["dead.a"], &json!({}));
    scene.subscribe("aside", &config).await;
    scene.reaches("dead.a", &mut aside).await;

    for body in ["1", "2", "bad", "3", "4"] {
        scene.publish("a", body).await.expect("published");
    }
    assert_eq!(aside.next().await.body, "bad");
    let deliveries = scene.backend.deliveries();
    let mut bodies = received.bodies(4 + deliveries).await;
    let first = bodies.iter().position(|body| body == "bad");
    assert_eq!(first, Some(2), "{bodies:?}");
    bodies.retain(|body| body != "bad");
    assert_eq!(bodies, ["1", "2", "3", "4"], "each once, in order");
    assert!(received.is_empty(), "and the other one no more often");
}

pub(crate) async fn messages_wait_for_an_actor_that_is_away(backend: Backend) {
    let scene = Scene::new(backend).await;
    let (serving, mut received) = scene.actor("actor", Behaviour::Keep).await;
    let config = scene.backend.config(&["a"], &json!({}));
    scene.subscribe("actor", &config).await;
    scene.reaches("a", &mut received).await;
    drop((serving, received));
    for number in 0..20 {
        let published = scene.publish("a", format!("{number:02}")).await;
        published.expect("published");
    }
    scene.health(Some("no host serves component `actor`")).await;
    let (_again, mut received) = scene.actor("actor", Behaviour::Keep).await;
    let mut bodies = received.bodies(20).await;
    bodies.sort();
    let all: Vec<String> = (0..20).map(|number| format!("{number:02}")).collect();
    assert_eq!(bodies, all);
    scene.health(None).await;
}

pub(crate) async fn a_wrong_link_is_shown_and_mended(backend: Backend) {
    let scene = Scene::new(backend).await;
    let (_actor, mut received) = scene.actor("actor", Behaviour::Keep).await;
    for (config, expected) in [
        (json!({ "subjects": "a..b" }), "isn't a pattern of subjects"),
        (
            json!({ "subjects": "a", "max-in-flight": 0 }),
            "`max-in-flight` is 0",
        ),
        (json!({ "subjets": "a" }), "subjets"),
        (json!({}), "subjects"),
    ] {
        scene.subscribe("actor", &config).await;
        scene.health(Some(expected)).await;
    }
    scene
        .subscribe("actor", &scene.backend.config(&["a"], &json!({})))
        .await;
    scene.reaches("a", &mut received).await;
    scene.health(None).await;

    let mut links = scene.lattice.links().list().into_iter();
    let link = links.find(|entry| entry.link.source.as_str() == "messaging");
    let key = link.expect("the link").key.clone();
    scene.lattice.links().delete(&key).await.expect("deleted");
    super::eventually("no more messages", async || {
        // Nothing listens any more, which no backend takes for an error.
        let _ = scene.publish("a", super::actor::PROBE).await;
        !received.is_probed().await
    })
    .await;
}

/// There is no tracer here, so all parts of a trace have the place that it was given.
pub(crate) async fn a_trace_goes_on_at_the_handler(backend: Backend) {
    let log = Log::default();
    let _captured = log.capture_spans();
    let scene = Scene::new(backend).await;
    let (_actor, mut received) = scene.actor("actor", Behaviour::Trace).await;
    let config = scene.backend.config(&["a.*"], &json!({}));
    scene.subscribe("actor", &config).await;
    scene.reaches("a.b", &mut received).await;
    let unsampled = TRACE.replace("-01", "-00");
    for (body, trace) in [("unsampled", &*unsampled), ("sampled", TRACE)] {
        let mut context = Context::new(Duration::from_secs(20));
        context.trace = Some(trace.parse().expect("a traceparent"));
        let message = BrokerMessage {
            subject: "a.b".to_owned(),
            body: body.into(),
            reply_to: None,
        };
        let web = scene.web();
        let published = web.publish(&message).with_context(context).await;
        published.expect("called").expect("published");
        assert_eq!(received.bodies(2).await, [body, trace]);
    }

    // The last field of each span, and so of a line that ends with it.
    let ended = |kind: &str, body: &str| {
        let size = format!("messaging.message.body.size={}", body.len());
        let kind = format!("otel.kind=\"{kind}\"");
        let text = log.text();
        let lines = text.lines().filter(|line| {
            let span = line.split_once(": lattice::backend: close");
            let span = span.map(|(span, _)| span.rsplit("message{").next().unwrap_or(span));
            span.is_some_and(|span| span.contains(&kind) && span.contains(&size))
        });
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    for (kind, fields) in [
        (
            "producer",
            [
                // Its link is for all subjects, and names of spans are few.
                "otel.name=\"publish\"",
                "messaging.operation.name=\"publish\"",
                "messaging.operation.type=\"send\"",
            ],
        ),
        (
            "consumer",
            [
                "otel.name=\"process a.*\"",
                "messaging.destination.template=\"a.*\"",
                "messaging.operation.type=\"process\"",
            ],
        ),
    ] {
        eventually(kind, async || ended(kind, "sampled").len() == 1).await;
        let span = ended(kind, "sampled").remove(0);
        for field in fields.iter().chain(&["messaging.system=", "a.b"]) {
            assert!(span.contains(field), "{field} isn't in {span}");
        }
        assert_eq!(ended(kind, "unsampled"), Vec::<String>::new());
    }
}
