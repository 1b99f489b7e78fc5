//! Manifests with mistakes.

use super::*;
use lattice_core::app::{AppManifest, MAX_MANIFEST};
use std::{num::NonZeroU32, time::Duration};

const WHOLE: &str = r#"
name = "shop"
version = "1.2"
external = ["front-desk"]

[actors.greeter]
image = "registry.example/shop/greeter:1.2"
replicas = 3
require = { zone = "eu" }
exclude = { disk = "slow" }
spread = [{ label = "rack", weights = { a = 2, b = 1 } }]
instance = "warm"
limits = { memory = "128MiB", cpu = "2s", wall = "1m", concurrent = 8, queued = 0, result = 1024, table-elements = 5, outgoing = 2, outgoing-bytes = "1MiB", handles = 3, kept = "90s", reuse = { concurrent = 4, requests = 100, idle = "5s" } }
config = { greeting = "Hello", retries = 3, loud = true, share = 0.5 }
configs = ["common"]

[actors.everywhere]
image = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
replicas = "per-host"

[providers.kv]
builtin = "keyvalue"
run = "once"

[[links]]
from = "greeter"
to = "kv"
interface = "wasi:keyvalue/store@0.2.0"
name = "second"
config = { bucket = "greetings", sizes = [1, 2] }

[[links]]
from = "front-desk"
to = "greeter"
interface = "example:hello/greeter@0.1.0"
locality = "spread"
idempotent = ["greet"]

[configs.common]
currency = "EUR"

[wormholes.web]
actor = "greeter"
host = "shop.example"
domains = ["www.shop.example"]
path = "/api"
link = "slow"
state = "closed"
limits = { body = "1MiB", head-timeout = "5s", total-timeout = "1m", rate = { per-second = 10 }, client-rate = { per-second = 1, burst = 5 } }
auth = { verifier = "greeter", verifier-link = "slow" }
"#;

#[test]
fn a_whole_manifest_is_the_same_in_toml_json_and_rust() {
    let from_toml = App::from_toml("shop.toml", WHOLE).expect("a manifest");
    let manifest = from_toml.manifest();
    let json = serde_json::to_string_pretty(manifest).expect("JSON");
    let from_json = App::from_json("shop.json", &json).expect("a manifest");
    assert_eq!(from_json.manifest(), manifest);
    let by_serde: AppManifest = serde_json::from_str(&json).expect("a manifest");
    assert_eq!(&by_serde, manifest);
    let greeter = &manifest.actors[&id("greeter")];
    assert_eq!(greeter.config["retries"], "3");
    assert_eq!(greeter.config["loud"], "true");
    assert_eq!(greeter.limits.memory, Some(128 << 20));
    assert_eq!(greeter.limits.result, Some(1_024));
    assert_eq!(greeter.limits.outgoing_bytes, Some(1 << 20));
    assert_eq!(greeter.limits.handles, NonZeroU32::new(3));
    assert_eq!(greeter.limits.kept, Some(Duration::from_secs(90)));
    let reuse = greeter.limits.reuse;
    assert_eq!(
        (reuse.concurrent, reuse.requests),
        (NonZeroU32::new(4), NonZeroU32::new(100))
    );
    assert_eq!(reuse.idle, Some(Duration::from_secs(5)));
}

#[test]
fn all_mistakes_are_reported_together_with_positions_and_suggestions() {
    let problems = refused(
        r#"name = "shop"
verison = "1"
[actors.greeter]
image = "registry.example/shop/greeter:1.2"
replica = 3
instance = "wram"
limits = { memroy = "64MiB", cpu = "2 weeks", memory = -1 }
replicas = "per-hots"
[actors.Cart]
image = "registry.example/cart:1"
[actors.till]
config = { a = [1] }
[providers.kv]
builtin = "keyvalue"
image = "registry.example/kv:1"
replicas = 1000000
[[links]]
from = "greter"
to = "kv"
interface = "wasi:keyvalue"
[[links]]
from = "greter"
to = "kv"
interface = "wasi:keyvalue/store@0.2.0"
"#,
    );
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "app.toml:2:1: verison: unknown field `verison`, did you mean `version`?",
        "app.toml:5:1: actors.greeter.replica: unknown field `replica`, did you mean `replicas`?",
        "app.toml:6:12: actors.greeter.instance: unknown value `wram`, did you mean `warm`?",
        "app.toml:7:12: actors.greeter.limits.memroy: unknown field `memroy`, did you mean `memory`?",
        "app.toml:7:36: actors.greeter.limits.cpu: `2 weeks` isn't a valid time; write a whole number of ms, s, m or h, such as `10s`",
        "app.toml:7:56: actors.greeter.limits.memory: a size is not negative",
        "app.toml:8:12: actors.greeter.replicas: unknown value `per-hots`, did you mean `per-host`?",
        "app.toml:9:9: actors.Cart: invalid component id `Cart`: use 1 to 63 of a-z, 0-9 and `-`, starting with a letter or a digit; `cart` would do",
        "app.toml:11:1: actors.till: the field `image` is missing; add it",
        "app.toml:12:16: actors.till.config.a: this is a list, but it must be a text, a number or a boolean",
        "app.toml:15:9: providers.kv.image: a provider is either `builtin` or an `image`; remove one of them",
        "app.toml:16:12: providers.kv.replicas: 1000000 replicas are too many; write 0 to 100000, or `per-host`",
        "app.toml:20:13: links[0].interface: invalid interface `wasi:keyvalue`: write it as `namespace:package/interface@version`, for example `wasi:keyvalue/store@0.2.0`",
        "app.toml:22:8: links[1].from: the app has no component `greter`, did you mean `greeter`?; declare it, or name it in `external` when it is not of this app",
    ];
    assert_eq!(said, expected);
    assert!(matches!(
        kinds(&problems)[0],
        ProblemKind::UnknownField { suggestion: Some(meant), .. } if meant == "version"
    ));
}

