//! Which requests run again on another host when theirs is lost.

use super::{
    scene::SITE,
    site::Site,
    wire::{Wire, within},
};
use crate::{host::support::started, wait::until};
use lattice_core::{
    Lattice, bus::memory::MemoryNetwork, store::MemoryStore, wormholes::NewWormhole,
};
use lattice_host::{Host, http::Ingress};
use std::sync::{Arc, atomic::Ordering};

/// A program with an ingress, and two with the component.
struct Three {
    ingress: Host,
    _lattices: Vec<Lattice>,
    hosts: Vec<Host>,
    sites: [Site; 2],
}

impl Three {
    async fn start() -> Self {
        let (network, store) = (MemoryNetwork::new(), MemoryStore::new());
        let connect = async || {
            let bus = Arc::new(network.connect());
            let lattice = Lattice::on(bus, Arc::new(store.clone()), "test").trust_bus();
            lattice.await.expect("a lattice")
        };
        let world = connect().await;
        let ingress = Host::builder(&world).without_placement();
        let ingress = started(ingress.ingress(Ingress::http("127.0.0.1:0"))).await;
        let sites = [Site::default(), Site::default()];
        let (mut lattices, mut hosts) = (Vec::new(), Vec::new());
        for site in &sites {
            let lattice = connect().await;
            let host = Host::builder(&lattice).provider("site", site.clone());
            hosts.push(started(host).await);
            lattices.push(lattice);
        }
        let new = NewWormhole::new("site").expect("an id").host(SITE);
        let created = world.wormholes().create(new).await;
        created.expect("it is created");
        until("both hosts are known", || {
            let peers = world.peers();
            let serves = peers.iter().filter(|peer| {
                let mut ids = peer.components.keys();
                ids.any(|id| id.as_str() == "site")
            });
            serves.count() == 2
        })
        .await;
        lattices.push(world);
        Self {
            ingress,
            _lattices: lattices,
            hosts,
            sites,
        }
    }

    fn begun(&self, at: usize) -> usize {
        self.sites[at].state().begun.load(Ordering::SeqCst)
    }

    /// Sends a request without a body that is never answered, and kills the host on which it runs.
    /// Returns the connection, and which host is left.
    async fn ask_and_kill(&self, method: &str) -> (Wire, usize) {
        let mut wire = Wire::connect(self.ingress.ingress_addresses()[0]).await;
        wire.send(&format!("{method} /never HTTP/1.1\nhost: {SITE}\n\n"))
            .await;
        until("the request runs", || self.begun(0) + self.begun(1) == 1).await;
        let at = usize::from(self.begun(0) == 0);
        self.hosts[at].kill();
        (wire, 1 - at)
    }
}

#[tokio::test]
async fn a_request_that_may_run_twice_runs_again_when_its_host_is_lost() {
    let three = Three::start().await;
    let (_wire, left) = three.ask_and_kill("GET").await;
    until("it runs on the other host", || three.begun(left) == 1).await;
}

#[tokio::test]
async fn a_request_that_may_not_run_twice_fails_when_its_host_is_lost() {
    let three = Three::start().await;
    let (mut wire, left) = three.ask_and_kill("POST").await;
    let answer = within(wire.answer()).await;
    assert!((500..600).contains(&answer.status), "{answer:?}");
    assert_eq!(three.begun(left), 0, "it didn't run again");
    // The other host serves what comes next.
    assert_eq!(wire.get(SITE, "/hello").await.text(), "hello");
}
