//! The fault store injects the faults that it is configured for, and no others.

use super::{key, next, put, snapshot, value};
use lattice_core::store::{CommitError, Expect, MemoryStore, Store, StoreError, WatchEvent};
use lattice_sim::{
    conformance,
    fault::{FaultStore, StoreFaultCounts, StoreFaults},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

fn pair(seed: u64) -> (MemoryStore, FaultStore) {
    let memory = MemoryStore::new();
    let fault = FaultStore::new(Arc::new(memory.clone()), seed);
    (memory, fault)
}

#[tokio::test(start_paused = true)]
async fn keeps_the_contract_without_faults() {
    conformance::store::run(async || {
        let (memory, fault) = pair(1);
        (Arc::new(fault) as _, Arc::new(memory) as _)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn keeps_the_contract_when_it_is_only_slow() {
    conformance::store::run(async || {
        let (_, fault) = pair(2);
        fault.set(StoreFaults::none().delaying(0.5, Duration::from_millis(200)));
        (Arc::new(fault.clone()) as _, Arc::new(fault) as _)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_had_no_effect_and_a_lost_response_had_one() {
    let (memory, fault) = pair(3);
    fault.set(StoreFaults::none().failing(1.0));
    let failed = fault.commit(put("a", "1", Expect::Any)).await;
    assert!(matches!(
        failed,
        Err(CommitError::Store(StoreError::Unavailable(_)))
    ));
    assert_eq!(value(&memory, "a").await, None);

    fault.set(StoreFaults::none().losing_answers(1.0));
    let lost = fault.commit(put("a", "1", Expect::Any)).await;
    assert!(matches!(lost, Err(CommitError::Unknown)));
    let ttl = Duration::from_secs(5);
    let lost = fault.lease(key("b"), "2".into(), ttl, Expect::Absent).await;
    assert!(matches!(lost, Err(CommitError::Unknown)));
    assert_eq!(value(&memory, "a").await.as_deref(), Some("1"));
    assert_eq!(value(&memory, "b").await.as_deref(), Some("2"));
    let invalid = fault.commit(Vec::new()).await;
    assert!(matches!(invalid, Err(CommitError::Invalid(_))));
}

#[tokio::test(start_paused = true)]
async fn a_partition_cuts_one_side_and_heals_with_a_snapshot() {
    let (memory, fault) = pair(4);
    let mut watch = fault.watch().await.expect("whole");
    snapshot(&mut watch).await;
    fault.partition();
    assert_eq!(next(&mut watch).await, WatchEvent::Lost);
    assert!(fault.read(key("a")).await.is_err());
    assert!(fault.watch().await.is_err());
    let written = memory.commit(put("a", "1", Expect::Any)).await;
    fault.heal();
    let (_, revision, entries) = snapshot(&mut watch).await;
    assert_eq!(revision, written.expect("not cut"));
    assert_eq!(entries[0].value, "1");
    assert_eq!(fault.counts().cut, 2);
}

#[tokio::test(start_paused = true)]
async fn a_broken_watch_reports_it_and_restarts() {
    let (memory, fault) = pair(5);
    let mut watch = fault.watch().await.expect("whole");
    snapshot(&mut watch).await;
    fault.set(StoreFaults::none().breaking_watches(1.0));
    memory
        .commit(put("a", "1", Expect::Any))
        .await
        .expect("in reach");
    assert_eq!(next(&mut watch).await, WatchEvent::Lost);
    fault.set(StoreFaults::none());
    let (_, _, entries) = snapshot(&mut watch).await;
    assert_eq!(entries.len(), 1);
    assert!(fault.counts().broken >= 1);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_store_faults() {
    async fn run(seed: u64) -> (Vec<String>, StoreFaultCounts, Duration) {
        let (_, fault) = pair(seed);
        let faults = StoreFaults::none().failing(0.3).losing_answers(0.3);
        fault.set(faults.delaying(0.3, Duration::from_millis(100)));
        let begun = Instant::now();
        let mut seen = Vec::new();
        for _ in 0..50 {
            let result = fault.commit(put("a", "1", Expect::Any)).await;
            seen.push(format!("{result:?}"));
        }
        (seen, fault.counts(), begun.elapsed())
    }
    let first = run(77).await;
    assert_eq!(first, run(77).await);
    assert_ne!(first.0, run(78).await.0);
    let counts = first.1;
    assert!(
        counts.failed > 0 && counts.answers_lost > 0 && counts.delayed > 0,
        "{counts:?}"
    );
}
