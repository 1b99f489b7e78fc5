//! The page itself in other states than the usual one: it may only look, has lost its server, or
//! isn't let in.

use crate::{
    cable::Cable,
    scene::{API, Scene, served, served_read_only},
};
use lattice_core::{Lattice, link::Link};
use lattice_test_browser::{
    Browser, browser,
    element::{component, link},
};

const CONNECTION: &str = "#connection";

#[tokio::test]
async fn the_page_shows_that_it_may_only_look_or_has_lost_its_server() {
    let Some(browser) = browser().await else {
        return;
    };
    let scene = Scene::new().await;
    only_looks(&browser, &scene.lattice).await;
    loses_its_server(&browser, &scene.lattice).await;
    is_not_let_in(&browser, &scene.lattice).await;
}

async fn only_looks(browser: &Browser, lattice: &Lattice) {
    let page = served_read_only(lattice).await;
    browser.open(&page.url()).await;
    browser.is_live().await;
    browser.has("html", "data-readonly", "true").await;
    browser.sees("#readonly").await;
    browser.sees(&component("front")).await;
    for control in ["#new-wormhole", "#apply", "#undo"] {
        browser.misses(control).await;
    }
    browser.image("read-only").await;
    browser.is_sound().await;
    // What the page doesn't offer, the server refuses.
    let status = browser
        .answer(
            "fetch('api/links/put', { method: 'POST', body: '{}', \
             headers: { 'content-type': 'application/json' } }).then((it) => it.status)",
        )
        .await;
    assert_eq!(status, 403);
    assert!(lattice.links().list().is_empty());
    browser.has_logged_only(&["api/links/put"]).await;
}

async fn loses_its_server(browser: &Browser, lattice: &Lattice) {
    let page = served(lattice).await;
    let mut cable = Cable::to(page.address()).await;
    let url = page.url();
    let url = url.replace(&page.address().to_string(), &cable.address().to_string());
    browser.open(&url).await;
    browser.is_live().await;
    browser.sees(&component("front")).await;

    cable.cut().await;
    browser.has("html", "data-connection", "lost").await;
    browser.reads(CONNECTION, "lost").await;
    browser.image("lost").await;
    let missed = Link::new("front", format!("{API}@0.1.0"), "back").expect("a link");
    lattice.links().put(missed).await.expect("put");
    cable.mend().await;
    browser.is_live().await;
    browser.reads(CONNECTION, "Live").await;
    browser
        .has(&link("front", API), "data-state", "active")
        .await;

    // A server that was started again doesn't know this page.
    let other = served(lattice).await;
    cable.cut().await;
    cable.lead_to(other.address()).await;
    browser.has("html", "data-connection", "refused").await;
    browser.image("refused").await;
    browser
        .has_logged_only(&["net::ERR_", "api/stream", "api/config"])
        .await;
    browser.is_sound_but_for_its_log().await;
}

async fn is_not_let_in(browser: &Browser, lattice: &Lattice) {
    let page = served(lattice).await;
    browser.open(&format!("http://{}/", page.address())).await;
    browser.misses(CONNECTION).await;
    let text = browser.value("document.body.textContent").await;
    assert!(text.as_str().is_some_and(|text| !text.trim().is_empty()));
    browser.image("not-let-in").await;
    let wrong = format!("http://{}/?token={}", page.address(), "0".repeat(64));
    browser.open(&wrong).await;
    browser.misses(CONNECTION).await;
}