/// A wrong name is reported once, even if several links use it.
#[test]
fn a_wrong_name_is_reported_once_with_a_valid_suggestion() {
    let link = |to: &str| {
        format!("[[links]]\nfrom = \"My_App\"\nto = \"{to}\"\ninterface = \"a:b/c@1.0.0\"\n")
    };
    let text = format!(
        "name = \"shop\"\nexternal = [\"kv\"]\n[actors.My_App]\nimage = \"{IMAGE}\"\n{}{}",
        link("kv"),
        link("kv").replace("c@", "d@")
    );
    let said = refused(&text).to_string();
    assert_eq!(said.matches("My_App`: use 1 to 63").count(), 1, "{said}");
    assert!(said.contains("`my-app` would do"), "{said}");
}

#[test]
fn json_problems_have_positions() {
    let text = "{\n  \"name\": \"shop\",\n  \"actors\": { \"greeter\": {\n    \"imgae\": 1, \"image\": \"r.example/a:1\" } },\n  \"links\": [ {\"from\": \"a\", \"to\": \"greeter\", \"interface\": \"a:b/c\"} ]\n}";
    let error = App::from_json("shop.json", text).expect_err("two mistakes");
    assert_eq!(
        error.to_string(),
        "shop.json:4:5: actors.greeter.imgae: unknown field `imgae`, did you mean `image`?\n\
         shop.json:5:23: links[0].from: the app has no component `a`; declare it, or name it in `external` when it is not of this app"
    );
    let error =
        App::from_json("shop.json", "{\"name\": \"a\",\n \"name\": \"b\"}").expect_err("twice");
    assert_eq!(
        error.to_string(),
        "shop.json:2:2: `name` is given twice; remove one of them"
    );
    for (text, place) in [
        ("{\n \"name\": }", "shop.json:2:10: "),
        ("", "shop.json:1:1: "),
        ("[]", "shop.json:1:1: this is a list"),
    ] {
        let error = App::from_json("shop.json", text)
            .expect_err(text)
            .to_string();
        assert!(error.starts_with(place), "{text}: {error}");
    }
}

#[test]
fn toml_syntax_errors_are_reported_with_positions() {
    let problems = refused("name = \"shop\nactors = [\n");
    assert!(problems.iter().all(|problem| problem.place.is_some()));
    assert!(matches!(kinds(&problems)[0], ProblemKind::Syntax { .. }));
    let twice = refused("name = \"a\"\nname = \"b\"\n");
    assert_eq!(
        twice.iter().next().and_then(|p| p.place).map(|p| p.line),
        Some(2)
    );
}

