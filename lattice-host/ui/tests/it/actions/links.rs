//! Links: what fits, putting, changing, deleting, and what is refused.

use super::*;

fn key(name: &str) -> Value {
    json!({ "source": "front", "interface": GREETER, "name": name })
}

fn link(name: &str, target: &str) -> Value {
    let mut link = key(name);
    link["target"] = target.into();
    link
}

#[tokio::test(start_paused = true)]
async fn an_outlet_fits_what_exports_its_interface_and_the_others_say_why_not() {
    let page = Page::new().await;
    let _serving = page.serve().await;
    let path = format!("/api/links/fits?source=front&interface={GREETER}");
    let mut inlets = Value::Null;
    for _ in 0..50 {
        inlets = page.get(&path).await["inlets"].clone();
        if inlets.as_array().is_some_and(|inlets| inlets.len() >= 2) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let of = |target: &str| {
        let inlets = inlets.as_array().into_iter().flatten();
        let mut inlets = inlets.filter(|inlet| inlet["target"] == target);
        inlets.next().unwrap_or_else(|| panic!("{target}")).clone()
    };
    assert_eq!(of("greeter")["fits"], "yes");
    assert_eq!(of("greeter")["inlet"], GREETER);
    assert_eq!(of("greeter")["why"], Value::Null);
    let counter = of("counter");
    assert_eq!(counter["fits"], "no");
    let why = counter["why"].as_str().expect("a reason");
    assert!(why.contains("does not export"), "{why}");
    assert!(counter["next"].is_string(), "{counter}");
}

#[tokio::test(start_paused = true)]
async fn a_link_is_put_changed_and_deleted_and_its_config_is_never_sent() {
    let page = Page::new().await;
    let _serving = page.serve().await;
    let mut new = link("default", "greeter");
    new["config"] = json!({ "password": SECRET });
    new["locality"] = "spread".into();
    new["idempotent"] = json!(["greet"]);
    assert_eq!(
        page.post("/api/links/check", new.clone()).await["fits"],
        true
    );
    let put = page.post("/api/links/put", new.clone()).await;
    let shown = &put["link"];
    assert_eq!(shown["interface"], "example:hello/greeter@0.1");
    assert_eq!(shown["version"], GREETER);
    assert_eq!(shown["has_config"], true);
    assert_eq!(shown["locality"], "Spread");
    assert_eq!(
        put["undo"]["says"],
        "delete the link front -> example:hello/greeter@0.1 (default)"
    );
    // The same again changes nothing.
    assert_eq!(
        page.post("/api/links/put", new.clone()).await["undo"],
        Value::Null
    );

    // What is left out stays as it is. The key may have the compatible version alone.
    let mut changed = link("default", "greeter");
    changed["interface"] = "example:hello/greeter@0.1".into();
    changed["locality"] = "LocalOnly".into();
    changed["revision"] = shown["revision"].clone();
    let changed = page.post("/api/links/put", changed).await["link"].clone();
    assert_eq!(changed["locality"], "LocalOnly");
    assert_eq!(changed["idempotent"], json!(["greet"]));
    let entries = page.lattice.links().list();
    assert!(entries[0].link.config.contains(SECRET));
    let mut bare = link("default", "greeter");
    bare["config"] = Value::Null;
    bare["revision"] = changed["revision"].clone();
    let bare = page.post("/api/links/put", bare).await["link"].clone();
    assert_eq!(bare["has_config"], false);

    let path = "/api/links/status?source=front&interface=example:hello/greeter@0.1";
    let status = page.get(path).await;
    assert_eq!(status["link"]["target"], "greeter");
    assert_eq!(status["mismatch"], Value::Null);

    let deleted = page.post("/api/links/delete", key("default")).await;
    assert_eq!(deleted["deleted"], true);
    assert!(page.lattice.links().list().is_empty());
    page.denied(path, "no-such-link").await;
}

#[tokio::test(start_paused = true)]
async fn links_that_cannot_work_or_are_in_the_way_are_refused() {
    let page = Page::new().await;
    let _serving = page.serve().await;
    let to_counter = link("default", "counter");
    let refused = page
        .refused("/api/links/put", to_counter.clone(), "does-not-fit")
        .await;
    assert!(
        refused["why"]
            .as_str()
            .is_some_and(|why| why.contains("does not export"))
    );
    page.refused("/api/links/check", to_counter, "does-not-fit")
        .await;
    let mut misspelt = link("default", "greeter");
    misspelt["idempotent"] = json!(["gret"]);
    page.refused("/api/links/put", misspelt, "does-not-fit")
        .await;
    assert!(page.lattice.links().list().is_empty());

    page.link("front", GREETER, "greeter").await;
    let other = link("default", "elsewhere");
    page.refused("/api/links/put", other.clone(), "link-conflict")
        .await;
    let mut stale = other;
    stale["revision"] = 1.into();
    page.refused("/api/links/put", stale.clone(), "changed-since")
        .await;
    let mut delete = key("default");
    delete["revision"] = 1.into();
    page.refused("/api/links/delete", delete, "changed-since")
        .await;
    page.refused("/api/links/delete", key("none"), "no-such-link")
        .await;
    stale["name"] = "none".into();
    page.refused("/api/links/put", stale, "no-such-link").await;
}

#[tokio::test(start_paused = true)]
async fn what_an_app_declares_is_changed_only_by_force() {
    let page = Page::new().await;
    let manifest = format!(
        "name = \"shop\"\nexternal = [\"front\", \"greeter\"]\n[[links]]\nfrom = \"front\"\nto = \"greeter\"\ninterface = \"{GREETER}\"\n"
    );
    page.post("/api/apps/apply", json!({ "text": manifest }))
        .await;
    let path = format!("/api/links/status?source=front&interface={GREETER}");
    let there = page.get(&path).await["link"].clone();
    assert_eq!(there["app"], "shop");
    let mut other = link("default", "elsewhere");
    other["revision"] = there["revision"].clone();
    page.refused("/api/links/put", other.clone(), "owned-by-app")
        .await;
    page.refused("/api/links/delete", key("default"), "owned-by-app")
        .await;
    other["force"] = true.into();
    assert_eq!(
        page.post("/api/links/put", other).await["link"]["target"],
        "elsewhere"
    );
}

#[tokio::test(start_paused = true)]
async fn the_reason_of_a_refused_link_is_shown() {
    let page = Page::new().await;
    let key = page.link("front", GREETER, "greeter").await;
    let entry = page.lattice.links().get(&key).expect("it is there");
    let host = "h1".parse().expect("an id");
    let refused = lattice_core::link::LinkStatus::rejected("no such bucket");
    let reported = page
        .lattice
        .links()
        .report(&host, &key, entry.revision, refused)
        .await;
    reported.expect("reported");
    let path = format!("/api/links/status?source=front&interface={GREETER}");
    let status = page.get(&path).await;
    assert_eq!(status["link"]["state"], "rejected");
    assert_eq!(status["link"]["reason"], "no such bucket");
    assert_eq!(status["reports"][0]["host"], "h1");
}

#[tokio::test(start_paused = true)]
async fn a_component_may_describe_the_configs_of_its_links() {
    let page = Page::new().await;
    let _serving = page.serve().await;
    let ask = |target: &str| format!("/api/links/config?target={target}&interface={GREETER}");
    for (target, why) in [("greeter", "doesn't describe"), ("never", "never started")] {
        let answer = page.get(&ask(target)).await;
        assert_eq!(answer["schema"], Value::Null);
        let missing = answer["missing"].as_str().expect("a reason");
        assert!(missing.contains(why), "{missing}");
    }
    for (target, text) in [
        ("typed", "{\"type\": \"object\"}"),
        ("list", "[]"),
        ("garbage", "{"),
    ] {
        let text = text.to_owned();
        let describes = Functions::new().export(
            "lattice:config/schema@0.1.0",
            "link-config",
            "func(interface: string) -> option<string>",
            move |(interface,): (String,)| {
                let text = (interface == GREETER).then(|| text.clone());
                async move { text }
            },
        );
        let serving = page.lattice.serve(target, describes.expect("valid")).await;
        let serving = serving.expect("served");
        let answer = page.get(&ask(target)).await;
        if target == "typed" {
            assert_eq!(
                answer,
                json!({ "schema": { "type": "object" }, "missing": null })
            );
            let other = format!("/api/links/config?target=typed&interface={COUNTER}");
            let missing = page.get(&other).await["missing"].to_string();
            assert!(missing.contains("take no config"), "{missing}");
        } else {
            assert_eq!(answer["schema"], Value::Null, "{answer}");
            assert!(answer["missing"].is_string(), "{answer}");
        }
        drop(serving);
    }
}

#[tokio::test(start_paused = true)]
async fn the_source_of_a_link_may_describe_its_config() {
    let page = Page::new().await;
    let _serving = page.serve().await;
    let describes = Functions::new().export(
        "lattice:config/schema@0.1.0",
        "outgoing-config",
        "func(interface: string) -> option<string>",
        |(interface,): (String,)| async move { (interface == GREETER).then(|| "{}".to_owned()) },
    );
    let ticker = page.lattice.serve("ticker", describes.expect("valid"));
    let _ticker = ticker.await.expect("served");
    let ask = |source: &str, interface: &str| {
        format!("/api/links/config?source={source}&target=greeter&interface={interface}")
    };
    let answer = page.get(&ask("ticker", GREETER)).await;
    assert_eq!(answer, json!({ "schema": {}, "missing": null }));
    // What says nothing of it leaves the answer of the target.
    for (source, interface) in [
        ("ticker", COUNTER),
        ("counter", GREETER),
        ("never", GREETER),
    ] {
        let answer = page.get(&ask(source, interface)).await;
        assert_eq!(answer["schema"], Value::Null, "{source}");
        let missing = answer["missing"].as_str().expect("a reason");
        assert!(missing.contains("`greeter` doesn't describe"), "{missing}");
    }
    page.denied(&ask("no%20name", GREETER), "bad-name").await;
}

#[tokio::test(start_paused = true)]
async fn interfaces_and_their_functions_are_listed() {
    let page = Page::new().await;
    let _serving = page.serve().await;
    let listed = page.get("/api/interfaces?of=greeter,never").await;
    assert_eq!(
        listed["components"],
        json!([
            { "id": "greeter", "known": true, "exports": [GREETER], "imports": [] },
            { "id": "never", "known": false, "exports": [], "imports": [] },
        ])
    );
    let wit = page.get("/api/wit?component=counter").await;
    assert_eq!(wit["exports"][0]["interface"], COUNTER);
    assert_eq!(
        wit["exports"][0]["functions"],
        json!([{ "name": "count", "signature": "func() -> u64" }])
    );
    page.denied("/api/wit?component=never", "no-such-component")
        .await;
}
