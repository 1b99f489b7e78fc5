//! Forged notices of the bus that a message had no receivers.
//!
//! On NATS, any client can send one to any subject. The bus in memory sends them to the connection
//! that published. So the forger uses the victim's own connection here: it publishes to a subject
//! without subscribers, with the victim's reply subject.

use super::*;
use lattice_core::call::{CallError, Context, Ran};
use lattice_sim::fault::{FaultBus, Faults};
use tokio::time::Instant;

/// Hosts on connections of their own, and a forger that reads everything.
struct Forgery {
    here: Lattice,
    there: Lattice,
    third: Lattice,
    /// The connection of the caller.
    plug: MemoryBus,
    subjects: Subjects,
}

impl Forgery {
    async fn set() -> Self {
        let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
        let plug = network.connect();
        let on = async |bus: MemoryBus| {
            let lattice = Lattice::on(Arc::new(bus), store.clone(), "prod").key(key());
            lattice.await.expect("it opens")
        };
        Self {
            here: on(plug.clone()).await,
            there: on(network.connect()).await,
            third: on(network.connect()).await,
            plug,
            subjects: Subjects::new(&LatticeName::new("prod").expect("a name")),
        }
    }

    /// Listens to the calls that this boot of a host receives.
    async fn tap(&self, of: &Origin) -> Subscription {
        let forger = self.plug.network().connect();
        let calls = self.subjects.call(&of.host, of.epoch);
        forger.subscribe(calls, 64).await.expect("subscribed")
    }

    /// Forges the notice that a message with this reply subject had no receivers.
    async fn forge(&self, reply: Subject) {
        let nowhere = self.subjects.serves(&id("nothing"));
        let sent = self.plug.publish(nowhere, Some(reply), Bytes::new());
        sent.await.expect("sent");
    }
}

#[tokio::test]
async fn a_forged_notice_ends_no_running_call_and_runs_it_nowhere_else() {
    let scene = Forgery::set().await;
    let two = Two::across(&scene.here, &scene.there).await;
    let c = host(&scene.third, "c").await;
    let (other, _serving) = serve(&c, "callee").await;
    eventually("both are known", async || {
        scene.here.peers().serving(&id("callee")).len() == 2
    })
    .await;
    let (to_b, to_c) = (scene.tap(two.b.origin()).await, scene.tap(c.origin()).await);
    let mut taps = futures_util::stream::select(to_b, to_c);
    // `wait` is not idempotent.
    let mut running = begin_wait(&two.caller, Context::default());
    tokio::select! {
        () = two.api.started.notified() => {}
        () = other.started.notified() => {}
    }
    let call = taps.next().await.expect("the call");
    let reply = call.reply.expect("it names a reply subject");
    for _ in 0..5 {
        scene.forge(reply.clone()).await;
        let ended = tokio::time::timeout(Duration::from_millis(80), &mut running).await;
        assert!(ended.is_err(), "{ended:?}");
    }
    let runs = || two.api.calls.load(Ordering::SeqCst) + other.calls.load(Ordering::SeqCst);
    assert_eq!(runs(), 1);
    let live = scene.here.peers();
    assert!(live.contains(two.b.origin()) && live.contains(c.origin()));
    two.api.release.notify_one();
    other.release.notify_one();
    assert_eq!(running.await.expect("joined"), Ok(Bytes::new()));
    assert_eq!(runs(), 1);
}

#[tokio::test]
async fn a_call_to_a_vanished_host_without_receivers_may_have_run() {
    let scene = Forgery::set().await;
    let two = Two::across(&scene.here, &scene.there).await;
    two.say().await.expect("answered");
    two.b.kill();
    // Its tasks end, and with them its subscriptions: already the call has no receivers.
    tokio::task::yield_now().await;
    let start = Instant::now();
    let lost = two.say().await.expect_err("it is gone");
    assert_eq!(lost, CallError::HostLost { host: host_id("b") });
    assert_eq!(lost.ran(), Ran::Maybe);
    let took = start.elapsed();
    let quick = Duration::from_millis(20)..Duration::from_millis(400);
    assert!(quick.contains(&took), "{took:?}");
    let next = two.say().await.expect_err("no other host serves it");
    assert_eq!(next.ran(), Ran::No, "{next:?}");
}

#[tokio::test]
async fn a_forged_notice_about_a_discovery_request_does_not_hide_the_response() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let plug = network.connect();
    let (deaf, slow) = (
        Arc::new(FaultBus::new(Arc::new(plug.clone()), 1)),
        Arc::new(FaultBus::new(Arc::new(network.connect()), 1)),
    );
    let on = async |bus: Arc<dyn Bus>| {
        let lattice = Lattice::on(bus, store.clone(), "prod").key(key());
        lattice.await.expect("it opens")
    };
    let subjects = Subjects::new(&LatticeName::new("prod").expect("a name"));
    // No heartbeat names a replica to the caller, and responses are delayed.
    let beats = subjects.beat();
    deaf.partition(move |subject| *subject == beats);
    let (here, there) = (on(deaf.clone()).await, on(slow.clone()).await);
    let two = Two::across(&here, &there).await;
    slow.set(Faults::none().delaying(1.0, Duration::from_millis(30)));
    let forger = network.connect();
    let questions = subjects.serves(&id("callee"));
    let mut tap = forger.subscribe(questions, 64).await.expect("subscribed");
    let asking = tokio::spawn({
        let caller = two.caller.clone();
        async move { say(&caller).await }
    });
    let question = tap.next().await.expect("the question");
    let nowhere = subjects.serves(&id("nothing"));
    let forged = plug.publish(nowhere, question.reply, Bytes::new()).await;
    forged.expect("sent");
    assert_eq!(asking.await.expect("joined"), Ok(text("x")));
}
