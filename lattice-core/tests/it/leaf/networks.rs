//! One lattice over a hub and an edge with its own JetStream behind a leaf node.

use super::{
    nats::{NatsConfig, NatsServer, free_address},
    proxy::{Flow, Proxy},
    *,
};
use lattice_core::{
    call::{Context, FunctionRef},
    name::{FunctionName, InterfaceName, LinkName},
};

/// The configuration of the hub's server, as `docs/leaf-nodes.md` shows it.
const HUB: &str = r#"server_name: hub
jetstream { store_dir: "/var/lib/nats", domain: hub }
leafnodes { listen: "0.0.0.0:7422" }
"#;

/// The configuration of the leaf node.
const EDGE: &str = r#"server_name: edge
jetstream { store_dir: "/var/lib/nats", domain: edge }
leafnodes { remotes: [{ url: "nats://hub.example:7422" }] }
"#;

const SHOP: &str = r#"name = "shop"
external = ["visitor"]

[actors.office]
image = "reg.example/office:1"
replicas = 2
require = { site = "hub" }

[actors.till]
image = "reg.example/till:1"
replicas = 2
require = { site = "edge" }

[actors.shelf]
image = "reg.example/shelf:1"
replicas = 2
spread = [{ label = "site" }]

[[links]]
from = "visitor"
to = "till"
interface = "test:who/who@0.1.0"
"#;

/// An actor that the hub adds while the edge is disconnected.
const SIGN: &str = r#"
[actors.sign]
image = "reg.example/sign:1"
replicas = 2
require = { site = "edge" }
"#;

/// Both servers and the connection between them.
struct Networks {
    hub: NatsServer,
    edge: NatsServer,
    line: Proxy,
}

impl Networks {
    async fn start() -> Self {
        let leaves = free_address();
        // A hub sends its own address to its leaf nodes, which would then bypass the proxy.
        let only = format!("{leaves}\", no_advertise: true");
        let hub = HUB.replace("0.0.0.0:7422\"", &only);
        let hub = hub.replace("/var/lib/nats", "$DIR/js");
        let hub = NatsConfig::default().text(&hub).start().await;
        let line = Proxy::before(leaves).await;
        let edge = EDGE.replace("nats://hub.example:7422", &line.url());
        let edge = edge.replace("/var/lib/nats", "$DIR/js");
        let edge = NatsConfig::default().text(&edge).start().await;
        Self { hub, edge, line }
    }

    fn to_hub(&self) -> NatsOptions {
        NatsOptions::new(self.hub.url())
    }

    fn to_edge(&self) -> NatsOptions {
        NatsOptions::new(self.edge.url()).jetstream_domain("hub")
    }

    /// Cuts the connection: no bytes pass any more.
    fn cut(&self) {
        self.line.cut();
        self.line.requests(Flow::Swallow);
        self.line.answers(Flow::Swallow);
    }

    /// Restores the connection: new connections work.
    fn mend(&self) {
        self.line.cut();
    }

    /// Until the leaf node has found the hub, requests to its domain have no responders.
    async fn joined(&self) {
        let connection = self.to_edge().connect().await.expect("the leaf node");
        let lattice = lattice_core::name::LatticeName::new("first").expect("a name");
        let options = lattice_core::nats::NatsStoreOptions::new(&lattice);
        until(
            "the hub's JetStream is reachable from the edge",
            async || {
                let store = lattice_core::nats::NatsStore::open(&connection, options.clone());
                store.await.is_ok()
            },
        )
        .await;
    }
}

async fn visit(lattice: &Lattice, source: &str) -> Result<bytes::Bytes, CallError> {
    let caller = lattice.caller(source).expect("an id");
    let interface = InterfaceName::new(WHO).expect("an interface");
    let function = FunctionName::new("who").expect("a function");
    let function = FunctionRef::new(interface, function, "func() -> string");
    let (link, context) = (LinkName::default(), Context::default());
    caller
        .invoke_via(&function, &link, bytes::Bytes::new(), context)
        .await
}

