//! What only `messaging-amqp` has: queues and exchanges, and other programs that use them.

use super::{
    actor::{Behaviour, BrokerMessage, ConsumerClient},
    eventually,
    scene::{Backend, Scene},
    soon,
};
use futures_util::StreamExt as _;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind,
    message::Delivery,
    options::{
        BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ExchangeDeclareOptions,
        QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{FieldTable, ShortString},
};
use lattice_core::node::NodeOptions;
use lattice_provider_sdk::{Caller, Link, ServeLimits};
use lattice_providers::messaging::CONSUMER;
use serde_json::json;
use std::time::Duration;

/// How long a call may take whose result is checked, on a busy machine.
const LONG: Duration = Duration::from_secs(30);

/// Another program that uses the server.
struct Other {
    channel: Channel,
    exchange: ShortString,
    _connection: Connection,
}

impl Other {
    async fn of(scene: &Scene) -> Self {
        let Backend::Amqp(server) = &scene.backend else {
            panic!("it has no server of AMQP");
        };
        let connected = Connection::connect(&server.url(), ConnectionProperties::default()).await;
        let connection = connected.expect("connects");
        let channel = connection.create_channel().await.expect("a channel");
        let exchange: ShortString = server.name().into();
        // As the provider does, which may not be connected yet.
        let options = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let none = FieldTable::default();
        let declared =
            channel.exchange_declare(exchange.clone(), ExchangeKind::Topic, options, none);
        declared.await.expect("an exchange");
        Self {
            channel,
            exchange,
            _connection: connection,
        }
    }

    /// Makes a queue of its own, or with a name, that receives a subject. Returns its name.
    async fn queue(&self, name: &str, subject: &str) -> ShortString {
        let options = match name {
            "" => QueueDeclareOptions::exclusive(),
            _ => QueueDeclareOptions::durable(),
        };
        let (channel, none) = (&self.channel, FieldTable::default);
        let queue = channel.queue_declare(name.into(), options, none());
        let queue = queue.await.expect("a queue").name().clone();
        let (exchange, options) = (self.exchange.clone(), QueueBindOptions::default());
        let bound = channel.queue_bind(queue.clone(), exchange, subject.into(), options, none());
        bound.await.expect("bound");
        queue
    }

    async fn consume(&self, queue: ShortString) -> Consumer {
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let consumer = self
            .channel
            .basic_consume(queue, "".into(), options, FieldTable::default());
        consumer.await.expect("it receives")
    }

    async fn publish(&self, subject: &str, body: &[u8], properties: BasicProperties) {
        self.send(self.exchange.clone(), subject.into(), body, properties)
            .await;
    }

    /// Sends to an exchange, or to a queue with an empty name of one.
    async fn send(
        &self,
        exchange: ShortString,
        key: ShortString,
        body: &[u8],
        properties: BasicProperties,
    ) {
        let options = BasicPublishOptions::default();
        let sent = self
            .channel
            .basic_publish(exchange, key, options, body, properties);
        sent.await.expect("sent");
    }

    /// Takes the next message of a queue.
    async fn take(&self, queue: &str) -> Option<Delivery> {
        let options = BasicGetOptions { no_ack: true };
        let taken = self.channel.basic_get(queue.into(), options).await;
        taken
            .expect("there is the queue")
            .map(|message| message.delivery)
    }
}

async fn next(consumer: &mut Consumer) -> Delivery {
    let delivery = soon("a message", consumer.next()).await;
    delivery.expect("the queue is there").expect("a message")
}

/// Links a component to the provider, which fails to publish what isn't stored.
async fn storing(scene: &Scene) -> ConsumerClient<Caller> {
    let link = Link::new("store", CONSUMER, "messaging").expect("valid");
    let link = link.config(&json!({ "stored": true })).expect("JSON");
    scene.lattice.links().replace(link).await.expect("put");
    ConsumerClient::new(scene.lattice.caller("store").expect("valid"))
}

fn message(subject: &str, body: &str, reply_to: Option<&str>) -> BrokerMessage {
    BrokerMessage {
        subject: subject.to_owned(),
        body: body.to_owned().into(),
        reply_to: reply_to.map(str::to_owned),
    }
}

