//! Servers of AMQP that fail.

use super::{
    DEADLINE,
    actor::{Behaviour, BrokerMessage, ConsumerClient},
    eventually,
    proxy::{Mode, Proxy},
    scene::{Backend, Scene},
    soon,
};
use crate::{servers, tls::Authority};
use lattice_core::serve::Service;
use lattice_provider_sdk::{HostPath, IntoService, Lattice, Link, Secret, ServeHandle, serve};
use lattice_providers::messaging::{AmqpMessaging, AmqpSettings, CONSUMER};
use lattice_test_servers::RabbitServer;
use serde_json::json;
use std::{fs, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
};

const AWAY: &str = "no connection to the AMQP server";

/// A provider `messaging`, to which `web` is linked.
struct Serving {
    lattice: Lattice,
    provider: Arc<dyn Service>,
    _handle: ServeHandle,
}

impl Serving {
    async fn with(settings: AmqpSettings) -> Self {
        // Queues are named after it.
        let name = settings.exchange.replace('.', "-");
        let lattice = Lattice::in_memory(&*name).await.expect("opens");
        let provider = AmqpMessaging::new(settings).into_service();
        let served = serve(&lattice, "messaging", provider.clone()).await;
        let handle = served.expect("it starts although the server is away");
        let link = Link::new("web", CONSUMER, "messaging").expect("valid");
        lattice.links().put(link).await.expect("put");
        Self {
            lattice,
            provider,
            _handle: handle,
        }
    }

    async fn publish(&self) -> Result<(), String> {
        let web = ConsumerClient::new(self.lattice.caller("web").expect("valid"));
        let message = BrokerMessage {
            subject: "a".to_owned(),
            body: "x".into(),
            reply_to: None,
        };
        // The provider's own timeout ends it before.
        let published = web.publish(&message).timeout(Duration::from_secs(30)).await;
        published.map_err(|error| error.to_string())?
    }

    /// Waits until the provider's health says this, or that all is well.
    async fn health(&self, expected: Option<&str>) {
        eventually(expected.unwrap_or("well"), async || {
            match (self.provider.health().await, expected) {
                (Ok(()), None) => true,
                (Err(reason), Some(expected)) => reason.contains(expected),
                _ => false,
            }
        })
        .await;
    }
}

fn at(port: u16) -> AmqpSettings {
    AmqpSettings {
        // Short enough for a server that hangs, and long enough for a busy machine.
        timeout: Duration::from_secs(4),
        ..AmqpSettings::new(format!("amqp://localhost:{port}"))
    }
}

#[tokio::test]
async fn a_server_that_goes_and_comes_back_is_used_again() {
    let Some(server) = servers::shared_rabbitmq().await else {
        return;
    };
    let proxy = Proxy::new(server.address()).await;
    proxy.set(Mode::Cut);
    let serving = Serving::with(at(proxy.port())).await;
    for _ in 0..2 {
        serving.health(Some(AWAY)).await;
        let away = serving.publish().await.expect_err("the server is away");
        assert!(away.contains(AWAY), "{away}");
        proxy.set(Mode::Pass);
        serving.health(None).await;
        serving.publish().await.expect("published");
        proxy.set(Mode::Cut);
    }
}

#[tokio::test]
async fn a_server_that_hangs_ends_no_call_late() {
    let Some(server) = servers::shared_rabbitmq().await else {
        return;
    };
    let proxy = Proxy::new(server.address()).await;
    let serving = Serving::with(at(proxy.port())).await;
    serving.health(None).await;
    proxy.set(Mode::Hang);
    let web = ConsumerClient::new(serving.lattice.caller("web").expect("valid"));
    let late = web.request("a", b"x", 100).await.expect("called");
    assert_eq!(late.expect_err("no reply"), "no reply within 100 ms");
    // A call that has no more time than the provider's timeout ends with the same error.
    let message = BrokerMessage {
        subject: "a".to_owned(),
        body: "x".into(),
        reply_to: None,
    };
    let short = web.publish(&message).timeout(DEADLINE);
    let (long, short) = tokio::join!(serving.publish(), short);
    for late in [long, short.expect("called")] {
        let late = late.expect_err("no confirm");
        assert!(late.contains("did not confirm"), "{late}");
    }
    proxy.set(Mode::Pass);
    serving.health(None).await;
    serving.publish().await.expect("published");
}

#[tokio::test]
async fn a_handler_that_runs_when_the_connection_is_lost_runs_again() {
    let Some(server) = servers::shared_rabbitmq().await else {
        return;
    };
    let proxy = Proxy::new(server.address()).await;
    let settings = AmqpSettings {
        exchange: server.name().to_owned(),
        ..at(proxy.port())
    };
    let serving = Serving::with(settings).await;
    let scene = Scene::around(
        Backend::Amqp(server),
        serving.lattice.clone(),
        serving.provider.clone(),
    );
    let go = Arc::new(tokio::sync::Semaphore::new(0));
    let (_actor, mut received) = scene.actor("actor", Behaviour::Wait(go.clone())).await;
    scene.subscribe("actor", &json!({ "subjects": "a" })).await;
    scene.reaches("a", &mut received).await;
    scene.publish("a", "twice").await.expect("published");
    assert_eq!(received.next().await.body, "twice");
    proxy.set(Mode::Cut);
    serving.health(Some(AWAY)).await;
    proxy.set(Mode::Pass);
    assert_eq!(received.next().await.body, "twice");
    go.add_permits(10);
    serving.health(None).await;
    scene.publish("a", "next").await.expect("published");
    assert_eq!(received.next().await.body, "next");
}

