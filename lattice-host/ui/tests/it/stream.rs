//! What an open page is told.

use crate::{
    PATIENCE,
    client::{Event, Events, ask},
    lattice, serve,
};
use lattice_core::{
    Lattice,
    constellation::{Delta, View},
    link::Link,
    serve::Functions,
};
use lattice_ui::{Ui, UiServer};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, timeout};

const GREETER: &str = "example:hello/greeter@0.1.0";

/// What a page knows.
#[derive(Debug, Default)]
struct Page {
    view: View,
    ports: BTreeMap<String, Value>,
    last: String,
}

impl Page {
    fn apply(&mut self, event: Event) {
        self.last = event.id;
        let ports = event.data["ports"].as_object().cloned().unwrap_or_default();
        match event.name.as_str() {
            "snapshot" => {
                self.view = serde_json::from_value(event.data["view"].clone()).expect("a view");
                self.ports = ports.into_iter().collect();
            }
            "changes" => {
                let deltas: Vec<Delta> =
                    serde_json::from_value(event.data["deltas"].clone()).expect("deltas");
                for delta in deltas {
                    self.view.apply(delta);
                }
                for (component, ports) in ports {
                    if ports.is_null() {
                        self.ports.remove(&component);
                    } else {
                        self.ports.insert(component, ports);
                    }
                }
            }
            other => panic!("{other}"),
        }
    }

    /// Reads until `done`.
    async fn until(&mut self, events: &mut Events, done: impl Fn(&Self) -> bool) {
        let reading = async {
            while !done(self) {
                self.apply(events.next().await.expect("it goes on"));
            }
        };
        timeout(PATIENCE, reading).await.expect("in time");
    }
}

async fn link(lattice: &Lattice, name: &str) {
    let link = Link::new("front", GREETER, "greeter").and_then(|link| link.named(name));
    lattice
        .links()
        .put(link.expect("valid"))
        .await
        .expect("it is put");
}

async fn page(lattice: &Lattice) -> (UiServer, Events) {
    let page = serve(Ui::new(lattice)).await;
    let events = Events::open(&page, None).await;
    (page, events)
}

#[tokio::test]
async fn changes_lead_to_the_view_that_the_lattice_has() {
    let lattice = lattice().await;
    let (served, mut events) = page(&lattice).await;
    let mut page = Page::default();
    for n in 0..30 {
        link(&lattice, &format!("l{n}")).await;
    }
    let list = lattice.links().list();
    for entry in list.iter().take(10) {
        lattice
            .links()
            .delete(&entry.key)
            .await
            .expect("it is deleted");
    }
    let greet = |(name,): (String,)| async move { format!("Hello, {name}!") };
    let functions =
        Functions::new().export(GREETER, "greet", "func(name: string) -> string", greet);
    let functions = functions.expect("valid");
    let _greeter = lattice
        .serve("greeter", functions)
        .await
        .expect("it serves");
    page.until(&mut events, |page| {
        page.view.links.len() == 20 && !page.view.replicas.is_empty()
    })
    .await;
    // Ports are those of the types that it publishes.
    page.until(&mut events, |page| page.ports.contains_key("greeter"))
        .await;
    let port = &page.ports["greeter"]["exports"][0];
    assert_eq!(
        (&port["interface"], &port["compat"]),
        (&GREETER.into(), &"example:hello/greeter@0.1".into())
    );
    assert_eq!(port["functions"], serde_json::json!(["greet"]));

    let once = ask(&served, "GET /api/view", "").await;
    let once: Value = serde_json::from_str(once.body.trim()).expect("JSON");
    // The page goes through every state that the service has, so through this one too.
    let json = |page: &Page| serde_json::to_value(&page.view).expect("JSON");
    page.until(&mut events, |page| json(page) == once["view"])
        .await;
    assert_eq!(once["ports"]["greeter"], page.ports["greeter"]);
}

#[tokio::test]
async fn a_page_that_connects_again_gets_what_it_missed() {
    let lattice = lattice().await;
    let (served, mut events) = page(&lattice).await;
    let mut page = Page::default();
    link(&lattice, "one").await;
    page.until(&mut events, |page| page.view.links.len() == 1)
        .await;
    drop(events);
    link(&lattice, "two").await;
    let mut again = Events::open(&served, Some(&page.last)).await;
    let event = again.next().await.expect("an event");
    assert_eq!(event.name, "changes");
    page.apply(event);
    page.until(&mut again, |page| page.view.links.len() == 2)
        .await;
    let mut stranger = Events::open(&served, Some("other.1")).await;
    assert_eq!(stranger.next().await.expect("an event").name, "snapshot");
}

#[tokio::test]
async fn many_changes_make_few_events_and_arrive_soon() {
    let lattice = lattice().await;
    let (_served, mut events) = page(&lattice).await;
    let mut page = Page::default();
    link(&lattice, "first").await;
    page.until(&mut events, |page| page.view.links.len() == 1)
        .await;
    let begun = Instant::now();
    let writing = async {
        for n in 0..300 {
            link(&lattice, &format!("l{n}")).await;
        }
    };
    let mut count = 0_u32;
    let reading = async {
        while page.view.links.len() < 301 {
            page.apply(events.next().await.expect("it goes on"));
            count += 1;
        }
    };
    timeout(PATIENCE, async { tokio::join!(writing, reading) })
        .await
        .expect("in time");
    let most = begun.elapsed().as_millis() / 16 + 2;
    assert!(
        u128::from(count) <= most,
        "{count} events in {:?}",
        begun.elapsed()
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
}
