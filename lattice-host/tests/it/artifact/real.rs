//! Pushes to and fetches from a real registry.

use super::{
    registry::Registry,
    support::{component, image, large_component, plain},
};
use lattice_host::{
    ByteSize,
    artifact::{
        ArtifactSource, FetchError, Image, ImageDigest, PushError, RegistryError, Tags, WasmKind,
    },
};

#[tokio::test]
async fn a_pushed_image_is_fetched_by_tag_and_by_digest() {
    let registry = Registry::start().await;
    let artifacts = plain(registry.address()).build();
    let bytes = component("greeter");
    let tag = image(&format!("oci:{}/team/greeter:1.0", registry.address()));

    let pushed = artifacts.push(bytes.clone(), &tag).await.unwrap();
    assert_eq!(pushed.digest, ImageDigest::of(&bytes));
    assert_eq!(pushed.size, ByteSize::bytes(bytes.len() as u64));
    assert_eq!(artifacts.resolve(&tag).await.unwrap(), pushed);

    let by_digest = match &pushed.image {
        Image::Oci(reference) => {
            let manifest = reference.digest().unwrap();
            image(&format!("{}/team/greeter@{manifest}", registry.address()))
        }
        _ => panic!("{pushed:?}"),
    };
    for name in [&tag, &pushed.image, &by_digest] {
        for expected in [None, Some(pushed.digest)] {
            let artifact = artifacts.fetch(name, expected).await.unwrap();
            assert_eq!(
                (&artifact.bytes[..], artifact.digest),
                (&bytes[..], pushed.digest)
            );
            assert_eq!(
                artifact.origin,
                ArtifactSource::Registry,
                "no cache is configured"
            );
        }
    }
}

#[tokio::test]
async fn the_same_bytes_have_the_same_image_digest_in_every_registry() {
    let (one, other) = (Registry::start().await, Registry::start().await);
    let mut manifests = Vec::new();
    for (registry, name) in [
        (&one, "a:1"),
        (&one, "a:1"),
        (&one, "b/c:2"),
        (&other, "a:1"),
    ] {
        let tag = image(&format!("oci:{}/{name}", registry.address()));
        let pushed = plain(registry.address())
            .build()
            .push(component("same"), &tag)
            .await
            .unwrap();
        let Image::Oci(reference) = pushed.image else {
            panic!("{name}")
        };
        manifests.push(reference.digest().unwrap());
    }
    assert!(
        manifests.iter().all(|manifest| *manifest == manifests[0]),
        "{manifests:?}"
    );
}

#[tokio::test]
async fn a_resolved_image_stays_the_same_when_its_tag_moves() {
    let registry = Registry::start().await;
    let folder = tempfile::tempdir().unwrap();
    let artifacts = plain(registry.address()).cache(folder.path()).build();
    let tag = image(&format!("oci:{}/greeter:latest", registry.address()));

    artifacts.push(component("one"), &tag).await.unwrap();
    let first = artifacts.resolve(&tag).await.unwrap();
    artifacts.push(component("two"), &tag).await.unwrap();
    let second = artifacts.resolve(&tag).await.unwrap();
    assert_ne!(first.image, second.image);

    for artifacts in [&artifacts, &plain(registry.address()).build()] {
        let fetched = artifacts.fetch(&first.image, None).await.unwrap();
        assert_eq!(fetched.digest, ImageDigest::of(&component("one")));
        let fetched = artifacts.fetch(&tag, None).await.unwrap();
        assert_eq!(fetched.digest, ImageDigest::of(&component("two")));
    }
    // A fetch that expects the first digest never returns the second image.
    let refused = artifacts
        .fetch(&tag, ImageDigest::of(&component("three")))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, FetchError::Mismatch { .. }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn cached_images_are_returned_while_the_registry_is_down() {
    let mut registry = Registry::start().await;
    let folder = tempfile::tempdir().unwrap();
    let builder = plain(registry.address())
        .cache(folder.path())
        .attempts(std::num::NonZeroU32::MIN);
    let artifacts = builder.clone().build();
    let tag = image(&format!("oci:{}/greeter:1", registry.address()));
    let bytes = component("greeter");
    let pushed = artifacts.push(bytes.clone(), &tag).await.unwrap();
    let fetched = artifacts.fetch(&tag, None).await.unwrap();
    assert_eq!(fetched.origin, ArtifactSource::Registry);
    registry.kill();

    // Another process, with the same folder.
    let artifacts = builder.clone().build();
    for (name, expected) in [
        (&pushed.image, None),
        (&pushed.image, Some(pushed.digest)),
        (&tag, Some(pushed.digest)),
    ] {
        let fetched = artifacts.fetch(name, expected).await.unwrap();
        assert_eq!(
            (&fetched.bytes[..], fetched.origin),
            (&bytes[..], ArtifactSource::Cache)
        );
    }
    for error in [
        artifacts.fetch(&tag, None).await.unwrap_err(),
        artifacts.resolve(&tag).await.unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                FetchError::Registry(RegistryError::Unreachable { .. })
            ),
            "{error:?}"
        );
    }
    let unknown = image(&format!("oci:{}/greeter:2", registry.address()));
    let lenient = builder.tags(Tags::LastKnownWhenDown).build();
    assert_eq!(
        lenient.fetch(&tag, None).await.unwrap().digest,
        pushed.digest
    );
    assert_eq!(lenient.resolve(&tag).await.unwrap(), pushed);
    let error = lenient.fetch(&unknown, None).await.unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::Registry(RegistryError::Unreachable { .. })
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_fetch_is_retried_while_its_registry_restarts() {
    let mut registry = Registry::start().await;
    let artifacts = plain(registry.address()).build();
    let tag = image(&format!("oci:{}/greeter:1", registry.address()));
    let pushed = artifacts.push(component("greeter"), &tag).await.unwrap();
    registry.kill();
    let (fetched, ()) = tokio::join!(artifacts.fetch(&tag, None), registry.restart());
    assert_eq!(fetched.unwrap().digest, pushed.digest);

    registry.kill();
    let again = image(&format!("oci:{}/greeter:2", registry.address()));
    let (pushed, ()) = tokio::join!(
        artifacts.push(component("another"), &again),
        registry.restart()
    );
    assert_eq!(
        artifacts.fetch(&again, None).await.unwrap().digest,
        pushed.unwrap().digest
    );
}

