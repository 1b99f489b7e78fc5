//! A lease holder that is partitioned from the others stops by itself, before another host replies.

use super::*;
use lattice_core::{
    bus::memory::MemoryNetwork,
    call::{CallError, Ran},
    store::MemoryStore,
};
use lattice_sim::fault::{FaultBus, FaultStore};
use std::sync::Mutex;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

const APP: &str = "name = \"shop\"\n[providers.ledger]\nbuiltin = \"ledger\"\nrun = \"once\"\n";

/// A host with its own connections to the bus and to the store.
struct Apart {
    lattice: Lattice,
    bus: Arc<FaultBus>,
    store: FaultStore,
    agent: Agent,
    _node: Node,
}

/// The times of successful calls, and the host that replied.
type Answers = Arc<Mutex<Vec<(Instant, String)>>>;

impl Apart {
    async fn join(name: &str, network: &MemoryNetwork, store: &MemoryStore) -> Self {
        let bus = Arc::new(FaultBus::new(Arc::new(network.connect()), 1));
        let store = FaultStore::new(Arc::new(store.clone()), 1);
        let lattice = Lattice::on(bus.clone(), Arc::new(store.clone()), "dev");
        let lattice = lattice.trust_bus().await.expect("it joins");
        let host = HostId::new(name).expect("valid");
        let options = NodeOptions::default().host(&host).expect("valid");
        let node = lattice.node(options).await.expect("it joins");
        let runtime = Fake {
            host,
            record: Record::default(),
            live: Arc::default(),
        };
        let agent = Agent::start(&node, Arc::new(runtime), AgentOptions::default());
        Self {
            lattice,
            bus,
            store,
            agent,
            _node: node,
        }
    }

    async fn call(&self) -> Result<String, CallError> {
        self.lattice
            .operator()
            .component("ledger")
            .call(WHO, "who", ())
            .await
    }

    /// Calls continuously from this host.
    fn calls(&self) -> (Answers, AbortOnDropHandle<()>) {
        let answers = Answers::default();
        let (lattice, noted) = (self.lattice.clone(), answers.clone());
        let task = tokio::spawn(async move {
            loop {
                let begun = Instant::now();
                let call = lattice.operator().component("ledger").call(WHO, "who", ());
                let answer: Result<String, CallError> = call.await;
                assert!(begun.elapsed() < Duration::from_secs(3), "{answer:?}");
                if let Ok(answer) = answer {
                    let mut noted = noted.lock().expect("not poisoned");
                    noted.push((Instant::now(), answer));
                }
                sleep(Duration::from_millis(5)).await;
            }
        });
        (answers, AbortOnDropHandle::new(task))
    }
}

/// Starts two hosts. The first one holds the lease and replies.
async fn two() -> [Apart; 2] {
    let (network, store) = (MemoryNetwork::new(), MemoryStore::new());
    let one = Apart::join("one", &network, &store).await;
    let two = Apart::join("two", &network, &store).await;
    let app = App::from_toml("app.toml", APP).expect("a manifest");
    one.lattice.apply(&app).await.expect("applied");
    until("both hosts reach it", async || {
        one.call().await.is_ok() && two.call().await.is_ok()
    })
    .await;
    // Waits for a few renewals, so that all hosts are well known.
    sleep(Duration::from_secs(10)).await;
    let answer = one.call().await.expect("a result");
    if answer.starts_with("one ") {
        [one, two]
    } else {
        [two, one]
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = timeout(Duration::from_secs(120), async {
        while !holds().await {
            sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "timed out waiting until {what}");
}

#[tokio::test(start_paused = true)]
async fn a_partitioned_lease_holder_stops_before_its_successor_replies() {
    let [holder, other] = two().await;
    let name = holder.call().await.expect("a result");
    let (here, _calls) = holder.calls();
    let (there, _others) = other.calls();
    sleep(Duration::from_secs(1)).await;
    let cut = Instant::now();
    holder.bus.partition(|_| true);
    holder.store.partition();
    until("the other host has replied for a while", async || {
        let there = there.lock().expect("not poisoned");
        there.iter().filter(|(_, answer)| *answer != name).count() > 500
    })
    .await;

    let all = [&here, &there].map(|answers| answers.lock().expect("not poisoned").clone());
    let all = all.concat();
    let name = &name;
    let of = |own: bool| {
        all.iter()
            .filter(move |(_, answer)| (answer == name) == own)
    };
    let last = of(true).map(|(at, _)| *at).max().expect("it replied");
    let first = of(false).map(|(at, _)| *at).min().expect("it replied");
    assert!(
        last > cut,
        "it continues at first, while its lease is valid"
    );
    let gap = first.saturating_duration_since(last);
    assert!(gap >= Duration::from_millis(990), "only {gap:?} apart");
    assert!(first - cut < Duration::from_secs(10), "{:?}", first - cut);
    holder.call().await.expect_err("it reaches no host");
}

#[tokio::test(start_paused = true)]
async fn another_host_takes_over_from_a_holder_that_only_loses_the_store() {
    let [holder, other] = two().await;
    let name = holder.call().await.expect("a result");
    let (host, _) = name.split_once(' ').expect("a host and an image");
    let is_by_holder = |answer: Result<String, CallError>| {
        let answer = answer.ok()?;
        Some(answer.split_once(' ')?.0 == host)
    };
    holder.store.partition();
    let cut = Instant::now();
    until("the other host replies to both", async || {
        let answers = [holder.call().await, other.call().await];
        answers.map(is_by_holder) == [Some(false); 2]
    })
    .await;
    assert!(
        cut.elapsed() < Duration::from_secs(20),
        "{:?}",
        cut.elapsed()
    );
    holder.store.heal();
    until("it is back where it is assigned", async || {
        is_by_holder(other.call().await) == Some(true)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_holder_stops_when_the_store_is_lost_and_resumes_when_it_returns() {
    let [holder, other] = two().await;
    holder.store.partition();
    other.store.partition();
    let cut = Instant::now();
    until("it stops", async || holder.call().await.is_err()).await;
    assert!(
        cut.elapsed() < Duration::from_secs(5),
        "{:?}",
        cut.elapsed()
    );
    for host in [&holder, &other] {
        let refused = host.call().await.expect_err("no host may reply");
        assert_eq!(refused.ran(), Ran::No, "{refused:?}");
    }
    let kept = holder.agent.state();
    let id = ComponentId::new("ledger").expect("valid");
    let phase = kept.components[&id].status.phase;
    assert_eq!(phase, lattice_core::place::plan::Phase::WaitingForLease);
    holder.store.heal();
    other.store.heal();
    until("it replies again", async || {
        holder.call().await.is_ok() && other.call().await.is_ok()
    })
    .await;
}
