//! A bus that loses, duplicates, delays, reorders and cuts off messages, the same way for the same
//! seed.
//!
//! Faults apply to messages that are published through the [`FaultBus`]; a partition also keeps out
//! messages that arrive. Every message draws the same number of random numbers regardless of the
//! faults, so a fault that is added to a failing run leaves the others unchanged. Time is tokio's,
//! so delays cost nothing in a test with paused time.
//!
//! ```
//! # use std::{sync::Arc, time::Duration};
//! # use {lattice_core::bus::memory::MemoryBus, lattice_sim::fault::{FaultBus, Faults}};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let bus = FaultBus::new(Arc::new(MemoryBus::new()), 42);
//! bus.set(Faults::none().losing(0.1).delaying(0.5, Duration::from_millis(20)));
//! bus.partition(|subject| subject.as_str().ends_with(".beat"));
//! bus.heal();
//! # }
//! ```

mod delay;

use bytes::Bytes;
use delay::{DelayQueue, Fate, Held};
use futures_util::{StreamExt, future::BoxFuture};
use lattice_core::{
    __private::Random,
    Watch,
    bus::{Bus, BusError, BusState, Message, Subscription},
    subject::Subject,
    sync::Mutex,
};
use std::{
    fmt,
    sync::{Arc, MutexGuard},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::task::AbortOnDropHandle;

/// The kinds and rates of faults. Rates are from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    lose: f64,
    double: f64,
    delay: f64,
    delay_up_to: Duration,
    reorder: f64,
    reorder_within: Duration,
}

/// How many messages were affected so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FaultCounts {
    /// Messages given to [`publish`](Bus::publish).
    pub published: u64,
    /// Lost at random.
    pub lost: u64,
    /// Sent twice.
    pub doubled: u64,
    /// Held back, together with those after them.
    pub delayed: u64,
    /// Held back while later ones passed.
    pub reordered: u64,
    /// Kept out by a partition, in either direction.
    pub cut: u64,
    /// Lost because too many were held back at once.
    pub overflowed: u64,
    /// Held back, and then refused by the bus below.
    pub refused: u64,
}

/// Wraps a [`Bus`] and injects faults; see the [module](self).
pub struct FaultBus {
    shared: Arc<WrappedBus>,
    _pump: AbortOnDropHandle<()>,
}

type Cut = Arc<dyn Fn(&Subject) -> bool + Send + Sync>;

struct WrappedBus {
    inner: Arc<dyn Bus>,
    state: Mutex<BusFaultState>,
    held: Notify,
}

struct BusFaultState {
    random: Random,
    faults: Faults,
    cut: Option<Cut>,
    delayed: DelayQueue,
    counts: FaultCounts,
}

impl Faults {
    /// Returns no faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// Loses this share of the messages.
    pub fn losing(mut self, chance: f64) -> Self {
        self.lose = chance;
        self
    }

    /// Sends this share of the messages twice.
    pub fn doubling(mut self, chance: f64) -> Self {
        self.double = chance;
        self
    }

    /// Delays this share of the messages for up to `longest`. Later messages stay behind them.
    pub fn delaying(mut self, chance: f64, longest: Duration) -> Self {
        self.delay = chance;
        self.delay_up_to = longest;
        self
    }

    /// Delays this share of the messages for up to `longest`, while later ones pass.
    pub fn reordering(mut self, chance: f64, longest: Duration) -> Self {
        self.reorder = chance;
        self.reorder_within = longest;
        self
    }
}

impl FaultBus {
    /// Wraps `inner`, without faults until [`set`](Self::set) or [`partition`](Self::partition) is
    /// called.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(inner: Arc<dyn Bus>, seed: u64) -> Self {
        let shared = Arc::new(WrappedBus {
            inner,
            state: Mutex::new(BusFaultState {
                random: Random::new(seed),
                faults: Faults::none(),
                cut: None,
                delayed: DelayQueue::default(),
                counts: FaultCounts::default(),
            }),
            held: Notify::new(),
        });
        let pump = tokio::spawn(pump(shared.clone()));
        Self {
            shared,
            _pump: AbortOnDropHandle::new(pump),
        }
    }

    /// Sets the faults from now on. Messages that are held back still arrive when they are due.
    pub fn set(&self, faults: Faults) {
        self.shared.lock().faults = faults;
    }

    /// Drops messages silently from now on, in both directions, on the subjects for which `is_cut`
    /// returns true. Replaces the previous partition.
    pub fn partition(&self, is_cut: impl Fn(&Subject) -> bool + Send + Sync + 'static) {
        self.shared.lock().cut = Some(Arc::new(is_cut));
    }

    /// Ends the partition.
    pub fn heal(&self) {
        self.shared.lock().cut = None;
    }

    /// Returns how many messages were affected so far.
    pub fn counts(&self) -> FaultCounts {
        self.shared.lock().counts
    }

    fn wrapped(&self, subscription: Subscription) -> Subscription {
        let shared = self.shared.clone();
        subscription.wrapped(|messages| {
            messages
                .filter(move |message: &Message| std::future::ready(!shared.cuts(&message.subject)))
        })
    }
}

