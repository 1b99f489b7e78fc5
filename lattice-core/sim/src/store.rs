//! The simulated store: one state that all hosts share, and a connection to it for each of them.

use super::{network::Network, schedule::HostIndex};
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use lattice_core::{
    __private::{Cursor, Random, StoreContents, TERM, check_ops, check_ttl},
    name::ComponentId,
    store::{
        CommitError, Entry, Expect, Incarnation, KeyKind, Op, Revision, Store, StoreError,
        StoreKey, StoreWatch, WatchEvent, record::looks_removed,
    },
    sync::Mutex,
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, MutexGuard},
    task::{Poll, Waker},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How long a call waits for a store that hangs, according to the contract of [`Store`].
const TIMEOUT: Duration = Duration::from_secs(5);

/// One boot of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Boot {
    pub(super) host: HostIndex,
    pub(super) number: u64,
}

/// How the store is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outage {
    /// Calls fail at once.
    Refuses,
    /// Calls end after their timeout.
    Hangs,
}

/// The state that all hosts share. It is only used from the thread that runs the simulation.
#[derive(Clone)]
pub(super) struct SimStore {
    shared: Arc<Mutex<SimStoreState>>,
    network: Network,
}

struct SimStoreState {
    seed: u64,
    state: StoreContents,
    /// The origin of the instants of leases. They follow the time of the simulation and not the
    /// clock of any host.
    base: Instant,
    now: Duration,
    calls: BTreeMap<HostIndex, u64>,
    faults: Faults,
    /// Since when each host has received every change; `None` while it doesn't.
    in_sync_since: BTreeMap<HostIndex, Option<Duration>>,
    watches: BTreeMap<u64, Waker>,
    next_watch: u64,
    /// The last writer of each lease that was not given back.
    holders: BTreeMap<StoreKey, Boot>,
    /// When each lease was removed without the lattice's key. Its holder still has it then.
    removed: BTreeMap<StoreKey, Duration>,
    grants_all: bool,
}

/// The current faults of the store. Each outage has a number, which is used to end it.
#[derive(Default)]
struct Faults {
    /// The store is unavailable for all hosts.
    away: BTreeMap<u64, Outage>,
    /// Hosts that are cut off.
    cut: BTreeMap<u64, HostIndex>,
    /// Hosts that receive no changes.
    lagging: BTreeMap<u64, HostIndex>,
    /// The percentage of responses that are lost.
    unsure: u8,
}

impl SimStore {
    pub(super) fn new(seed: u64, network: Network) -> Self {
        let shared = SimStoreState {
            seed,
            state: StoreContents::new(),
            base: Instant::now(),
            now: Duration::ZERO,
            calls: BTreeMap::new(),
            faults: Faults::default(),
            in_sync_since: BTreeMap::new(),
            watches: BTreeMap::new(),
            next_watch: 0,
            holders: BTreeMap::new(),
            removed: BTreeMap::new(),
            grants_all: false,
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
            network,
        }
    }

    /// Returns the connection of one boot of a host.
    pub(super) fn connection(&self, boot: Boot) -> StoreConnection {
        StoreConnection {
            store: self.clone(),
            boot,
        }
    }

    /// Advances time: leases end, and watches are woken.
    pub(super) fn advance(&self, now: Duration, hosts: impl Iterator<Item = HostIndex>) {
        let mut shared = self.lock();
        shared.now = now;
        let instant = shared.instant();
        shared.state.expire(instant);
        for host in hosts {
            let hears =
                shared.faults.away(host, &self.network).is_none() && !shared.faults.lags(host);
            let since = shared.in_sync_since.entry(host).or_default();
            *since = hears.then(|| since.unwrap_or(now));
        }
        let watches = std::mem::take(&mut shared.watches);
        drop(shared);
        watches.into_values().for_each(Waker::wake);
    }

    pub(super) fn begin_outage(&self, number: u64, how: Outage) {
        self.lock().faults.away.insert(number, how);
    }

    pub(super) fn cut(&self, number: u64, host: HostIndex) {
        self.lock().faults.cut.insert(number, host);
    }

