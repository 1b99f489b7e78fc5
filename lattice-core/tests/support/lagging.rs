//! A store whose changes reach a process late, or not at all.

use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture, stream};
use lattice_core::store::{
    CommitError, Entry, Expect, Incarnation, MemoryStore, Op, Position, Revision, Store,
    StoreError, StoreKey, StoreWatch, WatchEvent,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::watch;

/// What a process receives of the store's changes. Its reads and writes always work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    Works,
    /// Nothing arrives, and the process doesn't know that.
    Lags,
    /// Nothing arrives, and the process knows it.
    Lost,
}

/// The way of one process to a store. The answers to its next commits can be forged: nothing is
/// written then.
#[derive(Debug)]
pub(crate) struct Lagging {
    store: MemoryStore,
    delivery: watch::Sender<Delivery>,
    /// Whether the store reports its last revision.
    pub(crate) reports: AtomicBool,
    pub(crate) forged: AtomicUsize,
}

impl Lagging {
    pub(crate) fn on(store: &MemoryStore) -> Arc<Self> {
        Arc::new(Self {
            store: store.clone(),
            delivery: watch::Sender::new(Delivery::Works),
            reports: AtomicBool::new(true),
            forged: AtomicUsize::new(0),
        })
    }

    pub(crate) fn set(&self, delivery: Delivery) {
        self.delivery.send_replace(delivery);
    }
}

/// Makes more writes than a writer may not have seen.
pub(crate) async fn write_a_lot(store: &MemoryStore) {
    for _ in 0..11 {
        let op = |n| Op::put(StoreKey::for_test(&format!("k{n}")), "x", Expect::Any);
        let written = store.commit((0..1_000).map(op).collect()).await;
        written.expect("in reach");
    }
}

impl Store for Lagging {
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        self.store.incarnation()
    }
    fn position(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        Box::pin(async {
            let mut position = self.store.position().await?;
            position.newest = position.newest.filter(|_| self.reports.load(Relaxed));
            Ok(position)
        })
    }
    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        self.store.read(key)
    }
    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        let forged = |left: usize| left.checked_sub(1);
        if self.forged.fetch_update(Relaxed, Relaxed, forged).is_ok() {
            return Box::pin(async { Ok(Revision(1)) });
        }
        self.store.commit(ops)
    }
    fn lease(
        &self,
        key: StoreKey,
        value: Bytes,
        ttl: Duration,
        expect: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        self.store.lease(key, value, ttl, expect)
    }
    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        Box::pin(async {
            let following = Following {
                events: self.store.watch().await?,
                store: self.store.clone(),
                delivery: self.delivery.subscribe(),
                is_lost: false,
            };
            let delivered = stream::unfold(following, async |mut following| {
                let event = following.next().await?;
                Some((event, following))
            });
            Ok(StoreWatch::new(delivered))
        })
    }
}

struct Following {
    store: MemoryStore,
    events: StoreWatch,
    delivery: watch::Receiver<Delivery>,
    is_lost: bool,
}

impl Following {
    async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            let delivery = *self.delivery.borrow_and_update();
            match delivery {
                Delivery::Lost if !self.is_lost => {
                    self.is_lost = true;
                    return Some(WatchEvent::Lost);
                }
                Delivery::Lost | Delivery::Lags => self.delivery.changed().await.ok()?,
                Delivery::Works if self.is_lost => {
                    self.events = self.store.watch().await.ok()?;
                    self.is_lost = false;
                }
                Delivery::Works => tokio::select! {
                    biased;
                    changed = self.delivery.changed() => changed.ok()?,
                    event = self.events.next() => return event,
                },
            }
        }
    }
}