#[tokio::test]
async fn a_missing_image_is_an_error_with_its_name() {
    let registry = Registry::start().await;
    let artifacts = plain(registry.address()).build();
    let tag = |text: &str| image(&format!("oci:{}/{text}", registry.address()));
    artifacts
        .push(component("greeter"), &tag("greeter:1"))
        .await
        .unwrap();
    let digest = ImageDigest::of(b"never pushed");
    for name in ["greeter:2", "absent:1", &format!("greeter@{digest}")] {
        let error = artifacts.fetch(&tag(name), None).await.unwrap_err();
        assert!(
            matches!(error, FetchError::Registry(RegistryError::NotFound { .. })),
            "{error:?}"
        );
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test]
async fn a_large_image_is_transferred_and_reports_its_progress() {
    let registry = Registry::start().await;
    let artifacts = plain(registry.address()).build();
    // Larger than one chunk of a push, and than many reads of a pull.
    let bytes = large_component(6 << 20);
    let tag = image(&format!("oci:{}/large:1", registry.address()));
    artifacts.push(bytes.clone(), &tag).await.unwrap();
    let mut steps = Vec::new();
    let fetched = artifacts
        .fetch_with(&tag, None, |progress| steps.push(progress))
        .await
        .unwrap();
    assert_eq!(fetched.bytes, bytes);
    assert!(
        steps.is_sorted_by_key(|step| step.received)
            && steps
                .last()
                .is_some_and(|step| step.received == bytes.len() as u64),
        "{steps:?}"
    );
    assert!(
        steps.iter().all(
            |step| step.size == Some(bytes.len() as u64) && step.received <= bytes.len() as u64
        )
    );
}

#[tokio::test]
async fn an_inspection_returns_digest_size_imports_and_exports() {
    let registry = Registry::start().await;
    let artifacts = plain(registry.address()).build();
    let tag = image(&format!("oci:{}/greeter:1", registry.address()));
    let pushed = artifacts.push(component("greeter"), &tag).await.unwrap();
    let found = artifacts.inspect(&tag).await.unwrap();
    assert_eq!(found.resolved, pushed);
    assert_eq!(
        (found.kind, found.media_type.as_deref()),
        (WasmKind::Component, Some("application/wasm"))
    );
    let names = found.names.unwrap();
    assert_eq!(names.imports, ["example:clock/now@1.0.0"]);
    assert_eq!(names.exports, ["example:greeter/api@1.0.0"]);
}

#[tokio::test]
async fn a_push_of_an_invalid_image_fails_with_its_reason() {
    let registry = Registry::start().await;
    let artifacts = plain(registry.address()).max_size(ByteSize::kib(1)).build();
    let tag = image(&format!("oci:{}/greeter:1", registry.address()));
    let pinned = image(&format!("{tag}@{}", ImageDigest::of(b"")));
    let push =
        async |bytes: Vec<u8>, image: &Image| artifacts.push(bytes, image).await.unwrap_err();

    let error = push(component("a"), &image("file:a.wasm")).await;
    assert!(matches!(error, PushError::NotARegistry { .. }), "{error:?}");
    let error = push(component("a"), &pinned).await;
    assert!(matches!(error, PushError::NoTag { .. }), "{error:?}");
    let error = push(b"(component)".into(), &tag).await;
    assert!(matches!(error, PushError::NotWasm { .. }), "{error:?}");
    let error = push(large_component(4 << 10), &tag).await;
    assert!(matches!(error, PushError::TooLarge { .. }), "{error:?}");
    let error = artifacts.fetch(&tag, None).await.unwrap_err();
    assert!(
        matches!(error, FetchError::Registry(RegistryError::NotFound { .. })),
        "{error:?}"
    );
}
