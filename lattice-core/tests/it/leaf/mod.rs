//! Hosts that continue while their connection is unavailable: networks joined by a leaf node, and
//! hosts that start without any bus. These tests use real servers and real time.

mod away;
mod networks;

use crate::{
    nats, proxy,
    who::{Fake, Record, WHO},
};
use lattice_core::{
    Lattice,
    agent::{Agent, AgentOptions},
    app::App,
    auth::LatticeKey,
    call::CallError,
    client::{Bypass, Call},
    name::{ComponentId, HostId},
    nats::NatsOptions,
    node::{Node, NodeOptions},
    place::plan::Phase,
    replica::ReplicaState,
};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// Much longer than anything here takes, even on a busy machine.
const SOON: Duration = Duration::from_secs(90);

/// A process with one host.
struct Process {
    lattice: Lattice,
    node: Node,
    agent: Agent,
    record: Record,
}

impl Process {
    /// Joins and runs its share, as `site`.
    async fn start(name: &str, site: &str, nats: NatsOptions, snapshot: Option<&Path>) -> Self {
        let lattice = join(nats, snapshot).await;
        let host = HostId::new(name).expect("a host id");
        let options = NodeOptions::default()
            .host(&host)
            .expect("valid")
            .label("site", site);
        let node = lattice.node(options).await.expect("it joins");
        let record = Record::default();
        let runtime = Fake {
            host,
            record: record.clone(),
            live: Arc::new(AtomicUsize::new(0)),
        };
        let agent = Agent::start(&node, Arc::new(runtime), AgentOptions::default());
        Self {
            lattice,
            node,
            agent,
            record,
        }
    }

    /// Leaves and ends in order.
    async fn leave(self) {
        assert!(
            self.agent
                .shutdown(Duration::from_secs(20))
                .await
                .is_clean(),
            "in time"
        );
        let drained = self.node.shutdown(Duration::from_secs(5)).await;
        assert!(drained.is_clean(), "in time");
    }

    fn state(&self) -> ReplicaState {
        self.lattice.replica().health().state
    }

    /// Returns the components that serve here, according to this host itself.
    fn serves(&self) -> BTreeSet<String> {
        let state = self.agent.state();
        let serving = state
            .components
            .iter()
            .filter(|(_, kept)| kept.status.phase == Phase::Serving);
        serving.map(|(id, _)| id.to_string()).collect()
    }
}

fn key() -> LatticeKey {
    LatticeKey::from_hex(&"5a".repeat(32)).expect("a key")
}

fn id(text: &str) -> ComponentId {
    ComponentId::new(text).expect("a component id")
}

async fn join(nats: NatsOptions, snapshot: Option<&Path>) -> Lattice {
    let connect = Lattice::connect(nats, "prod").key(key());
    let connect = match snapshot {
        Some(path) => connect.snapshot(path),
        None => connect,
    };
    connect.await.expect("it connects")
}

async fn apply(lattice: &Lattice, text: &str) {
    let app = App::from_toml("app.toml", text).expect("a manifest");
    lattice.apply(&app).await.expect("applied");
}

/// Returns the host that replies to a call of this process.
async fn call(lattice: &Lattice, component: &str) -> Result<String, CallError> {
    lattice
        .operator()
        .component(component)
        .call(WHO, "who", ())
        .await
}

/// Returns the hosts that serve a component, as this process sees them.
fn serving(lattice: &Lattice, component: &str) -> BTreeSet<String> {
    let peers = lattice.peers();
    let hosts = peers.serving(&id(component)).iter();
    hosts.map(|origin| origin.host.to_string()).collect()
}

fn hosts(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Waits until a condition holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds().await {
        assert!(Instant::now() < deadline, "timed out: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Calls that continue until they are stopped.
struct Calls {
    end: CancellationToken,
    task: JoinHandle<(usize, Vec<CallError>)>,
}

impl Calls {
    async fn of(lattice: &Lattice, component: &'static str) -> Self {
        let lattice = lattice.clone();
        Self::begin(move || lattice.operator().component(component).call(WHO, "who", ())).await
    }

    /// Makes idempotent calls: when the connection is cut during a call, it is unknown whether the
    /// call ran.
    async fn across(lattice: &Lattice, component: &'static str) -> Self {
        let lattice = lattice.clone();
        let call = move || lattice.operator().component(component).call(WHO, "who", ());
        Self::begin(move || call().idempotent()).await
    }

    /// Starts with a call that succeeds: a process without an earlier call must read the types from
    /// the store.
    async fn begin(call: impl Fn() -> Call<String, Bypass> + Send + 'static) -> Self {
        call().await.expect("the first result");
        let end = CancellationToken::new();
        let ends = end.clone();
        let task = tokio::spawn(async move {
            let (mut succeeded, mut failed) = (0, Vec::new());
            while !ends.is_cancelled() {
                match call().await {
                    Ok(_) => succeeded += 1,
                    Err(error) => failed.push(error),
                }
                sleep(Duration::from_millis(5)).await;
            }
            (succeeded, failed)
        });
        Self { end, task }
    }

    /// Checks that all calls succeeded.
    async fn all_succeeded(self) {
        self.end.cancel();
        let (succeeded, failed) = self.task.await.expect("it ends");
        let first = failed.first();
        assert_eq!(
            first,
            None,
            "{} of {}",
            failed.len(),
            failed.len() + succeeded
        );
        assert!(succeeded > 100, "{succeeded}");
    }
}
