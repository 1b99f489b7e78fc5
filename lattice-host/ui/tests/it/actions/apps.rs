//! Apps: planning, applying, deleting and exporting them.

use super::*;
use lattice_core::app::App;

const SHOP: &str = r#"
name = "shop"
version = "1"
external = ["greeter"]
[actors.cart]
image = "registry.example/shop/cart:1"
replicas = 2
config = { api-key = "enigma-4711" }
[providers.kv]
builtin = "keyvalue-redis"
config = { url = "redis://:enigma-4711@db" }
[[links]]
from = "cart"
to = "kv"
interface = "wasi:keyvalue/store@0.2.0"
config = { password = "enigma-4711" }
"#;

#[tokio::test(start_paused = true)]
async fn a_manifest_is_planned_then_applied_then_deleted() {
    let page = Page::new().await;
    let planned = page.post("/api/apps/plan", json!({ "text": SHOP })).await;
    assert_eq!(planned["plan"]["app"], "shop");
    let created: Vec<&str> = planned["plan"]["create"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|resource| resource["kind"].as_str())
        .collect();
    assert_eq!(created, ["app", "actor", "provider", "link"]);
    assert!(
        planned["text"]
            .as_str()
            .is_some_and(|text| text.contains("4 to create"))
    );
    assert!(
        page.lattice.desired().apps.is_empty(),
        "a plan writes nothing"
    );

    let seen = json!({ "text": SHOP, "seen": planned["seen"] });
    let applied = page.post("/api/apps/apply", seen.clone()).await;
    assert_eq!(applied["plan"], planned["plan"]);
    assert!(applied["revision"].is_u64());
    assert_eq!(applied["undo"]["says"], "delete app `shop`");
    // By now, its plan would say something else.
    page.refused("/api/apps/apply", seen, "plan-changed").await;
    let again = page.post("/api/apps/apply", json!({ "text": SHOP })).await;
    assert_eq!(
        (&again["revision"], &again["undo"]),
        (&Value::Null, &Value::Null)
    );

    // Values of configs are hidden, before and after.
    let changed = SHOP.replace("@db", "@other").replace("= 2", "= 3");
    let plan = page
        .post("/api/apps/plan", json!({ "text": changed }))
        .await;
    let changes = plan["plan"]["change"].to_string();
    assert!(changes.contains("(hidden)"), "{changes}");
    assert!(!plan.to_string().contains("@other"), "{plan}");
    let replicas = json!({ "field": "replicas", "before": "2", "after": "3" });
    assert_eq!(plan["plan"]["change"][0]["differences"], json!([replicas]));

    let deleted = page
        .post("/api/apps/delete", json!({ "app": "shop" }))
        .await;
    assert_eq!(
        deleted["undo"]["says"],
        "apply the deleted app `shop` again"
    );
    page.refused("/api/apps/delete", json!({ "app": "shop" }), "no-such-app")
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_export_has_no_secrets_and_can_be_applied_here_again() {
    let page = Page::new().await;
    page.post("/api/apps/apply", json!({ "text": SHOP })).await;
    let export = page.get("/api/export?app=shop").await;
    assert_eq!(export["file"], "shop.toml");
    assert_eq!(
        export["hidden"],
        json!([
            "actors.cart.config.api-key",
            "providers.kv.config.url",
            "links[0].config.password",
        ])
    );
    let text = export["text"].as_str().expect("text");
    let plan = page
        .post(
            "/api/apps/plan",
            json!({ "text": text, "file": "shop.toml" }),
        )
        .await;
    assert_eq!(plan["plan"]["change"], json!([]), "{plan}\n{text}");
    let changed = text.replace("replicas = 2", "replicas = 5");
    page.post("/api/apps/apply", json!({ "text": changed }))
        .await;
    let links = page.lattice.links().list();
    assert!(links[0].link.config.contains(SECRET));
    let cart = page.lattice.desired().actors[&id("cart")].clone();
    assert_eq!(cart.spec.config["api-key"], SECRET);
    // Elsewhere it isn't known, so it is refused.
    let elsewhere = Page::new().await;
    let refused = elsewhere.refused("/api/apps/plan", json!({ "text": text }), "bad-manifest");
    let refused = refused.await.to_string();
    assert!(refused.contains("was hidden"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn one_thing_and_what_no_app_owns_are_exported() {
    let page = Page::new().await;
    page.post("/api/apps/apply", json!({ "text": SHOP })).await;
    let key = page.link("front", GREETER, "greeter").await;
    for (query, has, lacks) in [
        ("unowned=true", "[[links]]", "cart"),
        ("kind=component&id=kv", "[providers.kv]", "cart"),
        ("kind=component&id=cart", "[actors.cart]", "[providers.kv]"),
        (
            "kind=link&source=front&interface=example:hello/greeter@0.1",
            "from = \"front\"",
            "cart",
        ),
    ] {
        let text = page.get(&format!("/api/export?{query}")).await["text"].clone();
        let text = text.as_str().expect("text");
        assert!(text.contains(has), "{query}: {text}");
        assert!(!text.contains(lacks), "{query}: {text}");
    }
    assert_eq!(key.source, id("front"));
    for (query, code) in [
        ("app=none", "no-such-app"),
        ("kind=component&id=none", "no-such-component"),
        ("kind=wormhole&id=none", "no-such-wormhole"),
        ("kind=config&id=none", "no-such-config"),
        ("kind=link&source=front&interface=a:b/c@1", "no-such-link"),
        ("kind=link&source=front", "bad-field"),
        ("kind=component", "bad-field"),
        ("", "bad-field"),
        ("app=shop&unowned=true", "bad-field"),
        ("kind=lattice&id=x", "bad-field"),
    ] {
        page.denied(&format!("/api/export?{query}"), code).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_component_that_a_program_serves_is_external_and_has_its_links() {
    let page = Page::new().await;
    let _serving = page.serve().await;
    let alone = page.get("/api/export?kind=component&id=counter").await;
    assert_eq!(external(&alone), json!(["counter"]), "{alone}");
    let note = alone["note"].as_str().expect("a note");
    assert!(
        note.contains("starts `counter`: a program serves it"),
        "{note}"
    );

    page.link("front", GREETER, "greeter").await;
    let linked = page.get("/api/export?kind=component&id=greeter").await;
    assert_eq!(external(&linked), json!(["front", "greeter"]), "{linked}");
    assert_eq!(linked["hidden"], json!(["links[0].config.password"]));
    let plan = page
        .post("/api/apps/plan", json!({ "text": linked["text"] }))
        .await;
    assert_eq!(plan["plan"]["app"], "exported", "it can be applied");
    page.post("/api/apps/apply", json!({ "text": SHOP })).await;
    let declared = page.get("/api/export?kind=component&id=cart").await;
    assert_eq!(declared["note"], json!(null));
}

/// Returns what a manifest names as external.
fn external(export: &Value) -> Value {
    let text = export["text"].as_str().expect("text");
    let app = App::from_toml("exported.toml", text).expect("a manifest");
    json!(app.manifest().external)
}

#[tokio::test(start_paused = true)]
async fn every_problem_of_a_manifest_has_its_place() {
    let page = Page::new().await;
    let text = "name = \"shop\"\n[actors.cart]\nimage = \"registry.example/cart:1\"\nreplica = 3\n[[links]]\nfrom = \"cart\"\nto = \"none\"\ninterface = \"a:b/c@1.0.0\"\n";
    for path in ["/api/apps/plan", "/api/apps/apply"] {
        let refused = page
            .refused(path, json!({ "text": text }), "bad-manifest")
            .await;
        let problems = refused["details"]["problems"].as_array().expect("a list");
        assert_eq!(problems.len(), 2, "{refused}");
        assert_eq!(problems[0]["line"], 4);
        assert_eq!(problems[0]["path"], "actors.cart.replica");
        assert!(
            problems[0]["message"]
                .as_str()
                .is_some_and(|text| text.contains("replicas"))
        );
    }
    for text in ["", "name = ", "{", "name = 7", "services:\n  a: b\n"] {
        page.refused("/api/apps/plan", json!({ "text": text }), "bad-manifest")
            .await;
    }
    let json = json!({ "text": "{\"name\": \"shop\"}", "format": "json" });
    assert_eq!(
        page.post("/api/apps/plan", json).await["plan"]["app"],
        "shop"
    );
    let by_ending = json!({ "text": "{\"name\": \"shop\"}", "file": "a/b/shop.json" });
    assert_eq!(
        page.post("/api/apps/plan", by_ending).await["plan"]["app"],
        "shop"
    );
}
