use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn digest(text: &str) -> String {
    ImageDigest::of(text.as_bytes()).to_string()
}

fn read(document: &Value) -> Result<Layout, LayoutError> {
    Layout::read(document.to_string().as_bytes())
}

fn image(media_types: &[&str]) -> Value {
    let layers: Vec<_> = media_types
        .iter()
        .map(|media_type| json!({"mediaType": media_type, "digest": digest(media_type), "size": 7}))
        .collect();
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": {}, "layers": layers})
}

fn index(platforms: &[Option<(&str, &str)>]) -> Value {
    let entries: Vec<_> = platforms
        .iter()
        .enumerate()
        .map(|(at, platform)| {
            let platform = platform.map(|(os, architecture)| json!({"os": os, "architecture": architecture}));
            json!({"mediaType": MANIFEST, "digest": digest(&at.to_string()), "size": 7, "platform": platform})
        })
        .collect();
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
}

#[test]
fn layers_of_all_wasm_media_types_are_found() {
    for media_types in [
        &[WASM][..],
        &["application/vnd.oci.image.layer.v1.tar+gzip", WASM],
        &[OLD_WASM[0]],
        &[OLD_WASM[1]],
        &["text/markdown", OLD_WASM[2], "text/plain"],
        &["application/octet-stream"],
        &["application/vnd.oci.image.layer.v1.tar"],
    ] {
        let Ok(Layout::Image(layer)) = read(&image(media_types)) else {
            panic!("{media_types:?}")
        };
        assert_eq!(layer.digest.to_string(), digest(&layer.media_type));
        assert_eq!(layer.size, ByteSize::bytes(7));
    }
}

#[test]
fn errors_for_other_images_name_their_content() {
    for (media_types, found) in [
        (&[][..], "an image without content"),
        (&[WASM, WASM], "several of them in one image"),
        (
            &["application/vnd.oci.image.layer.v1.tar+gzip"],
            "an image of `application/vnd.oci.image.layer.v1.tar+gzip`",
        ),
        (
            &["application/octet-stream"; 2],
            "an image of `application/octet-stream`, `application/octet-stream`",
        ),
        (&["a"; 6], "an image of `a`, `a`, `a`, `a` and 2 more"),
    ] {
        assert_eq!(
            read(&image(media_types)),
            Err(LayoutError::NotWasm(found.into()))
        );
    }
}

#[test]
fn the_wasm_image_or_the_only_image_of_an_index_is_selected() {
    let chosen = |at: &str| Ok(Layout::Index(ImageDigest::of(at.as_bytes())));
    let unknown = Some(("unknown", "unknown"));
    for (platforms, at) in [
        (&[None][..], "0"),
        (&[Some(("linux", "amd64"))], "0"),
        (
            &[Some(("linux", "amd64")), Some(("wasip2", "wasm")), None],
            "1",
        ),
        // As buildx writes an image with its attestation.
        (&[Some(("linux", "amd64")), unknown], "0"),
        (&[Some(("wasi", "wasm32")), unknown], "0"),
        (&[unknown, Some(("wasi", "wasm")), unknown], "1"),
        (&[Some(("js", "wasm")), Some(("wasip1", "wasm"))], "1"),
        (&[Some(("wasip1", "wasm")), Some(("wasip2", "wasm"))], "1"),
        (&[Some(("wasip1", "wasm32")), Some(("wasi", "wasm32"))], "1"),
        (&[Some(("wasip3", "")), Some(("linux", "arm64"))], "0"),
        (&[None, Some(("linux", "arm64")), unknown], "0"),
    ] {
        assert_eq!(read(&index(platforms)), chosen(at), "{platforms:?}");
    }
    for (platforms, found) in [
        (&[][..], "nothing"),
        (&[unknown], "unknown/unknown"),
        (
            &[Some(("linux", "amd64")), Some(("linux", "arm64"))],
            "linux/amd64",
        ),
        (&[None, None], "no platform"),
        (
            &[Some(("wasip2", "wasm")), Some(("wasip2", "wasm"))],
            "wasip2/wasm",
        ),
    ] {
        let Err(LayoutError::Platforms(text)) = read(&index(platforms)) else {
            panic!("{platforms:?}")
        };
        assert!(text.contains(found), "{text}");
    }
}

#[test]
fn entries_that_describe_other_entries_are_skipped() {
    let mut two = index(&[None, None]);
    let reference = json!({"vnd.docker.reference.type": "attestation-manifest"});
    two["manifests"][1]["annotations"] = reference;
    assert_eq!(read(&two), Ok(Layout::Index(ImageDigest::of(b"0"))));
    let mut typed = index(&[None, None]);
    typed["manifests"][1]["artifactType"] = json!(WASM_CONFIG);
    assert_eq!(read(&typed), Ok(Layout::Index(ImageDigest::of(b"1"))));
    typed["manifests"][1]["platform"] = json!({"architecture": "wasm"});
    assert_eq!(read(&typed), Ok(Layout::Index(ImageDigest::of(b"1"))));
}

