//! Registries that fail, for some time or permanently.

use super::{
    fake::{Answer, Asked, Contents, Fake},
    support::{PATIENCE, component, image, large_component, plain},
};
use lattice_host::artifact::{
    ArtifactSource, Artifacts, FetchError, Image, ImageDigest, PushError, RegistryError,
};
use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

/// A deadline that is short enough for a test and long enough for a busy machine.
const SILENCE: Duration = Duration::from_secs(2);

fn tag(fake: &Fake) -> Image {
    image(&format!("oci:{}/a:1", fake.address()))
}

fn once(fake: &Fake) -> Artifacts {
    plain(fake.address())
        .silent_for(SILENCE)
        .attempts(NonZeroU32::MIN)
        .build()
}

fn is_blob(asked: &Asked) -> bool {
    asked.what.contains("/blobs/")
}

#[tokio::test]
async fn a_fetch_from_a_silent_registry_fails_in_time() {
    let contents = Contents::of(&component("a"));
    let silent_about: [fn(&Asked) -> bool; 3] = [
        |_| true,
        |asked| asked.what.contains("/manifests/"),
        is_blob,
    ];
    for is_silent in silent_about {
        let contents = contents.clone();
        let fake = Fake::start(move |asked| {
            if is_silent(asked) {
                Answer::Silence
            } else {
                contents.answer(asked)
            }
        })
        .await;
        let since = Instant::now();
        let error = once(&fake).fetch(&tag(&fake), None).await.unwrap_err();
        assert!(
            matches!(error, FetchError::Registry(RegistryError::Silent { .. })),
            "{error:?}"
        );
        assert!(since.elapsed() < PATIENCE / 2, "{:?}", since.elapsed());
    }
    let fake = Fake::start(|_| Answer::Silence).await;
    let error = once(&fake)
        .push(component("a"), &tag(&fake))
        .await
        .unwrap_err();
    assert!(
        matches!(error, PushError::Registry(RegistryError::Silent { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_fetch_from_a_slow_registry_fails_at_the_deadline() {
    let bytes = large_component(1 << 20);
    let contents = Contents::of(&bytes);
    let fake = Fake::start(move |asked| {
        if is_blob(asked) {
            Answer::Drip
        } else {
            contents.answer(asked)
        }
    })
    .await;
    let artifacts = plain(fake.address()).within(SILENCE).build();
    let error = artifacts.fetch(&tag(&fake), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Deadline { .. }), "{error:?}");

    // Also when the length of the body isn't declared.
    let fake = Fake::start(|asked| {
        if asked.what.ends_with("/v2/") {
            Answer::content("")
        } else {
            Answer::Drip
        }
    })
    .await;
    let artifacts = plain(fake.address()).within(SILENCE).build();
    for error in [
        artifacts
            .fetch(&tag(&fake), None)
            .await
            .map(drop)
            .unwrap_err(),
        artifacts.resolve(&tag(&fake)).await.map(drop).unwrap_err(),
        artifacts.inspect(&tag(&fake)).await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, FetchError::Deadline { .. }), "{error:?}");
    }
    let error = artifacts
        .push(component("a"), &tag(&fake))
        .await
        .unwrap_err();
    assert!(
        matches!(error, PushError::Deadline { .. } | PushError::Registry(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_error_is_retried() {
    for status in [429, 500, 502, 503] {
        let contents = Contents::of(&component("a"));
        let fake = Fake::start(move |asked| match asked.before {
            0 if !asked.what.ends_with("/v2/") => Answer::status(status),
            _ => contents.answer(asked),
        })
        .await;
        let fetched = plain(fake.address())
            .build()
            .fetch(&tag(&fake), None)
            .await
            .unwrap();
        assert_eq!(fetched.bytes, component("a"));
        assert_eq!(fake.asked("GET /v2/a/manifests/").len(), 2);
        assert_eq!(fake.asked("GET /v2/a/blobs/").len(), 2);
    }
}

#[tokio::test]
async fn a_server_error_that_persists_is_returned() {
    let fake = Fake::start(|_| Answer::status(503)).await;
    let artifacts = plain(fake.address())
        .attempts(NonZeroU32::MIN.saturating_add(2))
        .build();
    let error = artifacts.fetch(&tag(&fake), None).await.unwrap_err();
    let FetchError::Registry(RegistryError::Failing {
        status, message, ..
    }) = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!((*status, message.as_str()), (503, "details"));
    assert_eq!(fake.asked("GET /v2/a/manifests/").len(), 3);
}

#[tokio::test]
async fn a_client_error_is_not_retried() {
    for status in [400, 401, 403, 404] {
        let fake = Fake::start(move |_| Answer::status(status)).await;
        let error = plain(fake.address())
            .build()
            .fetch(&tag(&fake), None)
            .await
            .unwrap_err();
        let FetchError::Registry(error) = error else {
            panic!("{error:?}")
        };
        match status {
            401 | 403 => assert!(
                matches!(error, RegistryError::CredentialsNeeded { .. }),
                "{error:?}"
            ),
            404 => assert!(matches!(error, RegistryError::NotFound { .. }), "{error:?}"),
            _ => assert!(matches!(error, RegistryError::Refused { .. }), "{error:?}"),
        }
        assert_eq!(fake.asked("GET /v2/a/manifests/").len(), 1);
    }
}

#[tokio::test]
async fn an_interrupted_download_continues_where_it_ended() {
    let bytes = large_component(256 << 10);
    let half = bytes.len() / 2;
    let (contents, sent) = (Contents::of(&bytes), bytes.clone());
    let fake = Fake::start(move |asked| match asked.headers.get("range") {
        _ if !is_blob(asked) => contents.answer(asked),
        None => Answer::Cut {
            body: sent.clone(),
            sent: half,
        },
        Some(range) => {
            let from: usize = range
                .trim_start_matches("bytes=")
                .trim_end_matches('-')
                .parse()
                .unwrap();
            let about = format!("bytes {from}-{}/{}", sent.len() - 1, sent.len());
            Answer::Content {
                status: 206,
                headers: vec![("content-range", about)],
                body: sent[from..].into(),
            }
        }
    })
    .await;
    let fetched = plain(fake.address())
        .build()
        .fetch(&tag(&fake), None)
        .await
        .unwrap();
    assert_eq!(fetched.bytes, bytes);
    let asked = fake.asked("GET /v2/a/blobs/");
    assert_eq!(asked.len(), 2);
    let range = asked[1].headers.get("range").unwrap();
    let from: usize = range
        .trim_start_matches("bytes=")
        .trim_end_matches('-')
        .parse()
        .unwrap();
    assert!((1..=half).contains(&from), "{range}");
}

#[tokio::test]
async fn an_interrupted_download_starts_again_when_ranges_are_unsupported() {
    let bytes = large_component(64 << 10);
    for refusal in [None, Some(416)] {
        let (contents, sent) = (Contents::of(&bytes), bytes.clone());
        let fake = Fake::start(move |asked| match (asked.before, refusal) {
            _ if !is_blob(asked) => contents.answer(asked),
            (0, _) => Answer::Cut {
                body: sent.clone(),
                sent: sent.len() / 2,
            },
            (1, Some(status)) => Answer::status(status),
            _ => contents.answer(asked),
        })
        .await;
        let fetched = plain(fake.address())
            .build()
            .fetch(&tag(&fake), None)
            .await
            .unwrap();
        assert_eq!(fetched.bytes, bytes);
    }
}

#[tokio::test]
async fn a_download_that_never_completes_fails() {
    let bytes = large_component(64 << 10);
    // A body that ends early, and one that is declared shorter than the blob.
    for cut in [true, false] {
        let (contents, sent) = (Contents::of(&bytes), bytes.clone());
        let fake = Fake::start(move |asked| match cut {
            _ if !is_blob(asked) => contents.answer(asked),
            true => Answer::Cut {
                body: sent.clone(),
                sent: sent.len() / 2,
            },
            false => Answer::content(&sent[..sent.len() / 2]),
        })
        .await;
        let artifacts = plain(fake.address())
            .attempts(NonZeroU32::MIN.saturating_add(1))
            .build();
        let error = artifacts.fetch(&tag(&fake), None).await.unwrap_err();
        assert!(
            matches!(error, FetchError::Registry(RegistryError::Broken { .. })),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn concurrent_fetches_of_one_image_share_one_download() {
    let bytes = large_component(256 << 10);
    let contents = Contents::of(&bytes);
    let fake = Fake::start(move |asked| contents.answer(asked)).await;
    let folder = tempfile::tempdir().unwrap();
    let artifacts = plain(fake.address()).cache(folder.path()).build();
    let pinned = artifacts.resolve(&tag(&fake)).await.unwrap();
    let fetches = (0..32).map(|_| artifacts.fetch(&pinned.image, pinned.digest));
    for fetched in futures_util::future::join_all(fetches).await {
        assert_eq!(fetched.unwrap().bytes, bytes);
    }
    assert_eq!(fake.asked("GET /v2/a/blobs/").len(), 1);
    assert_eq!(fake.asked("GET /v2/a/manifests/").len(), 1);
    assert_eq!(
        artifacts.fetch(&pinned.image, None).await.unwrap().origin,
        ArtifactSource::Cache
    );
    assert_eq!(pinned.digest, ImageDigest::of(&bytes));
}

#[tokio::test]
async fn a_failure_is_shared_by_waiting_fetches_and_not_cached() {
    let contents = Contents::of(&component("a"));
    let fake = Fake::start(move |asked| match asked.before {
        0 if is_blob(asked) => Answer::status(404),
        _ => contents.answer(asked),
    })
    .await;
    let artifacts = plain(fake.address()).build();
    let (pinned, digest) = artifacts
        .resolve(&tag(&fake))
        .await
        .map(|found| (found.image, found.digest))
        .unwrap();
    let error = artifacts.fetch(&pinned, digest).await.unwrap_err();
    assert!(
        matches!(error, FetchError::Registry(RegistryError::NotFound { .. })),
        "{error:?}"
    );
    assert_eq!(
        artifacts.fetch(&pinned, digest).await.unwrap().bytes,
        component("a")
    );
}
