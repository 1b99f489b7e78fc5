//! Hosts that serve more than one heartbeat holds, or that can't announce all of it.

use crate::{
    nats,
    ruled_bus::{Rule, RuledBus},
    support::*,
};
use lattice_core::{
    Lattice,
    auth::LatticeKey,
    bus::memory::MemoryNetwork,
    constellation::Subject as Question,
    node::{Node, NodeOptions},
    server::ServeHandle,
    store::MemoryStore,
};
use std::sync::Arc;

/// The name of a component, 48 letters long.
fn name(at: usize) -> String {
    format!("a{at:05}-a-name-that-is-rather-long-as-people-do-it")
}

async fn serve_many(node: &Node, count: usize) -> Vec<ServeHandle> {
    let api = Arc::new(Api::default());
    let mut serving = Vec::new();
    for at in 0..count {
        serving.push(serve_as(node, &name(at), Serve(api.clone())).await);
    }
    serving
}

async fn on(network: &MemoryNetwork, store: &Arc<MemoryStore>) -> Lattice {
    let lattice = Lattice::on(Arc::new(network.connect()), store.clone(), "test");
    lattice.trust_bus().await.expect("it opens")
}

/// Waits until a lattice knows that one host serves so many components.
async fn knows(lattice: &Lattice, count: usize) {
    eventually("all that it serves is known", async || {
        let peers = lattice.peers();
        let served = peers.iter().map(|peer| peer.components.len());
        served.max() == Some(count)
    })
    .await;
}

/// Checks that a component is served, that it can be called, and that nothing is said to be wrong.
async fn works(lattice: &Lattice, component: &str) {
    let call = lattice.operator().component(component);
    let answer: String = call.call(API, "echo", ("x",)).await.expect("a result");
    assert_eq!(answer, "x");
    let why = lattice.explain(&Question::Component(id(component))).await;
    assert!(why.to_string().contains("a program serves"), "{why}");
    assert!(!why.to_string().contains("can't announce"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_host_with_thousands_of_components_is_known_with_all_of_them() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let (here, there) = (on(&network, &store).await, on(&network, &store).await);
    let node = host(&there, "many").await;
    let mut serving = serve_many(&node, 5_000).await;
    knows(&here, 5_000).await;
    works(&here, &name(4_999)).await;
    // One that starts later learns of all too.
    let late = on(&network, &store).await;
    knows(&late, 5_000).await;
    serving.truncate(10);
    knows(&here, 10).await;
}

#[tokio::test(start_paused = true)]
async fn a_bus_with_small_messages_carries_long_heartbeats() {
    let network = MemoryNetwork::with_max_payload(8 << 10);
    let store = Arc::new(MemoryStore::new());
    let (here, there) = (on(&network, &store).await, on(&network, &store).await);
    let mut options = NodeOptions::default().host("many").expect("valid");
    for at in 0..64 {
        options = options.label(&format!("label-{at}"), &"v".repeat(255));
    }
    let node = there.node(options).await.expect("it joins");
    let _serving = serve_many(&node, 300).await;
    knows(&here, 300).await;
    let peers = here.peers();
    let peer = peers.iter().find(|peer| peer.labels.len() == 64);
    assert!(peer.is_some_and(|peer| peer.labels["label-63"] == "v".repeat(255)));
    works(&here, &name(299)).await;
    let view = here.constellation().settled().await;
    let host = view.hosts.values().find(|host| host.labels.len() == 64);
    let load = host.and_then(|host| host.load.as_ref());
    let left_out = load.expect("it reports").left_out;
    assert!(
        (100..300).contains(&left_out),
        "the report fits: {left_out}"
    );
}

#[tokio::test]
async fn a_nats_server_with_small_messages_carries_long_heartbeats() {
    let config = nats::NatsConfig::default().jetstream();
    let server = config.text("max_payload: 65536").start().await;
    let key = LatticeKey::from_hex(&"5a".repeat(32)).expect("a key");
    let join = async || {
        let lattice = Lattice::connect(&*server.url(), "prod").key(key.clone());
        lattice.await.expect("it connects")
    };
    let (here, there) = (join().await, join().await);
    let node = host(&there, "many").await;
    let _serving = serve_many(&node, 1_000).await;
    knows(&here, 1_000).await;
    works(&here, &name(999)).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_heartbeat_is_refused_stays_live_and_says_why() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let lowered = RuledBus::new(network.connect());
    let there = Lattice::on(lowered.clone(), store.clone(), "test").trust_bus();
    let there = there.await.expect("it opens");
    let here = on(&network, &store).await;
    let node = host(&there, "many").await;
    let mut serving = serve_many(&node, 50).await;
    knows(&here, 50).await;

    lowered.set(Rule::Refuse { over: 1_000 });
    serving.extend([serve_as(&node, "one-more", Serve(Arc::default())).await]);
    let unsaid = async |lattice: &Lattice| {
        eventually("it says that something is missing", async || {
            let peers = lattice.peers();
            let mut hosts = peers.iter();
            hosts.any(|peer| peer.unsaid.is_some() && peer.origin == *node.origin())
        })
        .await;
        let why = lattice.explain(&Question::Component(id("one-more"))).await;
        let says = "host `many` is live and can't announce all that it serves: a message of";
        assert!(why.to_string().contains(says), "{why}");
        assert!(why.to_string().contains("`max_payload`"), "{why}");
    };
    unsaid(&here).await;
    unsaid(&there).await;
    let peers = here.peers();
    assert_eq!(
        peers.serving(&id(&name(49))).len(),
        1,
        "what was known stays"
    );
    // One that starts now knows of the host at least.
    unsaid(&on(&network, &store).await).await;

    lowered.set(Rule::Take);
    knows(&here, 51).await;
    works(&here, "one-more").await;
}