#[test]
fn empty_lists_are_ignored() {
    let mut both = image(&[WASM]);
    both["manifests"] = json!([]);
    assert!(matches!(read(&both), Ok(Layout::Image(_))));
    let mut both = index(&[None]);
    both["layers"] = json!([]);
    assert!(matches!(read(&both), Ok(Layout::Index(_))));
}

#[test]
fn documents_that_are_not_manifests_are_refused() {
    let mut wrong_digest = image(&[WASM]);
    wrong_digest["layers"][0]["digest"] = json!("sha512:12");
    let mut negative = image(&[WASM]);
    negative["layers"][0]["size"] = json!(-1);
    let mut both = image(&[WASM]);
    both["manifests"] = json!([{"digest": digest("0")}]);
    for document in [
        json!({}),
        json!([]),
        json!({"schemaVersion": 1, "layers": []}),
        json!({"schemaVersion": 2}),
        wrong_digest,
        negative,
        both,
    ] {
        assert!(
            matches!(read(&document), Err(LayoutError::Malformed(_))),
            "{document}"
        );
    }
    for bytes in [&b""[..], b"<html>", b"\xff", &vec![b' '; MAX_MANIFEST + 1]] {
        assert!(matches!(
            Layout::read(bytes),
            Err(LayoutError::Malformed(_))
        ));
    }
}

#[test]
fn written_documents_are_read_back_and_deterministic() {
    let names = || {
        Some(Component {
            imports: vec!["a:b/c@1.0.0".into()],
            exports: vec!["d:e/f".into()],
        })
    };
    let bytes = ImageDigest::of(b"component");
    let written = write(bytes, 9, names()).unwrap();
    let Ok(Layout::Image(layer)) = Layout::read(&written.manifest) else {
        panic!("{written:?}")
    };
    assert_eq!(
        layer,
        Layer {
            digest: bytes,
            size: ByteSize::bytes(9),
            media_type: WASM.into()
        }
    );
    assert_eq!(written.manifest, write(bytes, 9, names()).unwrap().manifest);

    let config: Value = serde_json::from_slice(&written.config).unwrap();
    let expected = json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [bytes],
        "component": {"imports": ["a:b/c@1.0.0"], "exports": ["d:e/f"]},
    });
    assert_eq!(config, expected);
    assert_eq!(written.config_digest, ImageDigest::of(&written.config));
}

#[test]
fn untrusted_texts_are_cleaned_and_shortened_for_messages() {
    assert_eq!(brief(" a\u{1b}[31m\r\nb "), "a [31m  b");
    assert_eq!(brief(&"é".repeat(300)).chars().count(), 201);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Layout::read(&bytes);
    }

    #[test]
    fn a_damaged_manifest_is_read_without_a_panic(at in 0_usize..150, byte in any::<u8>()) {
        let mut bytes = image(&[WASM]).to_string().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = Layout::read(&bytes);
    }
}

#[test]
fn the_program_of_an_image_is_its_only_layer() {
    let read = |media_types: &[&str]| {
        Layout::read_as(image(media_types).to_string().as_bytes(), Content::Program)
    };
    for media_type in ["application/octet-stream", "text/plain", WASM] {
        let Ok(Layout::Image(layer)) = read(&[media_type]) else {
            panic!("{media_type}")
        };
        assert_eq!(layer.digest.to_string(), digest(media_type));
    }
    for media_types in [&[][..], &["text/plain", "text/plain"]] {
        let error = read(media_types).expect_err("not one layer");
        let LayoutError::Malformed(reason) = &error else {
            panic!("{error:?}")
        };
        assert!(reason.contains("has one for each platform"), "{reason}");
    }
}

#[test]
fn the_program_for_this_platform_is_chosen_from_an_index() {
    let (os, architecture) = index::native();
    let read = |platforms: &[Option<(&str, &str)>]| {
        let document = index(platforms).to_string();
        Layout::read_as(document.as_bytes(), Content::Program)
    };
    let native = Some((os, architecture));
    let mixed = [
        Some(("plan9", architecture)),
        None,
        native,
        Some((os, "vax")),
    ];
    let second = ImageDigest::of(b"2");
    assert_eq!(read(&mixed), Ok(Layout::Index(second)));
    for platforms in [&[None][..], &[native, native], &[Some(("wasi", "wasm"))]] {
        let error = read(platforms).expect_err("none, or two of them");
        let LayoutError::Malformed(reason) = &error else {
            panic!("{error:?}")
        };
        assert!(reason.contains("not exactly one program"), "{reason}");
    }
}
