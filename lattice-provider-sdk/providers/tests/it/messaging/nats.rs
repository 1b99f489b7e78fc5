//! What only `messaging-nats` has: streams, and a server that fails.

use super::{
    DEADLINE,
    actor::{Behaviour, ConsumerClient},
    eventually,
    scene::{Backend, Scene},
    soon,
};
use crate::nats::{NatsConfig, NatsServer};
use async_nats::jetstream;
use futures_util::StreamExt as _;
use lattice_core::serve::Service;
use lattice_provider_sdk::{IntoService, Lattice, Link, Secret, ServeHandle, serve};
use lattice_providers::{
    messaging::{CONSUMER, HANDLER, NatsMessaging},
    nats::{NatsLogin, NatsSettings},
};
use serde_json::json;
use std::{fs, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, sync::Semaphore, time::timeout};

fn server(scene: &Scene) -> &NatsServer {
    match &scene.backend {
        Backend::Subjects(server) | Backend::Streams(server) => server,
        Backend::Lattice | Backend::Amqp(_) => panic!("it has no server of NATS"),
    }
}

fn server_of(scene: &mut Scene) -> &mut NatsServer {
    match &mut scene.backend {
        Backend::Subjects(server) | Backend::Streams(server) => server,
        Backend::Lattice | Backend::Amqp(_) => panic!("it has no server of NATS"),
    }
}

/// Returns the streams of the server, beside the provider.
async fn streams(scene: &Scene) -> jetstream::Context {
    let client = async_nats::connect(server(scene).url()).await;
    jetstream::new(client.expect("connects"))
}

#[tokio::test]
async fn a_message_that_was_set_aside_says_why_and_can_be_replayed() {
    let scene = Scene::new(Backend::streams().await).await;
    let (failing_handle, mut failing) = scene.actor("actor", Behaviour::Fail).await;
    let more = json!({ "max-deliver": 3, "backoff": "10ms", "dead-letter": "dead" });
    let config = scene.backend.config(&["a"], &more);
    scene.subscribe("actor", &config).await;
    scene.reaches("a", &mut failing).await;
    scene.publish("a", "bad").await.expect("published");
    failing.bodies(3).await;

    let streams = streams(&scene).await;
    let stream = streams.get_stream("TEST").await.expect("the stream");
    eventually("it is set aside", async || {
        stream.get_last_raw_message_by_subject("dead").await.is_ok()
    })
    .await;
    let aside = stream.get_last_raw_message_by_subject("dead").await;
    let aside = aside.expect("it is set aside");
    let header = |name: &str| {
        aside
            .headers
            .get(name)
            .map(|value| value.as_str().to_owned())
    };
    assert_eq!(aside.payload, "bad");
    assert_eq!(
        header("Lattice-Reason").expect("a reason"),
        "the handler returned an error: it always fails"
    );
    assert_eq!(header("Lattice-Deliveries").as_deref(), Some("3"));
    assert_eq!(header("Lattice-Stream").as_deref(), Some("TEST"));

    drop(failing_handle);
    let (_mended, mut mended) = scene.actor("actor", Behaviour::Keep).await;
    let subject = header("Lattice-Subject").expect("a subject");
    let replayed = streams.publish(subject, aside.payload.clone()).await;
    replayed.expect("sent").await.expect("stored");
    assert_eq!(mended.next().await.body, "bad");
}

#[tokio::test]
async fn a_message_that_cannot_be_set_aside_stays_and_is_shown() {
    let scene = Scene::new(Backend::streams().await).await;
    let streams = streams(&scene).await;
    let config = |name: &str, subject: &str| jetstream::stream::Config {
        name: name.to_owned(),
        subjects: vec![subject.to_owned()],
        ..jetstream::stream::Config::default()
    };
    let (_failing, mut failing) = scene.actor("failing", Behaviour::Fail).await;
    let subscription = json!({
        "subjects": "a", "stream": "A", "max-deliver": 1, "dead-letter": "dead",
    });
    scene.subscribe("failing", &subscription).await;
    scene.health(Some("stream `A` can't be used")).await;
    streams
        .create_stream(config("A", "a"))
        .await
        .expect("created");
    scene.reaches("a", &mut failing).await;
    scene.publish("a", "bad").await.expect("published");
    assert_eq!(failing.next().await.body, "bad");
    scene
        .health(Some("a message can't be set aside to `dead`"))
        .await;

    streams
        .create_stream(config("DEAD", "dead"))
        .await
        .expect("created");
    let mut dead = streams.get_stream("DEAD").await.expect("the stream");
    eventually("it is set aside", async || {
        dead.info().await.expect("its state").state.messages == 1
    })
    .await;
    scene.health(None).await;
    scene.publish("a", "next").await.expect("published");
    assert_eq!(
        failing.next().await.body,
        "next",
        "and not the first one again"
    );
}

