//! Requests without a pause, while hosts are killed and restarted, and wormholes change.

use super::{
    client::{Client, WORLD, get, whole},
    scene::{MISCHIEF, Scene, address, guest, ingress},
};
use crate::{
    host::support::{actor, served, started},
    wait::until,
};
use hyper::StatusCode;
use lattice_core::{Lattice, bus::memory::MemoryNetwork, store::MemoryStore};
use lattice_host::Host;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// Clients, each with one request at a time.
const CLIENTS: usize = 8;
/// Requests that are made before and after each event.
const SOME: u64 = 100;
/// Far longer than a host takes to leave.
const GRACE: Duration = Duration::from_secs(20);

/// Clients that make requests without a pause.
struct Load {
    answered: Arc<AtomicU64>,
    /// Requests that were made again on a new connection.
    again: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    servers: Arc<Mutex<Vec<SocketAddr>>>,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    /// Starts requests to these servers, for any of which another one may stand in.
    fn start(servers: Vec<SocketAddr>) -> Self {
        let mut load = Self {
            answered: Arc::default(),
            again: Arc::default(),
            stop: Arc::default(),
            servers: Arc::new(Mutex::new(servers)),
            clients: JoinSet::new(),
        };
        for number in 0..CLIENTS {
            let (answered, stop) = (load.answered.clone(), load.stop.clone());
            let mut usual = Usual {
                servers: load.servers.clone(),
                again: load.again.clone(),
                next: number,
                kept: None,
            };
            load.clients.spawn(async move {
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match usual.get().await {
                        Ok(()) => _ = answered.fetch_add(1, Ordering::Relaxed),
                        Err(failure) => failures.push(failure),
                    }
                }
                failures
            });
        }
        load
    }

    /// Waits until some more requests were answered.
    async fn some_more(&self) {
        let from = self.answered.load(Ordering::Relaxed);
        let more = || self.answered.load(Ordering::Relaxed) >= from + SOME;
        until("requests are answered", more).await;
    }

    fn replace(&self, old: SocketAddr, new: SocketAddr) {
        let mut servers = self.servers.lock().expect("not poisoned");
        for server in servers.iter_mut().filter(|server| **server == old) {
            *server = new;
        }
    }

    /// Ends all requests, and checks that none has failed. Returns how many were made again.
    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let failures: Vec<_> = self.clients.join_all().await.concat();
        assert!(
            failures.is_empty(),
            "{} failed: {failures:?}",
            failures.len()
        );
        self.again.load(Ordering::Relaxed)
    }
}

/// A client as browsers are: it tries the next server when one doesn't accept connections, and
/// makes a request again that a kept connection did not take any more.
struct Usual {
    servers: Arc<Mutex<Vec<SocketAddr>>>,
    again: Arc<AtomicU64>,
    next: usize,
    kept: Option<Client>,
}

impl Usual {
    async fn get(&mut self) -> Result<(), String> {
        if let Some(client) = self.kept.take() {
            if let Some(done) = self.with(client).await {
                return done;
            }
            self.again.fetch_add(1, Ordering::Relaxed);
        }
        let client = self.connected().await?;
        let done = self.with(client).await;
        done.unwrap_or_else(|| Err("a new connection was closed before the response".to_owned()))
    }

    /// Returns `None` when the connection ended before the response.
    async fn with(&mut self, mut client: Client) -> Option<Result<(), String>> {
        let response = match client.get("/").await {
            Ok(response) => response,
            Err(error) if error.is_parse() => return Some(Err(error.to_string())),
            Err(_) => return None,
        };
        let status = response.status();
        let body = super::client::collect(response).await;
        if status == StatusCode::OK && matches!(&body, Ok(text) if text == "hello") {
            self.kept = Some(client);
            return Some(Ok(()));
        }
        Some(Err(format!("{status} {body:?}")))
    }

    async fn connected(&mut self) -> Result<Client, String> {
        let servers = self.servers.lock().expect("not poisoned").clone();
        let mut refused = String::new();
        for _ in &servers {
            self.next += 1;
            match Client::try_open(servers[self.next % servers.len()]).await {
                Ok(client) => return Ok(client),
                Err(error) => refused = error.to_string(),
            }
        }
        Err(format!("no server takes connections: {refused}"))
    }
}

/// One lattice with as many programs as are asked for.
struct Programs {
    network: MemoryNetwork,
    store: MemoryStore,
}

impl Programs {
    fn new() -> Self {
        Self {
            network: MemoryNetwork::new(),
            store: MemoryStore::new(),
        }
    }

    async fn another(&self) -> Lattice {
        let bus = Arc::new(self.network.connect());
        let lattice = Lattice::on(bus, Arc::new(self.store.clone()), "test").trust_bus();
        lattice.await.expect("a lattice")
    }

    /// Starts a program with the actor. The second value is its host.
    async fn with_actor(&self) -> (Lattice, Host) {
        let lattice = self.another().await;
        let host = Host::builder(&lattice).actor(MISCHIEF, actor(&guest()));
        let host = started(host).await;
        (lattice, host)
    }

