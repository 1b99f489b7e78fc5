//! Manifests of what a lattice declares, with and without the values that may be secrets.

use super::*;
use lattice_core::{
    app::{AppManifest, ResourceRef},
    link::Link,
    wormholes::NewWormhole,
};

/// Everything that an app may declare.
const SHOP: &str = r#"
name = "shop"
version = "1.2"
external = ["desk"]

[actors.greeter]
image = "registry.example/shop/greeter:1"
replicas = 3
require = { zone = "eu" }
exclude = { disk = "slow" }
spread = [{ label = "rack", weights = { a = 2, b = 1 } }]
instance = "warm"
limits = { memory = "128MiB", cpu = "2s", concurrent = 4 }
config = { greeting = "enigma-1" }
configs = ["common"]

[providers.kv]
builtin = "keyvalue-redis"
run = "once"
config = { url = "redis://:enigma-2@db" }

[[links]]
from = "greeter"
to = "kv"
interface = "wasi:keyvalue/store@0.2.0"
config = { prefix = "enigma-3", nested = [{ pin = 4711, on = true }] }
locality = "local-only"

[[links]]
from = "desk"
to = "greeter"
interface = "example:hello/greeter@0.1.0"
name = "second"
locality = "spread"
idempotent = ["greet"]

[configs.common]
currency = "enigma-4"

[wormholes.web]
actor = "greeter"
host = "shop.example"
domains = ["www.shop.example"]
path = "/greetings"
limits = { body = "10MiB", head-timeout = "10s", rate = { per-second = 100 } }

[wormholes.web.auth]
bearer = ["salt-salt:eb4101ae5fbd2f6ce9d3e3e04cfa1a1f8fa5e6c3d6f0b4f3a2c1d0e9f8a7b6c5"]

[wormholes.staff]
actor = "greeter"
state = "closed"
auth = { basic = { ada = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$enigma5" } }
"#;

async fn with_shop() -> Lattice {
    let lattice = join(&MemoryStore::new()).await;
    lattice.apply(&app(SHOP)).await.expect("applied");
    lattice
}

#[tokio::test(start_paused = true)]
async fn an_exported_app_is_the_app_that_was_applied() {
    let lattice = with_shop().await;
    let export = lattice.export_app(&name("shop")).expect("it exists");
    let text = export.manifest.to_toml().expect("TOML");
    let plan = lattice.plan(&app(&text)).await.expect("planned");
    assert!(plan.is_empty(), "{plan}\n{text}");
    let json = serde_json::to_string(&export.manifest).expect("JSON");
    let again = App::from_json("shop.json", &json).expect("a manifest");
    let plan = lattice.plan(&again).await.expect("planned");
    assert!(plan.is_empty(), "{plan}\n{json}");

    // It also makes the app in an empty lattice.
    let other = join(&MemoryStore::new()).await;
    other.apply(&export.into_app()).await.expect("applied");
    let there = other.export_app(&name("shop")).expect("it exists");
    assert_eq!(there.manifest.to_toml(), Some(text));
    assert_eq!(lattice.export_app(&name("none")), None);
}

#[tokio::test(start_paused = true)]
async fn hidden_values_stay_what_they_are_where_they_were_exported() {
    let lattice = with_shop().await;
    let mut export = lattice.export_app(&name("shop")).expect("it exists");
    let hidden = export.hide();
    assert_eq!(
        hidden,
        [
            "actors.greeter.config.greeting",
            "providers.kv.config.url",
            "configs.common.currency",
            "links[1].config.nested[0].pin",
            "links[1].config.prefix",
            "wormholes.staff.auth.basic.ada",
            "wormholes.web.auth.bearer[0]",
        ]
    );
    let text = export.manifest.to_toml().expect("TOML");
    for secret in ["enigma", "4711", "eb4101ae"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let filled = app(&text).with_hidden_values(&lattice);
    let plan = lattice.plan(&filled).await.expect("planned");
    assert!(plan.is_empty(), "{plan}\n{text}");
    // A value that was changed is, and the others stay.
    let changed = text.replace("replicas = 3", "replicas = 4");
    let changed = app(&changed).with_hidden_values(&lattice);
    lattice.apply(&changed).await.expect("applied");
    let export = lattice.export_app(&name("shop")).expect("it exists");
    let export = export.manifest.to_toml().expect("TOML");
    assert_eq!(
        export,
        lattice_text(SHOP).replace("replicas = 3", "replicas = 4")
    );
}

/// Returns a manifest as it is written for an export.
fn lattice_text(text: &str) -> String {
    let mut manifest: AppManifest = app(text).manifest().clone();
    // A link is found by its key, and a rate has as many requests at once as in a second.
    manifest.links.reverse();
    for wormhole in manifest.wormholes.values_mut() {
        if let Some(rate) = &mut wormhole.limits.rate {
            rate.burst = Some(rate.per_second);
        }
    }
    manifest.to_toml().expect("TOML")
}

#[tokio::test(start_paused = true)]
async fn a_hidden_value_is_never_applied_as_it_is() {
    let lattice = with_shop().await;
    let mut export = lattice.export_app(&name("shop")).expect("it exists");
    export.hide();
    let text = export.manifest.to_toml().expect("TOML");
    let problems = objections(&lattice, &app(&text)).await.to_string();
    for path in [
        "actors.greeter.config.greeting",
        "providers.kv.config.url",
        "links[1].config",
        "configs.common.currency",
        "wormholes.web.auth",
        "wormholes.staff.auth",
    ] {
        assert!(problems.contains(path), "{path} in {problems}");
    }
    assert!(problems.contains("write the value itself"), "{problems}");

    // Another lattice doesn't have them.
    let other = join(&MemoryStore::new()).await;
    let filled = app(&text).with_hidden_values(&other);
    let problems = objections(&other, &filled).await.to_string();
    assert!(problems.contains("providers.kv.config.url"), "{problems}");
}

#[tokio::test(start_paused = true)]
async fn what_no_app_owns_is_exported_as_an_app_of_its_own() {
    let lattice = with_shop().await;
    let link = Link::new("desk", "example:hello/greeter@0.1.0", "greeter").expect("valid");
    let link = link
        .config(&serde_json::json!({ "a": null }))
        .expect("JSON");
    let key = link.key();
    lattice.links().put(link).await.expect("put");
    let hand = NewWormhole::new("greeter").and_then(|new| new.id("hand"));
    lattice
        .wormholes()
        .create(hand.expect("valid"))
        .await
        .expect("created");

    let unowned = lattice.unowned();
    let expected = [
        ResourceRef::Wormhole("hand".parse().expect("valid")),
        ResourceRef::Link(key.clone()),
    ];
    assert_eq!(unowned, expected);
    let export = lattice.export(name("by-hand"), unowned);
    assert_eq!(export.manifest.external, [id("desk"), id("greeter")]);
    assert_eq!(export.manifest.links.len(), 1);
    assert_eq!(export.manifest.to_toml(), None, "TOML has no null");

    // One link alone, and something that isn't there.
    let none = ResourceRef::Actor(id("none"));
    let export = lattice.export(name("one"), [ResourceRef::Link(key), none]);
    assert!(export.manifest.wormholes.is_empty() && export.manifest.actors.is_empty());
    assert_eq!(export.manifest.links.len(), 1);
}
