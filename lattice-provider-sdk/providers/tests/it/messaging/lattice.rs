//! What only `messaging-lattice` has.

use super::{
    actor::{Actor, Behaviour, BrokerMessage, ConsumerClient, PROBE, consumer},
    eventually,
    scene::{Backend, Scene},
};
use lattice_core::{
    bus::memory::MemoryNetwork,
    call::{Context, FunctionRef},
    node::NodeOptions,
    store::MemoryStore,
    value,
};
use lattice_provider_sdk::{IntoService, Lattice, Link, ServeLimits, serve};
use lattice_providers::messaging::{CONSUMER, HANDLER, LatticeMessaging, lattice::Settings};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

#[tokio::test]
async fn a_full_queue_refuses_messages_until_there_is_room() {
    let scene = Scene::new(Backend::Lattice).await;
    let go = Arc::new(Semaphore::new(0));
    let (_slow, mut slow) = scene.actor("slow", Behaviour::Wait(go.clone())).await;
    let config = json!({ "subjects": "a", "queue": 2, "max-in-flight": 1 });
    scene.subscribe("slow", &config).await;
    scene.reaches("a", &mut slow).await;
    scene.publish("a", "runs").await.expect("room");
    assert_eq!(slow.next().await.body, "runs");
    // Probes may still wait ahead of these.
    eventually("the queue is full", async || {
        scene.publish("a", "waits").await.is_err()
    })
    .await;
    let refusal = scene.publish("a", "waits").await.expect_err("full");
    assert!(refusal.contains("is full with 2 messages"), "{refusal}");
    go.add_permits(100);
    eventually("there is room", async || {
        scene.publish("a", "more").await.is_ok()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_gets_its_reply_or_ends() {
    let scene = Scene::new(Backend::Lattice).await;
    let (_echo, mut echo) = scene.actor("echo", Behaviour::Reply).await;
    let (_silent, mut silent) = scene.actor("silent", Behaviour::Keep).await;
    scene
        .subscribe("echo", &json!({ "subjects": "echo" }))
        .await;
    scene
        .subscribe("silent", &json!({ "subjects": "silent" }))
        .await;
    let link = Link::new("echo", CONSUMER, "messaging").expect("valid");
    // A link that may publish nothing else still carries replies.
    let link = link.config(&json!({ "publish": "nothing" })).expect("JSON");
    scene.lattice.links().put(link).await.expect("put");
    scene.reaches("echo", &mut echo).await;
    scene.reaches("silent", &mut silent).await;

    let web = scene.web();
    let reply = web.request("echo", b"hello", 1_500).await.expect("called");
    assert_eq!(reply.expect("a reply").body, "hello");
    let late = web.request("silent", b"hello", 50).await.expect("called");
    assert_eq!(late.expect_err("no reply"), "no reply within 50 ms");
    // A call that is shorter than that ends with the error of the interface, too.
    let late = web.request("silent", b"hello", 60_000).await;
    let late = late.expect("called").expect_err("no reply");
    assert!(late.starts_with("no reply within"), "{late}");
    let nobody = web
        .request("nobody", b"hello", 1_500)
        .await
        .expect("called");
    let nobody = nobody.expect_err("no subscription");
    assert!(nobody.contains("no actor has a subscription"), "{nobody}");
}

#[tokio::test]
async fn a_reply_finds_the_replica_that_made_the_request() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let program = || Lattice::on(Arc::new(network.connect()), store.clone(), "test").trust_bus();
    let (here, there) = (
        program().await.expect("joins"),
        program().await.expect("joins"),
    );
    // The actor replies through the replica on its own host, which didn't make the request.
    let _one = serve(&here, "messaging", LatticeMessaging::default()).await;
    let _two = serve(&there, "messaging", LatticeMessaging::default()).await;
    let (echo, mut received) = Actor::new(Behaviour::Reply);
    let _echo = serve(&there, "echo", echo).await.expect("serves");
    let links = [
        Link::new("messaging", HANDLER, "echo").and_then(|link| link.named("echo")),
        Link::new("echo", CONSUMER, "messaging"),
        Link::new("web", CONSUMER, "messaging"),
    ];
    let mut links = links.map(|link| link.expect("valid"));
    links[0].config = json!({ "subjects": "echo" }).to_string();
    for link in links {
        here.links().put(link).await.expect("put");
    }
    let id = "messaging".parse().expect("valid");
    eventually("the replicas know each other", async || {
        [&here, &there]
            .iter()
            .all(|host| host.peers().serving(&id).len() == 2)
    })
    .await;
    let web = ConsumerClient::new(here.caller("web").expect("valid"));
    eventually("a reply", async || {
        let reply = web.request("echo", b"hello", 1_000).await;
        matches!(reply, Ok(Ok(reply)) if reply.body == "hello")
    })
    .await;
    assert_eq!(received.next().await.body, "hello");

    let lost = BrokerMessage {
        subject: "_INBOX.gone.7-1".to_owned(),
        body: "late".into(),
        reply_to: None,
    };
    let dropped = web.publish(&lost).await.expect("called");
    dropped.expect("a reply to a replica that is gone is dropped");
}

#[tokio::test]
async fn a_replica_passes_replies_to_another_and_nothing_else() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let program = || Lattice::on(Arc::new(network.connect()), store.clone(), "test").trust_bus();
    let (here, there) = (
        program().await.expect("joins"),
        program().await.expect("joins"),
    );
    let _one = serve(&here, "messaging", LatticeMessaging::default()).await;
    let _two = serve(&there, "messaging", LatticeMessaging::default()).await;
    let id = "messaging".parse().expect("valid");
    eventually("the replicas know each other", async || {
        [&here, &there]
            .iter()
            .all(|host| host.peers().serving(&id).len() == 2)
    })
    .await;
    let mut functions = consumer::INTERFACE.functions().iter();
    let publish = functions
        .find(|function| function.name == "publish")
        .expect("the interface has it");
    let publish = FunctionRef::new(
        consumer::INTERFACE.name().parse().expect("valid"),
        publish.name.parse().expect("valid"),
        publish.signature,
    );
    let caller = here.caller("messaging").expect("valid");
    for (subject, expected) in [
        ("_INBOX.gone.7-1", Ok(())),
        (
            "orders",
            Err(
                "this link may not publish to `orders`; add the subject to `publish` in its config",
            ),
        ),
    ] {
        let message = BrokerMessage {
            subject: subject.to_owned(),
            body: "x".into(),
            reply_to: None,
        };
        for replica in here.peers().serving(&id) {
            let args = value::to_bytes(&(&message,)).expect("it encodes");
            let context = Context::within(Duration::from_secs(5));
            let answer = caller.invoke_replica(replica, &publish, args, context);
            let answer = answer.await.expect("a replica is called");
            let answer: Result<(), String> = value::from_bytes(&answer).expect("it decodes");
            assert_eq!(answer, expected.map_err(str::to_owned), "{subject}");
        }
    }
}

#[tokio::test]
async fn a_reply_reaches_a_replica_that_is_leaving() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let program = || Lattice::on(Arc::new(network.connect()), store.clone(), "test").trust_bus();
    let (here, there) = (
        program().await.expect("joins"),
        program().await.expect("joins"),
    );
    let node = here.node(NodeOptions::default()).await.expect("joins");
    let messaging = LatticeMessaging::default().into_service();
    let leaving = node.serve("messaging", messaging, ServeLimits::default());
    let _leaving = leaving.await.expect("serves");
    let _staying = serve(&there, "messaging", LatticeMessaging::default()).await;
    let (echo, mut received) = Actor::new(Behaviour::Keep);
    let _echo = serve(&there, "echo", echo).await.expect("serves");
    let subscription = Link::new("messaging", HANDLER, "echo").expect("valid");
    let subscription = subscription.config(&json!({ "subjects": "echo" }));
    let links = [
        subscription.expect("JSON"),
        Link::new("echo", CONSUMER, "messaging").expect("valid"),
        Link::new("web", CONSUMER, "messaging").expect("valid"),
    ];
    for link in links {
        here.links().put(link).await.expect("put");
    }
    // The replica on its own node takes its requests.
    let web = ConsumerClient::new(node.caller("web").expect("valid"));
    let echo = ConsumerClient::new(there.caller("echo").expect("valid"));
    eventually("the subscription is there", async || {
        let _ = web.request("echo", PROBE, 20).await;
        received.is_probed().await
    })
    .await;
    let id = "messaging".parse().expect("valid");
    eventually("the replicas know each other", async || {
        [&here, &there]
            .iter()
            .all(|host| host.peers().serving(&id).len() == 2)
    })
    .await;

    let asking = tokio::spawn(async move { web.request("echo", b"hello", 20_000).await });
    let request = received.next().await;
    assert_eq!(request.body, "hello");
    let leaving = tokio::spawn(async move { node.shutdown(Duration::from_secs(20)).await });
    eventually("it is not listed any more", async || {
        there.peers().serving(&id).len() == 1
    })
    .await;
    let reply = BrokerMessage {
        subject: request.reply_to.expect("a reply is expected"),
        body: "world".into(),
        reply_to: None,
    };
    let sent = echo.publish(&reply).await.expect("called");
    sent.expect("it is passed on");
    let answer = asking.await.expect("no panic").expect("called");
    assert_eq!(answer.expect("a reply").body, "world");
    assert!(leaving.await.expect("no panic").is_clean());
}

