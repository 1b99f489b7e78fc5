//! A closed wormhole can't be told from one that doesn't exist.

use super::{
    requests::http2,
    scene::{SITE, Scene},
    tls::Authority,
    wire::{Answer, Wire},
};
use http_body_util::{BodyExt as _, Empty};
use lattice_core::wormholes::NewWormhole;
use lattice_host::http::Ingress;
use tokio::io::{AsyncRead, AsyncWrite};

/// Names of the same length: of a closed wormhole, of one for another path, of a deleted one, and
/// of none.
const NAMES: [&str; 4] = [
    "closed-one.example",
    "other-path.example",
    "deleted-it.example",
    "never-been.example",
];

async fn prepared(ingress: Ingress) -> Scene {
    let local = "127.0.0.0/8".parse().expect("a range");
    let scene = Scene::of(ingress.trusted_proxies([local])).await;
    let limits = {
        let mut limits = lattice_core::wormhole::WormholeLimits::default();
        limits.body = Some(lattice_host::ByteSize::bytes(1));
        let one = std::num::NonZeroU32::MIN;
        limits.rate = Some(lattice_core::wormhole::Rate::per_second(one));
        limits
    };
    let auth = lattice_core::wormhole::WormholeAuth::Bearer {
        tokens: vec![lattice_host::http::hash_token("t").parse().expect("a hash")],
    };
    let closed = NewWormhole::new("site").expect("an id").host(NAMES[0]);
    let closed = closed.closed().limits(limits).auth(auth);
    let created = scene.wormholes().create(closed).await;
    created.expect("it is created");
    scene
        .open(|new| new.host(NAMES[1]).path("/only/here"))
        .await;
    let deleted = scene.open(|new| new.host(NAMES[2])).await;
    scene
        .wormholes()
        .delete(&deleted)
        .await
        .expect("it is deleted");
    scene
}

/// The requests that are compared, with the name of the host in place of `HOST`.
const REQUESTS: [&str; 8] = [
    "GET / HTTP/1.1\nhost: HOST\n",
    "GET /hello?a=b HTTP/1.1\nhost: HOST\n",
    "GET http://HOST/hello HTTP/1.1\nhost: HOST\n",
    "POST /hello HTTP/1.1\nhost: HOST\ncontent-length: 5\n",
    "PUT /hello HTTP/1.1\nhost: HOST\nauthorization: Bearer t\ncontent-length: 5\nexpect: 100-continue\n",
    "OPTIONS * HTTP/1.1\nhost: HOST\n",
    "DELETE /hello HTTP/1.0\nhost: HOST\n",
    "POST /hello HTTP/1.1\nhost: HOST\ncontent-length: 99999999\n",
];

/// All that the other side sends for a request and one after it, without dates.
async fn all<S: AsyncRead + AsyncWrite + Unpin>(
    mut wire: Wire<S>,
    request: &str,
    host: &str,
) -> (Vec<String>, bool) {
    let request = request.replace("HOST", host);
    wire.send(&format!("{request}x-request-id: same\n\n")).await;
    let first = wire.head().await;
    assert_eq!(first.status, 404, "{request}");
    // The rest of the first request, and a second one, as far as they are taken.
    let next = format!(
        "GET /again HTTP/1.1\r\nhost: {host}\r\nx-request-id: same\r\nconnection: close\r\n\r\n"
    );
    if request.contains("content-length: 5\n") {
        let _ = wire.send_bytes(b"hello").await;
    }
    let _ = wire.send_bytes(next.as_bytes()).await;
    let (rest, is_orderly) = wire.rest().await;
    let head = first
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"));
    let rest = rest.lines().map(str::to_owned);
    let lines = head.chain(rest);
    let lines = lines.filter(|line| !line.starts_with("date: "));
    (lines.collect(), is_orderly)
}

#[tokio::test]
async fn every_byte_is_the_same() {
    let scene = prepared(Ingress::http("127.0.0.1:0")).await;
    for request in REQUESTS {
        // A connection that is cut while bytes are under way shows as many of them as it happens.
        let is_cut = request.contains("99999999");
        let expected = all(scene.connect().await, request, NAMES[3]).await;
        assert!(
            expected.0.contains(&"x-request-id: same".to_owned()),
            "{expected:?}"
        );
        for name in &NAMES[..3] {
            let found = all(scene.connect().await, request, name).await;
            if is_cut {
                let heads = |lines: &[String]| lines.iter().take(4).cloned().collect::<Vec<_>>();
                assert_eq!(heads(&found.0), heads(&expected.0), "{request}");
            } else {
                assert_eq!(found, expected, "{request} to {name}");
            }
        }
    }
}

