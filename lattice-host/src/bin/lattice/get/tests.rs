//! Tests of the lists.

use super::*;
use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture};
use lattice_core::{
    agent::{Agent, AgentOptions, Prepared, Runtime, RuntimeError, Work, WorkItem},
    app::App,
    bus::memory::MemoryNetwork,
    link::Link,
    name::{FunctionName, InterfaceName},
    node::NodeOptions,
    serve::{Answer, Request, Service},
    server::ServeLimits,
    store::{Expect, MemoryStore, Op, Store as _},
    types::{ComponentTypes, InterfaceTypes},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

#[tokio::test]
async fn declared_resources_are_listed() {
    let lattice = Lattice::in_memory("dev").await.expect("in memory");
    let manifest = "name = \"shop\"\nversion = \"7\"\n[actors.greeter]\nimage = \"oci:ghcr.io/shop/greeter@sha256:0000000000000000000000000000000000000000000000000000000000000000\"\nreplicas = 3\n";
    let app = App::from_toml("shop.toml", manifest).expect("a manifest");
    lattice.apply(&app).await.expect("applies");
    let link = Link::new("desk", "a:b/c@1.0.0", "greeter").expect("a link");
    lattice.links().put(link).await.expect("links");

    let (headings, rows) = actors(&lattice);
    assert_eq!(headings.len(), rows[0].len());
    assert_eq!(rows[0][..4], ["greeter", "shop", "3", "0"]);
    let (_, rows) = apps(&lattice);
    assert_eq!(rows, [["shop", "7", "1", ""]]);
    let (headings, rows) = links(&lattice);
    assert_eq!(headings.len(), rows[0].len());
    assert_eq!(
        rows,
        [["desk", "a:b/c@1.0.0", "default", "greeter", "", "pending"]]
    );
}

#[tokio::test]
async fn unreadable_components_are_listed_as_frozen() {
    let store = MemoryStore::new();
    let bus = Arc::new(MemoryNetwork::new().connect());
    let lattice = Lattice::on(bus, Arc::new(store.clone()), "dev").trust_bus();
    let lattice = lattice.await.expect("joins");
    let manifest = "name = \"shop\"\n[actors.greeter]\nimage = \"ghcr.io/shop/greeter:1\"\nconfigs = [\"common\"]\n[providers.kv]\nbuiltin = \"keyvalue\"\n[configs.common]\na = \"b\"\n";
    let app = App::from_toml("shop.toml", manifest).expect("a manifest");
    lattice.apply(&app).await.expect("applies");
    assert_eq!(actors(&lattice).1[0][5], "");
    let spoil = async |key: &str| {
        let key = StoreKey::from_store(key);
        let op = Op::put(key.clone(), "garbage", Expect::Any);
        store.commit(vec![op]).await.expect("written");
        let mut follow = lattice.watch_desired();
        while !lattice.desired().unreadable.contains_key(&key) {
            follow.next().await.expect("open");
        }
    };
    for key in [
        "config.common",
        "provider.kv",
        "app.shop",
        "actor.new",
        "provider.other",
    ] {
        spoil(key).await;
    }
    let notes = |(_, rows): Listing| -> Vec<(String, String)> {
        let note = |row: Vec<String>| (row[0].clone(), row.last().cloned().unwrap_or_default());
        rows.into_iter().map(note).collect()
    };
    let frozen = |id: &str| (id.to_owned(), FROZEN.to_owned());
    assert_eq!(notes(actors(&lattice)), [frozen("greeter"), frozen("new")]);
    assert_eq!(notes(providers(&lattice)), [frozen("kv"), frozen("other")]);
    assert_eq!(notes(apps(&lattice)), [frozen("shop")]);
}

#[tokio::test]
async fn live_hosts_are_listed_with_their_labels() {
    let lattice = Lattice::in_memory("dev").await.expect("in memory");
    let options = NodeOptions::default().host("h1").expect("an id");
    let options = options.label("zone", "a");
    let _node = lattice.node(options).await.expect("joins");
    // The first heartbeat of the node may not have arrived yet.
    let heard = async {
        while hosts(&lattice).1.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), heard)
        .await
        .expect("is heard");
    assert_eq!(hosts(&lattice).1, [["h1", "zone=a", "", ""]]);
}

