//! Explanations, each with what to do next.

use super::*;

async fn explain(page: &Page, query: &str) -> Value {
    page.get(&format!("/api/explain?{query}")).await
}

/// Returns the action of the first finding that has one.
fn action(explanation: &Value) -> Value {
    let findings = explanation["findings"].as_array().into_iter().flatten();
    let mut actions = findings.map(|finding| finding["action"].clone());
    actions.find(|action| !action.is_null()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn everything_can_be_explained_with_what_to_do_next() {
    let page = Page::new().await;
    let _serving = page.serve().await;
    let closed = json!({ "actor": "greeter", "id": "shop", "closed": true });
    page.post("/api/wormholes/create", closed).await;
    page.link("front", GREETER, "greeter").await;

    let fine = explain(&page, "kind=component&id=greeter").await;
    assert_eq!(fine["severity"], "fine", "{fine}");
    let unknown = explain(&page, "kind=component&id=greetr").await;
    assert_eq!(unknown["severity"], "fault");
    assert_eq!(action(&unknown)["do"], "select");
    assert_eq!(action(&unknown)["id"], "greeter");
    let missing = explain(&page, "kind=component&id=zzz").await;
    assert_eq!(action(&missing)["do"], "apply");

    let wormhole = explain(&page, "kind=wormhole&id=shop").await;
    let open = action(&wormhole);
    assert_eq!(open["do"], "post");
    let path = open["path"].as_str().expect("a path");
    let opened = page.post(path, open["body"].clone()).await;
    assert_eq!(opened["wormhole"]["state"], "open");

    let link = explain(
        &page,
        "kind=link&source=front&interface=example:hello/greeter@0.1",
    )
    .await;
    assert_eq!(link["subject"]["link"]["source"], "front");
    let none = explain(
        &page,
        "kind=link&source=web&interface=example:hello/greeter@0.1",
    )
    .await;
    assert_eq!(action(&none)["do"], "new-link");
    let app = explain(&page, "kind=app&id=none").await;
    assert_eq!(app["severity"], "fault");

    let hosts = page.lattice.constellation().settled().await;
    let host = hosts.hosts.keys().next().expect("this process").clone();
    let explained = explain(&page, &format!("kind=host&id={host}")).await;
    assert_eq!(explained["subject"]["host"], host.as_str());
    let none = explain(&page, "kind=host&id=none").await;
    assert_eq!(none["severity"], "fault");
    for (query, code) in [
        ("kind=component", "bad-field"),
        ("kind=link&source=front", "bad-field"),
        ("kind=galaxy&id=x", "bad-field"),
        ("id=greeter", "bad-field"),
        ("kind=component&id=Greeter", "bad-name"),
        ("kind=component&id=greeter&x=1", "bad-field"),
    ] {
        page.denied(&format!("/api/explain?{query}"), code).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_read_only_proposes_no_changes() {
    let page = Page::of(Ui::read_only).await;
    let _serving = page.serve().await;
    let missing = explain(&page, "kind=component&id=zzz").await;
    assert_eq!(action(&missing), Value::Null);
    let similar = explain(&page, "kind=component&id=greetr").await;
    assert_eq!(action(&similar)["do"], "select");
}
