use super::*;
use proptest::prelude::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parse(text: &str) -> Result<Image, ImageError> {
    text.parse()
}

fn oci(text: &str) -> OciReference {
    match parse(text) {
        Ok(Image::Oci(reference)) => reference,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn files() {
    for (text, path) in [
        ("file:a.wasm", "a.wasm"),
        ("file:/opt/with space/a.wasm", "/opt/with space/a.wasm"),
        ("file:../a:b@c", "../a:b@c"),
    ] {
        assert_eq!(parse(text), Ok(Image::File(path.into())));
        assert_eq!(parse(text).expect("right").to_string(), text);
    }
}

#[test]
fn registry_images_are_parsed() {
    let greeter = oci("oci:registry.example.com:5000/team/greeter:1.0");
    assert_eq!(greeter.registry(), "registry.example.com:5000");
    assert_eq!(greeter.repository(), "team/greeter");
    assert_eq!(greeter.tag(), Some("1.0"));
    assert_eq!(greeter.digest(), None);

    let digest = DIGEST.parse().expect("right");
    let pinned = oci(&format!("oci:localhost/greeter@{DIGEST}"));
    assert_eq!((pinned.tag(), pinned.digest()), (None, Some(digest)));
    assert_eq!(
        greeter.pinned(digest),
        oci(&format!(
            "registry.example.com:5000/team/greeter:1.0@{DIGEST}"
        ))
    );
}

#[test]
fn valid_images_round_trip() {
    for text in [
        "oci:localhost:5000/a:latest",
        "oci:127.0.0.1:5000/a-b/c.d/e_f/g__h/i---j:V1.0_x-y",
        "oci:[::1]:5000/a:_",
        "oci:[2001:db8::1]/a:1",
        &format!("oci:example.com/a:1@{DIGEST}"),
        &format!("oci:example.com/a@{DIGEST}"),
    ] {
        let image = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(image.to_string(), text);
        assert_eq!(
            parse(text.strip_prefix("oci:").expect("right")),
            Ok(image.clone()),
            "{text}"
        );
        let json = serde_json::to_string(&image).expect("right");
        assert_eq!(serde_json::from_str::<Image>(&json).expect("right"), image);
    }
}

/// Texts that are refused, and what each error says to write instead.
#[test]
fn invalid_images_return_an_error_with_a_correction() {
    let long = format!("example.com/a:{}", "t".repeat(129));
    for (text, advice) in [
        (
            "",
            "write `file:path/to/component.wasm` or `oci:registry/repository:tag`",
        ),
        ("file:", "write `file:path/to/component.wasm`"),
        ("file:///tmp/a.wasm", "write `file:/tmp/a.wasm`"),
        (
            "oci:",
            "write `file:path/to/component.wasm` or `oci:registry/repository:tag`",
        ),
        ("oci://example.com/a:1", "write `oci:example.com/a:1`"),
        ("https://example.com/a:1", "write `oci:example.com/a:1`"),
        ("s3://bucket/a", "neither `file:` nor `oci:`"),
        ("./greeter.wasm", "write `file:./greeter.wasm`"),
        ("greeter.wasm", "write `file:greeter.wasm`"),
        ("/opt/greeter", "write `file:/opt/greeter`"),
        (
            "greeter:1.0",
            "write `oci:registry.example.com/greeter:1.0`",
        ),
        (
            "team/greeter:1.0",
            "write `oci:registry.example.com/team/greeter:1.0`",
        ),
        ("example.com:0/a:1", "`example.com:0` is not a registry"),
        (
            "example.com:65536/a:1",
            "`example.com:65536` is not a registry",
        ),
        ("example.com:+1/a:1", "`example.com:+1` is not a registry"),
        ("exam ple.com/a:1", "`exam ple.com` is not a registry"),
        (
            "user@example.com/a:1",
            "the name of an image has no user and no password",
        ),
        ("example..com/a:1", "`example..com` is not a registry"),
        ("-example.com/a:1", "`-example.com` is not a registry"),
        ("[::g]:1/a:1", "`[::g]:1` is not a registry"),
        (
            "example.com/Greeter:1",
            "`Greeter` is not a repository: write lower case",
        ),
        ("example.com/a//b:1", "`a//b` is not a repository"),
        ("example.com/../b:1", "`../b` is not a repository"),
        ("example.com/a..b:1", "`a..b` is not a repository"),
        ("example.com/a/:1", "`a/` is not a repository"),
        ("example.com/:1", "`` is not a repository"),
        ("example.com/a?b:1", "`a?b` is not a repository"),
        ("example.com/a:", "`` is not a tag"),
        ("example.com/a:.1", "`.1` is not a tag"),
        ("example.com/a:1/2", "`1/2` is not a tag"),
        (&long, "is not a tag"),
        (
            "example.com/a:1.4.0+20260101",
            "tools push such a version as `1.4.0_20260101`",
        ),
        (
            "example.com/a",
            "write `example.com/a:1.0` or `example.com/a@sha256:…`",
        ),
        (
            "example.com/a@sha256:12",
            "`sha256:12` isn't a valid digest",
        ),
        ("example.com/a@latest", "`latest` isn't a valid digest"),
    ] {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.contains(advice), "{text:?}: {error}");
    }
}

#[test]
fn a_login_is_refused_and_not_repeated() {
    for odd in ["", "/", ":", "@", "?", "#", ",", "%"] {
        for text in [
            format!("joe:SECR{odd}TAIL@ghcr.io/shop/greeter:1"),
            format!("https://joe:SECR{odd}TAIL@ghcr.io/shop/greeter:1"),
            format!("oci:joe:SECR{odd}TAIL@ghcr.io/shop/greeter@{DIGEST}"),
            format!("SECR{odd}TAIL@ghcr.io"),
        ] {
            let error = parse(&text).expect_err(&text).to_string();
            assert!(
                !error.contains("SECR") && !error.contains("TAIL"),
                "{error}"
            );
        }
    }
}

#[test]
fn images_can_be_named_by_digest() {
    assert_eq!(parse(DIGEST), Ok(Image::Bytes(ImageDigest::of(b""))));
    assert_eq!(parse(DIGEST).expect("right").to_string(), DIGEST);
    let error = parse("sha256:12").expect_err("too short").to_string();
    assert!(error.contains("64 hexadecimal digits"), "{error}");
}

proptest! {
    #[test]
    fn the_parser_never_panics(text in "\\PC*") {
        let _ = parse(&text);
    }

    #[test]
    fn the_parser_never_panics_for_nearly_valid_text(text in "(oci:|file:)?[a-zé.:/@_\\[\\]-]{0,40}") {
        if let Ok(image) = parse(&text) {
            prop_assert_eq!(parse(&image.to_string()), Ok(image));
        }
    }
}

#[test]
fn no_signature_in_a_url_is_repeated() {
    for (url, advice) in [
        (
            "https://shop.example/greeter.wasm?X-Amz-Signature=s3cret",
            "write `oci:shop.example/greeter.wasm`",
        ),
        (
            "https://shop.example/greeter.wasm#s3cret",
            "write `oci:shop.example/greeter.wasm`",
        ),
        ("file:///greeter.wasm?s3cret", "write `file:/greeter.wasm`"),
    ] {
        let error = parse(url).expect_err(url);
        let text = format!("{error} {error:?}");
        assert!(!text.contains("s3cret"), "{text}");
        assert!(text.contains(advice), "{text}");
    }
}