/// Waits until all processes see all hosts on both sides.
async fn is_one(lattices: [&Lattice; 4]) {
    for lattice in lattices {
        until("all processes see all hosts", async || {
            lattice.peers().iter().count() == 4
        })
        .await;
        until("everything serves where it should", async || {
            let shelf = serving(lattice, "shelf");
            let sites: BTreeSet<_> = shelf.iter().map(|host| &host[..1]).collect();
            serving(lattice, "office") == hosts(&["h1", "h2"])
                && serving(lattice, "till") == hosts(&["e1", "e2"])
                && (shelf.len(), sites.len()) == (2, 2)
        })
        .await;
        let answer = call(lattice, "till").await.expect("a result");
        assert!(answer.starts_with('e'), "{answer}");
        let answer = call(lattice, "office").await.expect("a result");
        assert!(answer.starts_with('h'), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_networks_form_one_lattice_and_each_works_without_the_other() {
    let networks = Networks::start().await;
    networks.joined().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let h1 = Process::start("h1", "hub", networks.to_hub(), None).await;
    let h2 = Process::start("h2", "hub", networks.to_hub(), None).await;
    let e1 = Process::start("e1", "edge", networks.to_edge(), Some(&one)).await;
    let e2 = Process::start("e2", "edge", networks.to_edge(), Some(&two)).await;
    apply(&h1.lattice, SHOP).await;
    is_one([&h1.lattice, &h2.lattice, &e1.lattice, &e2.lattice]).await;
    visit(&h1.lattice, "visitor").await.expect("granted");
    // Processes outside of the hosts call continuously on both sides.
    let at_hub = join(networks.to_hub(), None).await;
    let at_edge = join(networks.to_edge(), None).await;
    let calls = [
        Calls::of(&at_hub, "office").await,
        Calls::of(&at_edge, "till").await,
        Calls::across(&at_hub, "shelf").await,
        Calls::across(&at_edge, "shelf").await,
    ];

    networks.cut();
    until("the edge is without the store", async || {
        e1.state() == ReplicaState::Lost && e2.state() == ReplicaState::Lost
    })
    .await;
    until("each side is without the other", async || {
        h1.lattice.peers().iter().count() == 2 && e2.lattice.peers().iter().count() == 2
    })
    .await;
    assert!(call(&h1.lattice, "office").await.is_ok());
    assert!(call(&e2.lattice, "till").await.is_ok());
    call(&e2.lattice, "office")
        .await
        .expect_err("it runs only in the hub");
    apply(&h1.lattice, &format!("{SHOP}{SIGN}")).await;

    let before = e1.node.origin().clone();
    e1.leave().await;
    until("the other host sees it leave", async || {
        !e2.lattice.peers().contains(&before)
    })
    .await;
    let e1 = Process::start("e1", "edge", networks.to_edge(), Some(&one)).await;
    let from = e1.state();
    assert!(matches!(from, ReplicaState::Snapshot { .. }), "{from:?}");
    until("it has its share again", async || {
        e1.serves().contains("till") && serving(&e2.lattice, "till") == hosts(&["e1", "e2"])
    })
    .await;
    let answer = call(&e1.lattice, "till").await.expect("a result");
    assert!(answer.starts_with("e1 "), "a host's own replica: {answer}");
    visit(&e1.lattice, "visitor").await.expect("granted");
    let refused = visit(&e1.lattice, "unlinked").await;
    assert!(
        matches!(refused, Err(CallError::NotLinked { .. })),
        "{refused:?}"
    );
    assert_eq!(e1.state(), from, "all of this happened without the store");

    networks.mend();
    until("the edge has the store", async || {
        [&e1, &e2].map(Process::state) == [ReplicaState::Following; 2]
    })
    .await;
    is_one([&h1.lattice, &h2.lattice, &e1.lattice, &e2.lattice]).await;
    until("the app that was applied meanwhile runs", async || {
        serving(&h1.lattice, "sign") == hosts(&["e1", "e2"])
    })
    .await;
    call(&h2.lattice, "sign").await.expect("a result");
    for calls in calls {
        calls.all_succeeded().await;
    }
}

#[test]
fn the_docs_contain_the_tested_configurations() {
    let docs = include_str!("../../../docs/leaf-nodes.md");
    for config in [HUB, EDGE] {
        assert!(docs.contains(config), "the page lacks:\n{config}");
    }
}
