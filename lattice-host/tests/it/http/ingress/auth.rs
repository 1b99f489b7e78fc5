//! Who may pass a wormhole.

use super::{
    scene::Scene,
    wire::{Answer, Wire},
};
use bytes::Bytes;
use data_encoding::BASE64;
use lattice_core::wormhole::{WormholeAuth, WormholeLimits};
use lattice_host::http::{hash_password, hash_token};
use lattice_provider_sdk::{Call, Stateless};
use std::{future::pending, sync::atomic::Ordering, time::Duration};

lattice_provider_sdk::provider!({ inline: "
    package test:gatekeeper;
    world gatekeeper { export lattice:http/verifier@0.1.0; }
" });

use lattice::http::{
    types::Header,
    verifier::{Head, Refusal, Verdict, Verifier},
};

async fn ask(wire: &mut Wire, path: &str, headers: &str) -> Answer {
    wire.send(&format!(
        "GET {path} HTTP/1.1\nhost: guarded.example\n{headers}\n"
    ))
    .await;
    wire.answer().await
}

async fn guarded(auth: WormholeAuth) -> (Scene, Wire) {
    let scene = Scene::new().await;
    scene
        .open(|new| new.host("guarded.example").auth(auth))
        .await;
    let wire = scene.connect().await;
    (scene, wire)
}

#[tokio::test]
async fn users_pass_with_their_passwords() {
    let users = [("ada", "correct horse"), ("bob", "battery")].map(|(user, password)| {
        let hash = hash_password(password).parse().expect("a hash");
        (user.to_owned(), hash)
    });
    let (scene, mut wire) = guarded(WormholeAuth::Basic {
        users: users.into(),
    })
    .await;
    let basic = |text: &str| format!("authorization: Basic {}\n", BASE64.encode(text.as_bytes()));
    for (headers, status) in [
        (String::new(), 401),
        (basic("ada:wrong"), 401),
        (basic("eve:battery"), 401),
        (basic("ada:battery"), 401),
        ("authorization: Basic !!\n".to_owned(), 401),
        ("authorization: Bearer x\n".to_owned(), 401),
        (basic("ada:correct horse"), 200),
        (basic("ada:correct horse"), 200),
        (basic("bob:battery"), 200),
    ] {
        let answer = ask(&mut wire, "/hello", &headers).await;
        assert_eq!(answer.status, status, "{headers}");
        let challenge = answer.header("www-authenticate");
        let is_challenge = challenge.is_some_and(|text| text.starts_with("Basic realm="));
        assert_eq!(is_challenge, status == 401, "{headers}");
    }
    assert_eq!(
        scene.site.state().begun.load(Ordering::SeqCst),
        3,
        "only those that passed"
    );
    let seen = ask(&mut wire, "/see", &basic("bob:battery")).await;
    assert!(!seen.text().contains("authorization"), "{seen:?}");
}

#[tokio::test]
async fn tokens_pass() {
    let tokens = ["one", "two"].map(|token| hash_token(token).parse().expect("a hash"));
    let (_scene, mut wire) = guarded(WormholeAuth::Bearer {
        tokens: tokens.into(),
    })
    .await;
    for (headers, status) in [
        ("", 401),
        ("authorization: Bearer three\n", 401),
        ("authorization: Bearer\n", 401),
        ("authorization: Basic one\n", 401),
        (
            "authorization: Bearer one\nauthorization: Bearer one\n",
            401,
        ),
        ("authorization: Bearer one\n", 200),
        ("authorization: bearer two\n", 200),
    ] {
        let answer = ask(&mut wire, "/hello", headers).await;
        assert_eq!(answer.status, status, "{headers}");
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
    }
    let seen = ask(&mut wire, "/see", "authorization: Bearer one\n").await;
    assert!(!seen.text().contains("authorization"), "{seen:?}");
}

/// Lets requests with one word through, and fails or waits at others.
struct Gatekeeper;

impl Stateless for Gatekeeper {
    type World = World;
}

impl Verifier for Gatekeeper {
    async fn verify(&self, call: &Call<Self>, request: Head) -> Verdict {
        let word = request
            .headers
            .iter()
            .find(|header| header.name == "x-word");
        let header = |name: &str, value: String| Header {
            name: name.to_owned(),
            value: value.into(),
        };
        match word.map(|header| &header.value[..]) {
            Some(b"friend") => Verdict::Allow(vec![
                header("x-user", "ada".to_owned()),
                header("x-client", request.client_address.unwrap_or_default()),
                header("x-traced", trace(call)),
                header("x-has-time", (call.time_left() > LONGER).to_string()),
            ]),
            Some(b"panic") => panic!("secret"),
            Some(b"wait") => pending().await,
            _ => Verdict::Deny(Refusal {
                status: 403,
                headers: vec![header("x-reason", "no word".to_owned())],
                body: Bytes::from_static(b"say the word"),
            }),
        }
    }
}

/// Longer than a call takes by default, and shorter than the head of a response may take.
const LONGER: Duration = Duration::from_secs(10);

/// Returns the id of the trace that a call belongs to.
fn trace(call: &Call<Gatekeeper>) -> String {
    let trace = call.trace().map(|trace| trace.trace_id);
    trace.map_or_else(String::new, |id| data_encoding::HEXLOWER.encode(&id))
}

fn gatekeeper() -> WormholeAuth {
    WormholeAuth::Verifier {
        actor: lattice_core::name::ComponentId::new("gatekeeper").expect("an id"),
        link: lattice_core::name::LinkName::default(),
    }
}

#[tokio::test]
async fn a_verifier_decides_and_nothing_passes_when_it_fails() {
    let (scene, mut wire) = guarded(gatekeeper()).await;
    let answer = ask(&mut wire, "/hello", "x-word: friend\n").await;
    assert_eq!(answer.status, 503, "the verifier has no host");

    let started = scene.host.start_provider("gatekeeper", Gatekeeper).await;
    started.expect("it starts");
    let answer = ask(&mut wire, "/hello", "x-word: enemy\n").await;
    assert_eq!((answer.status, answer.text()), (403, "say the word"));
    assert_eq!(answer.header("x-reason"), Some("no word"));
    let answer = ask(&mut wire, "/hello", "x-word: panic\n").await;
    assert_eq!(answer.status, 503);
    assert!(!answer.text().contains("secret"), "{answer:?}");
    assert_eq!(scene.site.state().begun.load(Ordering::SeqCst), 0);

    let headers = "x-word: friend\nx-user: forged\nauthorization: Bearer x\n";
    let seen = ask(&mut wire, "/see", headers).await;
    assert_eq!(seen.status, 200);
    for expected in [
        "x-user: ada",
        "x-client: 127.0.0.1",
        "authorization: Bearer x",
    ] {
        assert!(seen.text().contains(expected), "{expected}: {seen:?}");
    }
    assert!(!seen.text().contains("forged"), "{seen:?}");
}

#[tokio::test]
async fn headers_that_a_verifier_adds_cannot_be_removed_by_the_client() {
    let (scene, mut wire) = guarded(gatekeeper()).await;
    let started = scene.host.start_provider("gatekeeper", Gatekeeper).await;
    started.expect("it starts");
    let headers = "connection: x-user, X-Client\nx-word: friend\n";
    let seen = ask(&mut wire, "/see", headers).await;
    for expected in ["x-user: ada", "x-client: 127.0.0.1"] {
        assert!(seen.text().contains(expected), "{expected}: {seen:?}");
    }
    // The verifier doesn't see what the actor won't see.
    let answer = ask(&mut wire, "/see", "connection: x-word\nx-word: friend\n").await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn a_verifier_has_the_deadline_and_the_trace_of_the_request() {
    let (scene, mut wire) = guarded(gatekeeper()).await;
    let started = scene.host.start_provider("gatekeeper", Gatekeeper).await;
    started.expect("it starts");
    let headers = "x-word: friend\n\
                   traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n";
    let seen = ask(&mut wire, "/see", headers).await;
    for expected in [
        "x-traced: 0af7651916cd43dd8448eb211c80319c",
        "x-has-time: true",
    ] {
        assert!(seen.text().contains(expected), "{expected}: {seen:?}");
    }

    let soon = Some(Duration::from_millis(200));
    for is_total in [false, true] {
        let mut limits = WormholeLimits::default();
        if is_total {
            limits.total_timeout = soon;
        } else {
            limits.head_timeout = soon;
        }
        let host = format!("late-{is_total}.example");
        let opened = scene.open(|new| new.host(&host).auth(gatekeeper()).limits(limits));
        opened.await;
        wire.send(&format!(
            "GET /hello HTTP/1.1\nhost: {host}\nx-word: wait\n\n"
        ))
        .await;
        assert_eq!(wire.answer().await.status, 504, "{host}");
    }
    assert_eq!(scene.site.state().begun.load(Ordering::SeqCst), 1);
}
