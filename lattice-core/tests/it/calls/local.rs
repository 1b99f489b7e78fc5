//! Local calls never use the bus.

use super::*;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use lattice_core::{
    Lattice, Watch,
    bus::{
        Bus, BusError, BusState, Subscription,
        memory::{MemoryBus, MemoryNetwork},
    },
    client::Caller,
    serve::{Answer, Request, Service},
    store::MemoryStore,
    subject::Subject,
    types::ComponentTypes,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Counts the operations on the inner bus.
#[derive(Debug)]
struct Counting {
    below: MemoryBus,
    operations: AtomicUsize,
}

impl Counting {
    fn count(&self) -> &MemoryBus {
        self.operations.fetch_add(1, Ordering::SeqCst);
        &self.below
    }
}

impl Bus for Counting {
    fn publish(
        &self,
        to: Subject,
        reply: Option<Subject>,
        payload: Bytes,
    ) -> BoxFuture<'_, Result<(), BusError>> {
        self.count().publish(to, reply, payload)
    }
    fn subscribe(
        &self,
        subject: Subject,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, BusError>> {
        self.count().subscribe(subject, capacity)
    }
    fn queue_subscribe(
        &self,
        subject: Subject,
        group: &str,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, BusError>> {
        self.count().queue_subscribe(subject, group, capacity)
    }
    fn watch_state(&self) -> Watch<BusState> {
        self.below.watch_state()
    }
    fn max_payload(&self) -> usize {
        self.below.max_payload()
    }
    fn flush(&self) -> BoxFuture<'_, Result<(), BusError>> {
        self.count().flush()
    }
}

/// Calls `back` through its own link.
struct Front(Caller);

impl Service for Front {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("echo", ECHO)]))
    }

    fn call(&self, request: Request) -> Answer {
        let caller = self.0.clone();
        let nested = request.context.nested();
        Answer::Later(Box::pin(async move {
            call(&caller, &echo(), request.args, nested).await
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn calls_on_one_host_never_touch_the_bus() {
    let network = MemoryNetwork::new();
    let bus = Arc::new(Counting {
        below: network.connect(),
        operations: AtomicUsize::new(0),
    });
    let lattice = Lattice::on(bus.clone(), Arc::new(MemoryStore::new()), "test")
        .trust_bus()
        .await
        .expect("it opens");
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let _front = serve_as(&a, "front", Front(a.caller("front").expect("valid"))).await;
    let (back, _back) = serve(&a, "back").await;
    link(&lattice, "caller", "front").await;
    link(&lattice, "front", "back").await;
    let (here, there) = (
        a.caller("caller").expect("valid"),
        b.caller("caller").expect("valid"),
    );
    say(&there).await.expect("a result");
    // The start has sent all of its messages, and no beat is due while the clock stands still.
    tokio::time::sleep(Duration::from_millis(10_500)).await;

    let before = bus.operations.load(Ordering::SeqCst);
    let clock = tokio::time::Instant::now();
    for _ in 0..1_000 {
        assert_eq!(say(&here).await, Ok(text("x")));
    }
    assert_eq!(bus.operations.load(Ordering::SeqCst), before);
    assert_eq!(clock.elapsed(), Duration::ZERO, "no call waited");
    assert_eq!(back.calls.load(Ordering::SeqCst), 1_001);

    say(&there).await.expect("a result");
    assert!(
        bus.operations.load(Ordering::SeqCst) > before,
        "a call to another host uses the bus"
    );
}
