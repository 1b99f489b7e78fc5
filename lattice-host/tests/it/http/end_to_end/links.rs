//! Requests that actors make: to other actors, out, and nowhere.

use super::{
    client::{Client, WORLD, get, post, whole},
    scene::{MISCHIEF, OUTGOING, Scene, guest, opened},
};
use crate::host::support::{actor, link, served};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::Incoming,
    header::{HOST, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use lattice_core::link::Link;
use std::{convert::Infallible, net::SocketAddr};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// The provider that leads out.
const OUT: &str = "out";

#[tokio::test]
async fn requests_pass_through_an_actor_to_another_one() {
    let with_front = |host: lattice_host::HostBuilder| host.actor("front", actor(&guest()));
    for scene in [
        Scene::with(with_front).await,
        Scene::over_nats(with_front).await,
    ] {
        link(&scene.inner, "front", OUTGOING, MISCHIEF).await;
        served(&scene.world, "front").await;
        opened(&scene.world, "front.example", "front").await;
        let mut client = scene.client().await;
        let body = Bytes::from(vec![b'x'; 300_000]);
        let mut request = post("/relay/count", Full::new(body).boxed_unsync());
        let host = HeaderValue::from_static("front.example");
        request.headers_mut().insert(HOST, host);
        let response = client.send(request).await.expect("a response");
        assert_eq!(whole(response).await.1, "300000 bytes, 0 trailers");
        let response = client.send(get("front.example", "/relay/status/404")).await;
        let (status, text) = whole(response.expect("a response")).await;
        assert_eq!((status.as_u16(), text.as_str()), (404, "odd"));
    }
}

#[tokio::test]
async fn a_chain_of_actors_that_leads_back_to_itself_ends() {
    let scene = Scene::in_memory().await;
    link(&scene.inner, MISCHIEF, OUTGOING, MISCHIEF).await;
    // Each one takes `/relay` off its path and calls itself, until its call has too many hops.
    let path = "/relay".repeat(200);
    let (status, text) = scene.client().await.page(&path).await;
    assert!(
        status.is_server_error() || text.starts_with("error"),
        "{status} {text}"
    );
    assert_eq!(scene.client().await.page("/").await.1, "hello");
}

#[tokio::test]
async fn without_a_link_no_request_leaves() {
    let scene = Scene::in_memory().await;
    let mut client = scene.client().await;
    for authority in ["127.0.0.1:1", "world.example", "localhost"] {
        let text = ask(&mut client, "http", authority, "/").await;
        assert!(text.contains("HttpRequestDenied"), "{authority}: {text}");
    }
}

#[tokio::test]
async fn a_link_to_the_world_leads_only_where_it_says() {
    let server = LocalServer::start().await;
    let scene =
        Scene::with(|host| host.provider(OUT, lattice_host::http::OutgoingHttp::new())).await;
    let allowed = format!("127.0.0.1:{}", server.address.port());
    let config = serde_json::json!({ "allow": [allowed], "private": true });
    let out = Link::new(MISCHIEF, OUTGOING, OUT).expect("a link");
    let out = out.config(&config).expect("a config");
    scene.inner.links().put(out).await.expect("put");
    let mut client = scene.client().await;
    let text = ask(&mut client, "http", &allowed, "/a?b=c").await;
    assert_eq!(text, format!("200: GET /a?b=c of {allowed}"));

    let port = server.address.port();
    // Other forms of the same address are that address, and are sent as it.
    for host in ["2130706433", "0x7f.1", "127.1"] {
        let text = ask(&mut client, "http", &format!("{host}:{port}"), "/").await;
        assert_eq!(text, format!("200: GET / of {allowed}"), "{host}");
    }
    for (authority, path) in [
        // Other names, and other addresses of the same host in several forms.
        (format!("localhost:{port}"), "/"),
        (format!("127.0.0.2:{port}"), "/"),
        (format!("[::ffff:127.0.0.1]:{port}"), "/"),
        (format!("2130706434:{port}"), "/"),
        (format!("0x7f.2:{port}"), "/"),
        // Other ports, and targets that only look allowed.
        ("127.0.0.1:1".to_owned(), "/"),
        (format!("{allowed}.example"), "/"),
        (format!("{allowed}@example.com"), "/"),
        ("169.254.169.254".to_owned(), "/latest/meta-data"),
        (allowed.clone(), "http://example.com/"),
    ] {
        let text = ask(&mut client, "http", &authority, path).await;
        assert!(text.starts_with("error: "), "{authority} {path}: {text}");
    }
    let text = ask(&mut client, "gopher", &allowed, "/").await;
    assert!(text.starts_with("error: "), "{text}");
}

#[tokio::test]
async fn an_app_gets_its_way_out_from_the_builtin_provider() {
    let server = LocalServer::start().await;
    let scene = Scene::in_memory().await;
    let allowed = server.address.to_string();
    let manifest = format!(
        "name = \"shop\"\n\
         [actors.buyer]\nimage = \"file:{}\"\n\
         [providers.web]\nbuiltin = \"http\"\n\
         [[links]]\nfrom = \"buyer\"\nto = \"web\"\ninterface = \"{OUTGOING}\"\n\
         config = {{ allow = [\"{allowed}\"], private = true }}\n\
         [wormholes.buyer]\nhost = \"buyer.example\"\nactor = \"buyer\"\n",
        crate::host::support::path(&guest()).display()
    );
    let app = lattice_core::app::App::from_toml("shop.toml", &manifest).expect("a manifest");
    scene.inner.apply(&app).await.expect("applied");
    served(&scene.world, "buyer").await;
    served(&scene.inner, "web").await;
    let mut client = scene.client().await;
    let request = asking("buyer.example", "http", &allowed, "/");
    let response = client.send(request).await.expect("a response");
    assert_eq!(whole(response).await.1, format!("200: GET / of {allowed}"));
}

/// Makes the guest request this, and returns what it says of the response.
async fn ask(client: &mut Client, scheme: &str, authority: &str, path: &str) -> String {
    let response = client.send(asking(WORLD, scheme, authority, path)).await;
    whole(response.expect("a response")).await.1
}

fn asking(host: &str, scheme: &str, authority: &str, path: &str) -> Request<super::client::Body> {
    let mut request = get(host, "/ask");
    for (name, value) in [
        ("x-scheme", scheme),
        ("x-authority", authority),
        ("x-path", path),
    ] {
        let value = HeaderValue::from_str(value).expect("a value");
        request.headers_mut().insert(name, value);
    }
    request
}

/// A server that says what was requested. Dropping it ends it.
struct LocalServer {
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl LocalServer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let io = TokioIo::new(stream);
                // Connections end with the test.
                tokio::spawn(http1::Builder::new().serve_connection(io, service_fn(answer)));
            }
        });
        Self {
            address,
            _task: AbortOnDropHandle::new(task),
        }
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let host = request.headers().get(HOST);
    let host = host.map_or("nowhere", |host| host.to_str().unwrap_or("odd"));
    let text = format!("{} {} of {host}", request.method(), request.uri());
    Ok(Response::new(Full::new(text.into())))
}
