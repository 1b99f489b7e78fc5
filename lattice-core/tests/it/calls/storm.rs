//! Calls over a bus that drops, duplicates, delays, reorders and partitions: each call ends in time
//! with a true result, and no call that may not run twice does.

use super::*;
use lattice_core::{
    Lattice,
    bus::memory::{MemoryBus, MemoryNetwork},
    call::{CallError, Context, FunctionRef, Ran},
    client::Caller,
    node::Node,
    serve::{Answer, Request, Service},
    server::ServeHandle,
    store::MemoryStore,
    types::ComponentTypes,
    value::{from_bytes, to_bytes},
};
use lattice_sim::fault::{FaultBus, Faults};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

const SEEDS: u64 = 150;
const CALLS: u64 = 250;
/// The period in which the calls begin.
const LENGTH: Duration = Duration::from_secs(6);
/// How late after its deadline a call may end.
const GRACE: Duration = Duration::from_millis(50);
const SIGNATURE: &str = "func(id: u64) -> u64";

/// The number of runs of each call, by the id in its arguments.
#[derive(Clone, Default)]
struct Tally(Arc<Mutex<HashMap<u64, u32>>>);

impl Tally {
    fn of(&self, id: u64) -> u32 {
        let runs = self.0.lock().expect("not poisoned");
        runs.get(&id).copied().unwrap_or_default()
    }
}

/// `once` may not run twice, and `twice` may. Both return the id in their arguments, some at once
/// and some later.
impl Service for Tally {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("once", SIGNATURE), ("twice", SIGNATURE)]))
    }

    fn call(&self, request: Request) -> Answer {
        let (id,) = from_bytes::<(u64,)>(&request.args).expect("an id");
        *self.0.lock().expect("not poisoned").entry(id).or_default() += 1;
        let answer = to_bytes(&id).expect("encodes");
        if id.is_multiple_of(3) {
            return Answer::Ready(Ok(answer));
        }
        Answer::Later(Box::pin(async move {
            sleep(Duration::from_millis(id * 13 % 120)).await;
            Ok(answer)
        }))
    }
}

/// A host, and the faults of its connection to the others.
struct Seat {
    node: Node,
    lattice: Lattice,
    bus: Arc<FaultBus>,
    connection: MemoryBus,
}

impl Seat {
    async fn take(network: &MemoryNetwork, store: &MemoryStore, name: &str, seed: u64) -> Self {
        let connection = network.connect();
        let bus = Arc::new(FaultBus::new(Arc::new(connection.clone()), seed));
        let lattice = Lattice::on(bus.clone(), Arc::new(store.clone()), "test")
            .trust_bus()
            .await
            .expect("it opens");
        Self {
            node: host(&lattice, name).await,
            lattice,
            bus,
            connection,
        }
    }

    /// Starts or ends a fault.
    fn befall(&self, what: usize) {
        match what {
            0 => self.bus.partition(|_| true),
            1 => self.bus.partition(|to| to.as_str().contains(".reply.")),
            2 => self
                .bus
                .partition(|to| to.as_str().rsplit('.').next() == Some("call")),
            3 => self.connection.disconnect(),
            _ => self.clear(),
        }
    }

    fn clear(&self) {
        self.bus.heal();
        self.connection.reconnect();
    }
}

/// Host `a` calls `tally`, which `b` and `c` serve.
struct Scene {
    seats: [Seat; 3],
    caller: Caller,
    tally: Tally,
    serving: [ServeHandle; 2],
}

impl Scene {
    async fn set(seed: u64) -> Self {
        let (network, store) = (MemoryNetwork::new(), MemoryStore::new());
        let take = async |name, n| Seat::take(&network, &store, name, seed * 3 + n).await;
        let seats = [take("a", 0).await, take("b", 1).await, take("c", 2).await];
        let tally = Tally::default();
        let serving = [
            serve_as(&seats[1].node, "tally", tally.clone()).await,
            serve_as(&seats[2].node, "tally", tally.clone()).await,
        ];
        let link = grant("caller", "tally").idempotent(["twice"]);
        let links = seats[0].lattice.links();
        links.put(link.expect("a link")).await.expect("put");
        eventually("both replicas are known", async || {
            seats[0].lattice.peers().serving(&id("tally")).len() == 2
        })
        .await;
        Self {
            caller: seats[0].node.caller("caller").expect("valid"),
            seats,
            tally,
            serving,
        }
    }

