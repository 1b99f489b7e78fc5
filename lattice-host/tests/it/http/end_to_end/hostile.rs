//! Heads that no ingress would let through: from a native caller to an actor, and from a native
//! component to the ingress.

use super::{
    client::{Client, get, whole},
    scene::{
        MISCHIEF, Scene, address, ingress,
        native::{
            World,
            lattice::http::{
                handler::{Handler, HandlerClient},
                types::{ErrorCode, Header, Request, RequestOptions, Response},
            },
        },
        opened,
    },
};
use crate::host::support::{PATIENCE, served, started, two_programs};
use bytes::Bytes;
use hyper::StatusCode;
use lattice_core::{Component, call::CallError};
use lattice_host::Host;
use lattice_provider_sdk::{Call, Stateless};
use std::collections::HashMap;

/// A request that an actor answers.
fn plain() -> Request {
    Request {
        method: "GET".to_owned(),
        scheme: Some("http".to_owned()),
        authority: Some("world.example".to_owned()),
        path_with_query: Some("/".to_owned()),
        headers: Vec::new(),
        content: Bytes::new(),
        body: None,
        trailers: None,
    }
}

fn header(name: &str, value: &[u8]) -> Header {
    Header {
        name: name.to_owned(),
        value: Bytes::copy_from_slice(value),
    }
}

async fn send(
    actor: &HandlerClient<Component>,
    request: Request,
) -> Result<Result<Response, ErrorCode>, CallError> {
    let options = RequestOptions {
        connect_timeout: None,
        first_byte_timeout: None,
        between_bytes_timeout: None,
    };
    actor.handle(request, &options).timeout(PATIENCE).await
}

type Change = fn(&mut Request);

/// Heads with a part that no request of HTTP has.
const INVALID: &[(&str, Change)] = &[
    ("no method", |request| request.method.clear()),
    ("a method with a space", |request| {
        request.method = "GE T".into()
    }),
    ("a method with a line break", |request| {
        request.method = "GET\r\nx: 1".into()
    }),
    ("a method with NUL", |request| {
        request.method = "GET\0".into()
    }),
    ("a method in other letters", |request| {
        request.method = "GÉT".into()
    }),
    ("a header without a name", |request| {
        request.headers.push(header("", b"1"))
    }),
    ("a name with a space", |request| {
        request.headers.push(header("x y", b"1"))
    }),
    ("a name with a colon", |request| {
        request.headers.push(header("x: 1\r\ny", b"1"))
    }),
    ("a name in other letters", |request| {
        request.headers.push(header("x-é", b"1"))
    }),
    ("a value with a line break", |request| {
        request.headers.push(header("x", b"1\r\ny: 1"))
    }),
    ("a value with a line feed", |request| {
        request.headers.push(header("x", b"1\ny: 1"))
    }),
    ("a value with NUL", |request| {
        request.headers.push(header("x", b"1\0"))
    }),
    ("a scheme with a space", |request| {
        request.scheme = Some("ht tp".into())
    }),
    ("a scheme that is a URI", |request| {
        request.scheme = Some("http://x".into())
    }),
    ("an authority in other letters", |request| {
        request.authority = Some("bücher.example".into())
    }),
    ("an authority with a space", |request| {
        request.authority = Some("a b".into())
    }),
    ("an authority with a path", |request| {
        request.authority = Some("a/b".into())
    }),
    ("an authority with a line break", |request| {
        request.authority = Some("a\r\nx: 1".into())
    }),
    ("a path that is a URI", |request| {
        request.path_with_query = Some("http://x/".into())
    }),
    ("a path without a slash", |request| {
        request.path_with_query = Some("x".into())
    }),
    ("a path with a space", |request| {
        request.path_with_query = Some("/a b".into())
    }),
    ("a path with a line break", |request| {
        request.path_with_query = Some("/\r\nx: 1".into())
    }),
    ("a path with NUL", |request| {
        request.path_with_query = Some("/\0".into())
    }),
];

/// Heads that are odd, and may be answered or refused.
const ODD: &[(&str, Change)] = &[
    ("a long method", |request| {
        request.method = "M".repeat(1 << 16)
    }),
    ("a huge path", |request| {
        request.path_with_query = Some("/".repeat(1 << 20))
    }),
    ("no path", |request| request.path_with_query = None),
    ("an empty path", |request| {
        request.path_with_query = Some(String::new())
    }),
    ("only a query", |request| {
        request.path_with_query = Some("?a=b".into())
    }),
    ("no authority", |request| request.authority = None),
    ("an empty authority", |request| {
        request.authority = Some(String::new())
    }),
    ("a user in the authority", |request| {
        request.authority = Some("a:b@c".into())
    }),
    ("a port that is none", |request| {
        request.authority = Some("a:99999999".into());
    }),
    ("no scheme", |request| request.scheme = None),
    ("another scheme", |request| {
        request.scheme = Some("gopher".into())
    }),
    ("a long name", |request| {
        request.headers.push(header(&"x".repeat(1 << 17), b"1"))
    }),
    ("a large value", |request| {
        request.headers.push(header("x", &[b'1'; 1 << 20]))
    }),
    ("a value of other bytes", |request| {
        request.headers.push(header("x", b"\xff\x80"))
    }),
    ("33,000 headers", |request| {
        request.headers = (0..33_000)
            .map(|n| header(&format!("x-{n}"), b""))
            .collect();
    }),
    ("two lengths", |request| {
        request.headers = vec![
            header("content-length", b"1"),
            header("content-length", b"2"),
        ];
    }),
    ("a length without a body", |request| {
        request.headers.push(header("content-length", b"100"));
    }),
    ("headers of the connection", |request| {
        for name in ["connection", "transfer-encoding", "upgrade", "te", "host"] {
            request.headers.push(header(name, b"x"));
        }
    }),
];

