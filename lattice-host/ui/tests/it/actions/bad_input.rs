//! Requests that are garbage, too large, of the wrong types, or not allowed.

use super::*;

/// Every path by POST, with a body that it accepts.
fn posts() -> Vec<(&'static str, Value)> {
    let link = json!({ "source": "front", "interface": GREETER, "target": "greeter" });
    let key = json!({ "source": "front", "interface": GREETER });
    let id = json!({ "id": "shop" });
    vec![
        ("/api/links/check", link.clone()),
        ("/api/links/put", link),
        ("/api/links/delete", key),
        ("/api/wormholes/create", json!({ "actor": "greeter" })),
        ("/api/wormholes/open", id.clone()),
        ("/api/wormholes/close", id.clone()),
        ("/api/wormholes/delete", id),
        (
            "/api/wormholes/rename",
            json!({ "id": "shop", "host": "a.example" }),
        ),
        ("/api/apps/plan", json!({ "text": "name = \"shop\"" })),
        ("/api/apps/apply", json!({ "text": "name = \"shop\"" })),
        ("/api/apps/delete", json!({ "app": "shop" })),
        ("/api/undo", json!({ "id": 1 })),
        (
            "/api/call",
            json!({ "component": "greeter", "interface": GREETER, "function": "greet" }),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_not_what_a_path_takes_are_refused() {
    let page = Page::new().await;
    for (path, good) in posts() {
        for garbage in ["", "{", "nope", "\u{0}", "{\"a\":1}{", "[[[["] {
            let (status, json) = page.answer(Method::POST, path, Body::from(garbage)).await;
            assert_eq!(status, 400, "{path} {garbage}: {json}");
        }
        for wrong in [json!(null), json!([]), json!("x"), json!(7), json!({})] {
            page.refused(path, wrong, "bad-field").await;
        }
        let mut unknown = good.clone();
        unknown["no-such-field"] = 1.into();
        page.refused(path, unknown, "bad-field").await;
        for field in good.as_object().into_iter().flatten().map(|(name, _)| name) {
            let mut wrong = good.clone();
            wrong[field] = json!({ "a": [1] });
            page.refused(path, wrong, "bad-field").await;
        }
        let large = json!({ "text": "x".repeat(2 << 20) });
        page.refused(path, large, "too-large").await;
    }
    assert!(page.lattice.links().list().is_empty());
    assert!(page.lattice.desired().apps.is_empty());
}

#[tokio::test(start_paused = true)]
async fn names_that_break_their_rules_are_refused() {
    let page = Page::new().await;
    for (path, good) in posts() {
        for field in [
            "source",
            "interface",
            "target",
            "actor",
            "id",
            "app",
            "component",
            "function",
        ] {
            if !good[field].is_string() {
                continue;
            }
            for name in ["", "UPPER CASE", "a/b", &"x".repeat(300), "\u{1F680}"] {
                let mut wrong = good.clone();
                wrong[field] = name.into();
                page.refused(path, wrong, "bad-name").await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_read_only_changes_nothing() {
    let page = Page::of(Ui::read_only).await;
    let _serving = page.serve().await;
    for (path, good) in posts() {
        let (status, json) = page.posted(path, &good).await;
        if matches!(path, "/api/links/check" | "/api/apps/plan") {
            assert_eq!(status, 200, "{path}: {json}");
        } else {
            assert_eq!(
                (status, &json["code"]),
                (403, &json!("read-only")),
                "{path}"
            );
        }
    }
    assert!(page.lattice.links().list().is_empty());
    assert!(page.lattice.desired().apps.is_empty());
    assert!(page.lattice.wormholes().list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn queries_that_are_not_what_a_path_takes_are_refused() {
    let page = Page::new().await;
    for path in [
        "/api/wit",
        "/api/wit?component=a&x=1",
        "/api/links/fits",
        "/api/links/fits?source=a",
        "/api/links/status?source=a",
        "/api/links/config?target=a",
        "/api/wormholes/addresses",
        "/api/call/form",
        "/api/failures?x=1",
        "/api/interfaces?x=1",
        "/api/explain",
    ] {
        page.denied(path, "bad-field").await;
    }
    let many = vec!["a"; 1_001].join(",");
    page.denied(&format!("/api/interfaces?of={many}"), "bad-field")
        .await;
    page.denied("/api/interfaces?of=a,,b", "bad-name").await;
    page.denied("/api/links/fits?source=A&interface=x:y/z", "bad-name")
        .await;
    page.denied("/api/links/fits?source=a&interface=z", "bad-name")
        .await;
}