    /// Makes calls while faults start and end. Returns the result of each call, or `None` if it
    /// didn't end in time.
    async fn rage(&self, dice: &mut Dice) -> Vec<(u64, Option<Ended>)> {
        let faults = Faults::none()
            .losing(dice.share(0.15))
            .doubling(dice.share(0.4))
            .delaying(dice.share(0.3), Duration::from_millis(150))
            .reordering(dice.share(0.3), Duration::from_millis(150));
        for seat in &self.seats {
            seat.bus.set(faults);
        }
        let mut calls = JoinSet::new();
        for id in 0..CALLS {
            let begin = LENGTH.mul_f64(dice.share(1.0));
            let patience = Duration::from_millis([60, 200, 900, 2_000][dice.below(4)]);
            let caller = self.caller.clone();
            calls.spawn(async move {
                sleep(begin).await;
                (id, ask(&caller, id, patience).await)
            });
        }
        for _ in 0..12 {
            sleep(LENGTH / 12).await;
            self.seats[dice.below(3)].befall(dice.below(10));
        }
        let ended = calls.join_all().await;
        for seat in &self.seats {
            seat.bus.set(Faults::none());
            seat.clear();
        }
        // Longer than any message is delayed, and than any call runs.
        sleep(Duration::from_secs(5)).await;
        ended
    }
}

type Ended = Result<u64, CallError>;

fn named(name: &str) -> FunctionRef {
    function(name, SIGNATURE)
}

/// Calls with odd ids may run twice.
fn may_run_twice(id: u64) -> bool {
    id % 2 == 1
}

async fn ask(caller: &Caller, id: u64, patience: Duration) -> Option<Ended> {
    let function = named(if may_run_twice(id) { "twice" } else { "once" });
    let args = to_bytes(&(id,)).expect("encodes");
    let answer = call(caller, &function, args, Context::new(patience));
    let answer = timeout(patience + GRACE, answer).await.ok()?;
    Some(answer.map(|answer| from_bytes(&answer).expect("a number")))
}

#[tokio::test(start_paused = true)]
async fn under_any_bus_faults_calls_end_in_time_with_true_errors() {
    let (mut answered, mut failed) = (0, HashMap::new());
    for seed in 0..SEEDS {
        let _seed = Seed(seed);
        let scene = Scene::set(seed).await;
        for (id, ended) in scene.rage(&mut Dice(seed)).await {
            let ended = ended.expect("it ends by its deadline");
            let runs = scene.tally.of(id);
            assert!(runs <= 1 || may_run_twice(id), "{id} ran {runs} times");
            match ended {
                Ok(value) => {
                    assert_eq!(value, id, "the result of another call");
                    assert!(runs >= 1, "{id} succeeded and did not run");
                    answered += 1;
                }
                Err(error) => {
                    match error.ran() {
                        Ran::No => assert_eq!(runs, 0, "{id}: {error:?}"),
                        Ran::Yes => assert!(runs > 0, "{id}: {error:?}"),
                        Ran::Maybe => {}
                    }
                    *failed.entry(std::mem::discriminant(&error)).or_insert(0) += 1;
                }
            }
        }
        eventually("calls succeed again", async || {
            let again = ask(&scene.caller, CALLS, Duration::from_secs(1)).await;
            again.is_some_and(|again| again.is_ok())
        })
        .await;
        for id in CALLS + 1..CALLS + 50 {
            let ended = ask(&scene.caller, id, Duration::from_secs(1)).await;
            assert_eq!(ended, Some(Ok(id)));
        }
        let in_flight = scene.seats.iter().map(|seat| seat.node.in_flight());
        let running = scene.serving.iter().map(ServeHandle::in_flight);
        assert_eq!(in_flight.chain(running).sum::<usize>(), 0);
    }
    assert!(answered > SEEDS * CALLS / 4, "{answered} succeeded");
    assert!(failed.len() >= 3, "too few kinds of faults: {failed:?}");
}