    pub(super) fn lag(&self, number: u64, host: HostIndex) {
        self.lock().faults.lagging.insert(number, host);
    }

    pub(super) fn lose_responses(&self, percent: u8) {
        self.lock().faults.unsure = percent;
    }

    /// Ends the outage of this number.
    pub(super) fn mend(&self, number: u64) {
        let faults = &mut self.lock().faults;
        faults.away.remove(&number);
        faults.cut.remove(&number);
        faults.lagging.remove(&number);
    }

    /// Returns since when a host has received every change of the store, or `None` while it
    /// doesn't.
    pub(super) fn in_sync_since(&self, host: HostIndex) -> Option<Duration> {
        self.lock().in_sync_since.get(&host).copied().flatten()
    }

    /// Returns the boot that holds the lease of a component.
    pub(super) fn holder(&self, component: &ComponentId) -> Option<Boot> {
        let shared = self.lock();
        let key = StoreKey::lease(component);
        let removed = shared.removed.get(&key);
        if removed.is_none_or(|at| shared.now >= *at + TERM) {
            shared.state.read(&key)?;
        }
        shared.holders.get(&key).copied()
    }

    /// Removes every lease, as anyone may who reaches the store.
    pub(super) fn remove_leases(&self) {
        let mut shared = self.lock();
        let keys: Vec<StoreKey> = shared.holders.keys().cloned().collect();
        let (now, instant) = (shared.now, shared.instant());
        for key in keys {
            if shared.state.read(&key).is_some() {
                shared.removed.insert(key.clone(), now);
            }
            // It can't conflict: it expects nothing of the key.
            let gone = vec![Op::delete(key, Expect::Any)];
            let _ = shared.state.commit(gone, None, instant);
        }
    }

    /// Grants every lease from now on, even if another host holds it, and hides it from the others.
    pub(super) fn grant_all(&self) {
        self.lock().grants_all = true;
    }

    /// Loses the value at a key, as no store should.
    pub(super) fn forget(&self, key: StoreKey) {
        let mut shared = self.lock();
        let now = shared.instant();
        // It can't conflict: it expects nothing of the key.
        let _ = shared
            .state
            .commit(vec![Op::delete(key, Expect::Any)], None, now);
    }

    fn lock(&self) -> MutexGuard<'_, SimStoreState> {
        self.shared.lock()
    }
}

impl SimStoreState {
    fn instant(&self) -> Instant {
        self.base + self.now
    }

    fn fate(&mut self, host: HostIndex) -> Random {
        let calls = self.calls.entry(host).or_default();
        *calls += 1;
        Random::new(self.seed ^ Random::new((host.0 as u64) << 48 ^ *calls).next())
    }

    fn lease(&mut self, boot: Boot, mut op: Op, ttl: Duration) -> Result<Revision, CommitError> {
        let (now, key) = (self.instant(), op.key.clone());
        let is_release = op.value.as_deref().is_some_and(looks_removed);
        if self.grants_all {
            op.expect = Expect::Any;
        }
        let written = self.state.commit(vec![op], Some(ttl), now)?;
        self.removed.remove(&key);
        if is_release {
            self.holders.remove(&key);
        } else {
            self.holders.insert(key, boot);
        }
        Ok(written)
    }

    /// Returns what a boot reads at a key.
    fn read(&self, boot: Boot, key: &StoreKey) -> Option<Entry> {
        let is_hidden = self.grants_all && is_lease(key) && self.holders.get(key) != Some(&boot);
        self.state.read(key).filter(|_| !is_hidden)
    }

    /// Returns an event as watches deliver it.
    fn shown(&self, event: WatchEvent) -> WatchEvent {
        match event {
            WatchEvent::Put(entry) if self.grants_all && is_lease(&entry.key) => {
                WatchEvent::Delete {
                    key: entry.key,
                    revision: entry.revision,
                }
            }
            WatchEvent::Snapshot {
                incarnation,
                revision,
                mut entries,
            } if self.grants_all => {
                entries.retain(|entry| !is_lease(&entry.key));
                WatchEvent::Snapshot {
                    incarnation,
                    revision,
                    entries,
                }
            }
            event => event,
        }
    }
}

