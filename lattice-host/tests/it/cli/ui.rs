//! `lattice up --ui` in a real browser: real components, wormholes, and a host that is killed.

use super::{PATIENCE, Process, Scene, guest};
use crate::cli::wormhole::Ingress;
use lattice_test_browser::{
    Browser, browser,
    element::{component, host, inlet, link, outlet, replica, title, wormhole},
};
use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

const GREETER: &str = "example:hello/greeter";

/// A host that serves the page and wormholes.
struct Front {
    ingress: Ingress,
    /// The address of the page, with its token.
    page: String,
}

impl Scene {
    fn up_with_page(&self, id: &str) -> Front {
        let log = self.folder.path().join(id);
        let mut command = self.command(&["up", "--id", id, "--ui", "127.0.0.1:0"]);
        command
            .args(["--http", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stderr(fs::File::create(&log).expect("a log"));
        let host = Process(command.spawn().expect("starts"));
        let begun = Instant::now();
        loop {
            let logged = fs::read_to_string(&log).unwrap_or_default();
            let said = |before: &str| {
                let (_, rest) = logged.split_once(before)?;
                let (line, _) = rest.split_once('\n')?;
                line.split_whitespace().next().map(str::to_owned)
            };
            let wormholes = said("wormholes are served at http://");
            if let (Some(page), Some(address)) = (said("the page is at "), wormholes) {
                let ingress = Ingress::of(host, address.parse().expect("an address"));
                return Front { ingress, page };
            }
            assert!(begun.elapsed() < PATIENCE, "{logged}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The front desk, which has no link to the greeter, and an actor that serves HTTP.
fn manifest() -> String {
    let image = |name: &str| format!("file:{}", guest(name).display());
    format!(
        "name = \"shop\"\n[actors.front-desk]\nimage = \"{}\"\n[actors.greeter]\nimage = \"{}\"\nreplicas = 2\n\
         [actors.hello]\nimage = \"{}\"\n[providers.store]\nbuiltin = \"keyvalue-memory\"\nrun = \"once\"\n\
         [[links]]\nfrom = \"greeter\"\nto = \"store\"\ninterface = \"lattice:keyvalue/store@0.1.0\"\n",
        image("front_desk"),
        image("greeter"),
        image("hello_http"),
    )
}

#[tokio::test]
async fn real_components_are_linked_called_reached_from_outside_and_healed_by_the_page() {
    let Some(browser) = browser().await else {
        return;
    };
    let scene = Scene::new().await;
    let front = scene.up_with_page("one");
    let others = ["two", "three"].map(|id| (id, scene.up(id)));
    scene.settle(&manifest());
    browser.open(&front.page).await;
    browser.is_live().await;

    a_link_is_drawn_and_called_through(&browser).await;
    a_wormhole_is_opened_closed_and_fetched(&browser, &front.ingress).await;
    browser.image("real").await;
    browser.is_sound().await;
    a_killed_host_is_replaced(&browser, &front.page, others.into()).await;
    browser.is_sound().await;
}

async fn a_link_is_drawn_and_called_through(browser: &Browser) {
    browser
        .has(&component("greeter"), "data-state", "serving")
        .await;
    browser
        .drag(&outlet("front-desk", GREETER), &inlet("greeter", GREETER))
        .await;
    browser.holds("#link-target", "greeter").await;
    browser.click("#link-dialog [type=submit]").await;
    let link = link("front-desk", GREETER);
    browser.has(&link, "data-state", "active").await;
    browser.click(&title("front-desk")).await;
    browser.click("#panel-tab-call").await;
    browser.fill("#call-form [name=name]", "Ada").await;
    browser.click("#call-form [type=submit]").await;
    browser.has("#call-result", "data-outcome", "ok").await;
    browser.reads("#call-result", "Hello, Ada!").await;
    browser.image("real-call").await;
    // What the greeter has logged about it.
    browser.click(&title("greeter")).await;
    browser.click("#panel-tab-logs").await;
    browser.reads("#log-lines", "greeting Ada").await;
}

async fn a_wormhole_is_opened_closed_and_fetched(browser: &Browser, ingress: &Ingress) {
    ingress.until(404, "shop.localhost", "");
    browser.click("#new-wormhole").await;
    browser.choose("#wormhole-actor", "hello").await;
    browser.fill("#wormhole-host", "shop").await;
    browser.click("#wormhole-dialog [type=submit]").await;
    // Its id is made up.
    let any = "[data-wormhole][data-state=open]";
    browser.sees(any).await;
    let shown = browser
        .value(&format!("document.querySelector('{any}').dataset.wormhole"))
        .await;
    let id = shown.as_str().expect("an id");
    let fetched = ingress.until(200, "shop.localhost", "");
    assert!(fetched.contains("Hello from Rust"), "{fetched}");

    browser
        .click(&format!("{} .node-title", wormhole(id)))
        .await;
    for (action, state, status) in [("close", "closed", 404), ("open", "open", 200)] {
        browser.click(&format!("#panel [data-do={action}]")).await;
        confirmed(browser).await;
        browser.has(&wormhole(id), "data-state", state).await;
        ingress.until(status, "shop.localhost", "");
    }
}

/// Confirms what the page asks about, if it asks.
async fn confirmed(browser: &Browser) {
    let is_asked = browser
        .value("!!document.querySelector('#confirm-dialog[open]')")
        .await;
    if is_asked == true {
        browser.click("#confirm-yes").await;
    }
}

/// Checks that a card says in words that its host is silent, and since when.
async fn is_silent(browser: &Browser, id: &str) {
    let card = host(id);
    browser.has(&card, "data-state", "silent").await;
    browser.has(&card, "data-problems", "silent").await;
    let badges = format!("{card} .badges");
    browser.reads(&badges, "silent: last heard at ").await;
}

async fn a_killed_host_is_replaced(browser: &Browser, page: &str, others: Vec<(&str, Process)>) {
    browser.click("#tab-infrastructure").await;
    for id in ["one", "two", "three"] {
        browser.has(&host(id), "data-state", "live").await;
        let figures = format!("{} .figures", host(id));
        for figure in [
            "Components use",
            concat!("Release", env!("CARGO_PKG_VERSION")),
        ] {
            browser.reads(&figures, figure).await;
        }
    }
    let serving = "Array.from(document.querySelectorAll(\
        '[data-replica=greeter][data-phase=serving]'), (it) => it.dataset.on)";
    browser
        .until("two serve", &format!("({serving}).length === 2"))
        .await;
    browser.image("hosts").await;
    let on = browser.value(serving).await;
    let on: Vec<&str> = on
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|id| id.as_str())
        .collect();
    // The first host serves the page. One of the others has a replica.
    let (dies, lives): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|(id, _)| on.iter().rfind(|on| **on != "one") == Some(id));
    let (dead, mut process) = dies.into_iter().next().expect("one of them serves");
    process.0.kill().expect("kill -9");
    browser.misses(&replica("greeter", dead)).await;
    browser
        .until(
            "two serve again",
            &format!("({serving}).filter((it) => it !== '{dead}').length === 2"),
        )
        .await;
    browser.image("hosts-healed").await;
    is_silent(browser, dead).await;
    // A page that is opened only now shows it too.
    browser.open(page).await;
    browser.is_live().await;
    browser.click("#tab-infrastructure").await;
    is_silent(browser, dead).await;
    drop(lives);
}
