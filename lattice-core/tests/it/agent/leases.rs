//! Leases over stores that are unreachable, slow or uncertain: two hosts never hold one at the same
//! time.

use super::lost_leases::Way;
use bytes::Bytes;
use lattice_core::{
    __private::{Leases, MARGIN, RENEW, TERM, operator_request},
    auth::Auth,
    call::{CallError, Context, FunctionRef},
    name::{ComponentId, FunctionName, HostId, InterfaceName},
    place::plan::Event,
    replica::Replica,
    serve::{Answer, Request, Service},
    store::{MemoryStore, Store, record::Records},
    types::ComponentTypes,
    wire::Origin,
};
use lattice_sim::fault::{FaultStore, StoreFaults};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

/// A host that wants the lease, its connection to the store, and the services that it has run under
/// the lease.
pub(super) struct Contender {
    leases: Leases,
    events: mpsc::Receiver<Event>,
    pub(super) way: FaultStore,
    services: Vec<Arc<dyn Service>>,
    asks_at: Option<Instant>,
}

impl Contender {
    pub(super) async fn new(store: &MemoryStore, name: &str, seed: u64) -> Self {
        Self::over(Arc::new(store.clone()), name, seed).await
    }

    /// Creates a host that reaches its store through `store`.
    pub(super) async fn over(store: Arc<dyn Store>, name: &str, seed: u64) -> Self {
        let way = FaultStore::new(store, seed);
        let records = Records::new(Arc::new(way.clone()), Auth::trusting());
        let origin = Origin::new(HostId::new(name).expect("a host"), 1);
        let replica = Replica::follow(records.clone()).await.expect("in reach");
        let (sender, events) = mpsc::channel(8);
        Self {
            leases: Leases::new(records, replica, origin, sender),
            events,
            way,
            services: Vec::new(),
            asks_at: Some(Instant::now()),
        }
    }

    /// Creates a host that holds the lease.
    pub(super) async fn holder(store: &MemoryStore) -> Self {
        let mut holder = Self::new(store, "holder", 1).await;
        holder.asks_at = None;
        holder.leases.acquire(&once());
        holder.held().await;
        holder
    }

    async fn held(&mut self) {
        let event = self.events.recv().await;
        let Some(Event::LeaseHeld { fence, .. }) = event else {
            panic!("{event:?}");
        };
        let guard = self.leases.guard(&once(), fence).expect("it is held");
        self.services.push(guard.around(Arc::new(Ready)));
    }

    /// Requests the lease whenever it has none, as an agent does.
    pub(super) fn request_if_missing(&mut self) {
        let now = Instant::now();
        if self.asks_at.is_some_and(|at| at <= now) {
            self.asks_at = None;
            self.leases.acquire(&once());
        }
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::LeaseHeld { fence, .. } => {
                    let guard = self.leases.guard(&once(), fence).expect("it is held");
                    self.services.push(guard.around(Arc::new(Ready)));
                }
                Event::LeaseLost(_) => self.asks_at = Some(now + Duration::from_millis(500)),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Gives the lease back, and does not ask for it again.
    pub(super) fn give_back(&mut self) {
        self.leases.release(&once());
        self.asks_at = None;
    }

    /// Returns how many of its services reply, including those that it stopped long ago.
    pub(super) fn replying(&self) -> usize {
        self.services
            .iter()
            .filter(|service| replies(service))
            .count()
    }
}

struct Ready;

impl Service for Ready {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::default()
    }
    fn call(&self, _: Request) -> Answer {
        Answer::Ready(Ok(Bytes::new()))
    }
}

pub(super) fn once() -> ComponentId {
    ComponentId::new("once").expect("an id")
}

fn request() -> Request {
    let interface = InterfaceName::new("test:once/api@0.1.0").expect("an interface");
    let function = FunctionName::new("go").expect("a function");
    let function = FunctionRef::new(interface, function, "func()").key();
    operator_request(once(), function, Context::default())
}

