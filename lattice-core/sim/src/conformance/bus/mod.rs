//! Checks every sentence of the contract of a [`Bus`], for any implementation.
//!
//! ```
//! # use lattice_core::bus::memory::{MemoryBus, MemoryNetwork};
//! # use lattice_sim::conformance::bus::{LinkControl, TestBus, run};
//! # use futures_util::future::BoxFuture;
//! # use std::sync::Arc;
//! struct Memory(MemoryBus, MemoryBus);
//!
//! impl LinkControl for Memory {
//!     fn disconnect(&self) -> BoxFuture<'_, ()> {
//!         Box::pin(async { self.0.disconnect(); self.1.disconnect(); })
//!     }
//!     fn reconnect(&self) -> BoxFuture<'_, ()> {
//!         Box::pin(async { self.0.reconnect(); self.1.reconnect(); })
//!     }
//!     fn close_one(&self) -> BoxFuture<'_, ()> {
//!         Box::pin(async { self.0.close() })
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(
//! run(async || {
//!     let network = MemoryNetwork::new();
//!     let (one, two) = (network.connect(), network.connect());
//!     let control = Box::new(Memory(one.clone(), two.clone()));
//!     TestBus { one: Arc::new(one), two: Arc::new(two), control }
//! })
//! # );
//! ```

mod bounds;
mod delivery;
mod loss;
mod subscriptions;

use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture};
use lattice_core::{
    bus::{Body, Bus, BusError, BusState, Message, Subscription},
    subject::Subject,
};
use std::{
    fmt,
    future::{Future, ready},
    sync::Arc,
    time::Duration,
};

/// Two connections to one bus that nothing else uses, and the control over them.
pub struct TestBus {
    /// One connection.
    pub one: Arc<dyn Bus>,
    /// The other connection.
    pub two: Arc<dyn Bus>,
    /// Disconnects and reconnects them.
    pub control: Box<dyn LinkControl>,
}

/// Controls the connections of a [`TestBus`].
pub trait LinkControl: Send + Sync {
    /// Disconnects both connections from the bus.
    fn disconnect(&self) -> BoxFuture<'_, ()>;
    /// Connects them again.
    fn reconnect(&self) -> BoxFuture<'_, ()>;
    /// Closes [`TestBus::one`].
    fn close_one(&self) -> BoxFuture<'_, ()>;
}

/// Runs the whole suite; `make` returns a new bus for each check.
///
/// # Panics
/// When the bus breaks its contract; the message names the sentence.
pub async fn run<F: AsyncFn() -> TestBus>(make: F) {
    macro_rules! check {
        ($($check:path),* $(,)?) => {$(
            // Shown by the test harness when the check fails.
            eprintln!("conformance: {}", stringify!($check));
            let test = make().await;
            within(stringify!($check), $check(&test)).await;
        )*};
    }
    check!(
        delivery::published_messages_arrive_completely,
        delivery::every_subscriber_receives_one,
        delivery::a_star_matches_one_token,
        delivery::messages_without_subscribers_are_dropped,
        delivery::a_request_without_subscribers_gets_no_responders,
        delivery::no_responders_is_sent_only_to_the_requester,
        delivery::one_publisher_keeps_its_order,
        delivery::flush_delivers_all_earlier_messages,
        subscriptions::subscriptions_receive_all_later_messages,
        subscriptions::dropping_a_subscription_ends_it,
        subscriptions::a_group_delivers_each_message_to_one_member,
        subscriptions::groups_are_independent,
        subscriptions::a_group_continues_without_a_member,
        subscriptions::an_invalid_group_is_rejected,
        subscriptions::a_dropped_subscribe_leaves_no_subscription,
        subscriptions::a_dropped_publish_is_all_or_nothing,
        bounds::oversized_values_are_rejected,
        bounds::a_full_subscription_drops_and_counts,
        bounds::a_full_subscription_does_not_affect_others,
        bounds::a_capacity_of_zero_counts_as_one,
        loss::without_a_bus_every_call_returns_an_error,
        loss::messages_are_not_kept_during_an_outage,
        loss::subscriptions_resume,
        loss::a_loss_is_reported,
        loss::a_closed_bus_stays_closed,
    );
}

/// Far more than any step takes. A check that hangs fails by this.
const DEADLINE: Duration = Duration::from_secs(30);
const ROOM: usize = 4096;

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    let Ok(done) = tokio::time::timeout(DEADLINE, work).await else {
        panic!("not done within {DEADLINE:?}: {what}")
    };
    done
}

/// Waits until `holds` returns true.
async fn until(what: &str, holds: impl Fn() -> bool) {
    within(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

fn subject(text: &str) -> Subject {
    Subject::from_wire(&format!("conformance.{text}"))
}

async fn publish(bus: &Arc<dyn Bus>, to: &Subject, text: &str) {
    ok(
        "publish",
        bus.publish(to.clone(), None, Bytes::copy_from_slice(text.as_bytes())),
    )
    .await;
}

/// Publishes `text`, with `reply` as the reply subject.
async fn ask(bus: &Arc<dyn Bus>, to: &Subject, reply: &Subject, text: &str) {
    let payload = Bytes::copy_from_slice(text.as_bytes());
    ok(
        "publish with a reply subject",
        bus.publish(to.clone(), Some(reply.clone()), payload),
    )
    .await;
}

async fn subscribe(bus: &Arc<dyn Bus>, to: &Subject) -> Subscription {
    ok("subscribe", bus.subscribe(to.clone(), ROOM)).await
}

async fn join(bus: &Arc<dyn Bus>, to: &Subject, group: &str) -> Subscription {
    ok(
        "queue_subscribe",
        bus.queue_subscribe(to.clone(), group, ROOM),
    )
    .await
}

async fn flush(bus: &Arc<dyn Bus>) {
    ok("flush", bus.flush()).await;
}

async fn ok<T>(what: &str, work: impl Future<Output = Result<T, BusError>>) -> T {
    match within(what, work).await {
        Ok(done) => done,
        Err(error) => panic!("{what} failed: {error}"),
    }
}

async fn next(from: &mut Subscription) -> Message {
    match within("the next message", from.next()).await {
        Some(message) => message,
        None => panic!("the subscription ended"),
    }
}

async fn next_text(from: &mut Subscription) -> String {
    text_of(&next(from).await)
}

async fn expect(from: &mut Subscription, text: &str) {
    assert_eq!(next_text(from).await, text, "the next message is another");
}

fn text_of(message: &Message) -> String {
    match &message.body {
        Body::Payload(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Body::NoResponders => "(no responders)".to_owned(),
    }
}

/// Waits until both connections are in `state`. After a reconnect, the bus has their subscriptions
/// again.
async fn until_state(test: &TestBus, state: BusState) {
    for bus in [&test.one, &test.two] {
        reaches(bus, state).await;
        if state == BusState::Connected {
            flush(bus).await;
        }
    }
}

/// Waits until one connection is in `state`.
async fn reaches(bus: &Arc<dyn Bus>, state: BusState) {
    let mut reached = bus.watch_state().filter(|now| ready(*now == state));
    let found = within(&format!("the state {state:?}"), reached.next()).await;
    assert!(found.is_some(), "the state's watch ended");
}

impl fmt::Debug for TestBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestBus")
            .field("one", &self.one)
            .field("two", &self.two)
            .finish_non_exhaustive()
    }
}
