//! Connections: used again, shared, bounded, and with TLS.

use super::{
    scene::{ErrorCode, Scene, read, request},
    server::{Server, text},
};
use crate::{certificates::Authority, wait::until};
use futures_util::future::join_all;
use lattice_host::http::{OutgoingHttp, outgoing::OutgoingSettings};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Barrier, Notify},
};

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = Server::http(async |_| text("ok")).await;
    let host = server.address.to_string();
    // A second connection can't be made, so each request waits for the first one.
    let scene = Scene::new(json!({ "allow": [host], "private": true, "connections": 1 })).await;
    for _ in 0..20 {
        assert_eq!(
            scene.get(&server.url("/")).await,
            Ok((200, "ok".to_owned()))
        );
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn an_authority_has_a_bound_on_its_connections() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (now.clone(), most.clone());
    let server = Server::http(move |_| {
        let (now, most) = counted.clone();
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
            text("ok")
        }
    })
    .await;
    let host = server.address.to_string();
    let scene = Scene::new(json!({ "allow": [host], "private": true, "connections": 2 })).await;
    let url = server.url("/");
    let responses = join_all((0..20).map(|_| scene.get(&url))).await;
    assert!(responses.iter().all(Result::is_ok), "{responses:?}");
    assert!(server.accepted() <= 2, "{}", server.accepted());
    assert!(most.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn a_request_that_gets_no_connection_has_its_own_error() {
    let release = Arc::new(Notify::new());
    let released = release.clone();
    let server = Server::http(move |_| {
        let released = released.clone();
        async move {
            released.notified().await;
            text("ok")
        }
    })
    .await;
    let config = json!({
        "allow": [server.address.to_string()],
        "private": true,
        "connections": 1,
        "connect-timeout-ms": 500,
    });
    let scene = Scene::new(config).await;
    let url = server.url("/");
    let second = async {
        until("the first one is connected", || server.accepted() == 1).await;
        let second = scene.get(&url).await;
        release.notify_one();
        second
    };
    let (first, second) = tokio::join!(scene.get(&url), second);
    assert_eq!(first, Ok((200, "ok".to_owned())));
    assert_eq!(second, Err(ErrorCode::ConnectionLimitReached));
}

#[tokio::test]
async fn links_do_not_share_connections() {
    let server = Server::http(async |_| text("ok")).await;
    let config = json!({ "allow": [server.address.to_string()], "private": true });
    let scene = Scene::new(config.clone()).await;
    let link = lattice_core::link::Link::new("other", super::scene::HANDLER, "web");
    let link = link.expect("a link").config(&config).expect("a config");
    scene.lattice.links().put(link).await.expect("put");
    let other = scene.lattice.caller("other").expect("an id");
    let other = super::scene::HandlerClient::new(other);
    assert!(scene.get(&server.url("/")).await.is_ok());
    let options = super::scene::options();
    let response = other
        .handle(request("GET", &server.url("/")), &options)
        .await;
    assert!(response.expect("the call succeeds").is_ok());
    assert_eq!(server.accepted(), 2);
}

/// A server with TLS, which returns the version of HTTP, and the config of a link to it.
struct Tls {
    server: Server,
    config: Value,
    authority: tempfile::NamedTempFile,
}

impl Tls {
    async fn new(name: &str, protocols: &[&[u8]], together: usize) -> Self {
        let authority = Authority::new();
        let barrier = Arc::new(Barrier::new(together));
        let respond = move |request: http::Request<_>| {
            let barrier = barrier.clone();
            async move {
                barrier.wait().await;
                text(format!("{:?}", request.version()))
            }
        };
        let server = Server::https(&authority.sign(name), protocols, respond).await;
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), &authority.certificate).expect("written");
        let config = json!({
            "allow": [format!("https://{}", server.address)],
            "private": true,
            "connections": 1,
        });
        Self {
            server,
            config,
            authority: file,
        }
    }

    /// Returns a component with a link of this config, whose provider trusts the authority of the
    /// server's certificate.
    async fn scene(&self, config: Value) -> Scene {
        let settings = OutgoingSettings {
            ca_file: Some(self.authority.path().into()),
        };
        Scene::of(OutgoingHttp::with_settings(settings), config).await
    }

    fn url(&self) -> String {
        format!("https://{}/", self.server.address)
    }
}

const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];

#[tokio::test]
async fn requests_share_a_connection_of_http2() {
    let tls = Tls::new("127.0.0.1", BOTH, 3).await;
    let scene = tls.scene(tls.config.clone()).await;
    let url = tls.url();
    // None is answered before all of them are there.
    let responses = join_all((0..3).map(|_| scene.get(&url))).await;
    for response in responses {
        assert_eq!(response, Ok((200, "HTTP/2.0".to_owned())));
    }
    assert_eq!(tls.server.accepted(), 1);
}

#[tokio::test]
async fn the_version_is_the_one_that_both_sides_speak() {
    let tls = Tls::new("127.0.0.1", &[b"http/1.1"], 1).await;
    let scene = tls.scene(tls.config.clone()).await;
    assert_eq!(
        scene.get(&tls.url()).await,
        Ok((200, "HTTP/1.1".to_owned()))
    );
    let tls = Tls::new("127.0.0.1", BOTH, 1).await;
    let mut config = tls.config.clone();
    config["http2"] = json!(false);
    let scene = tls.scene(config).await;
    assert_eq!(
        scene.get(&tls.url()).await,
        Ok((200, "HTTP/1.1".to_owned()))
    );
}

#[tokio::test]
async fn a_certificate_is_checked() {
    let tls = Tls::new("127.0.0.1", BOTH, 1).await;
    let scene = Scene::new(tls.config.clone()).await;
    let unknown = scene.get(&tls.url()).await;
    assert_eq!(unknown, Err(ErrorCode::TlsCertificateError));
    let tls = Tls::new("other.example", BOTH, 1).await;
    let scene = tls.scene(tls.config.clone()).await;
    let other = scene.get(&tls.url()).await;
    assert_eq!(other, Err(ErrorCode::TlsCertificateError));
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_in_plain_text() {
    let server = Server::on_each(|mut stream| async move {
        let _ = stream.read_u8().await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        // Closing it before everything was read would reset it.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let host = format!("https://{}", server.address);
    let scene = Scene::new(json!({ "allow": [host], "private": true })).await;
    let refused = scene.send(request("GET", &format!("{host}/"))).await;
    let refused = match refused {
        Err(code) => code,
        Ok(response) => panic!("a response: {:?}", read(response).await),
    };
    assert_eq!(refused, ErrorCode::TlsProtocolError);
}
