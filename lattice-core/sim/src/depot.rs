//! The store of a simulation: one state that all hosts share, and each host's own way to it.

use super::{network::Network, schedule::Nth};
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use lattice_core::{
    __private::{Cursor, Random, State, check_ops, check_ttl},
    name::ComponentId,
    store::{
        CommitError, Entry, Expect, Incarnation, Op, Revision, Store, StoreError, StoreKey, Watch,
        WatchEvent,
    },
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How long a store that hangs is waited for, as the contract of [`Store`] has it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One boot of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Boot {
    pub(super) host: Nth,
    pub(super) number: u64,
}

/// How the store is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Away {
    /// It says so.
    Refuses,
    /// Nothing is heard of it.
    Hangs,
}

/// What all hosts share. Only ever used from the thread that runs the simulation.
#[derive(Clone)]
pub(super) struct Depot {
    shared: Arc<Mutex<Shared>>,
    network: Network,
}

struct Shared {
    seed: u64,
    state: State,
    /// Instants of its leases are counted from here, by the simulation's time: no host's clock is of any matter.
    base: Instant,
    now: Duration,
    calls: BTreeMap<Nth, u64>,
    away: BTreeMap<u64, Away>,
    cut: BTreeMap<u64, Nth>,
    lagging: BTreeMap<u64, Nth>,
    unsure: u8,
    /// Since when a host hears everything from the store.
    heard_since: BTreeMap<Nth, Option<Duration>>,
    watches: BTreeMap<u64, Waker>,
    next_watch: u64,
    /// Who wrote each lease last.
    holders: BTreeMap<StoreKey, Boot>,
    grants_all: bool,
}

impl Depot {
    pub(super) fn new(seed: u64, network: Network) -> Self {
        let shared = Shared {
            seed,
            state: State::new(),
            base: Instant::now(),
            now: Duration::ZERO,
            calls: BTreeMap::new(),
            away: BTreeMap::new(),
            cut: BTreeMap::new(),
            lagging: BTreeMap::new(),
            unsure: 0,
            heard_since: BTreeMap::new(),
            watches: BTreeMap::new(),
            next_watch: 0,
            holders: BTreeMap::new(),
            grants_all: false,
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
            network,
        }
    }

    /// The way of one boot of a host to it.
    pub(super) fn seen_by(&self, boot: Boot) -> SimStore {
        SimStore {
            depot: self.clone(),
            boot,
        }
    }

    /// Time passes: leases end, and whoever watches looks again.
    pub(super) fn advance(&self, now: Duration, hosts: impl Iterator<Item = Nth>) {
        let mut shared = self.lock();
        shared.now = now;
        let instant = shared.instant();
        shared.state.expire(instant);
        for host in hosts {
            let hears = shared.away(host, &self.network).is_none() && !shared.lags(host);
            let since = shared.heard_since.entry(host).or_default();
            *since = hears.then(|| since.unwrap_or(now));
        }
        let watches = std::mem::take(&mut shared.watches);
        drop(shared);
        watches.into_values().for_each(Waker::wake);
    }

    pub(super) fn go_away(&self, number: u64, how: Away) {
        self.lock().away.insert(number, how);
    }

    pub(super) fn cut(&self, number: u64, host: Nth) {
        self.lock().cut.insert(number, host);
    }

    pub(super) fn lag(&self, number: u64, host: Nth) {
        self.lock().lagging.insert(number, host);
    }

    pub(super) fn lose_answers(&self, percent: u8) {
        self.lock().unsure = percent;
    }

    /// Ends the trouble of this number.
    pub(super) fn mend(&self, number: u64) {
        let mut shared = self.lock();
        shared.away.remove(&number);
        shared.cut.remove(&number);
        shared.lagging.remove(&number);
    }

    /// Since when a host hears everything that the store says; none when it doesn't.
    pub(super) fn heard_since(&self, host: Nth) -> Option<Duration> {
        self.lock().heard_since.get(&host).copied().flatten()
    }

    /// Which boot of which host holds the lease of a component now.
    pub(super) fn holder(&self, component: &ComponentId) -> Option<Boot> {
        let shared = self.lock();
        let key = StoreKey::lease(component);
        shared.state.read(&key)?;
        shared.holders.get(&key).copied()
    }

    /// From now on every lease is granted, whoever has it.
    pub(super) fn grant_all(&self) {
        self.lock().grants_all = true;
    }