/// Waits, on a simulated clock, until a list has these rows.
async fn until(list: impl Fn() -> Listing, holds: impl Fn(&[Vec<String>]) -> bool) {
    let waited = timeout(Duration::from_mins(10), async {
        while !holds(&list().1) {
            sleep(Duration::from_millis(10)).await;
        }
    });
    let held = waited.await.is_ok();
    assert!(held, "{:?}", list().1);
}

#[tokio::test(start_paused = true)]
async fn a_host_on_another_store_is_listed_with_a_note() {
    let network = MemoryNetwork::new();
    let join = async || {
        let bus = Arc::new(network.connect());
        let lattice = Lattice::on(bus, Arc::new(MemoryStore::new()), "dev").trust_bus();
        lattice.await.expect("joins")
    };
    let (here, there) = (join().await, join().await);
    let options = |id: &str| NodeOptions::default().host(id).expect("an id");
    let _one = here.node(options("h1")).await.expect("joins");
    let _two = there.node(options("h2")).await.expect("joins");
    for (lattice, notes) in [
        (&here, ["", "another store"]),
        (&there, ["another store", ""]),
    ] {
        let [one, two] = notes;
        until(
            || hosts(lattice),
            |rows| rows == [["h1", "", "", one], ["h2", "", "", two]],
        )
        .await;
    }
}

/// Runs every image but those with `broken` in their names.
struct Fake;

impl Runtime for Fake {
    fn prepare(&self, item: Arc<WorkItem>) -> BoxFuture<'_, Result<Prepared, RuntimeError>> {
        Box::pin(async move {
            match &item.work {
                Work::Actor { image, .. } if !image.to_string().contains("broken") => {
                    Ok(Prepared {
                        service: Arc::new(Nothing),
                        limits: ServeLimits::default(),
                    })
                }
                _ => Err(RuntimeError::new("it is broken; fix it")),
            }
        })
    }
}

struct Nothing;

impl Service for Nothing {
    fn types(&self) -> Arc<ComponentTypes> {
        let mut functions = InterfaceTypes::default();
        let name = FunctionName::new("f").expect("a name");
        functions.functions.insert(name, "func()".to_owned());
        let mut types = ComponentTypes::default();
        let interface = InterfaceName::new("a:b/c@1.0.0").expect("a name");
        types.exports.insert(interface, functions);
        Arc::new(types)
    }

    fn call(&self, _: Request) -> Answer {
        Answer::Ready(Ok(Bytes::new()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_was_rolled_back_is_listed_with_its_reason_and_what_runs_instead() {
    let lattice = Lattice::in_memory("dev").await.expect("in memory");
    let node = lattice.node(NodeOptions::default()).await.expect("joins");
    let mut options = AgentOptions::default();
    options.listen = Duration::ZERO;
    let _agent = Agent::start(&node, Arc::new(Fake), options);
    let apply = async |image: &str| {
        let manifest =
            format!("name = \"shop\"\n[actors.greeter]\nimage = \"reg.example/{image}\"\n");
        let app = App::from_toml("shop.toml", &manifest).expect("a manifest");
        lattice.apply(&app).await.expect("applies");
    };
    apply("greeter:1").await;
    // The columns of what serves and of the note.
    until(
        || actors(&lattice),
        |rows| rows[0][3] == "1" && rows[0][5].is_empty(),
    )
    .await;
    apply("broken:2").await;
    let runs = "runs 1 of oci:reg.example/greeter:1";
    until(|| actors(&lattice), |rows| rows[0][5] == runs).await;
    let back = format!("{runs}; rolled back: it is broken; fix it");
    until(|| actors(&lattice), |rows| rows[0][5] == back).await;
    assert!(actors(&lattice).1[0][4].ends_with("broken:2"));

    // A version that starts replaces both.
    apply("greeter:3").await;
    until(
        || actors(&lattice),
        |rows| rows[0][3] == "1" && rows[0][5].is_empty(),
    )
    .await;
}