/// A closed wormhole asks for no credentials and counts no requests, and costs what none costs. The
/// two are asked in turn, so that what else the machine does slows both.
#[tokio::test]
async fn a_closed_wormhole_takes_as_long_as_none() {
    const ROUNDS: usize = 200;
    let scene = Scene::new().await;
    let hash = lattice_host::http::hash_password("secret");
    let users = [("ada".to_owned(), hash.parse().expect("a hash"))];
    let auth = lattice_core::wormhole::WormholeAuth::Basic {
        users: users.into(),
    };
    scene
        .open(|new| new.host(NAMES[0]).closed().auth(auth))
        .await;
    let mut wire = scene.connect().await;
    let mut times: [Vec<std::time::Duration>; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (times, name) in times.iter_mut().zip([NAMES[0], NAMES[3]]) {
            let request = format!(
                "GET /hello HTTP/1.1\nhost: {name}\nauthorization: Basic YWRhOnMzY3JldA==\n\n"
            );
            let begun = std::time::Instant::now();
            wire.send(&request).await;
            assert_eq!(wire.answer().await.status, 404, "{name}");
            times.push(begun.elapsed());
        }
    }
    let [closed, none] = times.map(|mut times| {
        times.sort();
        times[ROUNDS / 2]
    });
    assert!(
        closed < none * 2 && none < closed * 2,
        "{closed:?} for a closed one, {none:?} for none"
    );
}

#[tokio::test]
async fn every_byte_is_the_same_over_tls() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let files = authority.files(folder.path(), "all", &NAMES);
    let scene = prepared(Ingress::https("127.0.0.1:0", files)).await;
    let mut certificates = Vec::new();
    for name in NAMES {
        let (io, certificate) = authority.connect(scene.address, name, &[b"http/1.1"]).await;
        certificates.push(certificate);
        drop(io);
    }
    assert!(
        certificates.windows(2).all(|pair| pair[0] == pair[1]),
        "one certificate for all"
    );
    for request in &REQUESTS[..7] {
        let mut found = Vec::new();
        for name in NAMES {
            let (io, _) = authority.connect(scene.address, name, &[b"http/1.1"]).await;
            found.push(all(Wire::over(io), request, name).await);
        }
        assert!(
            found.windows(2).all(|pair| pair[0] == pair[1]),
            "{request}: {found:?}"
        );
    }
}

#[tokio::test]
async fn answers_are_the_same_over_http2() {
    let scene = prepared(Ingress::http("127.0.0.1:0")).await;
    let mut client = http2(scene.address).await;
    let mut answers = Vec::new();
    for name in NAMES {
        let request = http::Request::get(format!("http://{name}/hello"))
            .header("x-request-id", "same")
            .body(Empty::new().boxed_unsync());
        let response = client.send_request(request.expect("a request")).await;
        let (mut parts, body) = response.expect("an answer").into_parts();
        parts.headers.remove("date");
        let body = body.collect().await.expect("it is whole").to_bytes();
        answers.push((parts.status, parts.headers, body));
    }
    assert!(
        answers.windows(2).all(|pair| pair[0] == pair[1]),
        "{answers:?}"
    );
    assert_eq!(answers[0].0, 404);
}

#[tokio::test]
async fn a_wormhole_that_is_closed_renamed_or_deleted_is_gone_at_once() {
    let scene = Scene::new().await;
    let wormholes = scene.wormholes();
    let mut wire = scene.connect().await;
    let missing = without_ids(wire.get("never-been.example", "/hello").await);
    let id = scene.open(|new| new.host("one.example")).await;
    assert_eq!(wire.get("one.example", "/hello").await.status, 200);
    wormholes
        .rename(&id, "two.example")
        .await
        .expect("it is renamed");
    let gone = without_ids(wire.get("one.example", "/hello").await);
    assert_eq!(gone, missing);
    assert_eq!(wire.get("two.example", "/hello").await.status, 200);
    wormholes.close(&id).await.expect("it is closed");
    assert_eq!(
        without_ids(wire.get("two.example", "/hello").await),
        missing
    );
    wormholes.open(&id).await.expect("it is opened");
    assert_eq!(wire.get("two.example", "/hello").await.status, 200);
    wormholes.delete(&id).await.expect("it is deleted");
    assert_eq!(
        without_ids(wire.get("two.example", "/hello").await),
        missing
    );
    assert_eq!(wire.get(SITE, "/hello").await.status, 200);
}

fn without_ids(mut answer: Answer) -> Answer {
    answer
        .headers
        .retain(|(name, _)| name != "x-request-id" && name != "date");
    answer
}