    /// Loses what stands at a key, as a store should not.
    pub(super) fn forget(&self, key: StoreKey) {
        let mut shared = self.lock();
        let now = shared.instant();
        // It expects nothing of the key.
        let _ = shared
            .state
            .commit(vec![Op::delete(key, Expect::Any)], None, now);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn instant(&self) -> Instant {
        self.base + self.now
    }

    fn lags(&self, host: Nth) -> bool {
        self.lagging.values().any(|lags| *lags == host)
    }

    fn away(&self, host: Nth, network: &Network) -> Option<Away> {
        if let Some(how) = self.away.values().next() {
            return Some(*how);
        }
        let cut = self.cut.values().any(|cut| *cut == host);
        (cut || !network.reaches_store(host)).then_some(Away::Hangs)
    }

    fn fate(&mut self, host: Nth) -> Random {
        let calls = self.calls.entry(host).or_default();
        *calls += 1;
        Random::new(self.seed ^ Random::new((host.0 as u64) << 48 ^ *calls).next())
    }

    fn lease(&mut self, boot: Boot, op: Op, ttl: Duration) -> Result<Revision, CommitError> {
        let (now, key) = (self.instant(), op.key.clone());
        match self.state.commit(vec![op], Some(ttl), now) {
            Err(CommitError::Conflict { .. }) if self.grants_all => Ok(self
                .state
                .read(&key)
                .map_or(Revision::default(), |entry| entry.revision)),
            written => {
                if written.is_ok() {
                    self.holders.insert(key, boot);
                }
                written
            }
        }
    }
}

/// One host's way to the store.
pub(super) struct SimStore {
    depot: Depot,
    boot: Boot,
}

/// A call under way.
struct Passing {
    back: Duration,
    loses_answer: bool,
}

impl SimStore {
    /// Gets there, or not.
    async fn enter(&self) -> Result<Passing, StoreError> {
        let (there, passing) = {
            let mut shared = self.depot.lock();
            let unsure = f64::from(shared.unsure) / 100.0;
            let mut fate = shared.fate(self.boot.host);
            let mut leg = || Duration::from_millis(1 + fate.below(6));
            let (there, back) = (leg(), leg());
            let loses_answer = fate.chance(unsure);
            (there, Passing { back, loses_answer })
        };
        sleep(there).await;
        self.reached().await?;
        Ok(passing)
    }

    async fn reached(&self) -> Result<(), StoreError> {
        let host = self.boot.host;
        let away = self.depot.lock().away(host, &self.depot.network);
        let Some(how) = away else {
            return Ok(());
        };
        if how == Away::Hangs {
            sleep(TIMEOUT).await;
        }
        Err(StoreError::Unavailable(
            "it is away in this simulation".into(),
        ))
    }

    async fn write<T>(
        &self,
        write: impl FnOnce(&mut Shared) -> Result<T, CommitError>,
    ) -> Result<T, CommitError> {
        let passing = self.enter().await?;
        let written = write(&mut self.depot.lock());
        sleep(passing.back).await;
        if passing.loses_answer || self.reached().await.is_err() {
            return Err(CommitError::Unknown);
        }
        written
    }

    async fn ask<T>(&self, ask: impl FnOnce(&Shared) -> T) -> Result<T, StoreError> {
        let passing = self.enter().await?;
        let answer = ask(&self.depot.lock());
        sleep(passing.back).await;
        self.reached().await?;
        Ok(answer)
    }
}

impl Store for SimStore {
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        // As a client has it that asked when it connected.
        Box::pin(async { Ok(self.depot.lock().state.incarnation()) })
    }

    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        Box::pin(async move { self.ask(|shared| shared.state.read(&key)).await })
    }

    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move {
            check_ops(&ops)?;
            self.write(|shared| {
                let now = shared.instant();
                shared.state.commit(ops, None, now)
            })
            .await
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
            check_ttl(ttl)?;
            let (op, boot) = (Op::put(key, value, expect), self.boot);
            check_ops(std::slice::from_ref(&op))?;
            self.write(|shared| shared.lease(boot, op, ttl)).await
        })
    }

    fn watch(&self) -> BoxFuture<'_, Result<Watch, StoreError>> {
        Box::pin(async {
            self.ask(|_| ()).await?;
            let mut watching = Watching {
                depot: self.depot.clone(),
                host: self.boot.host,
                cursor: Cursor::default(),
                told_lost: false,
                number: None,
            };
            let events = stream::poll_fn(move |cx| watching.poll(cx.waker()).map(Some));
            Ok(Watch::new(events))
        })
    }
}

/// A watch, as far as it has read.
struct Watching {
    depot: Depot,
    host: Nth,
    cursor: Cursor,
    told_lost: bool,
    number: Option<u64>,
}

impl Watching {
    fn poll(&mut self, waker: &Waker) -> Poll<WatchEvent> {
        let mut shared = self.depot.lock();
        if shared.away(self.host, &self.depot.network).is_some() {
            self.cursor = Cursor::default();
            if !std::mem::replace(&mut self.told_lost, true) {
                return Poll::Ready(WatchEvent::Lost);
            }
        } else if !shared.lags(self.host) {
            self.told_lost = false;
            if let Some(event) = shared.state.next(&mut self.cursor) {
                return Poll::Ready(event);
            }
        }
        let number = *self.number.get_or_insert_with(|| {
            shared.next_watch += 1;
            shared.next_watch
        });
        shared.watches.insert(number, waker.clone());
        Poll::Pending
    }
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimStore")
            .field("boot", &self.boot)
            .finish_non_exhaustive()
    }
}
