//! Manifests that are dropped on the page: the plan first, then the change, then its undoing.

use crate::scene::{empty, served};
use lattice_test_browser::{
    Browser, browser,
    element::{component, link},
};

const SHOP: &str = r#"name = "shop"
[actors.front]
image = "registry.example/shop/front:1"
[actors.back]
image = "registry.example/shop/back:1"
[[links]]
from = "front"
to = "back"
interface = "test:shop/api@0.1.0"
"#;
const DIALOG: &str = "#apply-dialog[open]";
/// What a plan would create.
const CREATED: &str = "#plan [data-change=create]";

#[tokio::test]
async fn an_empty_lattice_says_what_to_do_and_a_dropped_manifest_is_planned_applied_and_undone() {
    let Some(browser) = browser().await else {
        return;
    };
    let lattice = empty().await;
    let page = served(&lattice).await;
    browser.open(&page.url()).await;
    browser.is_live().await;
    browser.has("html", "data-empty", "true").await;
    browser.sees("#empty").await;
    in_both_colours(&browser, "empty").await;

    browser.drop_file("shop.toml", SHOP).await;
    browser.sees(DIALOG).await;
    browser.sees(CREATED).await;
    // The app, its actors, and its link.
    browser
        .until(
            "all is planned",
            &format!("document.querySelectorAll('{CREATED}').length >= 3"),
        )
        .await;
    assert!(lattice.links().list().is_empty(), "a plan writes nothing");
    in_both_colours(&browser, "plan").await;
    browser.click("#apply-button").await;
    for id in ["front", "back"] {
        browser.has(&component(id), "data-kind", "actor").await;
        // There is no host that could run it.
        browser.has(&component(id), "data-state", "waiting").await;
    }
    browser.sees("[data-app='shop']").await;
    browser
        .has(&link("front", "test:shop/api"), "data-state", "pending")
        .await;
    browser.misses(DIALOG).await;
    in_both_colours(&browser, "app").await;

    mistakes(&browser).await;
    browser.click("#undo").await;
    browser.misses(&component("front")).await;
    browser.has("html", "data-empty", "true").await;
    assert!(lattice.links().list().is_empty());
    browser.is_sound_but_for_its_log().await;
}

/// A manifest that can't be applied says where the mistake is, and changes nothing.
async fn mistakes(browser: &Browser) {
    browser.has_logged_only(&[]).await;
    let wrong = SHOP.replace("image", "imago");
    browser.drop_file("shop.toml", &wrong).await;
    browser.sees(&format!("{DIALOG} .dialog-error")).await;
    browser
        .reads(&format!("{DIALOG} .dialog-error"), "imago")
        .await;
    browser
        .until(
            "it can't be applied",
            "document.querySelector('#apply-button').disabled",
        )
        .await;
    browser.image("manifest-with-a-mistake").await;
    browser.press(&lattice_test_browser::Key::Escape).await;
    browser.misses(DIALOG).await;
    // The browser logs responses with such a status.
    browser.has_logged_only(&["api/apps/plan"]).await;
}

async fn in_both_colours(browser: &Browser, name: &str) {
    for colours in ["dark", "light"] {
        browser.prefer(colours).await;
        let brightness = browser.brightness().await;
        let is_as_asked = (brightness < 0.5) == (colours == "dark");
        assert!(is_as_asked, "{colours}: the page has {brightness}");
        browser.is_legible().await;
        browser.image(&format!("{name}-{colours}")).await;
    }
    browser.is_sound().await;
}
