//! Components that are linked in a ring, on one host, on several, and in several processes.

use super::{
    circles::{BOUNCE, bounce, too_many},
    *,
};
use crate::nats::{NatsConfig, NatsServer};
use bytes::Bytes;
use lattice_core::{
    Lattice,
    auth::LatticeKey,
    call::{CallError, Context, Ran, Turns},
    client::Caller,
    name::ComponentId,
    node::Node,
    serve::{Answer, Request, Service},
    server::ServeHandle,
    types::ComponentTypes,
    value::{from_bytes, to_bytes},
};
use std::{
    io::Read as _,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// The deadline of each call. One that waits for itself is refused long before.
const DEADLINE: Duration = Duration::from_secs(30);
/// How soon that is, even on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(6);
/// How soon a process has started, even on a busy machine.
const STARTED: Duration = Duration::from_secs(90);
/// The variable that contains the server of the other process.
const URL: &str = "LATTICE_TEST_RING";

/// Serves each call with an instance of its own pool, which calls the other component of a ring.
struct Ring {
    id: ComponentId,
    caller: Caller,
    pool: Arc<Turns>,
}

impl Service for Ring {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("bounce", BOUNCE)]))
    }

    /// As for an actor: a pool of instances refuses a call that has not run.
    fn errors_are_its_own(&self) -> bool {
        true
    }

    fn call(&self, request: Request) -> Answer {
        let (hops,) = from_bytes::<(u32,)>(&request.args).expect("a number");
        let (caller, mut context) = (self.caller.clone(), request.context);
        let (id, pool) = (self.id.clone(), self.pool.clone());
        Answer::Later(Box::pin(async move {
            let _instance = pool.take(&id, &mut context).await?;
            if hops == 0 {
                return Ok(to_bytes(&0_u32).expect("a number encodes"));
            }
            let bounced = bounced(&caller, hops - 1, context.nested()).await;
            // Only the pool's errors are its own: this call has run.
            bounced.map_err(|error| match error.ran() {
                Ran::No => CallError::CalleeFailed {
                    reason: error.to_string(),
                },
                _ => error,
            })
        }))
    }
}

/// Serves a component of a ring, with so many instances.
async fn serve_ring(node: &Node, name: &str, instances: usize) -> ServeHandle {
    let ring = Ring {
        id: id(name),
        caller: node.caller(id(name)).expect("valid"),
        pool: Arc::new(Turns::new(instances)),
    };
    serve_as(node, name, ring).await
}

/// Links `caller` to `ping`, and `ping` and `pong` to each other.
async fn link_ring(lattice: &Lattice) {
    for (source, target) in [("caller", "ping"), ("ping", "pong"), ("pong", "ping")] {
        link(lattice, source, target).await;
    }
}

async fn bounced(caller: &Caller, hops: u32, context: Context) -> Outcome {
    let args = to_bytes(&(hops,)).expect("a number encodes");
    call(caller, &bounce(), args, context).await
}

/// Checks a ring with so many instances of each component: a chain that needs all of them ends, one
/// that needs one more is refused at once, and another call is served meanwhile.
async fn check_ring(node: &Node, instances: usize) {
    let caller = node.caller("caller").expect("valid");
    let bounce = |hops| bounced(&caller, hops, Context::new(DEADLINE));
    eventually("the ring works", async || bounce(1).await.is_ok()).await;
    let deepest = u32::try_from(2 * instances - 1).expect("small");
    assert_eq!(bounce(deepest).await, Ok(Bytes::from_static(b"\0")));
    let start = Instant::now();
    let (circle, other) = tokio::join!(bounce(deepest + 1), bounce(0));
    assert!(too_many(&circle), "{instances}: {circle:?}");
    assert_eq!(other, Ok(Bytes::from_static(b"\0")));
    assert!(start.elapsed() < AT_ONCE, "{instances}: it waited");
    assert!(bounce(1).await.is_ok(), "nothing is held");
}

#[tokio::test]
async fn a_ring_of_two_components_that_holds_all_instances_is_refused_at_once() {
    for instances in [1, 4, 16] {
        let lattice = lattice().await;
        let node = host(&lattice, "a").await;
        let _ping = serve_ring(&node, "ping", instances).await;
        let _pong = serve_ring(&node, "pong", instances).await;
        link_ring(&lattice).await;
        check_ring(&node, instances).await;
    }
}