#[tokio::test]
async fn stored_messages_survive_a_server_that_goes_and_comes_back() {
    let mut scene = Scene::new(Backend::streams().await).await;
    let (_actor, mut received) = scene.actor("actor", Behaviour::Keep).await;
    let config = scene.backend.config(&["a"], &json!({}));
    scene.subscribe("actor", &config).await;
    scene.reaches("a", &mut received).await;
    let stored = Link::new("store", CONSUMER, "messaging").expect("valid");
    let stored = stored.config(&json!({ "stored": true })).expect("JSON");
    scene.lattice.links().put(stored).await.expect("put");
    let store = ConsumerClient::new(scene.lattice.caller("store").expect("valid"));
    let message = |subject: &str| super::actor::BrokerMessage {
        subject: subject.to_owned(),
        body: "kept".into(),
        reply_to: None,
    };
    let stored = store.publish(&message("a")).await.expect("called");
    stored.expect("stored");
    assert_eq!(received.next().await.body, "kept");
    let unknown = store.publish(&message("b")).await.expect("called");
    unknown.expect_err("no stream has this subject");

    server_of(&mut scene).kill();
    scene.health(Some("no connection to the NATS server")).await;
    let away = scene
        .publish("a", "lost")
        .await
        .expect_err("the server is away");
    assert!(away.contains("no connection to the NATS server"), "{away}");
    server_of(&mut scene).restart().await;
    scene.health(None).await;
    eventually("it is stored", async || {
        matches!(store.publish(&message("a")).await, Ok(Ok(())))
    })
    .await;
    assert_eq!(received.next().await.body, "kept");
}

#[tokio::test]
async fn a_request_gets_its_reply_or_ends() {
    let scene = Scene::new(Backend::subjects().await).await;
    let (_echo, mut echo) = scene.actor("echo", Behaviour::Reply).await;
    let (_silent, mut silent) = scene.actor("silent", Behaviour::Keep).await;
    for name in ["echo", "silent"] {
        scene.subscribe(name, &json!({ "subjects": name })).await;
    }
    let link = Link::new("echo", CONSUMER, "messaging").expect("valid");
    scene.lattice.links().put(link).await.expect("put");
    scene.reaches("echo", &mut echo).await;
    scene.reaches("silent", &mut silent).await;

    let web = scene.web();
    let reply = web.request("echo", b"hello", 1_500).await.expect("called");
    assert_eq!(reply.expect("a reply").body, "hello");
    let late = web.request("silent", b"hello", 50).await.expect("called");
    assert_eq!(late.expect_err("no reply"), "no reply within 50 ms");
    let nobody = web
        .request("nobody", b"hello", 1_500)
        .await
        .expect("called");
    assert_eq!(
        nobody.expect_err("no one listens"),
        "nothing listens at `nobody`"
    );
}

/// Serves the provider with these settings, as `messaging`.
async fn serving(settings: NatsSettings) -> (Lattice, Arc<dyn Service>, ServeHandle) {
    let lattice = Lattice::in_memory("test").await.expect("opens");
    let provider = NatsMessaging::new(settings).into_service();
    let served = serve(&lattice, "messaging", provider.clone()).await;
    let served = served.expect("it starts although the server is away");
    let link = Link::new("web", CONSUMER, "messaging").expect("valid");
    lattice.links().put(link).await.expect("put");
    (lattice, provider, served)
}

async fn publish(lattice: &Lattice) -> Result<(), String> {
    let web = ConsumerClient::new(lattice.caller("web").expect("valid"));
    let message = super::actor::BrokerMessage {
        subject: "a".to_owned(),
        body: "x".into(),
        reply_to: None,
    };
    let published = web.publish(&message).await;
    published.map_err(|error| error.to_string())?
}

#[tokio::test]
async fn a_server_that_refuses_the_login_is_used_once_it_accepts_it() {
    let text = |password: &str| format!("authorization {{ user: ada, password: {password:?} }}");
    let mut server = NatsConfig::default().text(&text("other")).start().await;
    let mut settings = NatsSettings::new(server.url());
    settings.login = NatsLogin::Password {
        user: "ada".to_owned(),
        password: Secret::new("s3cret".to_owned()),
    };
    let (lattice, provider, _serving) = serving(settings).await;
    eventually("the login is refused", async || {
        provider.health().await.is_err()
    })
    .await;
    let reason = provider.health().await.expect_err("refused");
    let refusal = publish(&lattice).await.expect_err("refused");
    assert!(refusal.contains("refuses the login"), "{refusal}");
    assert!(!format!("{reason}{refusal}").contains("s3cret"));

    fs::write(server.path("nats.conf"), text("s3cret")).expect("written");
    server.restart().await;
    eventually("the login is accepted", async || {
        publish(&lattice).await.is_ok()
    })
    .await;
    provider.health().await.expect("well");
}

#[tokio::test]
async fn a_server_that_answers_garbage_ends_no_call_late() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let _garbage = tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            // The client may have closed it already.
            let _ = connection
                .write_all(b"\x00\xff garbage \r\n INFO {\r\n")
                .await;
        }
    });
    let (lattice, provider, _serving) =
        serving(NatsSettings::new(format!("nats://{address}"))).await;
    let refusal = soon("an error", publish(&lattice))
        .await
        .expect_err("no server");
    assert!(
        refusal.contains("no connection to the NATS server"),
        "{refusal}"
    );
    provider.health().await.expect_err("no server");
}

