//! The epoch of a node: which boot of its host it is.
//!
//! Epochs are milliseconds since 1970, so that a later boot has a higher one. But clocks can go
//! back: when they are set by hand, or at each start of a machine whose clock has no battery. Peers
//! would then take the host's frames for replays. So a host with a chosen id reads its last epoch
//! from the store and takes a higher one. A random id needs none of this.
//!
//! A recorded epoch that is far ahead of the clock is believed, because the clock may be the one
//! that is wrong, and later boots still get higher ones. Only one that no clock can have given is
//! overwritten: soon there would be no higher one, and peers would take each boot for a replay of
//! the last.

use crate::{
    backoff::Backoff,
    entropy,
    name::HostId,
    store::{
        Expect, Op, StoreError, StoreKey,
        record::{RecordError, Records},
        rewrite::{Current, Rewrite, RewriteError},
    },
};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::time::{Instant, error::Elapsed, timeout};

/// How long the store may take. Without it a host starts all the same.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Pauses between attempts to record the epoch.
const PAUSES: Backoff = Backoff::doubling(Duration::from_millis(20), Duration::from_millis(500));

/// Recorded epochs from this one on are not believed. It is in the year 10889.
const LATEST: u64 = 1 << 48;

/// Why the last epoch is unknown.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error("the store can't be read")]
    Read(#[from] StoreError),
    #[error("the store can't be written")]
    Write(#[from] RewriteError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("the store did not answer within {TIMEOUT:?}")]
    Timeout(#[from] Elapsed),
}

/// Returns the epoch of a node that starts now.
pub(crate) async fn epoch(records: &Records, chosen: Option<&HostId>) -> u64 {
    let mut epoch = by_the_clock();
    let Some(host) = chosen else {
        return epoch;
    };
    let recorded = timeout(TIMEOUT, after_the_last(records, host, &mut epoch)).await;
    if let Err(error) = recorded.map_err(Unknown::from).flatten() {
        tracing::warn!(%host, %error, "could not record this boot's epoch; if the clock moves backwards, or has since the last start, peers may ignore this host until it catches up");
    }
    epoch
}

/// Raises `epoch` above the last one as soon as that is known, and records it as the last one. To
/// be called with a timeout: two hosts with one id may conflict with each other for a while.
async fn after_the_last(records: &Records, host: &HostId, epoch: &mut u64) -> Result<(), Unknown> {
    let (store, key) = (records.store(), StoreKey::host(host));
    let mut rewrite = Rewrite::until(Instant::now() + TIMEOUT, PAUSES);
    loop {
        let incarnation = store.incarnation().await?;
        let entry = store.read(key.clone()).await?;
        let last = match records.current::<()>(incarnation, entry.as_ref())? {
            Current::Record(record) => record.generation,
            Current::Removed(generation) => generation,
            Current::Garbage(error) => {
                tracing::warn!(%host, %error, "overwriting unreadable epoch record");
                0
            }
            Current::Absent => 0,
        };
        if last < LATEST {
            *epoch = (*epoch).max(last + 1);
        } else {
            tracing::warn!(%host, last, "overwriting an epoch that no clock can have given; hosts that have received frames of that boot ignore this host until they are restarted, unless it gets another id");
        }
        let value = records.encode(incarnation, &key, *epoch, &())?;
        let put = Op::put(key.clone(), value, Expect::of(entry.as_ref()));
        if rewrite.commit(records, vec![put]).await?.is_some() {
            return Ok(());
        }
        rewrite.again().await?;
    }
}

/// Returns an epoch from the clock, a different one for each boot in this process.
fn by_the_clock() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = (entropy::since_1970().as_millis() as u64).max(1);
    if entropy::is_simulated() {
        // Other simulations in this process must not change what happens in this one.
        return now;
    }
    LAST.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| {
        Some(now.max(last + 1))
    })
    .map_or(now, |last| now.max(last + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::Auth,
        store::{MemoryStore, record::Record},
    };
    use std::sync::Arc;

    fn host() -> HostId {
        HostId::new("edge").expect("a host")
    }

    async fn put(records: &Records, value: bytes::Bytes) {
        let put = Op::put(StoreKey::host(&host()), value, Expect::Any);
        records.store().commit(vec![put]).await.expect("written");
    }

    async fn at(records: &Records, epoch: u64) {
        let incarnation = records.store().incarnation().await.expect("there");
        let key = StoreKey::host(&host());
        let value = records.encode(incarnation, &key, epoch, &());
        put(records, value.expect("encodes")).await;
    }

    #[tokio::test]
    async fn a_host_with_an_earlier_clock_starts_after_its_last_epoch() {
        let records = Records::new(Arc::new(MemoryStore::new()), Auth::trusting());
        let first = epoch(&records, Some(&host())).await;
        let ahead = first + 3_600_000;
        at(&records, ahead).await;
        assert_eq!(epoch(&records, Some(&host())).await, ahead + 1);
        assert_eq!(epoch(&records, Some(&host())).await, ahead + 2);
        let other = HostId::new("other").expect("a host");
        assert!(epoch(&records, Some(&other)).await < ahead);
        assert!(epoch(&records, None).await < ahead);
    }

    #[tokio::test]
    async fn an_unreadable_record_is_overwritten() {
        let records = Records::new(Arc::new(MemoryStore::new()), Auth::trusting());
        put(&records, bytes::Bytes::from_static(b"garbage")).await;
        let first = epoch(&records, Some(&host())).await;
        assert!(epoch(&records, Some(&host())).await > first);
        let entry = records.store().read(StoreKey::host(&host())).await;
        let entry = entry.expect("there").expect("written");
        let incarnation = records.store().incarnation().await.expect("there");
        let record: Record<()> = records.decode(incarnation, &entry).expect("a record");
        assert!(record.generation > first);
    }

    #[tokio::test]
    async fn an_epoch_that_leaves_none_for_later_boots_is_overwritten() {
        let records = Records::new(Arc::new(MemoryStore::new()), Auth::trusting());
        for last in [LATEST, u64::MAX - 1, u64::MAX] {
            let before = by_the_clock();
            at(&records, last).await;
            let first = epoch(&records, Some(&host())).await;
            assert!((before..LATEST).contains(&first), "{last}: {first}");
            let second = epoch(&records, Some(&host())).await;
            assert!((first + 1..LATEST).contains(&second), "{last}: {second}");
        }
        // The clock of the last boot was a century ahead: later boots follow it.
        let ahead = by_the_clock() + 100 * 365 * 24 * 3_600_000;
        at(&records, ahead).await;
        assert_eq!(epoch(&records, Some(&host())).await, ahead + 1);
    }

    #[tokio::test]
    async fn hosts_with_one_id_that_start_together_have_different_epochs() {
        let records = Records::new(Arc::new(MemoryStore::new()), Auth::trusting());
        let host = host();
        let epochs =
            futures_util::future::join_all((0..8).map(|_| epoch(&records, Some(&host)))).await;
        let unique: std::collections::BTreeSet<_> = epochs.iter().collect();
        assert_eq!(unique.len(), 8, "{epochs:?}");
    }
}
