//! The epoch of a host that starts while its store is out of reach or slow.

use lattice_core::{
    __private::boot_epoch,
    auth::Auth,
    name::HostId,
    store::{Expect, MemoryStore, Op, StoreKey, record::Records},
};
use lattice_sim::fault::{FaultStore, StoreFaults};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The time that a host waits for its store.
const PATIENCE: Duration = Duration::from_secs(2);

fn host() -> HostId {
    HostId::new("edge").expect("a host")
}

async fn at(records: &Records, epoch: u64) {
    let incarnation = records.store().incarnation().await.expect("there");
    let key = StoreKey::host(&host());
    let value = records.encode(incarnation, &key, epoch, &());
    let put = Op::put(key, value.expect("encodes"), Expect::Any);
    records.store().commit(vec![put]).await.expect("written");
}

#[tokio::test(start_paused = true)]
async fn a_host_starts_while_the_store_is_unavailable_or_hangs() {
    let store = FaultStore::new(Arc::new(MemoryStore::new()), 1);
    let records = Records::new(Arc::new(store.clone()), Auth::trusting());
    store.partition();
    assert!(boot_epoch(&records, Some(&host())).await > 0);
    store.heal();
    store.set(StoreFaults::none().delaying(1.0, Duration::from_hours(1)));
    let asked = Instant::now();
    assert!(boot_epoch(&records, Some(&host())).await > 0);
    assert!(asked.elapsed() <= PATIENCE, "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_read_epoch_is_used_when_the_write_fails() {
    let store = FaultStore::new(Arc::new(MemoryStore::new()), 1);
    let records = Records::new(Arc::new(store.clone()), Auth::trusting());
    let ahead = boot_epoch(&records, None).await + 3_600_000;
    at(&records, ahead).await;
    store.set(StoreFaults::none().losing_answers(1.0));
    assert!(boot_epoch(&records, Some(&host())).await > ahead);
}
