//! Images in files, and bytes that the program provides.

use super::support::{cached_file, component, image, large_component};
use lattice_host::{
    ByteSize,
    artifact::{ArtifactSource, Artifacts, FetchError, Image, ImageDigest, WasmKind},
};
use std::{fs, path::Path};

fn file(path: &Path) -> Image {
    image(&format!("file:{}", path.display()))
}

#[tokio::test]
async fn a_file_is_read_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wasm");
    fs::write(&path, component("a")).unwrap();
    let artifacts = Artifacts::builder().build();
    let fetched = artifacts.fetch(&file(&path), None).await.unwrap();
    assert_eq!(
        (fetched.bytes, fetched.origin),
        (component("a").into(), ArtifactSource::File)
    );

    let resolved = artifacts.resolve(&file(&path)).await.unwrap();
    assert_eq!(
        (&resolved.image, resolved.digest),
        (&file(&path), fetched.digest)
    );
    let found = artifacts.inspect(&file(&path)).await.unwrap();
    assert_eq!(
        (found.resolved, found.kind, found.media_type),
        (resolved.clone(), WasmKind::Component, None)
    );

    // The file is built again while others still expect the previous digest.
    fs::write(&path, component("b")).unwrap();
    let error = artifacts
        .fetch(&file(&path), resolved.digest)
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
        (
            ImageDigest::of(&component("a")),
            ImageDigest::of(&component("b"))
        )
    );
}

#[tokio::test]
async fn a_missing_file_and_one_that_is_not_a_component_or_too_large_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wasm");
    let artifacts = Artifacts::builder().max_size(ByteSize::kib(4)).build();
    let fetch = async || artifacts.fetch(&file(&path), None).await.unwrap_err();

    let error = fetch().await;
    assert!(matches!(error, FetchError::File { .. }), "{error:?}");
    fs::write(&path, "(component)").unwrap();
    let error = fetch().await;
    assert!(matches!(error, FetchError::NotWasm { .. }), "{error:?}");
    fs::write(&path, large_component(8 << 10)).unwrap();
    let error = fetch().await;
    assert!(matches!(error, FetchError::TooLarge { .. }), "{error:?}");
    // Reading these would never end.
    for path in [folder.path(), Path::new("/dev/zero")] {
        let error = artifacts.fetch(&file(path), None).await.unwrap_err();
        assert!(matches!(error, FetchError::File { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn bytes_that_are_given_directly_are_cached_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::builder().cache(folder.path()).build();
    let digest = ImageDigest::of(&component("a"));
    assert!(artifacts.cached(digest).await.is_none());
    let kept = artifacts.keep(component("a")).await;
    assert_eq!((kept.digest, kept.origin), (digest, ArtifactSource::Given));
    assert!(kept.not_kept.is_none() && cached_file(folder.path(), digest).exists());
    assert_eq!(
        artifacts.cached(digest).await.unwrap().bytes,
        component("a")
    );
    // A host without the file, which received the bytes from another host.
    let elsewhere = image("file:/nowhere/a.wasm");
    assert_eq!(
        artifacts.fetch(&elsewhere, digest).await.unwrap().origin,
        ArtifactSource::Cache
    );
}