    /// Starts a program with an ingress.
    async fn with_ingress(&self) -> (Lattice, Host) {
        let lattice = self.another().await;
        let host = ingress(&lattice).await;
        (lattice, host)
    }
}

/// Waits until as many hosts are known to serve the actor.
async fn serving(lattice: &Lattice, hosts: usize) {
    until("the hosts are known", || {
        let peers = lattice.peers();
        let serves = peers.iter().filter(|peer| {
            let mut ids = peer.components.keys();
            ids.any(|id| id.as_str() == MISCHIEF)
        });
        serves.count() == hosts
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_when_one_of_two_hosts_is_killed() {
    let programs = Programs::new();
    let (world, ingress) = programs.with_ingress().await;
    let (_inner, _alive) = programs.with_actor().await;
    let (_other, mortal) = programs.with_actor().await;
    super::scene::opened(&world, WORLD, MISCHIEF).await;
    serving(&world, 2).await;
    let load = Load::start(vec![address(&ingress)]);
    load.some_more().await;
    mortal.kill();
    load.some_more().await;
    load.some_more().await;
    assert_eq!(load.end().await, 0, "no client has to help itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_when_all_hosts_are_restarted_in_turn() {
    let programs = Programs::new();
    let (world, mut first) = programs.with_ingress().await;
    let (second_world, mut second) = programs.with_ingress().await;
    let (mut lattice, mut actors) = programs.with_actor().await;
    super::scene::opened(&world, WORLD, MISCHIEF).await;
    served(&world, MISCHIEF).await;
    served(&second_world, MISCHIEF).await;
    let load = Load::start(vec![address(&first), address(&second)]);
    load.some_more().await;

    for _ in 0..2 {
        let (next_lattice, next) = programs.with_actor().await;
        serving(&world, 2).await;
        serving(&second_world, 2).await;
        assert!(actors.shutdown(GRACE).await.is_clean());
        (lattice, actors) = (next_lattice, next);
        load.some_more().await;
    }
    for (lattice, ingress_host) in [(&world, &mut first), (&second_world, &mut second)] {
        let old = address(ingress_host);
        assert!(ingress_host.shutdown(GRACE).await.is_clean());
        load.some_more().await;
        *ingress_host = ingress(lattice).await;
        load.replace(old, address(ingress_host));
        load.some_more().await;
    }
    load.end().await;
    drop((lattice, actors));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wormhole_that_changes_under_load_never_answers_in_between() {
    let scene = Scene::in_memory().await;
    let load = Load::start(vec![scene.address]);
    load.some_more().await;
    let wormholes = scene.world.wormholes();
    let other = super::scene::opened(&scene.world, "other.example", MISCHIEF).await;
    let watched = Watched::start(&scene, "other.example");
    watched.sees(StatusCode::OK).await;
    wormholes
        .rename(&other, "third.example")
        .await
        .expect("renamed");
    watched.sees(StatusCode::NOT_FOUND).await;
    wormholes
        .rename(&other, "other.example")
        .await
        .expect("renamed");
    watched.sees(StatusCode::OK).await;
    wormholes.close(&other).await.expect("closed");
    watched.sees(StatusCode::NOT_FOUND).await;
    wormholes.open(&other).await.expect("opened");
    watched.sees(StatusCode::OK).await;
    wormholes.delete(&other).await.expect("deleted");
    watched.sees(StatusCode::NOT_FOUND).await;
    let seen = watched.end().await;
    let expected = [200, 404, 200, 404, 200, 404]
        .map(|status| StatusCode::from_u16(status).expect("a status"));
    assert_eq!(seen, expected, "each change is seen once, and nothing else");
    load.end().await;
}

/// A client that makes requests without a pause, and keeps each status that differs from the one
/// before.
struct Watched {
    seen: Arc<Mutex<Vec<StatusCode>>>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Watched {
    fn start(scene: &Scene, host: &'static str) -> Self {
        let watched = (
            Arc::<Mutex<Vec<_>>>::default(),
            Arc::<AtomicBool>::default(),
        );
        let (seen, stop) = watched.clone();
        let address = scene.address;
        let mut clients = JoinSet::new();
        clients.spawn(async move {
            let mut client = Client::open(address).await;
            while !stop.load(Ordering::Relaxed) {
                let response = client.send(get(host, "/")).await.expect("a response");
                let (status, _) = whole(response).await;
                let mut seen = seen.lock().expect("not poisoned");
                if seen.last() != Some(&status) {
                    seen.push(status);
                }
            }
        });
        Self {
            seen: watched.0,
            stop: watched.1,
            clients,
        }
    }

    async fn sees(&self, status: StatusCode) {
        let last = || self.seen.lock().expect("not poisoned").last() == Some(&status);
        until("the change is seen", last).await;
    }

    async fn end(self) -> Vec<StatusCode> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        self.seen.lock().expect("not poisoned").clone()
    }
}
