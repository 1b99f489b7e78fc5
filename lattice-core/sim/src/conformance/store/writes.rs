//! Reads, commits, their expectations and their bounds.

use super::{Pair, assert_conflict, commit, delete, key, next, open, put, read, value};
use bytes::Bytes;
use futures_util::future::join_all;
use lattice_core::store::{
    CommitError, Expect, InvalidCommit, MAX_OPS, MAX_VALUE, Op, Revision, Store, WatchEvent,
};
use std::{sync::Arc, task::Poll};

pub(super) async fn run(make: &impl AsyncFn() -> Pair) {
    revisions_grow_and_reads_see_the_last_write(make().await).await;
    a_commit_is_all_or_nothing(make().await).await;
    expectations(make().await).await;
    a_deleted_key_is_absent(make().await).await;
    bounds(make().await).await;
    of_many_contenders_one_wins(make().await).await;
    a_dropped_commit_is_all_or_nothing(make().await).await;
    an_incarnation_is_the_same_for_all_clients(make().await).await;
    a_position_includes_every_write(make().await).await;
}

async fn revisions_grow_and_reads_see_the_last_write((one, two): Pair) {
    assert_eq!(read(&one, "a").await, None, "a key that was never written");
    let first = put(&one, "a", "1", Expect::Any).await;
    let second = put(&two, "b", "2", Expect::Any).await;
    let third = put(&one, "a", "3", Expect::Any).await;
    assert!(Revision::default() < first && first < second && second < third);
    let entry = read(&two, "a").await.expect("written");
    assert_eq!(
        (entry.key, &entry.value[..], entry.revision),
        (key("a"), &b"3"[..], third)
    );
    assert_eq!(
        read(&one, "b").await.map(|entry| entry.revision),
        Some(second)
    );

    put(&one, "empty", "", Expect::Any).await;
    assert_eq!(
        value(&two, "empty").await.as_deref(),
        Some(&b""[..]),
        "an empty value is a value"
    );
    let every_byte: Vec<u8> = (0..=255).collect();
    let op = Op::put(key("bytes"), every_byte.clone(), Expect::Any);
    commit(&one, vec![op]).await.expect("any bytes");
    assert_eq!(value(&two, "bytes").await.as_deref(), Some(&every_byte[..]));
}

async fn a_commit_is_all_or_nothing((one, two): Pair) {
    let ops = |names: &[&str], value: &str, expect: Expect| -> Vec<Op> {
        names
            .iter()
            .map(|name| Op::put(key(name), value.to_owned(), expect))
            .collect()
    };
    let last = commit(&one, ops(&["a", "b", "c"], "1", Expect::Absent))
        .await
        .expect("all absent");
    let mut revisions = Vec::new();
    for name in ["a", "b", "c"] {
        revisions.push(read(&two, name).await.expect("in the commit").revision);
    }
    assert!(revisions.is_sorted(), "in order: {revisions:?}");
    assert_eq!(
        revisions[2], last,
        "the result is the revision of the last operation"
    );

    for wrong in 0..3 {
        let mut bad = ops(&["a", "b", "c"], "2", Expect::Any);
        bad.push(Op::put(key("new"), "2", Expect::Any));
        for (op, revision) in bad.iter_mut().zip(&revisions) {
            op.expect = Expect::At(*revision);
        }
        bad[wrong].expect = Expect::At(Revision(last.0 + 1_000));
        let name = ["a", "b", "c"][wrong];
        assert_conflict(commit(&two, bad).await, name, "one key differs");
        for name in ["a", "b", "c"] {
            assert_eq!(value(&one, name).await.as_deref(), Some(&b"1"[..]));
        }
        assert_eq!(read(&one, "new").await, None);
    }

    let mixed = vec![
        Op::put(key("a"), "3", Expect::At(revisions[0])),
        Op::delete(key("b"), Expect::At(revisions[1])),
        Op::put(key("d"), "3", Expect::Absent),
    ];
    commit(&two, mixed).await.expect("put, delete and create");
    assert_eq!(value(&one, "a").await.as_deref(), Some(&b"3"[..]));
    assert_eq!(read(&one, "b").await, None);
    assert_eq!(value(&one, "d").await.as_deref(), Some(&b"3"[..]));
}