impl Bus for FaultBus {
    fn publish(
        &self,
        to: Subject,
        reply: Option<Subject>,
        payload: Bytes,
    ) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async move {
            let (size, limit) = (payload.len(), self.max_payload());
            match self.shared.inner.watch_state().current() {
                BusState::Connected if size > limit => {
                    return Err(BusError::TooLarge { size, limit });
                }
                BusState::Connected => {}
                BusState::Disconnected => return Err(BusError::Disconnected),
                _ => return Err(BusError::Closed),
            }
            if self.shared.cuts(&to) {
                self.shared.lock().counts.published += 1;
                return Ok(());
            }
            let copies = self.shared.lock().pass(&to, reply.as_ref(), &payload);
            if copies == 0 {
                self.shared.held.notify_one();
            }
            for _ in 0..copies {
                self.shared
                    .inner
                    .publish(to.clone(), reply.clone(), payload.clone())
                    .await?;
            }
            Ok(())
        })
    }

    fn subscribe(
        &self,
        subject: Subject,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, BusError>> {
        Box::pin(async move {
            let subscription = self.shared.inner.subscribe(subject, capacity).await?;
            Ok(self.wrapped(subscription))
        })
    }

    fn queue_subscribe(
        &self,
        subject: Subject,
        group: &str,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, BusError>> {
        let opened = self.shared.inner.queue_subscribe(subject, group, capacity);
        Box::pin(async move { Ok(self.wrapped(opened.await?)) })
    }

    fn watch_state(&self) -> Watch<BusState> {
        self.shared.inner.watch_state()
    }

    fn max_payload(&self) -> usize {
        self.shared.inner.max_payload()
    }

    /// Does not wait for messages that are held back.
    fn flush(&self) -> BoxFuture<'_, Result<(), BusError>> {
        self.shared.inner.flush()
    }
}

impl fmt::Debug for FaultBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("FaultBus")
            .field("inner", &self.shared.inner)
            .field("faults", &state.faults)
            .field("partitioned", &state.cut.is_some())
            .field("counts", &state.counts)
            .finish_non_exhaustive()
    }
}

impl WrappedBus {
    fn lock(&self) -> MutexGuard<'_, BusFaultState> {
        self.state.lock()
    }

    fn cuts(&self, subject: &Subject) -> bool {
        // The predicate is the caller's code: don't run it under our lock.
        let cut = self.lock().cut.clone();
        let cuts = cut.is_some_and(|cut| cut(subject));
        if cuts {
            self.lock().counts.cut += 1;
        }
        cuts
    }
}

impl BusFaultState {
    /// Decides the fate of a message, and returns how many copies to send now. Messages that are
    /// held back are queued.
    fn pass(&mut self, to: &Subject, reply: Option<&Subject>, payload: &Bytes) -> usize {
        self.counts.published += 1;
        let fate = self.draw();
        if fate.lost {
            self.counts.lost += 1;
            return 0;
        }
        self.counts.doubled += u64::from(fate.copies > 1);
        self.counts.delayed += u64::from(fate.delay.is_some());
        self.counts.reordered += u64::from(fate.passed_by.is_some());
        let message = Held {
            to: to.clone(),
            reply: reply.cloned(),
            payload: payload.clone(),
            copies: fate.copies,
        };
        match self.delayed.enter(Instant::now(), fate, message) {
            delay::Entry::SendNow => fate.copies,
            delay::Entry::Held => 0,
            delay::Entry::Full => {
                self.counts.overflowed += 1;
                0
            }
        }
    }

    fn draw(&mut self) -> Fate {
        let faults = self.faults;
        let random = &mut self.random;
        let lost = random.chance(faults.lose);
        let doubled = random.chance(faults.double);
        let delayed = random.chance(faults.delay);
        let delay = random.up_to(faults.delay_up_to);
        let reordered = random.chance(faults.reorder);
        let passed_by = random.up_to(faults.reorder_within);
        Fate {
            lost,
            copies: if doubled { 2 } else { 1 },
            delay: (delayed && !reordered).then_some(delay),
            passed_by: reordered.then_some(passed_by),
        }
    }
}

/// Sends messages that are held back when they are due.
async fn pump(shared: Arc<WrappedBus>) {
    loop {
        let due = shared.lock().delayed.next_due();
        match due {
            None => shared.held.notified().await,
            Some(due) => {
                tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(due) => {}
                    () = shared.held.notified() => continue,
                }
            }
        }
        loop {
            let Some((held, order)) = shared.lock().delayed.leave(Instant::now()) else {
                break;
            };
            for _ in 0..held.copies {
                let sent =
                    shared
                        .inner
                        .publish(held.to.clone(), held.reply.clone(), held.payload.clone());
                if sent.await.is_err() {
                    shared.lock().counts.refused += 1;
                }
            }
            shared.lock().delayed.left(order);
        }
    }
}

#[cfg(test)]
mod tests;