#[tokio::test]
async fn a_message_that_was_set_aside_says_why_and_can_be_replayed() {
    let scene = Scene::new(Backend::Lattice).await;
    let (failing_handle, mut failing) = scene.actor("actor", Behaviour::Fail).await;
    let (_aside, mut aside) = scene.actor("aside", Behaviour::Keep).await;
    let config = json!({
        "subjects": "orders.*", "max-deliver": 3, "backoff": "10ms", "dead-letter": "dead",
        "dead-letter-content": "record",
    });
    scene.subscribe("actor", &config).await;
    scene.reaches("orders.7", &mut failing).await;
    scene
        .subscribe("aside", &json!({ "subjects": "dead" }))
        .await;
    scene.reaches("dead", &mut aside).await;

    scene.publish("orders.7", "bad").await.expect("published");
    let message = aside.next().await;
    assert_eq!(message.subject, "dead");
    let record: serde_json::Value = serde_json::from_slice(&message.body).expect("JSON");
    let expected = json!({
        "subject": "orders.7",
        "reply-to": null,
        "reason": "the handler returned an error: it always fails",
        "deliveries": 3,
        "body": "YmFk",
    });
    assert_eq!(record, expected);

    drop(failing_handle);
    let (_mended, mut mended) = scene.actor("actor", Behaviour::Keep).await;
    let subject = message.reply_to.expect("where it is replayed");
    scene.publish(&subject, "bad").await.expect("replayed");
    let replayed = mended.next().await;
    assert_eq!(
        (&*replayed.subject, &*replayed.body),
        ("orders.7", &b"bad"[..])
    );
}