async fn expectations((one, two): Pair) {
    let expecting = |name: &str, expect: Expect| vec![Op::put(key(name), "x", expect)];
    let first = put(&one, "a", "1", Expect::Absent).await;
    let taken = commit(&two, expecting("a", Expect::Absent)).await;
    assert_conflict(taken, "a", "absent, and it has a value");
    let second = put(&two, "a", "2", Expect::At(first)).await;
    let stale = commit(&one, expecting("a", Expect::At(first))).await;
    assert_conflict(stale, "a", "at a revision that was overwritten");
    let never = commit(&one, expecting("nothing", Expect::At(first))).await;
    assert_conflict(never, "nothing", "at a revision, and it was never written");
    put(&one, "a", "3", Expect::Any).await;
    assert!(read(&one, "a").await.expect("written").revision > second);
    assert_eq!(value(&two, "nothing").await, None);
    let delete_stale = commit(&one, vec![Op::delete(key("a"), Expect::At(second))]).await;
    assert_conflict(delete_stale, "a", "a delete has expectations as well");
    assert_eq!(value(&two, "a").await.as_deref(), Some(&b"3"[..]));
}

async fn a_deleted_key_is_absent((one, two): Pair) {
    let put_at = put(&one, "a", "1", Expect::Absent).await;
    let deleted_at = delete(&two, "a", Expect::At(put_at)).await;
    assert!(deleted_at > put_at, "a delete is a write");
    assert_eq!(read(&one, "a").await, None);
    let old = vec![Op::put(key("a"), "x", Expect::At(put_at))];
    assert_conflict(
        commit(&one, old).await,
        "a",
        "the revision before the delete",
    );
    let again = vec![
        Op::put(key("fresh"), "2", Expect::Absent),
        Op::put(key("a"), "2", Expect::Absent),
    ];
    let again = commit(&one, again).await.expect("a deleted key is absent");
    assert!(again > deleted_at, "its revisions continue");
    assert_eq!(value(&two, "a").await.as_deref(), Some(&b"2"[..]));

    let deleted_at = delete(&one, "a", Expect::Any).await;
    delete(&one, "a", Expect::Any).await;
    delete(&one, "never", Expect::Absent).await;
    put(&two, "never", "1", Expect::Absent).await;
    let marker = vec![Op::put(key("a"), "x", Expect::At(deleted_at))];
    assert_conflict(
        commit(&two, marker).await,
        "a",
        "a delete that another followed",
    );
    let first = delete(&two, "b", Expect::Any).await;
    put(&two, "b", "1", Expect::At(first)).await;
}

async fn bounds((one, two): Pair) {
    let ops = |count: usize| -> Vec<Op> {
        (0..count)
            .map(|i| Op::put(key(&format!("k{i}")), "v", Expect::Absent))
            .collect()
    };
    let refused = |result: Result<Revision, CommitError>| match result {
        Err(CommitError::Invalid(reason)) => reason,
        other => panic!("expected a refusal, found {other:?}"),
    };
    let empty = refused(commit(&one, Vec::new()).await);
    assert_eq!(empty, InvalidCommit::Empty);
    let count = MAX_OPS + 1;
    let over = refused(commit(&one, ops(count)).await);
    assert_eq!(over, InvalidCommit::TooManyOps { count });
    let mut twice = ops(3);
    twice.push(Op::delete(key("k1"), Expect::Any));
    let twice = refused(commit(&one, twice).await);
    assert_eq!(twice, InvalidCommit::DuplicateKey { key: key("k1") });
    let mut heavy = ops(2);
    heavy[1].value = Some(Bytes::from(vec![7; MAX_VALUE + 1]));
    assert!(matches!(
        refused(commit(&one, heavy.clone()).await),
        InvalidCommit::ValueTooLarge {
            size,
            limit: MAX_VALUE,
            ..
        } if size == MAX_VALUE + 1
    ));
    for name in ["k0", "k1"] {
        assert_eq!(
            read(&two, name).await,
            None,
            "a rejected commit writes nothing"
        );
    }

    heavy[1].value = Some(Bytes::from(vec![7; MAX_VALUE]));
    commit(&one, heavy).await.expect("the largest value");
    assert_eq!(value(&two, "k1").await.map(|v| v.len()), Some(MAX_VALUE));
    let conflicts = commit(&two, ops(MAX_OPS)).await;
    assert_conflict(conflicts, "k0", "the first key that differs");
    let mut full = ops(MAX_OPS);
    for op in &mut full[..2] {
        op.expect = Expect::Any;
    }
    commit(&two, full).await.expect("the largest commit");
    let name = format!("k{}", MAX_OPS - 1);
    assert!(read(&one, &name).await.is_some());
}