#[tokio::test]
async fn a_server_that_refuses_the_login_is_told_without_the_password() {
    let Some(server) = servers::shared_rabbitmq().await else {
        return;
    };
    let secret = "s3cret";
    let url = server.url();
    for settings in [
        AmqpSettings {
            user: Some("ada".to_owned()),
            password: Some(Secret::new(secret.to_owned())),
            ..AmqpSettings::new(url.clone())
        },
        AmqpSettings::new(url.replace("//", &format!("//ada:{secret}@"))),
        AmqpSettings {
            vhost: Some("missing".to_owned()),
            ..AmqpSettings::new(url.clone())
        },
    ] {
        let serving = Serving::with(settings).await;
        serving.health(Some("refuses the login")).await;
        let reason = serving.provider.health().await.expect_err("refused");
        let refusal = serving.publish().await.expect_err("refused");
        assert!(refusal.contains("refuses the login"), "{refusal}");
        assert!(!format!("{reason}{refusal}").contains(secret));
    }
}

#[tokio::test]
async fn a_server_that_answers_garbage_ends_no_call_late() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let _garbage = tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            // The client may have closed it already.
            let _ = connection
                .write_all(b"\x00\xff garbage \r\n\x01\x00\x00")
                .await;
        }
    });
    let serving = Serving::with(at(port)).await;
    let refusal = soon("an error", serving.publish()).await;
    let refusal = refusal.expect_err("no server");
    assert!(refusal.contains(AWAY), "{refusal}");
    serving.provider.health().await.expect_err("no server");
}

/// Takes connections as `localhost`, of those who have a certificate of the authority.
fn acceptor(authority: &Authority) -> TlsAcceptor {
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots
        .add(der(&authority.certificate))
        .expect("an authority");
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let identity = authority.sign("localhost");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(clients.build().expect("an authority"))
        .with_single_cert(vec![der(&identity.certificate)], key)
        .expect("an identity");
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn tls_is_checked_at_both_ends_with_the_files_of_the_settings() {
    let Some(server) = servers::shared_rabbitmq().await else {
        return;
    };
    let authority = Authority::new();
    let proxy = Proxy::with_tls(server.address(), acceptor(&authority)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let client = authority.sign("client");
    let written = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("written");
        Some(HostPath::from(path))
    };
    let right = AmqpSettings {
        ca_file: written("ca.pem", &authority.certificate),
        cert_file: written("cert.pem", &client.certificate),
        cert_key_file: written("key.pem", &client.key),
        timeout: Duration::from_secs(5),
        ..AmqpSettings::new(format!("amqps://localhost:{}", proxy.port()))
    };
    let serving = Serving::with(right.clone()).await;
    serving.health(None).await;
    serving.publish().await.expect("published");

    let mut other_name = right.clone();
    other_name.servers = Secret::new(format!("amqps://127.0.0.1:{}", proxy.port()));
    let mut other_authority = right.clone();
    other_authority.ca_file = None;
    for settings in [other_name, other_authority] {
        let serving = Serving::with(settings).await;
        serving.health(Some("certificate")).await;
    }
    let stranger = AmqpSettings {
        cert_file: None,
        cert_key_file: None,
        ..right
    };
    Serving::with(stranger).await.health(Some(AWAY)).await;
}

#[tokio::test]
async fn stored_messages_survive_a_server_that_is_killed_or_full() {
    let Some(server) = servers::rabbitmq().await else {
        return;
    };
    let mut scene = Scene::new(Backend::Amqp(server)).await;
    let (serving, mut received) = scene.actor("actor", Behaviour::Keep).await;
    let config = scene.backend.config(&["a"], &json!({}));
    scene.subscribe("actor", &config).await;
    scene.reaches("a", &mut received).await;
    // RabbitMQ writes the names of its quorum queues a moment after it made them. Killed before, it
    // forgets the queue with its messages.
    let written = ["eval", "[dets:sync(Table) || Table <- dets:all()]."];
    server_of(&mut scene).control(&written).await;
    drop((serving, received));
    for number in 0..10 {
        scene
            .publish("a", format!("{number}"))
            .await
            .expect("published");
    }
    server_of(&mut scene).stop();
    scene.health(Some(AWAY)).await;
    server_of(&mut scene).restart().await;
    scene.health(Some("no host serves component `actor`")).await;
    let (_again, mut received) = scene.actor("actor", Behaviour::Keep).await;
    let mut bodies = received.bodies(10).await;
    bodies.sort();
    let all: Vec<String> = (0..10).map(|number| format!("{number}")).collect();
    assert_eq!(bodies, all);

    let alarm = "{resource_limit, memory, node()}";
    let set = format!("rabbit_alarm:set_alarm({{{alarm}, []}}).");
    server_of(&mut scene).control(&["eval", &set]).await;
    eventually("a message is refused", async || {
        let published = scene.publish("a", super::actor::PROBE).await;
        published.is_err_and(|reason| reason.contains("short of memory"))
    })
    .await;
    scene.health(Some("short of memory")).await;
    let clear = format!("rabbit_alarm:clear_alarm({alarm}).");
    server_of(&mut scene).control(&["eval", &clear]).await;
    eventually("a message is taken", async || {
        scene.publish("a", "late").await.is_ok()
    })
    .await;
    assert_eq!(received.next().await.body, "late");
}

fn server_of(scene: &mut Scene) -> &mut RabbitServer {
    match &mut scene.backend {
        Backend::Amqp(server) => server,
        _ => panic!("it has no server of AMQP"),
    }
}