fn replies(service: &Arc<dyn Service>) -> bool {
    match service.call(request()) {
        Answer::Ready(Ok(_)) => true,
        Answer::Ready(Err(CallError::Stopping { component })) if component == once() => false,
        Answer::Ready(Err(error)) => panic!("{error:?}"),
        Answer::Later(_) | Answer::Passing(_) => panic!("it replies at once"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_without_the_store_stops_a_second_before_its_lease_could_end() {
    let store = MemoryStore::new();
    let begun = Instant::now();
    let mut holder = Contender::holder(&store).await;
    sleep_until(begun + RENEW + Duration::from_millis(1)).await;
    holder.way.partition();
    let end = begun + RENEW + TERM - MARGIN;
    sleep_until(end - Duration::from_millis(1)).await;
    assert_eq!(holder.replying(), 1);
    sleep_until(end).await;
    assert_eq!(holder.replying(), 0);
    let lost = holder.events.recv().await;
    assert!(matches!(lost, Some(Event::LeaseLost(_))), "{lost:?}");
    assert_eq!(Instant::now(), end, "and it reports the end then");
    holder.way.heal();
    sleep(TERM).await;
    assert_eq!(holder.replying(), 0, "it never replies again");
}

#[tokio::test(start_paused = true)]
async fn a_lease_term_starts_at_the_request_and_not_at_the_response() {
    let store = MemoryStore::new();
    let slow = Way::slow(&store, Duration::from_millis(900));
    let mut holder = Contender::over(Arc::new(slow), "holder", 3).await;
    let requested = Instant::now();
    holder.leases.acquire(&once());
    holder.held().await;
    holder.way.partition();
    assert!(
        requested.elapsed() > Duration::from_millis(500),
        "slow enough"
    );
    sleep_until(requested + TERM - MARGIN - Duration::from_millis(1)).await;
    assert_eq!(holder.replying(), 1);
    sleep_until(requested + TERM - MARGIN).await;
    assert_eq!(holder.replying(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_leaves_time_to_renew_a_lease() {
    const STEP: Duration = Duration::from_millis(100);
    let store = MemoryStore::new();
    // A write takes 1.8 s, which is longer than the time between two renewals.
    let slow = Way::slow(&store, Duration::from_millis(900));
    let mut holder = Contender::over(Arc::new(slow), "holder", 3).await;
    holder.asks_at = None;
    holder.leases.acquire(&once());
    holder.held().await;
    let end = Instant::now() + TERM * 4;
    while Instant::now() < end {
        assert_eq!(
            holder.replying(),
            1,
            "{:?} before the end",
            end - Instant::now()
        );
        sleep(STEP).await;
    }
    let lost = holder.events.try_recv();
    assert!(lost.is_err(), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn under_any_store_faults_two_holders_never_reply() {
    // In steps of 10 ms, for longer than the term of a lease.
    const TURN: u64 = 700;
    let mut moved = 0;
    for seed in 0..30 {
        let store = MemoryStore::new();
        let mut contenders = [
            Contender::new(&store, "one", seed).await,
            Contender::new(&store, "two", seed + 1_000).await,
        ];
        let mut changes = 0;
        let mut last = None;
        for tick in 0..20 * TURN {
            if tick % TURN == 0 {
                let bad = StoreFaults::none()
                    .failing(0.2)
                    .losing_answers(0.3)
                    .delaying(0.5, Duration::from_secs(2));
                for (at, contender) in contenders.iter().enumerate() {
                    // A different mix of working, faulty and unreachable stores at each step.
                    match (seed + tick / TURN * (at as u64 + 2)) % 4 {
                        0 => contender.way.partition(),
                        1 => contender.way.set(bad),
                        _ => {
                            contender.way.set(StoreFaults::none());
                            contender.way.heal();
                        }
                    }
                }
            }
            for contender in &mut contenders {
                contender.request_if_missing();
            }
            let replying = [0, 1].map(|at: usize| contenders[at].replying());
            assert!(
                replying.iter().sum::<usize>() <= 1,
                "seed {seed}, tick {tick}: {replying:?}"
            );
            let holder = replying.iter().position(|count| *count == 1);
            changes += u32::from(holder.is_some() && holder != last);
            last = holder.or(last);
            sleep(Duration::from_millis(10)).await;
        }
        moved += u32::from(changes > 1);
    }
    // An attempt that fails over a faulty store keeps the lease from the other one for a term.
    assert!(moved >= 25, "it moved with {moved} of 30 seeds");
}
