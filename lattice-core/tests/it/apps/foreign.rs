//! Manifests of other tools and other formats, and files as editors write them.

use super::*;

#[test]
fn manifests_of_other_tools_are_recognized() {
    let folder = tempfile::tempdir().expect("a folder");
    let oam = "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata:\n  name: shop\n";
    let pod = "apiVersion: \"v1\"\nkind: Pod\n";
    let compose = "services:\n  web:\n    image: nginx\n";
    for (name, text, says) in [
        ("a.yaml", oam, "[[links]]"),
        ("b.yml", oam, "wadm"),
        (
            "a.json",
            r#"{"apiVersion": "core.oam.dev/v1beta1", "kind": "Application", "spec": {}}"#,
            "[actors.NAME]",
        ),
        ("c.yaml", pod, "Kubernetes"),
        (
            "c.json",
            r#"{"apiVersion": "v1", "kind": "Pod"}"#,
            "Kubernetes",
        ),
        ("d.yaml", compose, "Docker Compose"),
        ("e.yaml", "name: shop\n", "yq -o=json"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        let error = App::load(&path).expect_err(name);
        assert!(
            matches!(error, LoadError::Foreign { .. }),
            "{name}: {error:?}"
        );
        assert!(error.to_string().contains(says), "{name}: {error}");
    }
    let error = App::load(folder.path().join("no.yaml")).expect_err("is not there");
    assert!(matches!(error, LoadError::Io { .. }), "{error:?}");
}

#[test]
fn yaml_under_the_name_of_another_format_is_recognized() {
    let folder = tempfile::tempdir().expect("a folder");
    let oam = "# The shop.\n---\napiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata:\n  name: shop\n  annotations:\n    version: v0.1.0\n";
    let script = "name: shop\nactors:\n  greeter:\n    config: |\n      A=1\n      [b]\n";
    for (text, says) in [
        (oam, "wadm"),
        ("apiVersion: v1\r\nkind: Pod\r\n", "Kubernetes"),
        ("services:\n  web:\n    image: nginx\n", "Docker Compose"),
        (
            "\u{feff}name: shop\nactors:\n",
            "is YAML: manifests are TOML or JSON",
        ),
        ("- name: shop\n", "yq -o=json"),
        (script, "yq -o=json"),
    ] {
        for name in ["app.toml", "app.json"] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            let error = App::load(&path).expect_err(name);
            assert!(
                matches!(error, LoadError::Foreign { .. }),
                "{name}: {text}: {error:?}"
            );
            assert!(error.to_string().contains(says), "{name}: {text}: {error}");
        }
    }
    // A slip in TOML is reported as such.
    for text in [
        "name: \"shop\"\n[actors.greeter]\n",
        "name = \"shop\nversion: 1\n",
        "version: \"1\"\nname = \"shop\"\n",
    ] {
        assert!(matches!(
            kinds(&refused(text))[0],
            ProblemKind::Syntax { .. }
        ));
    }
}

#[test]
fn json_and_toml_under_the_name_of_each_other_are_recognized() {
    let folder = tempfile::tempdir().expect("a folder");
    let toml = "# The shop.\nname = \"shop\"\n[actors]\n";
    let json = "\u{feff}{\r\n  \"name\": \"shop\"\r\n}\r\n";
    let load = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        App::load(&path)
    };
    for (name, text, says) in [
        ("app.toml", json, "is JSON: end its name in `.json`"),
        ("app.json", toml, "is TOML: end its name in `.toml`"),
    ] {
        let error = load(name, text).expect_err(name);
        assert!(
            matches!(error, LoadError::Foreign { .. }),
            "{name}: {error:?}"
        );
        assert!(error.to_string().ends_with(says), "{error}");
    }
    // Nothing, and a slip, are reported as what they are named.
    for (name, text) in [
        ("app.json", ""),
        ("app.json", "# Later.\n"),
        ("app.json", "{\"name\": \"shop\",}"),
        ("app.toml", "{\"name\": \"shop\",}"),
        ("app.toml", "\"name\""),
    ] {
        let error = load(name, text).expect_err(name);
        assert!(matches!(error, LoadError::Problems(_)), "{error:?}");
    }
    // As older tools of Windows write the names of files.
    for (name, text) in [("APP.TOML", toml), ("APP.Json", json)] {
        assert!(load(name, text).is_ok(), "{name}");
    }
    let error = load("APP.YAML", "name: shop\n").expect_err("YAML");
    assert!(matches!(error, LoadError::Foreign { .. }), "{error:?}");
}

#[test]
fn manifests_of_every_editor_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let toml = format!(
        "name = \"shop\"\r\n[actors.greeter]\r\nimage = \"{IMAGE}\"\r\nconfig = {{ greeting = \"Gr\u{fc}\u{df} dich \u{1f44b}\" }}\r\n"
    );
    let manifest = App::from_toml("app.toml", &toml).expect("a manifest");
    let manifest = manifest.manifest().clone();
    let json = serde_json::to_string_pretty(&manifest).expect("JSON");
    for (name, text) in [("app.toml", &toml), ("app.json", &json)] {
        let marked = format!("\u{feff}{text}");
        let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(bytes).collect()
        };
        for bytes in [
            text.clone().into_bytes(),
            marked.clone().into_bytes(),
            utf16(&marked, u16::to_le_bytes),
            utf16(&marked, u16::to_be_bytes),
            utf16(text, u16::to_le_bytes),
            utf16(text, u16::to_be_bytes),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, &bytes).expect("written");
            let app = App::load(&path);
            let app = app.unwrap_or_else(|error| panic!("{name}: {bytes:?}: {error}"));
            assert_eq!(*app.manifest(), manifest, "{name}");
        }
    }
    let marked = format!("\u{feff}{json}");
    let app = App::from_json("app.json", &marked).expect("a manifest");
    assert_eq!(*app.manifest(), manifest);
    // Positions don't count the mark.
    let problems = refused("\u{feff}verison = \"1\"\nname = \"shop\"\n");
    let place = problems.iter().next().and_then(|problem| problem.place);
    let place = place.map(|place| (place.line, place.column));
    assert_eq!(place, Some((1, 1)), "{problems}");
}

#[test]
fn files_in_other_encodings_are_refused_with_advice() {
    let folder = tempfile::tempdir().expect("a folder");
    let latin_1 = b"name = \"caf\xe9\"\n";
    let odd = [0xff, 0xfe, b'n', 0, b'a'];
    let half_of_a_pair = [0xff, 0xfe, 0x00, 0xd8, b'a', 0];
    let utf_32 = [0xff, 0xfe, 0, 0, b'n', 0, 0, 0];
    for (bytes, says) in [
        (&latin_1[..], "it isn't text in UTF-8; save it as UTF-8"),
        (
            &odd[..],
            "it begins like UTF-16 but isn't valid UTF-16; save it as UTF-8",
        ),
        (&half_of_a_pair[..], "save it as UTF-8"),
        (&utf_32[..], "save it as UTF-8"),
    ] {
        let path = folder.path().join("app.toml");
        std::fs::write(&path, bytes).expect("written");
        let error = App::load(&path).expect_err(says);
        let LoadError::Io { source, .. } = &error else {
            panic!("{bytes:?}: {error}")
        };
        assert!(source.to_string().contains(says), "{bytes:?}: {source}");
    }
}
