//! Image layouts of other tools.

use super::{
    fake::{Contents, Fake, manifest},
    support::{component, image, plain},
};
use lattice_host::artifact::{FetchError, Image, ImageDigest};
use serde_json::json;

async fn serving(contents: Contents) -> (Fake, Image) {
    let fake = Fake::start(move |asked| contents.answer(asked)).await;
    let tag = image(&format!("oci:{}/a:1", fake.address()));
    (fake, tag)
}

async fn refused(contents: Contents) -> FetchError {
    let (fake, tag) = serving(contents).await;
    plain(fake.address())
        .build()
        .fetch(&tag, None)
        .await
        .unwrap_err()
}

fn index(entries: &[(&str, &str)]) -> String {
    let entries = entries.iter().map(|(document, architecture)| {
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": ImageDigest::of(document.as_bytes()),
            "size": document.len(),
            "platform": {"os": "any", "architecture": architecture},
        })
    });
    let entries: Vec<_> = entries.collect();
    json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}).to_string()
}

#[tokio::test]
async fn single_layers_with_the_media_types_of_older_tools_are_fetched() {
    for media_type in [
        "application/vnd.module.wasm.content.layer.v1+wasm",
        "application/vnd.wasm.content.layer.v1+wasm",
        "application/octet-stream",
    ] {
        let bytes = component("a");
        let contents = Contents::default()
            .blob(&bytes)
            .manifest("1", &manifest(&[(media_type, &bytes)]));
        let (fake, tag) = serving(contents).await;
        let artifacts = plain(fake.address()).build();
        assert_eq!(artifacts.fetch(&tag, None).await.unwrap().bytes, bytes);
        assert_eq!(
            artifacts.inspect(&tag).await.unwrap().media_type.as_deref(),
            Some(media_type)
        );
    }
}

#[tokio::test]
async fn an_image_without_a_component_is_refused() {
    let zip = b"\x1f\x8b zipped";
    let contents = Contents::default().manifest(
        "1",
        &manifest(&[("application/vnd.oci.image.layer.v1.tar+gzip", zip)]),
    );
    let error = refused(contents).await;
    assert!(
        matches!(error, FetchError::NotWasm { .. }) && error.to_string().contains("tar+gzip"),
        "{error}"
    );

    // The media type of a layer isn't enough.
    let error = refused(Contents::of(zip)).await;
    assert!(
        matches!(error, FetchError::NotWasm { .. }) && error.to_string().contains("gzip"),
        "{error}"
    );
}

#[tokio::test]
async fn the_image_for_wasm_is_chosen_from_an_index() {
    let bytes = component("a");
    let [wasm, native] = [("application/wasm", &bytes[..]), ("text/plain", b"native")]
        .map(|layer| manifest(&[layer]));
    let index = index(&[(&native, "amd64"), (&wasm, "wasm")]);
    let contents = Contents::of(&bytes)
        .manifest("wasm", &wasm)
        .manifest("native", &native)
        .manifest("1", &index);
    let (fake, tag) = serving(contents).await;
    let folder = tempfile::tempdir().unwrap();
    let artifacts = plain(fake.address()).cache(folder.path()).build();
    let resolved = artifacts.resolve(&tag).await.unwrap();
    let Image::Oci(pinned) = &resolved.image else {
        panic!("{resolved:?}")
    };
    assert_eq!(pinned.digest(), Some(ImageDigest::of(index.as_bytes())));
    assert_eq!(
        artifacts.fetch(&resolved.image, None).await.unwrap().bytes,
        bytes
    );

    // Index, manifest and layer are in the cache now.
    drop(fake);
    let offline = plain("127.0.0.1:1").cache(folder.path()).build();
    assert_eq!(
        offline.fetch(&resolved.image, None).await.unwrap().bytes,
        bytes
    );
}

#[tokio::test]
async fn an_index_without_an_image_for_wasm_is_refused() {
    let native = manifest(&[("text/plain", b"native")]);
    let error = refused(
        Contents::default().manifest("1", &index(&[(&native, "amd64"), (&native, "arm64")])),
    )
    .await;
    assert!(matches!(error, FetchError::Platforms { .. }), "{error:?}");
    assert!(error.to_string().contains("any/amd64 `sha256:"), "{error}");

    let inner = index(&[(&native, "wasm")]);
    let nested = Contents::default()
        .manifest("inner", &inner)
        .manifest("1", &index(&[(&inner, "wasm")]));
    let error = refused(nested).await;
    assert!(matches!(error, FetchError::Manifest { .. }), "{error:?}");
}
