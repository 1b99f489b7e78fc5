//! Watches: the snapshot, later changes, and slow readers.

use super::{Copy, Pair, commit, delete, key, next, open, put};
use lattice_core::store::{Expect, MAX_OPS, Op, Revision, WatchEvent};

pub(super) async fn run(make: &impl AsyncFn() -> Pair) {
    a_snapshot_comes_first(make().await).await;
    then_every_change_in_order(make().await).await;
    a_snapshot_and_later_changes_are_complete(make().await).await;
    a_slow_watch_converges(make().await).await;
    watches_are_independent(make().await).await;
}

async fn a_snapshot_comes_first((one, two): Pair) {
    let WatchEvent::Snapshot {
        incarnation,
        entries,
        ..
    } = next(&mut open(&one).await).await
    else {
        panic!("a watch of an empty store also begins with a snapshot");
    };
    assert_eq!(Ok(incarnation), one.incarnation().await.map_err(drop));
    assert_eq!(entries, []);

    put(&one, "b", "1", Expect::Any).await;
    put(&one, "gone", "1", Expect::Any).await;
    put(&one, "a", "1", Expect::Any).await;
    let b = put(&one, "b", "2", Expect::Any).await;
    let last = delete(&one, "gone", Expect::Any).await;
    let WatchEvent::Snapshot {
        revision, entries, ..
    } = next(&mut open(&two).await).await
    else {
        panic!("the first event is a snapshot");
    };
    assert_eq!(revision, last, "every write so far is in it");
    let names: Vec<_> = entries.iter().map(|e| e.key.clone()).collect();
    assert_eq!(
        names,
        [key("a"), key("b")],
        "ordered by key, without deleted keys"
    );
    assert_eq!((&entries[1].value[..], entries[1].revision), (&b"2"[..], b));
}

async fn then_every_change_in_order((one, two): Pair) {
    let mut watch = open(&two).await;
    assert!(matches!(
        next(&mut watch).await,
        WatchEvent::Snapshot { .. }
    ));
    let put_at = put(&one, "a", "1", Expect::Any).await;
    match next(&mut watch).await {
        WatchEvent::Put(entry) => assert_eq!(
            (entry.key, &entry.value[..], entry.revision),
            (key("a"), &b"1"[..], put_at)
        ),
        other => panic!("expected the put, found {other:?}"),
    }
    let revision = delete(&two, "a", Expect::Any).await;
    let gone = WatchEvent::Delete {
        key: key("a"),
        revision,
    };
    assert_eq!(next(&mut watch).await, gone);

    let ops = ["x", "y", "z"].map(|name| Op::put(key(name), "v", Expect::Any));
    let last = commit(&one, ops.to_vec()).await.expect("no expectation");
    let mut seen = Vec::new();
    let WatchEvent::Commit(changes) = next(&mut watch).await else {
        panic!("the changes of a commit come together");
    };
    for change in changes {
        match change {
            WatchEvent::Put(entry) => seen.push((entry.key, entry.revision)),
            other => panic!("expected a put, found {other:?}"),
        }
    }
    assert_eq!(seen.len(), 3, "a commit is delivered whole");
    assert!(seen.is_sorted(), "a commit's operations in order: {seen:?}");
    assert_eq!(seen[2].1, last);
}

/// Watches that open during writes: what isn't in the snapshot follows.
async fn a_snapshot_and_later_changes_are_complete((one, two): Pair) {
    const ROUNDS: usize = 30;
    let writer = async {
        let mut last = Revision::default();
        for round in 0..ROUNDS {
            let mut ops: Vec<Op> = (0..10)
                .map(|i| Op::put(key(&format!("k{i}")), round.to_string(), Expect::Any))
                .collect();
            if round % 3 == 0 {
                ops.push(Op::delete(key("k-old"), Expect::Any));
            } else {
                ops.push(Op::put(key("k-old"), round.to_string(), Expect::Any));
            }
            last = commit(&one, ops).await.expect("no expectation");
        }
        last
    };
    let watchers = async {
        let mut watches = Vec::new();
        for _ in 0..5 {
            let mut watch = open(&two).await;
            let mut copy = Copy::default();
            copy.apply(next(&mut watch).await);
            let whole: Vec<_> = (0..10).map(|i| copy.value(&format!("k{i}"))).collect();
            assert!(
                whole.windows(2).all(|pair| pair[0] == pair[1]),
                "a snapshot contains only complete commits: {whole:?}"
            );
            watches.push((watch, copy));
        }
        watches
    };
    let (last, watches) = futures_util::join!(writer, watchers);
    for (mut watch, mut copy) in watches {
        copy.follow(&mut watch, last).await;
        let round = (ROUNDS - 1).to_string();
        for i in 0..10 {
            assert_eq!(copy.value(&format!("k{i}")), Some(round.as_bytes()));
        }
    }
}

async fn a_slow_watch_converges((one, two): Pair) {
    let mut watch = open(&two).await;
    let mut copy = Copy::default();
    copy.apply(next(&mut watch).await);
    let mut last = Revision::default();
    for round in 0..5 {
        let ops = (0..MAX_OPS)
            .map(|i| match (i + round) % 5 {
                0 => Op::delete(key(&format!("k{i}")), Expect::Any),
                _ => Op::put(key(&format!("k{i}")), round.to_string(), Expect::Any),
            })
            .collect();
        last = commit(&one, ops).await.expect("no expectation");
    }
    copy.follow(&mut watch, last).await;
    for i in 0..MAX_OPS {
        let expected = ((i + 4) % 5 != 0).then_some(&b"4"[..]);
        assert_eq!(copy.value(&format!("k{i}")), expected, "k{i}");
    }
    let last = put(&one, "after", "1", Expect::Any).await;
    copy.follow(&mut watch, last).await;
    assert_eq!(copy.value("after"), Some(&b"1"[..]));
}

async fn watches_are_independent((one, two): Pair) {
    let mut first = open(&one).await;
    let mut second = open(&two).await;
    let never_read = open(&one).await;
    let mut copies = [Copy::default(), Copy::default()];
    let at = put(&one, "a", "1", Expect::Any).await;
    copies[0].follow(&mut first, at).await;
    copies[1].follow(&mut second, at).await;
    drop(first);
    drop(never_read);
    let at = put(&one, "a", "2", Expect::Any).await;
    copies[1].follow(&mut second, at).await;
    assert_eq!(copies[1].value("a"), Some(&b"2"[..]));
    assert_eq!(copies[0].value("a"), Some(&b"1"[..]));
}