#[tokio::test]
async fn a_ring_over_two_hosts_that_holds_all_instances_is_refused_at_once() {
    for instances in [1, 4, 16] {
        let lattice = lattice().await;
        let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
        let _ping = serve_ring(&a, "ping", instances).await;
        let _pong = serve_ring(&b, "pong", instances).await;
        link_ring(&lattice).await;
        check_ring(&a, instances).await;
    }
}

#[tokio::test]
async fn calls_of_other_chains_are_waited_for_over_two_hosts() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let _ping = serve_ring(&a, "ping", 2).await;
    let _pong = serve_ring(&b, "pong", 8).await;
    link_ring(&lattice).await;
    let caller = a.caller("caller").expect("valid");
    let bounce = |hops| bounced(&caller, hops, Context::new(DEADLINE));
    eventually("the ring works", async || bounce(1).await.is_ok()).await;
    // The chain that comes back holds one of the two instances, and waits for that of the others.
    let hops = (0..16).map(|number| if number == 8 { 2 } else { 1 });
    let ended = futures_util::future::join_all(hops.map(bounce)).await;
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
}

#[tokio::test]
async fn chains_that_come_back_and_wait_for_each_other_do_not_all_wait_for_their_deadlines() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let _ping = serve_ring(&a, "ping", 4).await;
    let _pong = serve_ring(&b, "pong", 64).await;
    link_ring(&lattice).await;
    let caller = a.caller("caller").expect("valid");
    let bounce = |hops| bounced(&caller, hops, Context::new(DEADLINE));
    eventually("the ring works", async || bounce(1).await.is_ok()).await;
    let start = Instant::now();
    let ended = futures_util::future::join_all((0..16).map(|_| bounce(2))).await;
    assert!(start.elapsed() < AT_ONCE, "they waited");
    assert!(ended.iter().any(Result::is_ok), "{ended:?}");
}

#[tokio::test]
async fn a_chain_that_holds_all_instances_of_a_host_goes_on_at_another_replica() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let c = host(&lattice, "c").await;
    let _ping = serve_ring(&a, "ping", 1).await;
    let _pong = serve_ring(&b, "pong", 4).await;
    let _other = serve_ring(&c, "ping", 1).await;
    link_ring(&lattice).await;
    let caller = a.caller("caller").expect("valid");
    let bounce = |hops| bounced(&caller, hops, Context::new(DEADLINE));
    eventually("both are known", async || bounce(2).await.is_ok()).await;
    for _ in 0..10 {
        assert_eq!(bounce(2).await, Ok(Bytes::from_static(b"\0")));
    }
    let start = Instant::now();
    let circle = bounce(4).await;
    assert!(too_many(&circle), "{circle:?}");
    assert!(start.elapsed() < AT_ONCE, "it waited");
}

async fn join(url: &str) -> Lattice {
    let key = LatticeKey::from_hex(&"5a".repeat(32)).expect("a key");
    let lattice = Lattice::connect(url, "ring").key(key).await;
    lattice.expect("it connects")
}

/// The other process, which is killed on drop.
struct Process(Child);

impl Process {
    fn start(server: &NatsServer) -> Self {
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "calls::rings::ring_process",
                "--nocapture",
                "--ignored",
            ])
            .env(URL, server.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        Self(child.expect("a process"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The other process. It serves `pong` until its input ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by another test, in its own process"]
async fn ring_process() {
    let Ok(url) = std::env::var(URL) else {
        return;
    };
    let lattice = join(&url).await;
    let b = host(&lattice, "b").await;
    let _pong = serve_ring(&b, "pong", 16).await;
    let input = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let read = input.await.expect("it reads");
    read.expect("the input ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_over_two_processes_that_holds_all_instances_is_refused_at_once() {
    let server = NatsConfig::default().jetstream().start().await;
    let lattice = join(&server.url()).await;
    let a = host(&lattice, "a").await;
    let _ping = serve_ring(&a, "ping", 16).await;
    link_ring(&lattice).await;
    let _other = Process::start(&server);
    let served = timeout(STARTED, lattice.served("pong")).await;
    served.expect("it starts").expect("an id");
    check_ring(&a, 16).await;
}
