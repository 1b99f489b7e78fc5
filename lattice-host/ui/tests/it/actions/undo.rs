//! Undoing the last change, unless somebody has changed it since.

use super::*;

const SHOP: &str =
    "name = \"shop\"\n[providers.kv]\nbuiltin = \"keyvalue\"\nconfig = { a = \"enigma-4711\" }\n";

async fn undo(page: &Page) -> Value {
    let last = page.get("/api/undo").await["undo"].clone();
    page.post("/api/undo", json!({ "id": last["id"] })).await
}

#[tokio::test(start_paused = true)]
async fn changes_are_undone_one_after_the_other() {
    let page = Page::new().await;
    assert_eq!(page.get("/api/undo").await["undo"], Value::Null);
    page.refused("/api/undo", json!({ "id": 1 }), "nothing-to-undo")
        .await;

    // A link is put, changed and deleted, and each of that undone.
    let link = json!({ "source": "front", "interface": GREETER, "target": "greeter", "config": { "password": SECRET } });
    let put = page.post("/api/links/put", link.clone()).await;
    let mut changed = link;
    changed["target"] = "other".into();
    changed["revision"] = put["link"]["revision"].clone();
    page.post("/api/links/put", changed).await;
    let key = json!({ "source": "front", "interface": GREETER });
    let deleted = page.post("/api/links/delete", key).await;
    page.refused("/api/undo", json!({ "id": 1 }), "nothing-to-undo")
        .await;
    let undone = page
        .post("/api/undo", json!({ "id": deleted["undo"]["id"] }))
        .await;
    assert!(undone["undone"].is_string());
    let target = || {
        page.lattice
            .links()
            .list()
            .first()
            .map(|entry| entry.link.target.to_string())
    };
    assert_eq!(target().as_deref(), Some("other"));
    undo(&page).await;
    assert_eq!(target().as_deref(), Some("greeter"));
    assert!(page.lattice.links().list()[0].link.config.contains(SECRET));
    assert_eq!(undo(&page).await["undo"], Value::Null);
    assert_eq!(target(), None);
}

#[tokio::test(start_paused = true)]
async fn a_changed_link_is_as_it_was_with_its_config() {
    let page = Page::new().await;
    let link = json!({ "source": "front", "interface": GREETER, "target": "greeter", "config": { "password": SECRET } });
    let put = page.post("/api/links/put", link.clone()).await;
    let mut changed = link;
    changed["config"] = Value::Null;
    changed["revision"] = put["link"]["revision"].clone();
    page.post("/api/links/put", changed).await;
    assert_eq!(
        undo(&page).await["undone"],
        "the link front -> example:hello/greeter@0.1 (default) is as it was"
    );
    assert!(page.lattice.links().list()[0].link.config.contains(SECRET));
}

#[tokio::test(start_paused = true)]
async fn a_new_link_is_deleted_and_a_deleted_one_put_again() {
    let page = Page::new().await;
    let key = page.link("front", GREETER, "greeter").await;
    let text = json!({ "source": "front", "interface": key.interface });
    page.post("/api/links/delete", text).await;
    assert_eq!(undo(&page).await["undo"], Value::Null);
    assert!(
        page.lattice
            .links()
            .get(&key)
            .is_some_and(|entry| entry.link.config.contains(SECRET))
    );
    let new =
        json!({ "source": "front", "interface": GREETER, "name": "two", "target": "greeter" });
    page.post("/api/links/put", new).await;
    undo(&page).await;
    assert_eq!(page.lattice.links().list().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_has_changed_since_stays_and_the_change_before_it_is_next() {
    let page = Page::new().await;
    let first =
        json!({ "source": "front", "interface": GREETER, "name": "one", "target": "greeter" });
    page.post("/api/links/put", first).await;
    let second =
        json!({ "source": "front", "interface": GREETER, "name": "two", "target": "greeter" });
    let put = page.post("/api/links/put", second).await;
    let by_hand = Link::new("front", GREETER, "elsewhere").and_then(|link| link.named("two"));
    page.lattice
        .links()
        .replace(by_hand.expect("valid"))
        .await
        .expect("put");
    page.refused(
        "/api/undo",
        json!({ "id": put["undo"]["id"] }),
        "changed-since",
    )
    .await;
    assert_eq!(page.lattice.links().list().len(), 2);
    undo(&page).await;
    let left = page.lattice.links().list();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].key.name.as_str(), "two");
}

#[tokio::test(start_paused = true)]
async fn changes_of_wormholes_are_undone() {
    let page = Page::new().await;
    let new = json!({ "actor": "greeter", "id": "shop", "host": "shop.example", "path": "/api" });
    page.post("/api/wormholes/create", new).await;
    page.post("/api/wormholes/close", json!({ "id": "shop" }))
        .await;
    page.post(
        "/api/wormholes/rename",
        json!({ "id": "shop", "host": "new.example" }),
    )
    .await;
    let spec = async || {
        page.lattice
            .wormholes()
            .get("shop")
            .await
            .expect("readable")
    };
    undo(&page).await;
    assert_eq!(
        spec().await.and_then(|spec| spec.host).as_deref(),
        Some("shop.example")
    );
    undo(&page).await;
    assert!(spec().await.is_some_and(|spec| spec.is_open()));

    let before = spec().await;
    page.post("/api/wormholes/delete", json!({ "id": "shop" }))
        .await;
    undo(&page).await;
    assert_eq!(spec().await, before);
    undo(&page).await;
    assert_eq!(spec().await, None);
    assert_eq!(page.get("/api/undo").await["undo"], Value::Null);

    page.post(
        "/api/wormholes/create",
        json!({ "actor": "greeter", "id": "hand" }),
    )
    .await;
    page.lattice
        .wormholes()
        .close("hand")
        .await
        .expect("closed");
    let last = page.get("/api/undo").await["undo"]["id"].clone();
    page.refused("/api/undo", json!({ "id": last }), "changed-since")
        .await;
}

#[tokio::test(start_paused = true)]
async fn changes_of_apps_are_undone_with_the_values_of_their_configs() {
    let page = Page::new().await;
    page.post("/api/apps/apply", json!({ "text": SHOP })).await;
    let changed = SHOP
        .replace("enigma-4711", "other")
        .replace("keyvalue", "keyvalue-redis");
    page.post("/api/apps/apply", json!({ "text": changed }))
        .await;
    let config = || page.lattice.desired().providers[&id("kv")].spec.config["a"].clone();
    assert_eq!(config(), "other");
    undo(&page).await;
    assert_eq!(config(), SECRET);
    page.post("/api/apps/delete", json!({ "app": "shop" }))
        .await;
    undo(&page).await;
    assert_eq!(config(), SECRET);
    undo(&page).await;
    assert!(page.lattice.desired().apps.is_empty());

    page.post("/api/apps/apply", json!({ "text": SHOP })).await;
    let manifest = changed.replace("other", "by hand");
    let app = lattice_core::app::App::from_toml("shop.toml", &manifest).expect("a manifest");
    page.lattice.apply(&app).await.expect("applied");
    let last = page.get("/api/undo").await["undo"]["id"].clone();
    page.refused("/api/undo", json!({ "id": last }), "changed-since")
        .await;
    assert_eq!(config(), "by hand");
}
