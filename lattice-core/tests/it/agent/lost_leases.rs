//! Leases that clients of the store remove, replay or forge responses about.

use super::leases::{Contender, once};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use lattice_core::{
    __private::{RENEW, TERM},
    store::{
        CommitError, Entry, Expect, Incarnation, MemoryStore, Op, Revision, Store, StoreError,
        StoreKey, StoreWatch, WatchEvent,
    },
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

/// A way to a store. If it lies, it answers each write of a lease as if it had been accepted with a
/// certain revision, as a client may that reads and forges replies.
#[derive(Debug, Clone)]
pub(super) struct Way {
    store: MemoryStore,
    is_shared: bool,
    lies: Option<Revision>,
    /// Whether leases may not be written.
    denies: Arc<AtomicBool>,
    /// How long a lease takes to be written, and as long again until that is answered.
    slow: Duration,
    /// How long the store keeps the value of a lease, if not for the whole of its term.
    keeps: Duration,
    /// Whether changes are not delivered for now.
    lags: Arc<watch::Sender<bool>>,
}

impl Way {
    /// To a store that others write to as well.
    pub(super) fn shared(store: &MemoryStore) -> Self {
        Self {
            store: store.clone(),
            is_shared: true,
            lies: None,
            denies: Arc::default(),
            slow: Duration::ZERO,
            keeps: Duration::MAX,
            lags: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Returns what makes it deny leases.
    pub(super) fn denies(&self) -> Arc<AtomicBool> {
        self.denies.clone()
    }

    pub(super) fn slow(store: &MemoryStore, slow: Duration) -> Self {
        Self {
            is_shared: false,
            slow,
            ..Self::shared(store)
        }
    }
}

impl Store for Way {
    fn is_shared(&self) -> bool {
        self.is_shared
    }
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        self.store.incarnation()
    }
    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        self.store.read(key)
    }
    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        self.store.commit(ops)
    }
    fn lease(
        &self,
        key: StoreKey,
        value: Bytes,
        ttl: Duration,
        expect: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move {
            if self.denies.load(Ordering::SeqCst) {
                let denied = StoreError::Forbidden("the user may not publish there".to_owned());
                return Err(denied.into());
            }
            sleep(self.slow).await;
            let term = ttl.min(self.keeps);
            let answer = self.store.lease(key, value, term, expect).await;
            sleep(self.slow).await;
            match (answer, self.lies) {
                (Err(_), Some(forged)) => Ok(forged),
                (answer, _) => answer,
            }
        })
    }
    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        Box::pin(async {
            let (events, lags) = (self.store.watch().await?, self.lags.subscribe());
            let delivered = stream::unfold((events, lags), async |(mut events, mut lags)| {
                let event = events.next().await?;
                lags.wait_for(|lags| !*lags).await.ok()?;
                Some((event, (events, lags)))
            });
            Ok(StoreWatch::new(delivered))
        })
    }
}

fn key() -> StoreKey {
    StoreKey::lease(&once())
}

async fn remove(store: &MemoryStore) {
    let op = Op::delete(key(), Expect::Any);
    store.commit(vec![op]).await.expect("removed");
}

async fn value(store: &MemoryStore) -> Bytes {
    let entry = store.read(key()).await.expect("in reach");
    entry.expect("there").value
}

async fn play(store: &MemoryStore, value: &Bytes) {
    let op = Op::put(key(), value.clone(), Expect::Any);
    store.commit(vec![op]).await.expect("written");
}

