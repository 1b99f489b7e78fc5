//! Manifests that are not as they should be.

use super::*;
use lattice_core::app::{AppManifest, MAX_MANIFEST};

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
limits = { memory = "128MiB", cpu = "2s", wall = "1m", concurrent = 8, queued = 0, result = 1024, table-elements = 5, outgoing = 2 }
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
state = "closed"
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
}

#[test]
fn every_slip_is_told_at_once_with_its_place_and_what_was_meant() {
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
        "app.toml:9:9: actors.Cart: invalid component id `Cart`: use 1 to 63 of a-z, 0-9 and `-`, starting with a letter or a digit",
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

/// A wrong name is one mistake, in however many links it is.
#[test]
fn a_wrong_name_is_told_once_with_one_that_would_do() {
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
fn json_has_places_too() {
    let text = "{\n  \"name\": \"shop\",\n  \"actors\": { \"greeter\": {\n    \"imgae\": 1, \"image\": \"r.example/a:1\" } },\n  \"links\": [ {\"from\": \"a\", \"to\": \"greeter\", \"interface\": \"a:b/c\"} ]\n}";
    let error = App::from_json("shop.json", text).expect_err("two slips");
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
fn what_is_no_toml_is_told_with_its_places() {
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
fn rules_that_contradict_each_other_are_refused() {
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
            "links[0] is a link from the same component",
        ),
    ] {
        let text = format!("name = \"shop\"\n[actors.a]\nimage = \"{IMAGE}\"\n{rule}\n");
        let said = refused(&text).to_string();
        assert!(said.contains(says), "{rule}: {said}");
    }
}

#[test]
fn files_that_are_no_manifests_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let missing = App::load(dir.path().join("no.toml")).expect_err("missing");
    assert!(matches!(missing, LoadError::Io { .. }), "{missing}");
    let other = App::load(dir.path().join("app.yaml")).expect_err("YAML");
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
async fn a_file_is_looked_for_beside_the_manifest_when_it_is_planned() {
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
    // Another content is another version.
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
fn the_json_schema_names_every_field_and_takes_what_we_take() {
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
    ] {
        assert_eq!(definition["additionalProperties"], false, "{definition}");
        for field in instance.as_object().expect("an object").keys() {
            let known = &definition["properties"][field];
            assert!(known["description"].is_string(), "{field}: {known}");
        }
    }
}
