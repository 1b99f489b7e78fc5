//! Wormholes: creating, opening, closing, renaming, deleting, and their addresses.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_wormhole_is_created_closed_opened_renamed_and_deleted() {
    let page = Page::new().await;
    let new = json!({ "actor": "greeter", "path": "/api/", "domains": ["shop.example"] });
    let created = page.post("/api/wormholes/create", new).await["wormhole"].clone();
    let id = created["id"].as_str().expect("an id").to_owned();
    assert_eq!(created["state"], "open");
    assert_eq!(created["path"], "/api");
    assert_eq!(created["ingresses"], 0);
    let host = created["host"].as_str().expect("a generated name");
    assert_eq!(
        created["addresses"],
        json!([format!("{host}/api"), "shop.example/api"])
    );

    let which = json!({ "id": id });
    let closed = page.post("/api/wormholes/close", which.clone()).await;
    assert_eq!(closed["wormhole"]["state"], "closed");
    assert!(closed["undo"]["says"].is_string());
    // Closing it again changes nothing, so there is nothing to undo.
    let again = page.post("/api/wormholes/close", which.clone()).await;
    assert_eq!(again["undo"], Value::Null);
    let opened = page.post("/api/wormholes/open", which.clone()).await;
    assert_eq!(opened["wormhole"]["state"], "open");
    let renamed = json!({ "id": id, "host": "New.Example" });
    let renamed = page.post("/api/wormholes/rename", renamed).await;
    assert_eq!(renamed["wormhole"]["host"], "new.example");
    let addresses = page.get(&format!("/api/wormholes/addresses?id={id}")).await;
    assert_eq!(addresses["addresses"][0], "new.example/api");
    let deleted = page.post("/api/wormholes/delete", which.clone()).await;
    assert_eq!(deleted["wormhole"]["host"], "new.example");
    page.refused("/api/wormholes/delete", which, "no-such-wormhole")
        .await;
}

#[tokio::test(start_paused = true)]
async fn wormholes_in_the_way_and_wrong_names_are_refused() {
    let page = Page::new().await;
    let create = "/api/wormholes/create";
    let shop = json!({ "actor": "greeter", "id": "shop", "host": "shop.example" });
    page.post(create, shop.clone()).await;
    page.refused(create, shop, "wormhole-exists").await;
    let taken = json!({ "actor": "greeter", "id": "other", "host": "shop.example" });
    page.refused(create, taken, "host-taken").await;
    for wrong in [
        json!({ "actor": "greeter", "host": "not a name" }),
        json!({ "actor": "greeter", "path": "no-slash" }),
        json!({ "actor": "greeter", "domains": ["http://x"] }),
    ] {
        page.refused(create, wrong, "bad-field").await;
    }
    page.refused(create, json!({ "actor": "Not an id" }), "bad-name")
        .await;
    let wrong = json!({ "id": "shop", "host": "a b" });
    page.refused("/api/wormholes/rename", wrong, "bad-field")
        .await;
    for path in [
        "/api/wormholes/open",
        "/api/wormholes/close",
        "/api/wormholes/delete",
    ] {
        page.refused(path, json!({ "id": "none" }), "no-such-wormhole")
            .await;
    }
    page.denied("/api/wormholes/addresses?id=none", "no-such-wormhole")
        .await;
}

#[tokio::test(start_paused = true)]
async fn who_is_let_through_is_not_sent() {
    let page = Page::new().await;
    let hash = format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ${SECRET}");
    let manifest = format!(
        "name = \"shop\"\nexternal = [\"greeter\"]\n[wormholes.staff]\nactor = \"greeter\"\nauth = {{ basic = {{ ada = \"{hash}\" }} }}\n"
    );
    page.post("/api/apps/apply", json!({ "text": manifest }))
        .await;
    let closed = page
        .post("/api/wormholes/close", json!({ "id": "staff" }))
        .await;
    assert_eq!(closed["wormhole"]["auth"], "basic");
    page.refused(
        "/api/wormholes/delete",
        json!({ "id": "staff" }),
        "owned-by-app",
    )
    .await;
    let export = page.get("/api/export?kind=wormhole&id=staff").await;
    assert_eq!(export["hidden"], json!(["wormholes.staff.auth.basic.ada"]));
}