/// Runs two hosts for a while. At no time does more than one reply. Returns how long each did.
async fn run(contenders: [&mut Contender; 2], span: Duration) -> [Duration; 2] {
    const TICK: Duration = Duration::from_millis(10);
    let mut replied = [Duration::ZERO; 2];
    let end = Instant::now() + span;
    let [one, two] = contenders;
    while Instant::now() < end {
        one.request_if_missing();
        two.request_if_missing();
        let now = [one.replying(), two.replying()];
        assert!(now[0] + now[1] <= 1, "{now:?}");
        for (replied, now) in replied.iter_mut().zip(now) {
            *replied += TICK * now as u32;
        }
        sleep(TICK).await;
    }
    replied
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_removed_stays_with_its_holder() {
    let store = MemoryStore::new();
    let mut holder = Contender::holder(&store).await;
    let mut other = Contender::new(&store, "other", 2).await;
    for round in 0..10 {
        let recorded = value(&store).await;
        remove(&store).await;
        let span = Duration::from_millis(1_700 + round * 60);
        let [held, taken] = run([&mut holder, &mut other], span).await;
        assert_eq!(
            (held + Duration::from_millis(20) >= span, taken),
            (true, Duration::ZERO)
        );
        // A recording of the lease, and garbage, in place of it.
        let spoiled = if round % 2 == 0 { recorded } else { "x".into() };
        play(&store, &spoiled).await;
        let [_, taken] = run([&mut holder, &mut other], span).await;
        assert_eq!(taken, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_removed_is_taken_only_when_its_holder_has_stopped() {
    let store = MemoryStore::new();
    let mut holder = Contender::holder(&store).await;
    let mut other = Contender::new(&store, "other", 2).await;
    run([&mut holder, &mut other], TERM * 2).await;
    holder.way.partition();
    remove(&store).await;
    let [held, taken] = run([&mut holder, &mut other], TERM * 2).await;
    assert!(held > TERM / 3, "{held:?}");
    assert!(taken > TERM / 2, "{taken:?}");
}

/// The server that removes expired values has a clock that runs ahead, for example after another
/// one became the leader.
#[tokio::test(start_paused = true)]
async fn a_lease_whose_value_the_store_removes_early_stays_with_its_holder() {
    let store = MemoryStore::new();
    let hasty = Way {
        // Less than until the next renewal. A store keeps a value for whole seconds.
        keeps: Duration::from_secs(1),
        ..Way::shared(&store)
    };
    let mut holder = Contender::over(Arc::new(hasty), "holder", 1).await;
    while holder.replying() == 0 {
        holder.request_if_missing();
        sleep(Duration::from_millis(10)).await;
    }
    let mut other = Contender::over(Arc::new(Way::shared(&store)), "other", 2).await;
    let span = TERM * 4;
    let [held, taken] = run([&mut holder, &mut other], span).await;
    assert!(held + Duration::from_millis(20) >= span, "{held:?}");
    assert_eq!(taken, Duration::ZERO);
    let removed = async {
        while store.read(key()).await.expect("in reach").is_some() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(RENEW, removed).await.expect("before it is renewed");
    holder.way.partition();
    let [_, taken] = run([&mut holder, &mut other], TERM * 2).await;
    assert!(taken > TERM / 2, "{taken:?}");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_withdrawn_leaves_the_lease_to_its_holder() {
    const MOMENT: Duration = Duration::from_millis(10);
    let store = MemoryStore::new();
    let begun = Instant::now();
    let mut holder = Contender::holder(&store).await;
    let mut third = Contender::new(&store, "third", 3).await;
    let way = Way::shared(&store);
    let mut late = Contender::over(Arc::new(way.clone()), "late", 2).await;
    // Between two renewals each.
    sleep_until(begun + RENEW * 2 + RENEW / 3).await;
    way.lags.send_replace(true);
    sleep_until(begun + RENEW * 8 + RENEW / 3).await;
    remove(&store).await;
    // It has not seen the holder for longer than a term, until its own claim has been written.
    late.request_if_missing();
    sleep(MOMENT).await;
    assert!(store.read(key()).await.expect("in reach").is_some());
    way.lags.send_replace(false);
    sleep(MOMENT).await;
    assert_eq!(late.replying(), 0);
    let [held, taken] = run([&mut holder, &mut third], TERM).await;
    assert!(held + MOMENT * 2 >= TERM, "{held:?}");
    assert_eq!(taken, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_has_just_started_waits_until_a_removed_lease_has_run_out() {
    let store = MemoryStore::new();
    let way = Way::shared(&store);
    let mut holder = Contender::holder(&store).await;
    holder.way.partition();
    remove(&store).await;
    let mut other = Contender::over(Arc::new(way), "other", 2).await;
    let [held, taken] = run([&mut holder, &mut other], TERM * 2).await;
    assert!(held > TERM / 2 && taken > TERM / 2, "{held:?}, {taken:?}");
}

#[tokio::test(start_paused = true)]
async fn a_forged_response_grants_no_lease() {
    let store = MemoryStore::new();
    let way = Way {
        lies: Some(Revision(1_000)),
        ..Way::shared(&store)
    };
    let mut holder = Contender::over(Arc::new(way.clone()), "holder", 1).await;
    let mut other = Contender::over(Arc::new(way), "other", 2).await;
    let mut changes = store.watch().await.expect("in reach");
    // They ask at the same moment.
    let [held, taken] = run([&mut holder, &mut other], TERM * 4).await;
    assert!(
        held > TERM && taken == Duration::ZERO,
        "{held:?}, {taken:?}"
    );
    // Nor does the other one take the holder's claim for its own, and withdraw it.
    while let Some(Some(event)) = changes.next().now_or_never() {
        for change in event.changes() {
            assert!(!matches!(change, WatchEvent::Delete { .. }), "{change:?}");
        }
    }
    holder.way.partition();
    let [_, taken] = run([&mut holder, &mut other], TERM * 4).await;
    assert!(taken > TERM, "{taken:?}");
}

/// The revision in the response is one that the host has seen, so that it waits for nothing more.
#[tokio::test(start_paused = true)]
async fn a_forged_response_grants_no_lease_to_a_host_that_lags() {
    let store = MemoryStore::new();
    let begun = Instant::now();
    let mut holder = Contender::holder(&store).await;
    let way = Way {
        lies: Some(Revision(1)),
        // Longer than until the next renewal, after which the write is refused.
        slow: RENEW,
        ..Way::shared(&store)
    };
    let mut late = Contender::over(Arc::new(way.clone()), "late", 2).await;
    // Between two renewals each.
    sleep_until(begun + RENEW * 2 + RENEW / 3).await;
    way.lags.send_replace(true);
    sleep_until(begun + RENEW * 8 + RENEW / 3).await;
    remove(&store).await;
    // It has not seen the holder for longer than a term.
    let span = TERM * 2;
    let [held, taken] = run([&mut holder, &mut late], span).await;
    assert!(held + Duration::from_millis(20) >= span, "{held:?}");
    assert_eq!(taken, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_forged_response_renews_no_lease() {
    const MOMENT: Duration = Duration::from_millis(50);
    let store = MemoryStore::new();
    let mut first = Contender::holder(&store).await;
    let recorded = value(&store).await;
    first.give_back();
    sleep(MOMENT).await;
    let way = Way {
        is_shared: false,
        lies: Some(Revision(1_000)),
        ..Way::shared(&store)
    };
    let mut second = Contender::over(Arc::new(way), "second", 2).await;
    let [_, held] = run([&mut first, &mut second], TERM).await;
    assert!(held > TERM / 2, "{held:?}");
    // The store has a claim of the first one again, and its answer to a renewal says otherwise.
    play(&store, &recorded).await;
    let [_, held] = run([&mut first, &mut second], TERM).await;
    assert!(held < RENEW + MOMENT, "{held:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_given_back_is_taken_at_once() {
    let store = MemoryStore::new();
    let mut holder = Contender::holder(&store).await;
    let mut other = Contender::new(&store, "other", 2).await;
    run([&mut holder, &mut other], TERM).await;
    holder.give_back();
    let span = Duration::from_secs(1);
    let [held, taken] = run([&mut holder, &mut other], span).await;
    assert!(held < span / 20 && taken > span / 4, "{held:?}, {taken:?}");
}
