//! Registries that return false content.

use super::{
    fake::{Answer, Asked, Contents, Fake, manifest},
    support::{component, image, large_component, plain},
};
use lattice_host::{
    ByteSize,
    artifact::{Credentials, FetchError, ImageDigest, RegistryError},
};
use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

pub(super) async fn fetch(fake: &Fake, name: &str) -> FetchError {
    let name = image(&format!("oci:{}/a{name}", fake.address()));
    plain(fake.address())
        .build()
        .fetch(&name, None)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn bytes_that_differ_from_the_digest_are_refused() {
    let (right, wrong) = (component("a"), component("b"));
    assert_eq!(right.len(), wrong.len());
    let contents = Contents::of(&right);
    let fake = Fake::start(move |asked| {
        if asked.what.contains("/blobs/") {
            Answer::content(wrong.clone())
        } else {
            contents.answer(asked)
        }
    })
    .await;
    let error = fetch(&fake, ":1").await;
    let FetchError::Registry(RegistryError::Damaged {
        expected, found, ..
    }) = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(
        (expected, found),
        (
            ImageDigest::of(&component("a")),
            ImageDigest::of(&component("b"))
        )
    );
    assert_eq!(fake.asked("GET /v2/a/blobs/").len(), 1);
}

#[tokio::test]
async fn a_manifest_that_differs_from_its_digest_is_refused() {
    let contents = Contents::of(&component("a"));
    let other = manifest(&[("application/wasm", &component("b"))]);
    let fake = Fake::start(move |asked| {
        if asked.what.contains("/manifests/") {
            Answer::content(other.clone())
        } else {
            contents.answer(asked)
        }
    })
    .await;
    let pinned = manifest(&[("application/wasm", &component("a"))]);
    let error = fetch(&fake, &format!("@{}", ImageDigest::of(pinned.as_bytes()))).await;
    assert!(
        matches!(error, FetchError::Registry(RegistryError::Damaged { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_false_digest_header_is_refused() {
    let contents = Contents::of(&component("a"));
    for header in [
        ImageDigest::of(b"other").to_string(),
        "sha256:garbage".into(),
        "md5:1".into(),
        "garbage".into(),
    ] {
        let contents = contents.clone();
        let fake = Fake::start(move |asked| match contents.answer(asked) {
            Answer::Content { status, body, .. } => Answer::Content {
                status,
                headers: vec![("docker-content-digest", header.clone())],
                body,
            },
            other => other,
        })
        .await;
        let error = fetch(&fake, ":1").await;
        let expected = matches!(
            error,
            FetchError::Registry(RegistryError::Damaged { .. } | RegistryError::Protocol { .. })
        );
        assert!(expected, "{error:?}");
    }
}

#[tokio::test]
async fn a_blob_longer_than_declared_is_cut_off() {
    let bytes = component("a");
    let (contents, longer) = (Contents::of(&bytes), large_component(1 << 20));
    let fake = Fake::start(move |asked| {
        if asked.what.contains("/blobs/") {
            Answer::content(longer.clone())
        } else {
            contents.answer(asked)
        }
    })
    .await;
    let error = fetch(&fake, ":1").await;
    let FetchError::Registry(RegistryError::Oversized { declared, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(declared, bytes.len() as u64);
}

#[tokio::test]
async fn a_blob_declared_over_the_limit_is_not_fetched() {
    let bytes = large_component(8 << 10);
    let contents = Contents::of(&bytes);
    let fake = Fake::start(move |asked| contents.answer(asked)).await;
    let tag = image(&format!("oci:{}/a:1", fake.address()));
    let artifacts = plain(fake.address()).max_size(ByteSize::kib(1)).build();
    for error in [
        artifacts.fetch(&tag, None).await.map(drop).unwrap_err(),
        artifacts.resolve(&tag).await.map(drop).unwrap_err(),
    ] {
        let FetchError::TooLarge { size, limit, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!((size.as_usize(), limit), (bytes.len(), ByteSize::kib(1)));
    }
    assert!(fake.asked("GET /v2/a/blobs/").is_empty());
}

#[tokio::test]
async fn a_blob_of_another_digest_than_requested_is_not_fetched() {
    let contents = Contents::of(&component("a"));
    let fake = Fake::start(move |asked| contents.answer(asked)).await;
    let tag = image(&format!("oci:{}/a:1", fake.address()));
    let wanted = ImageDigest::of(&component("b"));
    let error = plain(fake.address())
        .build()
        .fetch(&tag, wanted)
        .await
        .unwrap_err();
    let FetchError::Mismatch {
        expected, found, ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(
        (expected, found),
        (wanted, ImageDigest::of(&component("a")))
    );
    assert!(fake.asked("GET /v2/a/blobs/").is_empty());
}

#[tokio::test]
async fn an_invalid_manifest_is_refused() {
    for document in [
        "",
        "<html>",
        "[]",
        "{}",
        r#"{"schemaVersion":1,"layers":[]}"#,
        &" ".repeat(5 << 20),
    ] {
        let contents = Contents::default().manifest("1", document);
        let fake = Fake::start(move |asked| contents.answer(asked)).await;
        let error = fetch(&fake, ":1").await;
        assert!(matches!(error, FetchError::Manifest { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn messages_from_a_registry_are_shortened_and_without_control_characters() {
    let fake = Fake::start(|_| Answer::Content {
        status: 418,
        headers: Vec::new(),
        body: format!("\u{1b}[2J{}", "long ".repeat(10_000)).into(),
    })
    .await;
    let error = fetch(&fake, ":1").await.to_string();
    assert!(error.len() < 400 && !error.contains('\u{1b}'), "{error:?}");
}

/// Returns a registry's handler that requires a token, which the registry itself issues.
fn with_tokens(token: &'static str) -> impl Fn(&Asked) -> Answer + Send + Sync + 'static {
    let contents = Contents::of(&component("a"));
    move |asked| {
        let known = asked.headers.get("authorization").map(String::as_str);
        if asked.what.starts_with("GET /token") {
            return match known {
                // `captain:open sesame`
                Some("Basic Y2FwdGFpbjpvcGVuIHNlc2FtZQ==") => Answer::content(token),
                _ => Answer::status(401),
            };
        }
        if known == Some("Bearer good") {
            return contents.answer(asked);
        }
        let host = &asked.headers["host"];
        let challenge = format!(
            r#"Bearer realm="http://{host}/token",service="tests",scope="repository:a:pull""#
        );
        Answer::Content {
            status: 401,
            headers: vec![("www-authenticate", challenge)],
            body: Vec::new(),
        }
    }
}

#[tokio::test]
async fn a_token_is_fetched_for_a_registry_that_requires_one() {
    let fake = Fake::start(with_tokens(r#"{"token":"good"}"#)).await;
    let tag = image(&format!("oci:{}/a:1", fake.address()));
    let with = |credentials| {
        plain(fake.address())
            .credentials(fake.address(), credentials)
            .build()
    };
    let known = with(Credentials::basic("captain", "open sesame"));
    assert_eq!(known.fetch(&tag, None).await.unwrap().bytes, component("a"));
    let asked = &fake.asked("GET /token")[0].what;
    assert!(
        asked.contains("scope=repository%3Aa%3Apull") && asked.contains("service=tests"),
        "{asked}"
    );

    assert_eq!(
        with(Credentials::bearer("good"))
            .fetch(&tag, None)
            .await
            .unwrap()
            .bytes,
        component("a")
    );
    for (credentials, needed) in [
        (Credentials::Anonymous, true),
        (Credentials::basic("captain", "wrong"), false),
        (Credentials::bearer("bad"), false),
    ] {
        let error = with(credentials).fetch(&tag, None).await.unwrap_err();
        let expected = match &error {
            FetchError::Registry(RegistryError::CredentialsNeeded { .. }) => needed,
            FetchError::Registry(RegistryError::CredentialsRefused { .. }) => !needed,
            _ => false,
        };
        assert!(expected, "{error:?}");
    }
}

#[tokio::test]
async fn an_invalid_token_fails_the_fetch_with_a_typed_error() {
    for token in ["", "{}", r#"{"token":7}"#, r#"{"token":"a\nb: c"}"#] {
        let fake = Fake::start(with_tokens(token)).await;
        let tag = image(&format!("oci:{}/a:1", fake.address()));
        let credentials = Credentials::basic("captain", "open sesame");
        let artifacts = plain(fake.address())
            .credentials(fake.address(), credentials)
            .build();
        let error = artifacts.fetch(&tag, None).await.unwrap_err();
        let expected = matches!(
            error,
            FetchError::Registry(RegistryError::CredentialsRefused { .. })
                | FetchError::Ended { .. }
        );
        assert!(expected, "{token}: {error:?}");
    }
}

/// This ends only because the client stops reading. The registry never stops sending.
#[tokio::test]
async fn an_endless_response_of_a_registry_is_not_read_without_limit() {
    let contents = Contents::of(&component("a"));
    for status in [200, 404, 503] {
        let fake = Fake::start(move |_| Answer::Flood { status }).await;
        let tag = image(&format!("oci:{}/a:1", fake.address()));
        let artifacts = plain(fake.address()).attempts(NonZeroU32::MIN).build();
        let error = artifacts.fetch(&tag, None).await.unwrap_err();
        let told = match status {
            200 => matches!(error, FetchError::Manifest { .. }),
            404 => matches!(error, FetchError::Registry(RegistryError::NotFound { .. })),
            _ => matches!(error, FetchError::Registry(RegistryError::Failing { .. })),
        };
        assert!(told, "{status}: {error:?}");
    }
    let fake = Fake::start(move |asked| {
        if asked.what.starts_with("GET /token") {
            return Answer::Flood { status: 200 };
        }
        match asked.headers.get("authorization") {
            Some(_) => contents.answer(asked),
            None => challenge(&format!("http://{}/token", asked.headers["host"])),
        }
    })
    .await;
    let tag = image(&format!("oci:{}/a:1", fake.address()));
    let error = plain(fake.address())
        .build()
        .fetch(&tag, None)
        .await
        .unwrap_err();
    assert!(
        matches!(error, FetchError::Registry(RegistryError::Protocol { .. })),
        "{error:?}"
    );
}

/// Returns a response that requires a token of this service.
pub(super) fn challenge(realm: &str) -> Answer {
    Answer::Content {
        status: 401,
        headers: vec![("www-authenticate", format!(r#"Bearer realm="{realm}""#))],
        body: Vec::new(),
    }
}

#[tokio::test]
async fn a_login_that_was_refused_after_it_was_accepted_is_made_again() {
    let (contents, has_expired) = (Contents::of(&component("a")), AtomicBool::new(false));
    let expired = Arc::new(has_expired);
    let expires = expired.clone();
    let fake = Fake::start(move |asked| {
        if !asked.headers.contains_key("authorization") {
            expired.store(false, Ordering::SeqCst);
            let basic = "Basic realm=\"tests\"".to_owned();
            return Answer::Content {
                status: 401,
                headers: vec![("www-authenticate", basic)],
                body: Vec::new(),
            };
        }
        if expired.load(Ordering::SeqCst) {
            return Answer::status(403);
        }
        contents.answer(asked)
    })
    .await;
    let tag = image(&format!("oci:{}/a:1", fake.address()));
    let artifacts = plain(fake.address())
        .credentials(fake.address(), Credentials::basic("captain", "open sesame"))
        .build();
    artifacts.fetch(&tag, None).await.unwrap();
    expires.store(true, Ordering::SeqCst);
    artifacts.fetch(&tag, None).await.unwrap();
}

#[tokio::test]
async fn an_identity_token_is_exchanged_for_one_that_the_registry_takes() {
    let contents = Contents::of(&component("a"));
    let fake = Fake::start(move |asked| match asked.headers.get("authorization") {
        _ if asked.what.starts_with("POST /token") => {
            Answer::content(r#"{"access_token":"good","expires_in":60}"#)
        }
        Some(token) if token == "Bearer good" => contents.answer(asked),
        _ => challenge(&format!("http://{}/token", asked.headers["host"])),
    })
    .await;
    let tag = image(&format!("oci:{}/a:1", fake.address()));
    let credentials = Credentials::Identity {
        token: "identity".to_owned(),
    };
    let artifacts = plain(fake.address())
        .credentials(fake.address(), credentials)
        .build();
    assert_eq!(
        artifacts.fetch(&tag, None).await.unwrap().bytes,
        component("a")
    );
    let length = &fake.asked("POST /token")[0].headers["content-length"];
    assert!(length.parse::<usize>().unwrap() > 80, "{length}");
}
