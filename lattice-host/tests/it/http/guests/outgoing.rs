//! Requests that guests make, over links to others.

use super::support::*;
use lattice_core::{Lattice, link::Link};
use lattice_host::Host;
use lattice_provider_sdk::{Bytes, Call, Provider, Refusal};

const OUTGOING: &str = "wasi:http/outgoing-handler@0.2.0";

/// A native server of requests, under the name that guests import.
mod native {
    lattice_provider_sdk::provider!({ inline: "
        package wasi:http@0.2.0;
        interface outgoing-handler {
            use lattice:http/types@0.1.0.{request, request-options, response, error-code};
            handle: async func(request: request, options: request-options)
                -> result<response, error-code>;
        }
        world server { export outgoing-handler; }
    " });
}

use native::{
    lattice::http::types::{ErrorCode, Request, RequestOptions, Response},
    wasi::http::outgoing_handler::OutgoingHandler,
};

/// Answers with the authority and the path of the request.
struct Server;

impl Provider for Server {
    type World = native::World;
    /// What it says of authorities is for the caller's host.
    type Config = serde_json::Value;
    type Binding = ();

    async fn link(&self, _: &Link, _: Self::Config) -> Result<(), Refusal> {
        Ok(())
    }
}

impl OutgoingHandler for Server {
    async fn handle(
        &self,
        _: &Call<Self>,
        request: Request,
        _: RequestOptions,
    ) -> Result<Response, ErrorCode> {
        let authority = request.authority.unwrap_or_default();
        let path = request.path_with_query.unwrap_or_default();
        Ok(Response {
            status: 299,
            headers: Vec::new(),
            content: Bytes::from(format!("native {authority}{path}")),
            body: None,
            trailers: None,
        })
    }
}

/// `front` makes requests, `back` serves them, and so does the native `server`.
async fn scene() -> (Lattice, Host) {
    let lattice = lattice().await;
    let host = Host::builder(&lattice)
        .actor("front", guest("http-incoming"))
        .actor("back", guest("http-incoming"))
        .provider("server", Server);
    let host = started(host).await;
    (lattice, host)
}

async fn put(lattice: &Lattice, name: &str, target: &str, authorities: &[&str]) {
    let link = Link::new("front", OUTGOING, target).and_then(|link| link.named(name));
    let mut link = link.expect("a link");
    if !authorities.is_empty() {
        let config = serde_json::json!({ "authorities": authorities });
        link = link.config(&config).expect("JSON");
    }
    lattice.links().put(link).await.expect("the link is put");
}

async fn proxied(lattice: &Lattice, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut request = get(path);
    let headers = headers.iter().map(|(name, value)| header(name, value));
    request.headers = headers.collect();
    let response = answered(lattice, "front", request).await;
    let status = response.status;
    (status, read(response).await.whole())
}

#[tokio::test]
async fn a_request_goes_to_the_actor_that_its_link_leads_to() {
    let (lattice, _host) = scene().await;
    let denied = proxied(&lattice, "/proxy/hello", &[]).await;
    assert_eq!(denied.0, 502);
    assert!(denied.1.contains("HttpRequestDenied"), "{}", denied.1);
    link(&lattice, "front", OUTGOING, "back").await;
    let answered = proxied(&lattice, "/proxy/hello", &[]).await;
    assert_eq!(answered, (200, "hello".to_owned()));
    let (_, text) = proxied(
        &lattice,
        "/proxy/headers",
        &[("x-authority", "b.example:81")],
    )
    .await;
    assert!(text.starts_with("GET http b.example:81 /headers"), "{text}");
    echo_large(&lattice, "front", "/proxy/echo").await;
}

#[tokio::test]
async fn the_authority_chooses_among_links_unless_the_guest_does() {
    let (lattice, _host) = scene().await;
    put(
        &lattice,
        "native",
        "server",
        &["api.example.com", "*.native"],
    )
    .await;
    put(&lattice, "actors", "back", &["*.internal"]).await;
    for (authority, status) in [
        ("api.example.com", 299),
        ("API.example.com:8080", 299),
        ("a.native", 299),
        ("next.internal", 200),
        ("api.example.com.evil.example", 502),
        ("evil.example", 502),
    ] {
        let to = proxied(&lattice, "/proxy/hello", &[("x-authority", authority)]).await;
        assert_eq!(to.0, status, "{authority}: {}", to.1);
    }
    let (_, text) = proxied(&lattice, "/proxy/x", &[("x-authority", "api.example.com")]).await;
    assert_eq!(text, "native api.example.com/x");
    // A link that was chosen isn't replaced by another one.
    for (link, status) in [("actors", 200), ("native", 502), ("none", 502)] {
        let to = proxied(&lattice, "/proxy/hello", &[("x-link", link)]).await;
        assert_eq!(to.0, status, "{link}: {}", to.1);
    }
    put(&lattice, "default", "server", &[]).await;
    let to = proxied(&lattice, "/proxy/hello", &[("x-authority", "evil.example")]).await;
    assert_eq!(to.0, 299, "what no other link takes: {}", to.1);
}

#[tokio::test]
async fn what_fails_behind_a_link_has_a_code() {
    let (lattice, _host) = scene().await;
    link(&lattice, "front", OUTGOING, "back").await;
    for (path, headers, part) in [
        (
            "/proxy/never",
            &[("x-timeout-ms", "200")][..],
            "HttpResponseTimeout",
        ),
        ("/proxy/error", &[], "HttpResponseTimeout"),
        ("/proxy/trap-before", &[], "on purpose"),
        ("/proxy/status/101", &[], "101"),
    ] {
        let (status, text) = proxied(&lattice, path, headers).await;
        assert_eq!(status, 502, "{path}: {text}");
        assert!(text.contains(part), "{path}: {text}");
    }
    // A body that breaks behind it breaks before it, too.
    let response = answered(&lattice, "front", get("/proxy/unfinished")).await;
    read(response).await.broken();
}

#[tokio::test]
async fn a_loop_of_links_ends() {
    let (lattice, _host) = scene().await;
    link(&lattice, "front", OUTGOING, "front").await;
    let path = format!("{}/hello", "/proxy".repeat(40));
    let (status, text) = proxied(&lattice, &path, &[]).await;
    assert_eq!(status, 502, "{text}");
    assert!(text.contains("LoopDetected"), "{text}");
}
