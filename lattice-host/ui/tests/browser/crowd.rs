//! As much as the page has to be usable with.

use crate::scene::served;
use lattice_test_browser::{
    Key, browser,
    crowd::{Crowd, HOSTS},
    element::{component, host},
    paint::{Marks, quantile},
};
use std::time::Duration;

/// More elements than this on the canvas would make the browser slow.
const MOST: u64 = 450;
/// Far more than a change takes on an idle machine. The row `ui.delta.p95_ms` of the bench has the
/// bar.
const USABLE: Duration = Duration::from_millis(500);

#[tokio::test]
async fn two_thousand_components_on_three_hundred_hosts_stay_usable() {
    let Some(browser) = browser().await else {
        return;
    };
    let crowd = Crowd::new().await.expect("a large lattice");
    let page = served(&crowd.lattice).await;
    browser.watch_marks().await;
    browser.open(&page.url()).await;
    browser.is_live().await;
    browser
        .has("[data-app='app-0']", "data-collapsed", "true")
        .await;
    browser.image("crowd").await;

    browser.press("/component-1234").await;
    browser.sees("#matches [data-id='component-1234']").await;
    browser.press(&Key::Enter).await;
    browser.has("#panel", "data-id", "component-1234").await;
    browser.sees(&component("component-1234")).await;
    browser.image("crowd-found").await;
    let shown = browser.count(".node, .group").await;
    assert!(shown <= MOST, "{shown} elements are on the canvas");

    let mut marks = Marks::default();
    crowd.change(&mut marks, 50, 50).await.expect("changed");
    let times = marks.painted(&browser).await;
    let p95 = quantile(&times, 0.95);
    println!("from a change to its picture: {p95:?} at p95");
    assert!(p95 <= USABLE, "{times:?}");

    browser.click("#tab-infrastructure").await;
    browser.has("html", "data-view", "infrastructure").await;
    browser.sees(&host("host-0")).await;
    browser.image("crowd-hosts").await;
    browser.choose("#group-by", "label:zone").await;
    // A letter would choose an option of the list.
    browser.click("#tab-infrastructure").await;
    browser.press(&format!("/host-{}", HOSTS - 1)).await;
    browser.press(&Key::Enter).await;
    browser.sees(&host(&format!("host-{}", HOSTS - 1))).await;
    browser.is_sound().await;
}