async fn of_many_contenders_one_wins((one, two): Pair) {
    const CONTENDERS: usize = 16;
    let stores = [&one, &two];
    let mut expect = Expect::Absent;
    for _ in 0..3 {
        let results = join_all((0..CONTENDERS).map(|i| {
            let ops = vec![
                Op::put(key("prize"), format!("{i}"), expect),
                Op::put(key(&format!("mine{i}")), format!("{expect:?}"), Expect::Any),
            ];
            commit(stores[i % 2], ops)
        }))
        .await;
        let winners: Vec<usize> = (0..CONTENDERS).filter(|i| results[*i].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{results:?}");
        let prize = read(&one, "prize").await.expect("won");
        assert_eq!(prize.value, winners[0].to_string());
        for i in 0..CONTENDERS {
            let mark = value(&two, &format!("mine{i}")).await;
            let marked = mark == Some(Bytes::from(format!("{expect:?}")));
            assert_eq!(marked, i == winners[0], "only the winner's marks are there");
        }
        expect = Expect::At(prize.revision);
    }
}

async fn a_dropped_commit_is_all_or_nothing((one, two): Pair) {
    for round in 0..20 {
        let name = |i: usize| format!("r{round}k{i}");
        let ops = (0..10)
            .map(|i| Op::put(key(&name(i)), "v", Expect::Absent))
            .collect();
        poll_times(&one, ops, round % 4).await;
        // A later write through the same handle is ordered after all effects of the dropped commit.
        put(&one, "after", "v", Expect::Any).await;
        let mut there = 0;
        for i in 0..10 {
            there += usize::from(read(&two, &name(i)).await.is_some());
        }
        assert!(there == 0 || there == 10, "{there} of 10 in round {round}");
    }
}

/// Starts a commit, polls it `polls` times, and drops it.
async fn poll_times(store: &Arc<dyn Store>, ops: Vec<Op>, polls: usize) {
    let mut work = store.commit(ops);
    for _ in 0..polls {
        let done = std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_ready())).await;
        if done {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn an_incarnation_is_the_same_for_all_clients((one, two): Pair) {
    let first = one.incarnation().await.expect("reachable");
    assert_ne!(first.0, 0);
    put(&one, "a", "1", Expect::Any).await;
    delete(&one, "a", Expect::Any).await;
    assert_eq!(two.incarnation().await.expect("reachable"), first);
}

async fn a_position_includes_every_write((one, two): Pair) {
    let life = one.incarnation().await.expect("reachable");
    let mut last = put(&one, "a", "1", Expect::Any).await;
    for _ in 0..3 {
        let position = two.position().await.expect("reachable");
        assert_eq!(position.incarnation, life);
        assert!(position.newest.is_none_or(|newest| newest >= last));
        let WatchEvent::Snapshot { revision, .. } = next(&mut open(&one).await).await else {
            panic!("the first event is a snapshot");
        };
        assert!(position.newest.is_none_or(|newest| revision >= newest));
        last = delete(&one, "a", Expect::Any).await;
    }
}