#[tokio::test]
async fn a_server_that_hangs_ends_no_call_late() {
    let server = NatsServer::start().await;
    let (lattice, provider, _serving) = serving(NatsSettings::new(server.url())).await;
    eventually("it is well", async || provider.health().await.is_ok()).await;
    let link = Link::new("store", CONSUMER, "messaging").expect("valid");
    let link = link.config(&json!({ "stored": true })).expect("JSON");
    lattice.links().put(link).await.expect("put");
    let store = ConsumerClient::new(lattice.caller("store").expect("valid"));
    server.signal("STOP");
    let web = ConsumerClient::new(lattice.caller("web").expect("valid"));
    let late = web.request("a", b"x", 100).await.expect("called");
    late.expect_err("no reply");
    // Calls that are shorter than the provider's timeout end with the interface's error, too.
    let message = super::actor::BrokerMessage {
        subject: "a".to_owned(),
        body: "x".into(),
        reply_to: None,
    };
    let (replied, stored) = tokio::join!(
        web.request("a", b"x", 60_000).timeout(DEADLINE),
        store.publish(&message).timeout(DEADLINE),
    );
    let late = replied.expect("called").expect_err("no reply");
    assert!(late.starts_with("no reply within"), "{late}");
    let late = stored.expect("called").expect_err("it is not stored");
    assert!(late.contains("did not take the message in time"), "{late}");
    server.signal("CONT");
    eventually("it works again", async || publish(&lattice).await.is_ok()).await;
}

#[tokio::test]
async fn other_programs_receive_and_send_the_same_messages() {
    let scene = Scene::new(Backend::subjects().await).await;
    let (_actor, mut received) = scene.actor("actor", Behaviour::Keep).await;
    let link = Link::new("messaging", HANDLER, "actor").and_then(|link| link.named("actor"));
    let link = link
        .expect("valid")
        .config(&json!({ "subjects": "in.*" }))
        .expect("JSON");
    scene.lattice.links().put(link).await.expect("put");
    scene.reaches("in.x", &mut received).await;
    let other = async_nats::connect(server(&scene).url())
        .await
        .expect("connects");
    let mut out = other.subscribe("out").await.expect("subscribes");
    // The server takes the subscription a moment after it was sent.
    let published = soon("a message", async {
        loop {
            scene.publish("out", "to others").await.expect("published");
            if let Ok(message) = timeout(Duration::from_millis(50), out.next()).await {
                return message;
            }
        }
    });
    let message = published.await.expect("the connection is open");
    assert_eq!(message.payload, "to others");
    let sent = other.publish_with_reply("in.a", "back", "from others".into());
    sent.await.expect("published");
    let message = received.next().await;
    assert_eq!(
        (&*message.subject, &*message.body),
        ("in.a", &b"from others"[..])
    );
    assert_eq!(message.reply_to.as_deref(), Some("back"));
}

#[tokio::test]
async fn no_actor_publishes_to_the_server_itself_or_has_others_do_it() {
    let scene = Scene::new(Backend::streams().await).await;
    scene.health(None).await;
    let web = scene.web();
    for (subject, reply_to) in [
        ("$JS.API.STREAM.PURGE.TEST", None),
        ("lattice.test.beat", None),
        ("a", Some("$JS.API.STREAM.PURGE.TEST")),
    ] {
        let message = super::actor::BrokerMessage {
            subject: subject.to_owned(),
            body: "x".into(),
            reply_to: reply_to.map(str::to_owned),
        };
        let published = web.publish(&message).await.expect("called");
        let refusal = published.expect_err(subject);
        assert!(refusal.contains("may not publish to"), "{refusal}");
    }
    let asked = web.request("$JS.API.STREAM.LIST", b"", 1_500).await;
    let refusal = asked.expect("called").expect_err("the server's own");
    assert!(refusal.contains("may not publish to"), "{refusal}");
}

#[tokio::test]
async fn what_has_arrived_is_handled_although_its_link_changes() {
    let scene = Scene::new(Backend::subjects().await).await;
    let go = Arc::new(Semaphore::new(0));
    let (_actor, mut received) = scene.actor("actor", Behaviour::Wait(go.clone())).await;
    let config = json!({ "subjects": "a", "max-in-flight": 1 });
    scene.subscribe("actor", &config).await;
    scene.reaches("a", &mut received).await;
    for body in ["runs", "waits", "waits, too"] {
        scene.publish("a", body).await.expect("published");
    }
    assert_eq!(received.next().await.body, "runs");
    // The server answers this after it has sent the messages, over the same connection.
    let answer = scene.web().request("nowhere", b"", 10_000).await;
    let nothing = answer.expect("called").expect_err("there is no handler");
    assert!(nothing.contains("nothing listens"), "{nothing}");
    let changed = json!({ "subjects": "a", "max-in-flight": 1, "timeout": "20s" });
    scene.subscribe("actor", &changed).await;
    // The first one is still being handled, so this reaches the new subscription.
    scene.reaches("a", &mut received).await;
    go.add_permits(100);
    assert_eq!(received.bodies(2).await, ["waits", "waits, too"]);
}
