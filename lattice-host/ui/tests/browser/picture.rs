//! The picture of the page, which is kept as `target/ui/lattice.svg`: that of `docs/page.svg`.

use crate::scene::{Program, served, version_of};
use lattice_core::{
    Lattice,
    app::App,
    constellation::{ComponentStatus, Phase},
    name::ComponentId,
    node::{Node, NodeOptions},
    server::{ServeHandle, ServeLimits},
};
use lattice_test_browser::{
    Browser, browser,
    element::{component, link, wormhole},
};
use serde_json::Value;
use std::{fs, path::Path, sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::interval};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/ui/lattice.svg");
/// As much as a README may load.
const MOST_BYTES: usize = 150_000;
const GREETER: &str = "example:hello/greeter";
const HTTP: &str = "lattice:http/handler";
const KEYS: &str = "lattice:keyvalue/store";
const BLOBS: &str = "lattice:blobstore/store";
const REFUSAL: &str = "there is no bucket `photos`; create it, or name another one";
const HELLO: &str = r#"name = "hello"
external = ["web"]
[actors.front]
image = "ghcr.io/acme/front:1.4"
replicas = 2
[actors.greeter]
image = "ghcr.io/acme/greeter:1.4"
replicas = 2
[providers.visits]
builtin = "keyvalue-redis"
[providers.photos]
builtin = "blobstore-s3"
[[links]]
from = "web"
to = "greeter"
interface = "example:hello/greeter@0.1.0"
[[links]]
from = "front"
to = "greeter"
interface = "example:hello/greeter@0.1.0"
[[links]]
from = "front"
to = "visits"
interface = "lattice:keyvalue/store@0.1.0"
[[links]]
from = "front"
to = "photos"
interface = "lattice:blobstore/store@0.1.0"
[wormholes.hello]
actor = "front"
host = "hello.example.com"
"#;
const SEEN: &str = "The page shows an app: a wormhole leads to the actor front, which is linked to \
    the actor greeter and to two providers. The link to photos is refused.";
/// What the picture names.
const NAMES: [&str; 8] = [
    "front",
    "greeter",
    "visits",
    "photos",
    "web",
    "hello",
    "✕ refused",
    "there is no bucket",
];
/// Keeps what the page would have downloaded: a download of this browser would go to a folder of
/// the machine.
const CATCH: &str = "(() => {
    window.caught = {};
    const make = URL.createObjectURL;
    URL.createObjectURL = (blob) => { window.caught.blob = blob; return make.call(URL, blob); };
    HTMLAnchorElement.prototype.click = function () { window.caught.name = this.download; };
    return true;
})()";

#[tokio::test]
async fn a_picture_of_the_page_names_everything_and_needs_nothing_else() {
    let Some(browser) = browser().await else {
        return;
    };
    let lattice = Lattice::in_memory("hello").await.expect("a lattice");
    let page = served(&lattice).await;
    browser.resize(1192, 650).await;
    browser.open(&page.url()).await;
    browser.is_live().await;
    nothing_to_draw(&browser).await;

    let hosts = Hosts::new(&lattice).await;
    let (keys, blobs) = (link("front", KEYS), link("front", BLOBS));
    for active in [&link("web", GREETER), &link("front", GREETER), &keys] {
        browser.has(active, "data-state", "active").await;
    }
    browser.has(&blobs, "data-state", "rejected").await;
    browser.has(&wormhole("hello"), "data-state", "open").await;
    for id in ["front", "greeter", "visits", "photos", "web"] {
        browser.has(&component(id), "data-state", "serving").await;
    }
    hosts.report();
    browser.reads(&format!("{keys} .link-label"), "/s").await;
    browser.is_live().await;

    browser.image("picture").await;
    let name = browser.value("document.title").await;
    let of_view = exported(&browser).await;
    check(&browser, &of_view, &NAMES).await;
    browser.click("#export-dialog .cancel").await;
    browser.misses("#export-dialog").await;
    let of_page = browser
        .answer(&format!(
            "import(new URL('js/view/picture.js', document.baseURI).href).then((it) => \
             it.pictureOf(document.body, {{ title: document.title, description: '{SEEN}' }}))"
        ))
        .await;
    let of_page = of_page.as_str().expect("a text").to_owned();
    check(&browser, &of_page, &["Infrastructure", "Live", "greeter"]).await;
    assert!(of_page.contains(name.as_str().expect("a title")));
    fs::write(Path::new(FILE), of_page).expect("the picture is written");

    // A picture of what isn't in sight has the same texts.
    for _ in 0..6 {
        browser.click("#zoom-out").await;
    }
    check(&browser, &exported(&browser).await, &NAMES).await;
    browser.image("picture-export").await;
    browser.is_sound().await;
    browser.is_legible().await;
}