fn is_lease(key: &StoreKey) -> bool {
    matches!(key.kind(), Some(KeyKind::Lease(_)))
}

impl Faults {
    fn lags(&self, host: HostIndex) -> bool {
        self.lagging.values().any(|lags| *lags == host)
    }

    fn away(&self, host: HostIndex, network: &Network) -> Option<Outage> {
        if let Some(how) = self.away.values().next() {
            return Some(*how);
        }
        let cut = self.cut.values().any(|cut| *cut == host);
        (cut || !network.reaches_store(host)).then_some(Outage::Hangs)
    }
}

/// The connection of one host to the store.
pub(super) struct StoreConnection {
    store: SimStore,
    boot: Boot,
}

/// A call on its way to the store.
struct RoundTrip {
    back: Duration,
    loses_answer: bool,
}

impl StoreConnection {
    /// Waits until the call has reached the store.
    async fn enter(&self) -> Result<RoundTrip, StoreError> {
        let (there, round_trip) = {
            let mut shared = self.store.lock();
            let unsure = f64::from(shared.faults.unsure) / 100.0;
            let mut fate = shared.fate(self.boot.host);
            let mut leg = || Duration::from_millis(1 + fate.below(6));
            let (there, back) = (leg(), leg());
            let loses_answer = fate.chance(unsure);
            (there, RoundTrip { back, loses_answer })
        };
        sleep(there).await;
        self.reached().await?;
        Ok(round_trip)
    }

    async fn reached(&self) -> Result<(), StoreError> {
        let host = self.boot.host;
        let away = self.store.lock().faults.away(host, &self.store.network);
        let Some(how) = away else {
            return Ok(());
        };
        if how == Outage::Hangs {
            sleep(TIMEOUT).await;
        }
        Err(StoreError::Unavailable(
            "it is unavailable in this simulation".into(),
        ))
    }

    async fn write<T>(
        &self,
        write: impl FnOnce(&mut SimStoreState) -> Result<T, CommitError>,
    ) -> Result<T, CommitError> {
        let round_trip = self.enter().await?;
        let written = write(&mut self.store.lock());
        sleep(round_trip.back).await;
        if round_trip.loses_answer || self.reached().await.is_err() {
            return Err(CommitError::Unknown);
        }
        written
    }

    async fn ask<T>(&self, ask: impl FnOnce(&SimStoreState) -> T) -> Result<T, StoreError> {
        let round_trip = self.enter().await?;
        let answer = ask(&self.store.lock());
        sleep(round_trip.back).await;
        self.reached().await?;
        Ok(answer)
    }
}

impl Store for StoreConnection {
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        // A client requests it once, when it connects.
        Box::pin(async { Ok(self.store.lock().state.incarnation()) })
    }

    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        Box::pin(async move { self.ask(|shared| shared.read(self.boot, &key)).await })
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

    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        Box::pin(async {
            self.ask(|_| ()).await?;
            let mut watching = Watching {
                store: self.store.clone(),
                host: self.boot.host,
                cursor: Cursor::default(),
                reported_lost: false,
                number: None,
            };
            let events = stream::poll_fn(move |cx| watching.poll(cx.waker()).map(Some));
            Ok(StoreWatch::new(events))
        })
    }
}

/// A watch, and its position.
struct Watching {
    store: SimStore,
    host: HostIndex,
    cursor: Cursor,
    reported_lost: bool,
    number: Option<u64>,
}

impl Watching {
    fn poll(&mut self, waker: &Waker) -> Poll<WatchEvent> {
        let mut shared = self.store.lock();
        if shared.faults.away(self.host, &self.store.network).is_some() {
            self.cursor = Cursor::default();
            if !std::mem::replace(&mut self.reported_lost, true) {
                return Poll::Ready(WatchEvent::Lost);
            }
        } else if !shared.faults.lags(self.host) {
            self.reported_lost = false;
            if let Some(event) = shared.state.next(&mut self.cursor) {
                return Poll::Ready(shared.shown(event));
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

impl fmt::Debug for StoreConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConnection")
            .field("boot", &self.boot)
            .finish_non_exhaustive()
    }
}
