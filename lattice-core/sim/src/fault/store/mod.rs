//! A store that fails, delays, loses replies, breaks watches and is out of reach, the same way for
//! the same seed.
//!
//! Every call and every event draws the same number of random numbers regardless of the faults, so
//! a fault that is added to a failing run leaves the others unchanged. Time is tokio's, so delays
//! cost nothing in a test with paused time.
//!
//! ```
//! # use lattice_core::store::{MemoryStore, Store};
//! # use lattice_sim::fault::{FaultStore, StoreFaults};
//! # use std::{sync::Arc, time::Duration};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let store = FaultStore::new(Arc::new(MemoryStore::new()), 42);
//! store.set(StoreFaults::none().losing_answers(0.1).delaying(0.5, Duration::from_millis(20)));
//! store.partition();
//! assert!(store.incarnation().await.is_err());
//! store.heal();
//! # }
//! ```

mod follow;

use bytes::Bytes;
use follow::Follower;
use futures_util::future::BoxFuture;
use lattice_core::{
    __private::Random,
    store::{
        CommitError, Entry, Expect, Incarnation, Op, Position, Revision, Store, StoreError,
        StoreKey, StoreWatch,
    },
    sync::Mutex,
};
use std::{
    fmt,
    sync::{Arc, MutexGuard},
    time::Duration,
};
use tokio::sync::watch;

/// The kinds and rates of faults. Rates are from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StoreFaults {
    fail: f64,
    lose_answer: f64,
    delay: f64,
    delay_up_to: Duration,
    break_watch: f64,
}

/// How many calls and events were affected so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StoreFaultCounts {
    /// Calls of any kind.
    pub calls: u64,
    /// Failed at random; nothing was done.
    pub failed: u64,
    /// Commits and leases that were done but returned [`CommitError::Unknown`].
    pub answers_lost: u64,
    /// Calls and events that were held back.
    pub delayed: u64,
    /// Watches that were broken instead of delivering an event.
    pub broken: u64,
    /// Calls refused by a partition.
    pub cut: u64,
}

/// Wraps a [`Store`] and injects faults; see the [module](self). Cheap to clone: clones share their
/// faults.
#[derive(Clone)]
pub struct FaultStore(Arc<WrappedStore>);

struct WrappedStore {
    inner: Arc<dyn Store>,
    state: Mutex<StoreFaultState>,
    reach: watch::Sender<Reach>,
}

struct StoreFaultState {
    random: Random,
    faults: StoreFaults,
    counts: StoreFaultCounts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Whole,
    Cut,
}

/// The fate of one call or event.
struct Fate {
    fails: bool,
    loses_answer: bool,
    breaks: bool,
    delay: Option<Duration>,
}

impl StoreFaults {
    /// Returns no faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// Fails this share of the calls with [`StoreError::Unavailable`]; they do nothing.
    pub fn failing(mut self, chance: f64) -> Self {
        self.fail = chance;
        self
    }

    /// Does this share of the commits and leases where possible, but returns
    /// [`CommitError::Unknown`].
    pub fn losing_answers(mut self, chance: f64) -> Self {
        self.lose_answer = chance;
        self
    }

    /// Delays this share of the calls, before they do anything, and of the events, for up to
    /// `longest`. Events keep their order.
    pub fn delaying(mut self, chance: f64, longest: Duration) -> Self {
        self.delay = chance;
        self.delay_up_to = longest;
        self
    }

    /// Replaces this share of the events by a break of the watch:
    /// [`WatchEvent::Lost`](lattice_core::store::WatchEvent::Lost), then a new snapshot.
    pub fn breaking_watches(mut self, chance: f64) -> Self {
        self.break_watch = chance;
        self
    }
}

impl FaultStore {
    /// Wraps `inner`, without faults until [`set`](Self::set) or [`partition`](Self::partition) is
    /// called.
    pub fn new(inner: Arc<dyn Store>, seed: u64) -> Self {
        Self(Arc::new(WrappedStore {
            inner,
            state: Mutex::new(StoreFaultState {
                random: Random::new(seed),
                faults: StoreFaults::none(),
                counts: StoreFaultCounts::default(),
            }),
            reach: watch::Sender::new(Reach::Whole),
        }))
    }