#[test]
fn contradicting_rules_are_rejected() {
    for (rule, says) in [
        (
            "require = { a = \"x\" }\nexclude = { a = \"x\" }",
            "no host is allowed",
        ),
        (
            "spread = [{ label = \"z\", weights = { a = 0 } }]",
            "every weight is 0",
        ),
        (
            "spread = [{ label = \"z\" }, { label = \"z\" }]",
            "already a rule for this label",
        ),
        ("spread = [{ label = \"\" }]", "a label must not be empty"),
        (
            "spread = [{ weights = {} }]",
            "the field `label` is missing",
        ),
        (
            "image = \"greeter.wasm\"",
            "`image` is given twice|duplicate key",
        ),
        ("configs = [\"A\"]", "invalid config name"),
    ] {
        let text = format!("name = \"shop\"\n[actors.a]\nimage = \"{IMAGE}\"\n{rule}\n");
        let said = refused(&text).to_string();
        assert!(
            says.split('|').any(|says| said.contains(says)),
            "{rule}: {said}"
        );
    }
    for (rule, says) in [
        (
            "[providers.a]\nbuiltin = \"x\"",
            "`a` is already declared as an actor",
        ),
        ("[providers.b]", "needs `builtin` or `image`"),
        (
            "[providers.b]\nbuiltin = \"x\"\nrun = \"once\"\nreplicas = 2",
            "has no `replicas`",
        ),
        (
            "[wormholes.w]\nactor = \"b\"",
            "the app has no component `b`",
        ),
        (
            "[wormholes.w]\nactor = \"a\"\npath = \"x\"",
            "a path must begin with `/`",
        ),
        (
            "[wormholes.w]\nactor = \"p\"\n[providers.p]\nbuiltin = \"x\"",
            "must lead to an actor",
        ),
        (
            "[[links]]\nfrom = \"a\"\nto = \"a\"\ninterface = \"a:b/c@0.2.0\"\n[[links]]\nfrom = \"a\"\nto = \"a\"\ninterface = \"a:b/c@0.2.9\"",
            "links[0] is a link from the same component through the same interface, or through a compatible version",
        ),
    ] {
        let text = format!("name = \"shop\"\n[actors.a]\nimage = \"{IMAGE}\"\n{rule}\n");
        let said = refused(&text).to_string();
        assert!(said.contains(says), "{rule}: {said}");
    }
}

