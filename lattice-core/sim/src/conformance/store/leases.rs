//! Leases: their end, renewal and takeover.

use super::{Copy, Pair, assert_conflict, delete, key, next, open, put, read, soon};
use bytes::Bytes;
use lattice_core::store::{
    CommitError, Expect, InvalidCommit, Op, Revision, Store, StoreWatch, WatchEvent,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How much later than its term a lease may end.
const SLACK: Duration = Duration::from_secs(5);

pub(super) async fn run(make: &impl AsyncFn() -> Pair) {
    the_end_of_a_lease_is_reported(make().await).await;
    a_renewed_lease_is_kept(make().await).await;
    a_lease_has_one_holder(make().await).await;
    a_commit_makes_it_permanent(make().await).await;
    a_lease_can_be_released(make().await).await;
    values_of_a_commit_may_have_terms(make().await).await;
    invalid_terms_are_rejected(make().await).await;
}

async fn lease(
    store: &Arc<dyn Store>,
    name: &str,
    holder: &str,
    secs: u64,
    expect: Expect,
) -> Result<Revision, CommitError> {
    let value = Bytes::from(holder.to_owned());
    let work = store.lease(key(name), value, Duration::from_secs(secs), expect);
    soon("a lease", work).await
}

async fn take(
    store: &Arc<dyn Store>,
    name: &str,
    holder: &str,
    secs: u64,
    expect: Expect,
) -> Revision {
    match lease(store, name, holder, secs, expect).await {
        Ok(revision) => revision,
        Err(error) => panic!("{holder} takes {name} expecting {expect:?}: {error}"),
    }
}

/// Waits for the end of `name` and returns its revision.
async fn end(watch: &mut StoreWatch, name: &str) -> Revision {
    loop {
        match next(watch).await {
            WatchEvent::Delete {
                key: gone,
                revision,
            } if gone == key(name) => return revision,
            WatchEvent::Delete { .. } | WatchEvent::Lost => panic!("only `{name}` ends"),
            WatchEvent::Commit(_) => panic!("a lease is a commit of one change"),
            WatchEvent::Snapshot { .. } | WatchEvent::Put(_) => {}
        }
    }
}

async fn the_end_of_a_lease_is_reported((one, two): Pair) {
    let mut watch = open(&two).await;
    next(&mut watch).await;
    let begun = Instant::now();
    let taken = take(&one, "job", "A", 2, Expect::Absent).await;
    let entry = read(&two, "job").await.expect("held");
    assert_eq!((&entry.value[..], entry.revision), (&b"A"[..], taken));
    let ended = end(&mut watch, "job").await;
    let took = begun.elapsed();
    assert!(ended > taken, "an expiry is a write");
    assert!(
        took >= Duration::from_secs(2),
        "it ended too early, after {took:?}"
    );
    assert!(
        took < Duration::from_secs(2) + SLACK,
        "it ended too late, after {took:?}"
    );
    assert_eq!(read(&one, "job").await, None);
    let WatchEvent::Snapshot { entries, .. } = next(&mut open(&one).await).await else {
        panic!("the first event is a snapshot");
    };
    assert_eq!(entries, []);

    let late = lease(&one, "job", "A", 2, Expect::At(taken)).await;
    assert_conflict(late, "job", "a holder that wakes after the end");
    let next_holder = take(&two, "job", "B", 600, Expect::Absent).await;
    assert!(
        next_holder > ended,
        "each acquisition has a higher revision"
    );
}

async fn a_renewed_lease_is_kept((one, two): Pair) {
    let mut watch = open(&two).await;
    let mut held = take(&one, "job", "A", 3, Expect::Absent).await;
    let begun = Instant::now();
    for round in 1..=4 {
        tokio::time::sleep_until(begun + Duration::from_secs(round)).await;
        held = take(&one, "job", "A", 3, Expect::At(held)).await;
    }
    let entry = read(&two, "job")
        .await
        .expect("it exists past its first term");
    assert_eq!(entry.revision, held);
    end(&mut watch, "job").await;
    assert!(begun.elapsed() >= Duration::from_secs(4 + 3));
}

async fn a_lease_has_one_holder((one, two): Pair) {
    let taken = take(&one, "job", "A", 600, Expect::Absent).await;
    let second = lease(&two, "job", "B", 600, Expect::Absent).await;
    assert_conflict(second, "job", "another holder takes a held lease");
    let renewed = take(&one, "job", "A", 600, Expect::At(taken)).await;
    let stale = lease(&one, "job", "A", 600, Expect::At(taken)).await;
    assert_conflict(stale, "job", "a renewal with an outdated revision");
    take(&two, "job", "B", 600, Expect::At(renewed)).await;
    let lost = lease(&one, "job", "A", 600, Expect::At(renewed)).await;
    assert_conflict(lost, "job", "a renewal after a takeover");
    assert_eq!(read(&one, "job").await.expect("held").value, "B");
}

async fn a_commit_makes_it_permanent((one, two): Pair) {
    let mut watch = open(&two).await;
    let taken = take(&one, "kept", "A", 1, Expect::Absent).await;
    take(&one, "clock", "A", 1, Expect::Absent).await;
    put(&one, "kept", "for good", Expect::At(taken)).await;
    end(&mut watch, "clock").await;
    take(&one, "clock", "A", 1, Expect::Absent).await;
    end(&mut watch, "clock").await;
    assert_eq!(read(&two, "kept").await.expect("no term").value, "for good");
}

async fn a_lease_can_be_released((one, two): Pair) {
    let taken = take(&one, "job", "A", 600, Expect::Absent).await;
    let freed = delete(&one, "job", Expect::At(taken)).await;
    let next_holder = take(&two, "job", "B", 600, Expect::Absent).await;
    assert!(next_holder > freed);
    let mut copy = Copy::default();
    copy.follow(&mut open(&one).await, next_holder).await;
    assert_eq!(copy.value("job"), Some(&b"B"[..]));
}

async fn values_of_a_commit_may_have_terms((one, two): Pair) {
    let mut watch = open(&two).await;
    let begun = Instant::now();
    let term = Duration::from_secs(2);
    let ops = vec![
        Op::put(key("brief"), "1", Expect::Absent).lasting(term),
        Op::put(key("kept"), "1", Expect::Absent),
    ];
    let committed = soon("a commit", one.commit(ops)).await;
    assert!(committed.is_ok(), "{committed:?}");
    assert_eq!(read(&two, "brief").await.expect("there").value, "1");
    loop {
        if let WatchEvent::Delete { key: gone, .. } = next(&mut watch).await {
            assert_eq!(gone, key("brief"));
            break;
        }
    }
    let took = begun.elapsed();
    assert!(
        took >= term && took < term + SLACK,
        "it ended after {took:?}"
    );
    assert_eq!(read(&one, "brief").await, None);
    assert_eq!(read(&one, "kept").await.expect("no term").value, "1");
    let bad = Op::put(key("bad"), "1", Expect::Any).lasting(Duration::from_millis(1_500));
    let refused = soon("a commit", one.commit(vec![bad])).await;
    assert!(
        matches!(
            refused,
            Err(CommitError::Invalid(InvalidCommit::LeaseTtl { .. }))
        ),
        "{refused:?}"
    );
}

async fn invalid_terms_are_rejected((one, _two): Pair) {
    for millis in [0, 1, 999, 1_500] {
        let ttl = Duration::from_millis(millis);
        let result = one.lease(key("job"), Bytes::new(), ttl, Expect::Any).await;
        assert!(
            matches!(
                result,
                Err(CommitError::Invalid(InvalidCommit::LeaseTtl { ttl: refused })) if refused == ttl
            ),
            "{ttl:?}: {result:?}"
        );
    }
    assert_eq!(read(&one, "job").await, None);
}