#[tokio::test]
async fn a_message_that_was_set_aside_says_why_and_can_be_replayed() {
    let Some(backend) = Backend::amqp().await else {
        return;
    };
    let scene = Scene::new(backend).await;
    let other = Other::of(&scene).await;
    let (failing_handle, mut failing) = scene.actor("actor", Behaviour::Fail).await;
    let dead = format!("{}.dead", other.exchange);
    let more = json!({
        "max-deliver": 3, "backoff": "10ms", "dead-letter": "dead", "dead-letter-queue": dead,
    });
    let config = scene.backend.config(&["a"], &more);
    scene.subscribe("actor", &config).await;
    scene.reaches("a", &mut failing).await;
    let text = BasicProperties::default().with_content_type("text/plain".into());
    other.publish("a", b"bad", text).await;
    failing.bodies(3).await;

    let aside = soon("it is set aside", async {
        loop {
            if let Some(aside) = other.take(&dead).await {
                return aside;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let aside = aside.await;
    let header = |name: &str| {
        let headers = aside.properties.headers().as_ref().expect("headers");
        let value = headers.inner().get(name).expect(name).as_long_string();
        value.expect("a text").to_string()
    };
    assert_eq!(
        (aside.routing_key.as_str(), &*aside.data),
        ("dead", &b"bad"[..])
    );
    let reason = header("Lattice-Reason");
    assert_eq!(reason, "the handler returned an error: it always fails");
    assert_eq!(header("Lattice-Deliveries"), "3");
    assert_eq!(header("Lattice-Exchange"), other.exchange.as_str());
    assert!(header("Lattice-Queue").contains("messaging_actor"));
    let content_type = aside.properties.content_type().as_ref();
    assert_eq!(content_type.map(ShortString::as_str), Some("text/plain"));

    drop(failing_handle);
    let (_mended, mut mended) = scene.actor("actor", Behaviour::Keep).await;
    let replayed = BasicProperties::default();
    other
        .publish(&header("Lattice-Subject"), &aside.data, replayed)
        .await;
    assert_eq!(mended.next().await.body, "bad");
}

#[tokio::test]
async fn a_message_that_cannot_be_set_aside_stays_and_is_shown() {
    let Some(backend) = Backend::amqp().await else {
        return;
    };
    let scene = Scene::new(backend).await;
    let other = Other::of(&scene).await;
    let (_failing, mut failing) = scene.actor("failing", Behaviour::Fail).await;
    let more = json!({ "max-deliver": 1, "dead-letter": "dead" });
    let config = scene.backend.config(&["a"], &more);
    scene.subscribe("failing", &config).await;
    scene.reaches("a", &mut failing).await;
    scene.publish("a", "bad").await.expect("published");
    assert_eq!(failing.next().await.body, "bad");
    scene
        .health(Some(
            "a message can't be set aside to `dead`: no queue takes it",
        ))
        .await;

    let dead = other.queue("", "dead").await;
    eventually("it is set aside", async || {
        other.take(dead.as_str()).await.is_some()
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
async fn messages_are_in_order_although_the_provider_has_replicas() {
    let Some(backend) = Backend::amqp().await else {
        return;
    };
    let scene = Scene::new(backend).await;
    let node = scene
        .lattice
        .node(NodeOptions::default())
        .await
        .expect("joins");
    let other = node.serve(
        "messaging",
        scene.backend.provider(),
        ServeLimits::default(),
    );
    let _other = other.await.expect("serves");
    let (_actor, mut received) = scene.actor("actor", Behaviour::Keep).await;
    let config = scene.backend.config(&["a"], &json!({ "max-in-flight": 1 }));
    scene.subscribe("actor", &config).await;
    scene.reaches("a", &mut received).await;
    let numbers: Vec<String> = (0..50).map(|number| format!("{number}")).collect();
    for number in &numbers {
        scene.publish("a", number).await.expect("published");
    }
    assert_eq!(received.bodies(50).await, numbers);
}

#[tokio::test]
async fn a_request_gets_its_reply_or_ends() {
    let Some(backend) = Backend::amqp().await else {
        return;
    };
    let scene = Scene::new(backend).await;
    let (_echo, mut echo) = scene.actor("echo", Behaviour::Reply).await;
    let (_silent, mut silent) = scene.actor("silent", Behaviour::Keep).await;
    for name in ["echo", "silent"] {
        scene.subscribe(name, &json!({ "subjects": name })).await;
    }
    let link = Link::new("echo", CONSUMER, "messaging").expect("valid");
    // A link that may publish nothing else still carries replies.
    let link = link.config(&json!({ "publish": "nothing" })).expect("JSON");
    scene.lattice.links().put(link).await.expect("put");
    scene.reaches("echo", &mut echo).await;
    scene.reaches("silent", &mut silent).await;

    let web = scene.web();
    for body in [&b"hello"[..], b"again"] {
        let reply = web.request("echo", body, 20_000).timeout(LONG).await;
        let reply = reply.expect("called");
        assert_eq!(reply.expect("a reply").body, body);
    }
    let late = web.request("silent", b"hello", 200).await.expect("called");
    assert_eq!(late.expect_err("no reply"), "no reply within 200 ms");
    let nobody = web
        .request("nobody", b"hello", 20_000)
        .timeout(LONG)
        .await
        .expect("called");
    assert_eq!(nobody.expect_err("no queue"), "nothing listens at `nobody`");
    let inbox = web.request("_INBOX.YQ", b"x", 200).await.expect("called");
    let inbox = inbox.expect_err("it is no subject of requests");
    assert!(inbox.contains("where a reply goes"), "{inbox}");
}

#[tokio::test]
async fn other_programs_receive_and_send_the_same_messages() {
    let Some(backend) = Backend::amqp().await else {
        return;
    };
    let scene = Scene::new(backend).await;
    let other = Other::of(&scene).await;
    let (_actor, mut received) = scene.actor("actor", Behaviour::Reply).await;
    let link = Link::new("actor", CONSUMER, "messaging").expect("valid");
    scene.lattice.links().put(link).await.expect("put");
    let config = scene
        .backend
        .config(&["in.*"], &json!({ "max-deliver": 1 }));
    scene.subscribe("actor", &config).await;
    scene.reaches("in.x", &mut received).await;

    let mut out = other.consume(other.queue("", "out").await).await;
    let published = message("out", "to others", Some("in.reply"));
    let published = scene.web().publish(&published).await.expect("called");
    published.expect("published");
    let delivery = next(&mut out).await;
    assert_eq!(
        (delivery.routing_key.as_str(), &*delivery.data),
        ("out", &b"to others"[..])
    );
    assert!(delivery.properties.reply_to().is_none(), "it is no queue");
    let headers = delivery.properties.headers().as_ref().expect("headers");
    let subject = headers.inner().get("Lattice-Reply-To").expect("a subject");
    assert_eq!(
        subject.as_long_string().expect("a text").to_string(),
        "in.reply"
    );

    // Requests of other programs are answered by actors.
    let replies = other.queue("", "unused").await;
    let mut answers = other.consume(replies.clone()).await;
    let asks = BasicProperties::default()
        .with_reply_to(replies)
        .with_correlation_id("7".into());
    other.publish("in.a", b"from others", asks).await;
    let asked = received.next().await;
    assert_eq!(
        (&*asked.subject, &*asked.body),
        ("in.a", &b"from others"[..])
    );
    let answer = next(&mut answers).await;
    assert_eq!(answer.data, b"from others");
    let id = answer.properties.correlation_id().as_ref();
    assert_eq!(id.map(ShortString::as_str), Some("7"));

    // And the other way round.
    let mut asked = other.consume(other.queue("", "ask").await).await;
    let web = scene.web();
    let asking =
        tokio::spawn(async move { web.request("ask", b"2+2", 20_000).timeout(LONG).await });
    let asked = next(&mut asked).await;
    let to = asked.properties.reply_to().clone().expect("a queue");
    let id = asked.properties.correlation_id().clone().expect("an id");
    let unknown = BasicProperties::default().with_correlation_id("other".into());
    other.send("".into(), to.clone(), b"5", unknown).await;
    let known = BasicProperties::default().with_correlation_id(id);
    other.send("".into(), to, b"4", known).await;
    let reply = asking.await.expect("no panic").expect("called");
    assert_eq!(reply.expect("a reply").body, "4");
}

#[tokio::test]
async fn a_link_that_changes_is_unbound_and_loses_nothing_of_its_queue() {
    let Some(backend) = Backend::amqp().await else {
        return;
    };
    let scene = Scene::new(backend).await;
    let (_actor, mut received) = scene.actor("actor", Behaviour::Keep).await;
    let config = |subject: &str| scene.backend.config(&[subject], &json!({}));
    scene.subscribe("actor", &config("a")).await;
    scene.reaches("a", &mut received).await;
    let store = storing(&scene).await;
    let stored = store
        .publish(&message("a", "first", None))
        .await
        .expect("called");
    stored.expect("stored");
    assert_eq!(received.next().await.body, "first");

    scene.subscribe("actor", &config("b")).await;
    scene.reaches("b", &mut received).await;
    eventually("the queue isn't bound to it any more", async || {
        let stored = store.publish(&message("a", "old", None)).await;
        let refused = stored.expect("called").err();
        refused.is_some_and(|reason| reason.contains("no queue takes messages to `a`"))
    })
    .await;
    // A replica with another config of the link may have bound the queue.
    let other = Other::of(&scene).await;
    let queue = format!("lattice.{}_messaging_actor", other.exchange);
    let (exchange, options) = (other.exchange.clone(), QueueBindOptions::default());
    let bound = other.channel.queue_bind(
        queue.as_str().into(),
        exchange,
        "a".into(),
        options,
        FieldTable::default(),
    );
    bound.await.expect("bound");
    scene.publish("a", "other").await.expect("published");
    let sent = BasicProperties::default();
    other
        .send("".into(), queue.as_str().into(), b"to the queue", sent)
        .await;
    scene.publish("b", "new").await.expect("published");
    let mut bodies = received.bodies(3).await;
    bodies.sort();
    assert_eq!(bodies, ["new", "other", "to the queue"]);
}

#[tokio::test]
async fn links_with_one_queue_lose_none_of_their_messages() {
    let Some(backend) = Backend::amqp().await else {
        return;
    };
    let scene = Scene::new(backend).await;
    let store = storing(&scene).await;
    let (_one, mut one) = scene.actor("one", Behaviour::Keep).await;
    let (_two, mut two) = scene.actor("two", Behaviour::Keep).await;
    let more = json!({ "queue": format!("{}.q", Other::of(&scene).await.exchange) });
    let config = |subject: &str| scene.backend.config(&[subject], &more);
    scene.subscribe("one", &config("a")).await;
    scene.reaches("a", &mut one).await;
    scene.subscribe("two", &config("b")).await;
    eventually("the queue is bound for the second link", async || {
        let stored = store.publish(&message("b", "of two", None)).await;
        stored.expect("called").is_ok()
    })
    .await;
    // The first link receives from the queue, until it ends.
    assert_eq!(one.next().await.body, "of two");
    let mut links = scene.lattice.links().list().into_iter();
    let link = links.find(|entry| entry.link.target.as_str() == "one");
    let key = link.expect("the link").key.clone();
    scene.lattice.links().delete(&key).await.expect("deleted");
    scene.reaches("b", &mut two).await;
    scene.publish("a", "of one").await.expect("published");
    assert_eq!(two.next().await.body, "of one");
    assert!(one.is_empty());
}

#[tokio::test]
async fn a_queue_of_another_kind_is_shown_and_mended() {
    let Some(backend) = Backend::amqp().await else {
        return;
    };
    let scene = Scene::new(backend).await;
    let other = Other::of(&scene).await;
    let (_actor, mut received) = scene.actor("actor", Behaviour::Keep).await;
    let name = format!("{}.q", other.exchange);
    other.queue(&name, "a").await;
    let config = scene.backend.config(&["a"], &json!({ "queue": name }));
    scene.subscribe("actor", &config).await;
    scene
        .health(Some(&format!("the queue `{name}` can't be used")))
        .await;
    let deleted = other
        .channel
        .queue_delete(name.into(), QueueDeleteOptions::default());
    deleted.await.expect("deleted");
    scene.health(None).await;
    scene.reaches("a", &mut received).await;
}

#[tokio::test]
async fn a_queue_that_is_not_durable_goes_with_its_link() {
    let Some(backend) = Backend::amqp().await else {
        return;
    };
    let scene = Scene::new(backend).await;
    let (_actor, mut received) = scene.actor("actor", Behaviour::Keep).await;
    let config = scene.backend.config(&["a"], &json!({ "durable": false }));
    scene.subscribe("actor", &config).await;
    scene.reaches("a", &mut received).await;
    let mut links = scene.lattice.links().list().into_iter();
    let link = links.find(|entry| entry.link.source.as_str() == "messaging");
    let key = link.expect("the link").key.clone();
    scene.lattice.links().delete(&key).await.expect("deleted");
    let store = storing(&scene).await;
    eventually("the queue is gone", async || {
        let stored = store.publish(&message("a", "x", None)).await;
        stored.expect("called").is_err()
    })
    .await;
}
