//! The effects of applying an app, and of applying it again.

use super::*;
use futures_util::StreamExt as _;
use lattice_core::{
    app::{Plan, ResourceRef, Warning},
    desired::{ImageDigest, Replicas},
    link::Link,
    store::Revision,
};

const SHOP: &str = r#"
name = "shop"
version = "1"
external = ["desk"]
[actors.greeter]
image = "registry.example/shop/greeter:1"
replicas = 2
configs = ["common"]
[actors.cart]
image = "registry.example/shop/cart:1"
[providers.kv]
builtin = "keyvalue"
run = "once"
[[links]]
from = "greeter"
to = "kv"
interface = "wasi:keyvalue/store@0.2.0"
[[links]]
from = "desk"
to = "greeter"
interface = "example:hello/greeter@0.1.0"
[configs.common]
currency = "EUR"
[wormholes.web]
actor = "greeter"
"#;

fn things(things: &[ResourceRef]) -> Vec<String> {
    things.iter().map(ToString::to_string).collect()
}

fn changed(plan: &Plan) -> Vec<String> {
    let differences = plan.change.iter().flat_map(|change| &change.differences);
    differences.map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn applying_creates_changes_deletes_and_then_does_nothing() {
    let store = MemoryStore::new();
    let (lattice, other) = (join(&store).await, join(&store).await);
    let planned = lattice.plan(&app(SHOP)).await.expect("planned");
    assert!(lattice.desired().apps.is_empty(), "a plan writes nothing");
    let applied = lattice.apply(&app(SHOP)).await.expect("applied");
    assert_eq!(applied.plan, planned);
    assert_eq!(
        things(&planned.create),
        [
            "app `shop`",
            "config `common`",
            "actor `cart`",
            "actor `greeter`",
            "provider `kv`",
            "link desk -> example:hello/greeter@0.1 (default)",
            "link greeter -> wasi:keyvalue/store@0.2 (default)",
            "wormhole `web`",
        ]
    );
    let desired = lattice.desired();
    assert_eq!((desired.actors.len(), desired.providers.len()), (2, 1));
    let greeter = &desired.actors[&id("greeter")].spec;
    assert_eq!(greeter.app, Some(name("shop")));
    assert_eq!(greeter.placement.replicas, Replicas::Exactly(2));
    let config = desired.config(&greeter.config, &greeter.configs);
    assert_eq!(config["currency"], "EUR");
    let links = lattice.links().list();
    assert_eq!(links.len(), 2);
    assert_eq!(desired.link_owner(&links[0].key), Some(&name("shop")));

    // From any process, any number of times.
    let mut follow = other.watch_desired();
    while follow.next().await.expect("open").apps.is_empty() {}
    for lattice in [&lattice, &other] {
        let again = lattice.apply(&app(SHOP)).await.expect("applied");
        assert!(again.plan.is_empty(), "{}", again.plan);
        assert_eq!((again.plan.unchanged.len(), again.revision), (8, None));
    }

    let newer = SHOP
        .replace("replicas = 2", "replicas = 3\nconfig = { a = 1 }")
        .replace("version = \"1\"", "version = \"2\"")
        .replace(
            "[actors.cart]\nimage = \"registry.example/shop/cart:1\"\n",
            "",
        )
        .replace("[wormholes.web]\nactor = \"greeter\"\n", "");
    let applied = lattice.apply(&app(&newer)).await.expect("applied");
    assert_eq!(
        changed(&applied.plan),
        [
            "version: \"1\" -> \"2\"",
            "config.a: nothing -> \"1\"",
            "replicas: 2 -> 3",
        ]
    );
    assert_eq!(
        things(&applied.plan.delete),
        ["actor `cart`", "wormhole `web`"]
    );
    let desired = lattice.desired();
    assert_eq!((desired.actors.len(), desired.wormholes.len()), (1, 0));

    let deleted = lattice.delete_app(&name("shop")).await.expect("deleted");
    assert_eq!(deleted.plan.delete.len(), 6);
    let desired = lattice.desired();
    assert!(desired.apps.is_empty() && desired.actors.is_empty() && desired.configs.is_empty());
    assert!(lattice.links().list().is_empty());
    let error = lattice.delete_app(&name("shop")).await.expect_err("gone");
    assert_eq!(
        error.to_string(),
        "there is no app `shop`; there are none; if its record was removed without this lattice's key, apply it again, then delete it"
    );
}

#[tokio::test(start_paused = true)]
async fn resources_outside_of_the_app_are_not_changed() {
    let lattice = join(&MemoryStore::new()).await;
    let by_hand = Link::new("hand", "a:b/c@1.0.0", "made").expect("valid");
    lattice.links().put(by_hand.clone()).await.expect("put");
    lattice.apply(&app(SHOP)).await.expect("applied");
    lattice.delete_app(&name("shop")).await.expect("deleted");
    let left = lattice.links().list();
    assert_eq!((left.len(), &*left[0].link), (1, &by_hand));
}

#[tokio::test(start_paused = true)]
async fn a_plan_shows_no_secret_of_a_link() {
    let lattice = join(&MemoryStore::new()).await;
    let with = |password: &str| {
        let link = "interface = \"wasi:keyvalue/store@0.2.0\"\n";
        let config = format!(
            "interface = \"wasi:keyvalue/store@0.2.0\"\nconfig = {{ password = \"{password}\" }}\n"
        );
        app(&SHOP.replacen(link, &config, 1))
    };
    lattice.apply(&with("s3cret-1")).await.expect("applied");
    let plan = lattice.plan(&with("s3cret-2")).await.expect("planned");
    assert_eq!(changed(&plan), ["config: (hidden) -> another one (hidden)"]);
    let json = serde_json::to_string(&plan).expect("JSON");
    assert!(!json.contains("s3cret"), "{json}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_displayed_as_text() {
    let lattice = join(&MemoryStore::new()).await;
    lattice
        .apply(&actors("shop", &["a", "b"]))
        .await
        .expect("applied");
    let newer = app(&format!(
        "name = \"shop\"\n[actors.a]\nimage = \"{IMAGE}\"\nreplicas = 5\n[actors.c]\nimage = \"{IMAGE}\"\n"
    ));
    let plan = lattice.plan(&newer).await.expect("planned");
    assert_eq!(
        plan.to_string(),
        "app `shop`: 1 to create, 1 to change, 1 to delete, 0 unchanged\n\
         \u{20} + actor `c`\n\
         \u{20} ~ actor `a`\n\
         \u{20}     replicas: 1 -> 5\n\
         \u{20} - actor `b`\n\
         \u{20} ! actor `a`: the tag of `registry.example/shop/greeter:1` may move, and it isn't pinned to an artifact; each host runs the artifact that it finds\n\
         \u{20} ! actor `c`: the tag of `registry.example/shop/greeter:1` may move, and it isn't pinned to an artifact; each host runs the artifact that it finds\n\
         \u{20} ! no host is in the lattice now; nothing runs until one joins\n"
    );
}

#[tokio::test(start_paused = true)]
async fn a_tag_keeps_its_digest_until_it_is_pinned_again() {
    let lattice = join(&MemoryStore::new()).await;
    let plain = actors("shop", &["a"]);
    let reference = plain.unpinned().into_iter().next().expect("a tag");
    let (one, two) = (ImageDigest::of(b"one"), ImageDigest::of(b"two"));
    let pinned = plain.clone().pin(reference.clone(), one);
    assert!(pinned.unpinned().is_empty());
    let applied = lattice.apply(&pinned).await.expect("applied");
    let is_tag = |warning: &Warning| matches!(warning, Warning::Unpinned { .. });
    assert!(!applied.plan.warnings.iter().any(is_tag));
    let again = lattice.apply(&plain).await.expect("applied");
    assert!(again.plan.is_empty(), "{}", again.plan);
    assert_eq!(lattice.desired().actors[&id("a")].spec.digest, Some(one));
    let moved = plain.pin(reference, two);
    let plan = lattice.apply(&moved).await.expect("applied").plan;
    assert_eq!(changed(&plan), [format!("digest: \"{one}\" -> \"{two}\"")]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_has_one_revision_range_and_is_visible_when_apply_returns() {
    let lattice = join(&MemoryStore::new()).await;
    let applied = lattice
        .apply(&actors("shop", &["a", "b"]))
        .await
        .expect("applied");
    assert_eq!(applied.revision, Some(Revision(3)));
    assert_eq!(lattice.desired().apps[&name("shop")].revision, Revision(3));
}