#[tokio::test]
async fn a_message_that_cannot_be_set_aside_stays_and_is_shown() {
    let scene = Scene::new(Backend::Lattice).await;
    let (_failing, mut failing) = scene.actor("failing", Behaviour::FailAt("bad")).await;
    let config = json!({
        "subjects": "a.*", "max-in-flight": 2, "max-deliver": 1, "dead-letter": "dead",
    });
    scene.subscribe("failing", &config).await;
    scene.reaches("a.b", &mut failing).await;
    scene.publish("a.b", "bad").await.expect("published");
    assert_eq!(failing.next().await.body, "bad");
    scene
        .health(Some(
            "a message can't be set aside to `dead`: no link receives it",
        ))
        .await;
    // The second of these comes once the first was handled, which says nothing about that message.
    for body in ["good", "last"] {
        scene.publish("a.b", body).await.expect("published");
        assert_eq!(failing.next().await.body, body);
    }
    let health = scene.provider.health().await;
    health.expect_err("the message is still kept");

    let (_aside, mut aside) = scene.actor("aside", Behaviour::Keep).await;
    scene
        .subscribe("aside", &json!({ "subjects": "dead" }))
        .await;
    let message = aside.next().await;
    assert_eq!((&*message.subject, &*message.body), ("dead", &b"bad"[..]));
    assert_eq!(message.reply_to.as_deref(), Some("a.b"));
    scene.health(None).await;
    scene.publish("a.b", "next").await.expect("published");
    assert_eq!(
        failing.next().await.body,
        "next",
        "and not the first one again"
    );
}