#[tokio::test]
async fn an_actor_is_never_given_a_head_that_is_not_one() {
    let scene = Scene::in_memory().await;
    // From the actor's own program, and from another one.
    for lattice in [&scene.inner, &scene.world] {
        let actor = HandlerClient::new(lattice.operator().component(MISCHIEF));
        for (what, change) in INVALID {
            let mut request = plain();
            change(&mut request);
            match send(&actor, request).await {
                Ok(Err(error)) => assert!(is_about_the_request(&error), "{what}: {error:?}"),
                other => panic!("{what}: {other:?}"),
            }
        }
        for (what, change) in ODD {
            let mut request = plain();
            change(&mut request);
            match send(&actor, request).await {
                Ok(Ok(response)) => assert!((200..600).contains(&response.status), "{what}"),
                Ok(Err(_)) => {}
                Err(error) => assert!(!error.to_string().contains("panic"), "{what}: {error}"),
            }
        }
        let answered = send(&actor, plain()).await.expect("no failure");
        assert_eq!(answered.expect("a response").status, 200);
    }
}

/// Returns whether an error says that the request can't be one.
fn is_about_the_request(error: &ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::HttpRequestMethodInvalid
            | ErrorCode::HttpRequestUriInvalid
            | ErrorCode::HttpRequestHeaderSize(_)
            | ErrorCode::HttpProtocolError
            | ErrorCode::InternalError(_)
    )
}

/// A component whose responses no guest could make. The path is the case.
struct Liar;

impl Stateless for Liar {
    type World = World;
}

impl Handler for Liar {
    async fn handle(
        &self,
        _: &Call<Self>,
        request: Request,
        _: RequestOptions,
    ) -> Result<Response, ErrorCode> {
        let path = request.path_with_query.unwrap_or_default();
        let mut response = Response {
            status: 200,
            headers: Vec::new(),
            content: Bytes::from_static(b"fib"),
            body: None,
            trailers: None,
        };
        match path.trim_start_matches('/').split_once('/') {
            Some(("status", status)) => response.status = status.parse().expect("a number"),
            Some(("header", name)) => {
                let headers = lies();
                let (name, value) = headers[name];
                response.headers.push(header(name, value));
            }
            Some(("headers", count)) => {
                let count: u32 = count.parse().expect("a number");
                response.headers = (0..count).map(|n| header(&format!("x-{n}"), b"")).collect();
            }
            Some(("length", length)) => {
                response
                    .headers
                    .push(header("content-length", length.as_bytes()));
            }
            Some(("panic", _)) => panic!("as the test asks"),
            _ => {}
        }
        Ok(response)
    }
}

fn lies() -> HashMap<&'static str, (&'static str, &'static [u8])> {
    HashMap::from([
        ("no-name", ("", &b"1"[..])),
        ("spaces", ("x y", b"1")),
        ("injected-name", ("x: 1\r\nx-injected", b"1")),
        ("injected-value", ("x", b"1\r\nx-injected: 1")),
        ("nul", ("x", b"1\0")),
    ])
}

#[tokio::test]
async fn responses_that_are_none_are_bad_gateways() {
    let (world, inner) = two_programs().await;
    let ingress = ingress(&world).await;
    let _host = started(Host::builder(&inner).provider("liar", Liar)).await;
    served(&world, "liar").await;
    opened(&world, "liar.example", "liar").await;
    let mut client = Client::open(address(&ingress)).await;
    let mut paths: Vec<_> = [0, 1, 99, 100, 101, 103, 199, 1_000, 65_535]
        .iter()
        .map(|status| format!("/status/{status}"))
        .collect();
    paths.extend(lies().keys().map(|lie| format!("/header/{lie}")));
    paths.push("/headers/33000".to_owned());
    paths.push("/panic/".to_owned());
    for path in paths {
        let response = client.send(get("liar.example", &path)).await;
        let response = response.unwrap_or_else(|error| panic!("{path}: {error}"));
        let headers = response.headers().clone();
        assert!(!headers.contains_key("x-injected"), "{path}: {headers:?}");
        let (status, text) = whole(response).await;
        assert_eq!(status, StatusCode::BAD_GATEWAY, "{path}: {text}");
        assert!(!text.contains("fib"), "{path}: {text}");
    }
    for length in ["0", "2", "4", "-1", "x", "99999999999999999999"] {
        // Each of these is an error page or a cut connection, so each has its own connection.
        let mut client = Client::open(address(&ingress)).await;
        let path = format!("/length/{length}");
        let Ok(response) = client.send(get("liar.example", &path)).await else {
            continue;
        };
        let status = response.status();
        let body = super::client::collect(response).await;
        let is_refused = status == StatusCode::BAD_GATEWAY || body.is_err();
        // A wrong length that isn't one of the body's own may be replaced by the right one.
        let is_right = matches!(&body, Ok(text) if text == "fib");
        assert!(is_refused || is_right, "{path}: {status} {body:?}");
    }
    let page = client.send(get("liar.example", "/")).await;
    assert_eq!(whole(page.expect("a response")).await.1, "fib");
}