#[test]
fn files_that_are_not_manifests_are_rejected() {
    let dir = tempfile::tempdir().expect("a directory");
    let missing = App::load(dir.path().join("no.toml")).expect_err("missing");
    assert!(matches!(missing, LoadError::Io { .. }), "{missing}");
    let other = App::load(dir.path().join("app.xml")).expect_err("XML");
    assert!(matches!(other, LoadError::Format { .. }), "{other}");
    let binary = dir.path().join("app.toml");
    std::fs::write(&binary, [0xff, 0xfe, 0x00]).expect("written");
    let error = App::load(&binary).expect_err("binary");
    assert!(matches!(error, LoadError::Io { .. }), "{error}");
    std::fs::write(&binary, vec![b'#'; MAX_MANIFEST + 1]).expect("written");
    let error = App::load(&binary).expect_err("too large");
    assert!(matches!(error, LoadError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn relative_files_are_resolved_next_to_the_manifest_when_planning() {
    let dir = tempfile::tempdir().expect("a directory");
    let manifest = dir.path().join("app.toml");
    let text = "name = \"shop\"\n[actors.a]\nimage = \"file:built/a.wasm\"\n[actors.b]\nimage = \"file:built\"\n";
    std::fs::write(&manifest, text).expect("written");
    let app = App::load(&manifest).expect("a manifest");
    let lattice = join(&MemoryStore::new()).await;
    let problems = objections(&lattice, &app).await;
    let places: Vec<_> = problems
        .iter()
        .map(|p| (p.place.expect("a place").line, &p.kind))
        .collect();
    assert!(
        matches!(
            places.as_slice(),
            [(3, ProblemKind::File { .. }), (5, ProblemKind::File { .. })]
        ),
        "{problems}"
    );
    std::fs::create_dir(dir.path().join("built")).expect("made");
    let file = dir.path().join("built/a.wasm");
    std::fs::write(&file, "one").expect("written");
    let said = objections(&lattice, &app).await.to_string();
    assert!(said.ends_with("(it isn't a regular file); build it, or correct the path, which is relative to the manifest"), "{said}");
    assert!(lattice.desired().apps.is_empty(), "nothing was written");

    std::fs::write(
        &manifest,
        "name = \"shop\"\n[actors.a]\nimage = \"file:built/a.wasm\"\n",
    )
    .expect("written");
    let app = App::load(&manifest).expect("a manifest");
    lattice.apply(&app).await.expect("applied");
    let actor = lattice.desired().actors[&id("a")].spec.clone();
    assert_eq!(
        actor.image.to_string(),
        format!("file:{}", file.canonicalize().expect("there").display())
    );
    assert_eq!(
        actor.digest,
        Some(lattice_core::desired::ImageDigest::of(b"one"))
    );
    // Different content is a different version.
    std::fs::write(&file, "two").expect("written");
    let plan = lattice.plan(&app).await.expect("planned");
    let fields: Vec<_> = plan
        .change
        .iter()
        .flat_map(|c| &c.differences)
        .map(|d| d.field.as_str())
        .collect();
    assert_eq!(fields, ["digest"]);
}

#[test]
fn the_json_schema_has_every_field_and_accepts_the_same_manifests() {
    let schema = AppManifest::json_schema();
    let manifest = App::from_toml("shop.toml", WHOLE).expect("a manifest");
    let json = serde_json::to_value(manifest.manifest()).expect("JSON");
    for (definition, instance) in [
        (&schema, &json),
        (
            &schema["$defs"]["ActorManifest"],
            &json["actors"]["greeter"],
        ),
        (
            &schema["$defs"]["ProviderManifest"],
            &json["providers"]["kv"],
        ),
        (&schema["$defs"]["LinkManifest"], &json["links"][1]),
        (
            &schema["$defs"]["WormholeManifest"],
            &json["wormholes"]["web"],
        ),
        (
            &schema["$defs"]["LimitsManifest"],
            &json["actors"]["greeter"]["limits"],
        ),
        (
            &schema["$defs"]["ReuseManifest"],
            &json["actors"]["greeter"]["limits"]["reuse"],
        ),
        (
            &schema["$defs"]["WormholeLimitsManifest"],
            &json["wormholes"]["web"]["limits"],
        ),
        (
            &schema["$defs"]["WormholeAuthManifest"],
            &json["wormholes"]["web"]["auth"],
        ),
    ] {
        assert_eq!(definition["additionalProperties"], false, "{definition}");
        for field in instance.as_object().expect("an object").keys() {
            let known = &definition["properties"][field];
            assert!(known["description"].is_string(), "{field}: {known}");
        }
    }
}

#[test]
fn a_number_in_a_configuration_keeps_its_text_or_is_refused_with_its_place() {
    let toml = |value: &str| {
        let text = format!(
            "name = \"shop\"\n[actors.greeter]\nimage = \"registry.example/a:1\"\nconfig = {{ value = {value} }}\n"
        );
        App::from_toml("shop.toml", &text)
    };
    let json = |value: &str| {
        let text = format!(
            "{{\"name\":\"shop\",\"actors\":{{\"greeter\":{{\"image\":\"registry.example/a:1\",\n\"config\":{{\"value\":{value}}}}}}}}}"
        );
        App::from_json("shop.json", &text)
    };
    for value in ["0", "-7", "9223372036854775807", "0.5", "-0.25"] {
        for app in [toml(value), json(value)] {
            let app = app.unwrap_or_else(|error| panic!("{value}: {error}"));
            let config = &app.manifest().actors[&id("greeter")].config;
            assert_eq!(config["value"], value);
        }
    }
    let only_toml = [
        "0x1F", "0o17", "0b11", "1_000", "+5", "+0.5", "1_0.5", "nan",
    ];
    let both = [
        "1.10",
        "1.0",
        "1e3",
        "1E300",
        "-0.0",
        "-0",
        "18446744073709551615",
        "184467440737095516150",
        "0.1234567890123456789",
    ];
    for (value, line, app) in both
        .iter()
        .flat_map(|value| [(*value, 4, toml(value)), (*value, 2, json(value))])
        .chain(only_toml.iter().map(|value| (*value, 4, toml(value))))
    {
        let error = app.err().unwrap_or_else(|| panic!("{value} came through"));
        let LoadError::Problems(problems) = error else {
            panic!("{value}: {error}")
        };
        let problem = problems.iter().next().expect("one");
        let place = problem.place.expect("a place");
        assert_eq!(place.line, line, "{value}: {problem}");
        let advice = format!("write it in quotes: \"{value}\"");
        assert!(problem.to_string().contains(&advice), "{value}: {problem}");
    }
    for time in ["2026-01-01 10:00:00Z", "2026-01-01t10:00:00z"] {
        let error = toml(time).expect_err("it would be changed").to_string();
        assert!(error.contains("write it in quotes"), "{time}: {error}");
    }
    let error = toml("2026-01-01").expect("a date keeps its text");
    assert_eq!(
        error.manifest().actors[&id("greeter")].config["value"],
        "2026-01-01"
    );
}

#[test]
fn a_number_that_json_does_not_hold_is_refused_in_the_configuration_of_a_link() {
    for value in ["inf", "1e999", "18446744073709551616"] {
        let text = format!(
            "name = \"shop\"\nexternal = [\"a\", \"b\"]\n[[links]]\nfrom = \"a\"\nto = \"b\"\ninterface = \"a:b/c\"\nconfig = {{ value = {value} }}\n"
        );
        let error = App::from_toml("shop.toml", &text)
            .expect_err(value)
            .to_string();
        assert!(
            error.contains("shop.toml:7:") && error.contains("out of range"),
            "{value}: {error}"
        );
    }
}

#[test]
fn a_text_in_the_wrong_place_is_not_repeated() {
    let text = format!(
        "name = \"shop\"\n[actors.a]\nimage = \"{IMAGE}\"\nconfig = \"postgres://joe:s3cret@db\"\n"
    );
    let problems = refused(&text).to_string();
    assert!(
        problems.contains("actors.a.config: this is a text, but it must be a table"),
        "{problems}"
    );
    assert!(!problems.contains("s3cret"), "{problems}");
}