#[tokio::test]
async fn a_link_to_an_actor_without_a_handler_is_shown() {
    let scene = Scene::new(Backend::Lattice).await;
    // The link is put before anything is known about its target.
    scene
        .subscribe("other", &json!({ "subjects": "a", "max-deliver": 1 }))
        .await;
    let other = LatticeMessaging::default();
    let _other = serve(&scene.lattice, "other", other).await.expect("serves");
    eventually("it is shown", async || {
        // It is shown at the latest when a message can't be delivered.
        let _ = scene.publish("a", "x").await;
        let health = scene.provider.health().await;
        health.is_err_and(|reason| reason.contains("export"))
    })
    .await;
}

#[tokio::test]
async fn requests_are_bounded() {
    let lattice = Lattice::in_memory("test").await.expect("opens");
    let settings = Settings { requests: 1 };
    let messaging = LatticeMessaging::new(settings);
    let _messaging = serve(&lattice, "messaging", messaging)
        .await
        .expect("serves");
    let (actor, mut received) = Actor::new(Behaviour::Keep);
    let _actor = serve(&lattice, "actor", actor).await.expect("serves");
    let link = Link::new("messaging", HANDLER, "actor").expect("valid");
    let link = link.config(&json!({ "subjects": "a" })).expect("JSON");
    lattice.links().put(link).await.expect("put");
    let link = Link::new("web", CONSUMER, "messaging").expect("valid");
    lattice.links().put(link).await.expect("put");
    let web = ConsumerClient::new(lattice.caller("web").expect("valid"));
    eventually("the subscription is there", async || {
        let reply = web.request("a", b"probe", 20).await.expect("called");
        reply
            .expect_err("the actor never replies")
            .contains("no reply")
    })
    .await;
    assert!(received.is_probed().await);
    let waiting = {
        let web = web.clone();
        tokio::spawn(async move { web.request("a", b"waits", 1_500).await })
    };
    received.next().await;
    let refusal = web.request("a", b"x", 1_500).await.expect("called");
    let refusal = refusal.expect_err("no room");
    assert!(refusal.contains("raise `requests`"), "{refusal}");
    waiting.abort();
    eventually("there is room again", async || {
        let reply = web.request("a", b"x", 20).await.expect("called");
        reply
            .expect_err("the actor never replies")
            .contains("no reply")
    })
    .await;
}

#[tokio::test]
async fn wrong_settings_are_refused_at_the_start() {
    let lattice = Lattice::in_memory("test").await.expect("opens");
    let messaging = LatticeMessaging::new(Settings { requests: 0 });
    let refused = serve(&lattice, "messaging", messaging).await;
    let error = format!("{:?}", refused.map(drop).expect_err("refused"));
    assert!(error.contains("`requests` is 0"), "{error}");
    let served = tokio::time::timeout(Duration::from_millis(50), lattice.served("messaging"));
    assert!(served.await.is_err(), "it is not served");
}
