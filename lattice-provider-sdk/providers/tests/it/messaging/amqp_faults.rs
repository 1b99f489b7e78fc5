//! Servers of AMQP that fail.

use super::{
    actor::{Behaviour, BrokerMessage, ConsumerClient},
    eventually,
    proxy::{Mode, Proxy},
    scene::{Backend, Scene},
    soon,
};
use crate::{servers::rabbitmq::RabbitServer, tls::Authority};
use lattice_core::serve::Service;
use lattice_provider_sdk::{IntoService, Lattice, Link, Secret, ServeHandle, serve};
use lattice_providers::{
    Period,
    messaging::{AmqpMessaging, CONSUMER, amqp::Settings},
};
use serde_json::json;
use std::{fs, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
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
    async fn with(settings: Settings) -> Self {
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
        let published = web.publish(&message).await;
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

fn at(port: u16) -> Settings {
    Settings {
        timeout: Period::seconds(1),
        ..Settings::server(format!("amqp://localhost:{port}"))
    }
}

#[tokio::test]
async fn a_server_that_goes_and_comes_back_is_used_again() {
    let Some(server) = RabbitServer::shared().await else {
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
    let Some(server) = RabbitServer::shared().await else {
        return;
    };
    let proxy = Proxy::new(server.address()).await;
    let serving = Serving::with(at(proxy.port())).await;
    serving.health(None).await;
    proxy.set(Mode::Hang);
    let web = ConsumerClient::new(serving.lattice.caller("web").expect("valid"));
    let late = web.request("a", b"x", 100).await.expect("called");
    assert_eq!(late.expect_err("no reply"), "no reply within 100 ms");
    let late = serving.publish().await.expect_err("no confirm");
    assert!(late.contains("did not confirm"), "{late}");
    proxy.set(Mode::Pass);
    serving.health(None).await;
    serving.publish().await.expect("published");
}

#[tokio::test]
async fn a_handler_that_runs_when_the_connection_is_lost_runs_again() {
    let Some(server) = RabbitServer::shared().await else {
        return;
    };
    let proxy = Proxy::new(server.address()).await;
    let settings = Settings {
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
    let Some(server) = RabbitServer::shared().await else {
        return;
    };
    let secret = "s3cret";
    let url = server.url();
    for settings in [
        Settings {
            user: Some("ada".to_owned()),
            password: Some(Secret::new(secret.to_owned())),
            ..Settings::server(url.clone())
        },
        Settings::server(url.replace("//", &format!("//ada:{secret}@"))),
        Settings {
            vhost: Some("missing".to_owned()),
            ..Settings::server(url.clone())
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

#[tokio::test]
async fn tls_is_checked_with_the_authorities_of_the_ca_file() {
    let Some(server) = RabbitServer::shared().await else {
        return;
    };
    let authority = Authority::new();
    let identity = authority.sign("localhost");
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.expect("a certificate")], key)
        .expect("an identity");
    let proxy = Proxy::with_tls(server.address(), TlsAcceptor::from(Arc::new(config))).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    fs::write(&ca_file, &authority.certificate).expect("written");
    let settings = |host: &str| Settings {
        ca_file: Some(ca_file.as_path().into()),
        timeout: Period::new(Duration::from_secs(5)),
        ..Settings::server(format!("amqps://{host}:{}", proxy.port()))
    };
    let serving = Serving::with(settings("localhost")).await;
    serving.health(None).await;
    serving.publish().await.expect("published");
    let other = Serving::with(settings("127.0.0.1")).await;
    other.health(Some("certificate")).await;
    let unknown = Settings {
        ca_file: None,
        ..settings("localhost")
    };
    let unknown = Serving::with(unknown).await;
    unknown.health(Some("certificate")).await;
}

#[tokio::test]
async fn stored_messages_survive_a_server_that_is_killed_or_full() {
    let Some(server) = RabbitServer::start().await else {
        return;
    };
    let mut scene = Scene::new(Backend::Amqp(server)).await;
    let (serving, mut received) = scene.actor("actor", Behaviour::Keep).await;
    let config = scene.backend.config(&["a"], &json!({}));
    scene.subscribe("actor", &config).await;
    scene.reaches("a", &mut received).await;
    drop((serving, received));
    for number in 0..10 {
        scene
            .publish("a", format!("{number}"))
            .await
            .expect("published");
    }
    server_of(&mut scene).kill();
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