async fn nothing_to_draw(browser: &Browser) {
    browser.sees("#empty").await;
    browser.click("#export").await;
    browser
        .until(
            "there is nothing to draw",
            "document.querySelector('#export-picture').disabled",
        )
        .await;
    browser
        .reads("#export-picture-help", "There is no picture")
        .await;
    browser.click("#export-dialog .cancel").await;
    browser.misses("#export-dialog").await;
}

/// Returns the file that the dialog offers.
async fn exported(browser: &Browser) -> String {
    browser.value(CATCH).await;
    browser.click("#export").await;
    browser.sees("#export-dialog[open]").await;
    browser.click("#export-picture").await;
    browser.until("it is made", "!!window.caught.blob").await;
    assert_eq!(browser.value("window.caught.name").await, "lattice.svg");
    assert_eq!(
        browser.value("window.caught.blob.type").await,
        "image/svg+xml"
    );
    let text = browser.answer("window.caught.blob.text()").await;
    text.as_str().expect("a text").to_owned()
}

/// Checks that a picture is well-formed, has these texts, and refers to nothing.
async fn check(browser: &Browser, picture: &str, names: &[&str]) {
    let text = Value::from(picture);
    let parsed = browser
        .value(&format!(
            "((it) => it.querySelector('parsererror') ? 'malformed' : it.documentElement.localName)\
             (new DOMParser().parseFromString({text}, 'image/svg+xml'))"
        ))
        .await;
    assert_eq!(parsed, "svg", "{picture}");
    for part in ["<title>", "<desc>", "<path ", "<rect "] {
        assert!(picture.contains(part), "{part}: {picture}");
    }
    for name in names {
        assert!(
            picture.contains(&format!(">{name}")),
            "{name} isn't in the picture: {picture}"
        );
    }
    let lower = picture.to_lowercase();
    for part in [
        "<foreignobject",
        "<script",
        "<style",
        "<image",
        "<use",
        "href",
        "@import",
    ] {
        assert!(!lower.contains(part), "{part}: {picture}");
    }
    assert_eq!(lower.matches("http://").count(), 1, "{picture}");
    assert_eq!(lower.matches("https://").count(), 0, "{picture}");
    assert!(picture.len() <= MOST_BYTES, "{} bytes", picture.len());
}

/// Two hosts that serve an app, and calls between its components.
struct Hosts {
    red: Node,
    _blue: Node,
    _serving: Vec<ServeHandle>,
    _calls: JoinSet<()>,
}

impl Hosts {
    async fn new(lattice: &Lattice) -> Self {
        let [red, blue] = ["red", "blue"].map(|id| NodeOptions::default().host(id).expect("an id"));
        let red = lattice.node(red).await.expect("it joins");
        let blue = lattice.node(blue).await.expect("it joins");
        let mut serving = Vec::new();
        for (node, id, program) in [
            (&red, "front", front()),
            (&blue, "front", front()),
            (&red, "greeter", Program::default().exports(GREETER)),
            (&blue, "greeter", Program::default().exports(GREETER)),
            (&red, "visits", Program::default().exports(KEYS)),
            (
                &blue,
                "photos",
                Program::default().exports(BLOBS).refuses(REFUSAL),
            ),
            (&blue, "web", Program::default().imports(GREETER)),
        ] {
            let served = node.serve(id, Arc::new(program), ServeLimits::default());
            serving.push(served.await.expect("it serves"));
        }
        let app = App::from_toml("hello.toml", HELLO).expect("a manifest");
        lattice.apply(&app).await.expect("it is applied");
        let mut calls = JoinSet::new();
        for (source, interface) in [("front", KEYS), ("front", GREETER), ("web", GREETER)] {
            let caller = red.caller(source).expect("an id");
            calls.spawn(async move {
                let mut beats = interval(Duration::from_millis(10));
                loop {
                    beats.tick().await;
                    // Its link may not be there yet.
                    let _: Result<String, _> =
                        caller.call(version_of(interface), "greet", ()).await;
                }
            });
        }
        Self {
            red,
            _blue: blue,
            _serving: serving,
            _calls: calls,
        }
    }

    /// A change of a status is reported soon, together with the counts of calls.
    fn report(&self) {
        let visits = ComponentId::new("visits").expect("an id");
        let status = ComponentStatus::new(Phase::Serving).generation(1);
        self.red.set_status(&visits, status);
    }
}

fn front() -> Program {
    let program = Program::default().exports(HTTP);
    [GREETER, KEYS, BLOBS]
        .into_iter()
        .fold(program, Program::imports)
}
