//! Hosts that keep their share of desired state running, in one process, with a simulated clock and
//! a runtime of closures.

mod apps;
mod cut;
mod denied;
mod hosts;
mod leases;
mod lost_leases;
mod metrics;
mod once;
mod outages;
mod paused;
mod strangers;
mod unreadable;

use crate::{
    nats,
    who::{self, Fake, Record, Trouble, WHO},
};
use lattice_core::{
    Lattice,
    agent::{Agent, AgentOptions},
    app::App,
    auth::LatticeKey,
    bus::memory::MemoryNetwork,
    name::{ComponentId, HostId},
    node::{Node, NodeOptions},
    store::MemoryStore,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// A lattice in this process and its hosts.
struct Mesh {
    lattice: Lattice,
    record: Record,
    live: Arc<AtomicUsize>,
}

struct Host {
    node: Node,
    agent: Agent,
}

impl Mesh {
    async fn new() -> Self {
        Self {
            lattice: Lattice::in_memory("dev").await.expect("it opens"),
            record: Record::default(),
            live: Arc::default(),
        }
    }

    /// Returns a mesh on this store.
    async fn on(store: &MemoryStore) -> Self {
        Self::between(&MemoryNetwork::new(), store).await
    }

    /// Returns a process of its own on this bus and this store.
    async fn between(network: &MemoryNetwork, store: &MemoryStore) -> Self {
        let bus = Arc::new(network.connect());
        let key = LatticeKey::from_hex(&"01".repeat(32)).expect("a key");
        let lattice = Lattice::on(bus, Arc::new(store.clone()), "dev").key(key);
        Self {
            lattice: lattice.await.expect("it opens"),
            ..Self::new().await
        }
    }

    async fn host(&self, id: &str) -> Host {
        self.labelled(id, &[]).await
    }

    async fn labelled(&self, id: &str, labels: &[(&str, &str)]) -> Host {
        let host = HostId::new(id).expect("valid");
        let mut options = NodeOptions::default().host(&host).expect("valid");
        for (name, value) in labels {
            options = options.label(name, value);
        }
        let node = self.lattice.node(options).await.expect("it joins");
        let runtime = Fake {
            host,
            record: self.record.clone(),
            live: self.live.clone(),
        };
        let mut options = AgentOptions::default();
        options.listen = Duration::ZERO;
        let agent = Agent::start(&node, Arc::new(runtime), options);
        Host { node, agent }
    }

    async fn hosts<const N: usize>(&self) -> [Host; N] {
        let mut hosts = Vec::new();
        for n in 0..N {
            hosts.push(self.host(&format!("h{n}")).await);
        }
        self.counted(N).await;
        hosts.try_into().map_err(|_| "as many").expect("as many")
    }

    /// Waits until `count` hosts are live and take part in placement.
    async fn counted(&self, hosts: usize) {
        self.until("the hosts are known", || {
            self.lattice.peers().iter().count() == hosts
        })
        .await;
        sleep(Duration::from_secs(4)).await;
    }

    async fn apply(&self, text: &str) {
        let app = App::from_toml("app.toml", text).expect("a manifest");
        self.lattice.apply(&app).await.expect("applied");
    }

    /// Returns the hosts on which a component serves, with their numbers of replicas.
    fn serving(&self, component: &str) -> BTreeMap<String, u32> {
        let id = ComponentId::new(component).expect("valid");
        let peers = self.lattice.peers();
        let on = |peer: &Arc<lattice_core::membership::Peer>| {
            peer.components
                .contains_key(&id)
                .then(|| (peer.origin.host.to_string(), 1))
        };
        peers.iter().filter_map(on).collect()
    }

    async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let waited = timeout(Duration::from_secs(120), async {
            while !holds() {
                sleep(Duration::from_millis(10)).await;
            }
        });
        let held = waited.await.is_ok();
        assert!(
            held,
            "timed out waiting until {what}: {:?}",
            self.record.all()
        );
    }

    async fn call(&self, component: &str) -> Result<String, lattice_core::call::CallError> {
        self.lattice
            .operator()
            .component(component)
            .call(WHO, "who", ())
            .await
    }

    /// Calls continuously while `during` runs. All calls must succeed.
    async fn called_without_failure<T>(
        &self,
        component: &str,
        during: impl Future<Output = T>,
    ) -> T {
        let calls = async {
            loop {
                let answer = self.call(component).await;
                assert!(answer.is_ok(), "{answer:?}: {:?}", self.record.all());
                sleep(Duration::from_millis(3)).await;
            }
        };
        tokio::select! {
            never = calls => never,
            done = during => done,
        }
    }
}

fn greeter(image: &str, replicas: u32) -> String {
    format!(
        "name = \"shop\"\n[actors.greeter]\nimage = \"reg.example/{image}\"\nreplicas = {replicas}\n"
    )
}
