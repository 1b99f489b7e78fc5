//! Links that are drawn: with the mouse, by keyboard alone, where they don't fit, and where the
//! target refuses them.

use crate::scene::{API, REFUSAL, Scene, TIME, served};
use lattice_core::call::CallError;
use lattice_test_browser::{
    Browser, Key, browser,
    element::{self, inlet, link, outlet},
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The button that puts a link.
const PUT: &str = "#link-dialog [type=submit]";
const DIALOG: &str = "#link-dialog[open]";
/// The deadline for what the lattice does.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_link_is_drawn_by_mouse_or_keyboard_and_carries_calls() {
    let Some(browser) = browser().await else {
        return;
    };
    let scene = Scene::new().await;
    let page = served(&scene.lattice).await;
    browser.open(&page.url()).await;
    browser.is_live().await;
    browser.sees(&outlet("front", API)).await;
    browser.sees(&inlet("back", API)).await;
    scene.call().await.expect_err("nothing links them yet");

    by_mouse(&browser, &scene).await;
    undone(&browser, &scene).await;
    by_keyboard(&browser, &scene).await;
    let walk = async {
        what_does_not_fit(&browser, &scene).await;
        what_is_refused(&browser).await;
        // Hosts report every few seconds, which have passed by now.
        what_is_called(&browser).await;
    };
    tokio::select! {
        () = walk => {}
        failed = calls(&scene) => panic!("the link grants it: {failed}"),
    }
    a_call_of_the_panel(&browser).await;
    browser.image("links").await;
    browser.is_sound().await;
    browser.is_legible().await;
}

async fn by_mouse(browser: &Browser, scene: &Scene) {
    browser
        .drag(&outlet("front", API), &inlet("back", API))
        .await;
    browser.sees(DIALOG).await;
    browser.holds("#link-target", "back").await;
    browser.image("link-dialog").await;
    browser.is_sound().await;
    browser.click(PUT).await;
    browser
        .has(&link("front", API), "data-state", "active")
        .await;
    browser.misses(DIALOG).await;
    let answer = scene.call().await.expect("the link grants it");
    assert_eq!(answer, "hello");
}

async fn undone(browser: &Browser, scene: &Scene) {
    browser.click("#undo").await;
    browser.misses(&link("front", API)).await;
    let deadline = Instant::now() + PATIENCE;
    while scene.call().await.is_ok() {
        assert!(Instant::now() < deadline, "the call is still granted");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn by_keyboard(browser: &Browser, scene: &Scene) {
    browser.press("/front").await;
    browser.holds("#search", "front").await;
    browser.sees("#matches [data-id='front']").await;
    browser.press(&Key::Enter).await;
    browser.has("#panel", "data-id", "front").await;
    browser.tab_to(&outlet("front", API)).await;
    browser.press(&Key::Enter).await;
    browser.sees(DIALOG).await;
    browser.tab_to("#link-target").await;
    browser.press("back").await;
    browser.holds("#link-target", "back").await;
    browser.tab_to(PUT).await;
    browser.press(&Key::Enter).await;
    browser
        .has(&link("front", API), "data-state", "active")
        .await;
    assert_eq!(scene.call().await.expect("the link grants it"), "hello");
}

/// Calls over the link again and again, until one fails.
async fn calls(scene: &Scene) -> CallError {
    loop {
        if let Err(failed) = scene.call().await {
            return failed;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn what_is_called(browser: &Browser) {
    let line = link("front", API);
    browser.reads(&format!("{line} .link-label"), "/s").await;
    let named = format!("{line}[aria-label*='active; '][aria-label*='/s']");
    browser.has(&named, "data-state", "active").await;
    // Nothing calls over the one that is refused, although something calls its source.
    let second = format!("[data-link^='front {API}@'][data-link$=' second']");
    let idle = format!("{second}:not([aria-label*='/s'])");
    browser.has(&idle, "data-state", "rejected").await;
}

async fn what_does_not_fit(browser: &Browser, scene: &Scene) {
    let (from, to) = (outlet("front", API), inlet("clock", TIME));
    browser.hold(&from, &to).await;
    browser.has(&to, "data-fit", "no").await;
    browser.has(&inlet("back", API), "data-fit", "yes").await;
    browser.sees(".why").await;
    browser.reads(".why", "test:shop").await;
    browser.image("link-that-does-not-fit").await;
    browser.let_go().await;
    browser.misses(DIALOG).await;
    assert_eq!(scene.lattice.links().list().len(), 1);
}

async fn what_is_refused(browser: &Browser) {
    browser
        .drag(&outlet("front", API), &inlet("strict", API))
        .await;
    browser.sees(DIALOG).await;
    browser.fill("#link-name", "second").await;
    browser.click(PUT).await;
    let second = format!("[data-link^='front {API}@'][data-link$=' second']");
    browser.has(&second, "data-state", "rejected").await;
    browser
        .reads(&format!("{second} .link-reason"), REFUSAL)
        .await;
    browser.image("link-that-is-refused").await;
}

async fn a_call_of_the_panel(browser: &Browser) {
    browser.click(&element::title("back")).await;
    browser.has("#panel", "data-id", "back").await;
    browser.click("#panel-tab-call").await;
    browser.click("#call-form [type=submit]").await;
    browser.has("#call-result", "data-outcome", "ok").await;
    browser.reads("#call-result", "hello").await;
}