    /// Sets the faults from now on.
    pub fn set(&self, faults: StoreFaults) {
        self.0.lock().faults = faults;
    }

    /// Puts the store out of reach from now on: calls fail at once, and watches deliver
    /// [`WatchEvent::Lost`](lattice_core::store::WatchEvent::Lost). Other writers of the store
    /// aren't affected.
    pub fn partition(&self) {
        self.0.reach.send_replace(Reach::Cut);
    }

    /// Ends the partition: watches deliver a snapshot.
    pub fn heal(&self) {
        self.0.reach.send_replace(Reach::Whole);
    }

    /// Returns how many calls and events were affected so far.
    pub fn counts(&self) -> StoreFaultCounts {
        self.0.lock().counts
    }
}

impl fmt::Debug for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("FaultStore")
            .field("inner", &self.0.inner)
            .field("faults", &state.faults)
            .field("reach", &*self.0.reach.borrow())
            .field("counts", &state.counts)
            .finish()
    }
}

impl Store for FaultStore {
    fn is_shared(&self) -> bool {
        self.0.inner.is_shared()
    }

    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        Box::pin(async {
            self.0.enter().await?;
            self.0.inner.incarnation().await
        })
    }

    fn position(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        Box::pin(async {
            self.0.enter().await?;
            self.0.inner.position().await
        })
    }

    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        Box::pin(async {
            self.0.enter().await?;
            self.0.inner.read(key).await
        })
    }

    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async {
            let fate = self.0.enter().await?;
            self.0.answer(fate, self.0.inner.commit(ops).await)
        })
    }

    fn lease(
        &self,
        key: StoreKey,
        value: Bytes,
        ttl: Duration,
        expect: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move {
            let fate = self.0.enter().await?;
            let result = self.0.inner.lease(key, value, ttl, expect).await;
            self.0.answer(fate, result)
        })
    }

    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        Box::pin(async {
            self.0.enter().await?;
            let inner = self.0.inner.watch().await?;
            Ok(Follower::new(Arc::clone(&self.0), inner).into_watch())
        })
    }
}

impl WrappedStore {
    fn lock(&self) -> MutexGuard<'_, StoreFaultState> {
        self.state.lock()
    }

    fn is_cut(&self) -> bool {
        *self.reach.borrow() == Reach::Cut
    }

    /// Applies faults to a call before it is done.
    async fn enter(&self) -> Result<Fate, StoreError> {
        let fate = self.lock().draw();
        self.lock().counts.calls += 1;
        if let Some(delay) = fate.delay {
            self.lock().counts.delayed += 1;
            tokio::time::sleep(delay).await;
        }
        if self.is_cut() {
            self.lock().counts.cut += 1;
            return Err(StoreError::Unavailable("a partition is in between".into()));
        }
        if fate.fails {
            self.lock().counts.failed += 1;
            return Err(StoreError::Unavailable("it failed by chance".into()));
        }
        Ok(fate)
    }

    /// Applies faults to the reply of a write. A lost reply hides a refusal too.
    fn answer(
        &self,
        fate: Fate,
        result: Result<Revision, CommitError>,
    ) -> Result<Revision, CommitError> {
        if !fate.loses_answer || matches!(result, Err(CommitError::Invalid(_))) {
            return result;
        }
        self.lock().counts.answers_lost += 1;
        Err(CommitError::Unknown)
    }
}

impl StoreFaultState {
    fn draw(&mut self) -> Fate {
        let faults = self.faults;
        let random = &mut self.random;
        let fails = random.chance(faults.fail);
        let loses_answer = random.chance(faults.lose_answer);
        let breaks = random.chance(faults.break_watch);
        let delays = random.chance(faults.delay);
        let delay = random.up_to(faults.delay_up_to);
        Fate {
            fails,
            loses_answer,
            breaks,
            delay: delays.then_some(delay),
        }
    }
}
