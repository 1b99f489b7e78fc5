//! Servers that die, freeze and return, recreated buckets, and lost responses.

use super::{
    key,
    nats::{connect, lattice, open, raw_client},
    next,
    proxy::{Flow, Proxy},
    put,
    server::{NatsConfig, NatsServer},
    snapshot, soon, value,
};
use futures_util::StreamExt as _;
use lattice_core::{
    nats::{NatsStore, NatsStoreOptions},
    store::{CommitError, Expect, Op, Revision, Store, StoreError, WatchEvent},
};
use std::time::{Duration, Instant};

async fn server() -> NatsServer {
    NatsConfig::default().jetstream().start().await
}

/// The longest time that a call may take: its timeout, and an allowance for a busy machine.
const CALL: Duration = Duration::from_secs(7);

async fn ends<T>(what: &str, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = soon(what, work).await;
    assert!(begun.elapsed() < CALL, "{what} took {:?}", begun.elapsed());
    done
}

async fn commit_until_done(store: &NatsStore, name: &str, content: &str) -> Revision {
    let mut last = None;
    for _ in 0..600 {
        match ends("a commit", store.commit(put(name, content, Expect::Any))).await {
            Ok(revision) => return revision,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never done: {last:?}");
}

#[tokio::test]
async fn a_server_that_restarts_under_a_watch() {
    let mut server = server().await;
    let store = open(&server.url(), "prod").await;
    let first = commit_until_done(&store, "a", "1").await;
    let mut watch = store.watch().await.expect("in reach");
    let (life, ..) = snapshot(&mut watch).await;

    server.kill();
    assert_eq!(next(&mut watch).await, WatchEvent::Lost);
    assert!(matches!(
        ends("a read", store.read(key("a"))).await,
        Err(StoreError::Unavailable(_))
    ));
    assert!(matches!(
        ends("a watch", store.watch()).await,
        Err(StoreError::Unavailable(_))
    ));
    server.restart().await;
    let (incarnation, revision, entries) = snapshot(&mut watch).await;
    assert_eq!((incarnation, revision), (life, first), "nothing is lost");
    assert_eq!(entries.len(), 1);

    let second = commit_until_done(&store, "a", "2").await;
    match next(&mut watch).await {
        WatchEvent::Put(entry) => assert_eq!(entry.revision, second),
        other => panic!("expected the put, found {other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_freezes() {
    let server = server().await;
    let store = open(&server.url(), "prod").await;
    let mut watch = store.watch().await.expect("in reach");
    snapshot(&mut watch).await;
    server.signal("STOP");
    let read = ends("a read", store.read(key("a"))).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))));
    let written = ends("a commit", store.commit(put("a", "1", Expect::Absent))).await;
    assert!(
        matches!(
            written,
            Err(CommitError::Unknown | CommitError::Store(StoreError::Unavailable(_)))
        ),
        "{written:?}"
    );
    assert_eq!(next(&mut watch).await, WatchEvent::Lost);
    server.signal("CONT");
    snapshot(&mut watch).await;
    commit_until_done(&store, "b", "1").await;
}

#[tokio::test]
async fn a_recreated_bucket() {
    let server = server().await;
    let store = open(&server.url(), "prod").await;
    for round in 0..5 {
        commit_until_done(&store, "a", &round.to_string()).await;
    }
    let mut watch = store.watch().await.expect("in reach");
    let (first_life, ..) = snapshot(&mut watch).await;

    let (_, context) = raw_client(&server.url()).await;
    let deleted = context.delete_stream("KV_LATTICE_prod").await;
    deleted.expect("deleted");
    assert_eq!(next(&mut watch).await, WatchEvent::Lost);
    let gone = ends("a commit", store.commit(put("a", "x", Expect::Any))).await;
    assert!(
        matches!(gone, Err(CommitError::Store(StoreError::Unavailable(_)))),
        "{gone:?}"
    );
    let read = ends("a read", store.read(key("a"))).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    let life = ends("the incarnation", store.incarnation()).await;
    assert!(matches!(life, Err(StoreError::Unavailable(_))), "{life:?}");

    let other = open(&server.url(), "prod").await;
    let (life, revision, entries) = snapshot(&mut watch).await;
    assert!(life > first_life);
    assert_eq!((revision, entries), (Revision(0), Vec::new()));
    let first = commit_until_done(&other, "b", "1").await;
    assert_eq!(first, Revision(1));
    assert!(matches!(next(&mut watch).await, WatchEvent::Put(e) if e.revision == first));
    assert_eq!(store.incarnation().await.expect("there"), life);
    assert_eq!(value(&store, "b").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_bucket_recreated_between_two_checks() {
    let server = server().await;
    let store = open(&server.url(), "prod").await;
    commit_until_done(&store, "a", "1").await;
    let mut watch = store.watch().await.expect("in reach");
    let (first_life, ..) = snapshot(&mut watch).await;
    let (_, context) = raw_client(&server.url()).await;
    let deleted = context.delete_stream("KV_LATTICE_prod").await;
    deleted.expect("deleted");
    let other = open(&server.url(), "prod").await;
    commit_until_done(&other, "b", "1").await;
    let (life, _, entries) = snapshot(&mut watch).await;
    assert!(life > first_life);
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].key, key("b"));
}

/// Many rounds of commits of ten keys each, while the server is killed and restarted. Their results
/// are true.
#[tokio::test]
async fn a_server_that_restarts_in_mid_commit() {
    const ROUNDS: usize = 12;
    let mut server = server().await;
    let store = open(&server.url(), "prod").await;
    let mut unknown = 0;
    for round in 0..ROUNDS {
        let names: Vec<String> = (0..10).map(|i| format!("r{round}k{i}")).collect();
        let ops = names
            .iter()
            .map(|name| Op::put(key(name), vec![7; 20_000], Expect::Absent))
            .collect();
        let work = ends("a commit", store.commit(ops));
        let kill = async {
            // At a different moment of the commit in each round.
            tokio::time::sleep(Duration::from_micros(300 * round as u64)).await;
            server.kill();
            server.restart().await;
        };
        let (answer, ()) = futures_util::join!(work, kill);
        commit_until_done(&store, "after", "x").await;
        let mut there = 0;
        for name in &names {
            there += usize::from(value(&store, name).await.is_some());
        }
        assert!(there == 0 || there == 10, "a partial commit: {there} of 10");
        match answer {
            Ok(_) => assert_eq!(there, 10, "round {round}: confirmed, and lost"),
            Err(CommitError::Unknown) => unknown += 1,
            Err(CommitError::Store(StoreError::Unavailable(_))) => {
                assert_eq!(
                    there, 0,
                    "round {round}: the error is \"nothing was written\", and it was written"
                );
            }
            Err(other) => panic!("round {round}: {other:?}"),
        }
    }
    assert!(unknown < ROUNDS, "some results are known");
}

#[tokio::test]
async fn a_lost_response_is_resolved_by_a_read() {
    let server = server().await;
    let direct = open(&server.url(), "prod").await;
    let proxy = Proxy::before(server.address()).await;
    let store = open(&proxy.url(), "prod").await;
    let mut watch = direct.watch().await.expect("in reach");
    snapshot(&mut watch).await;

    // A batch, then a single message. In each case every key but the first is overwritten
    // meanwhile.
    for names in [&["a", "b", "c"][..], &["d"][..]] {
        proxy.answers(Flow::Swallow);
        let ops = names.iter().map(|name| put(name, "1", Expect::Absent));
        let work = ends("a commit", store.commit(ops.flatten().collect()));
        let meanwhile = async {
            let mut last = Revision::default();
            for change in next(&mut watch).await.changes() {
                match change {
                    WatchEvent::Put(entry) => last = entry.revision,
                    other => panic!("expected a put, found {other:?}"),
                }
            }
            for name in &names[1..] {
                commit_until_done(&direct, name, "2").await;
                next(&mut watch).await;
            }
            proxy.cut();
            last
        };
        let (answer, last) = futures_util::join!(work, meanwhile);
        assert_eq!(answer.expect("it was written"), last);
        // The fence key of the read isn't visible to callers.
        let after = commit_until_done(&direct, "after", "x").await;
        assert!(matches!(next(&mut watch).await, WatchEvent::Put(e) if e.revision == after));
    }
    let (.., entries) = snapshot(&mut direct.watch().await.expect("in reach")).await;
    assert_eq!(entries.len(), 5);
}

#[tokio::test]
async fn a_lost_request_had_no_effect() {
    let server = server().await;
    let direct = open(&server.url(), "prod").await;
    let first = commit_until_done(&direct, "a", "1").await;
    let proxy = Proxy::before(server.address()).await;
    let store = open(&proxy.url(), "prod").await;
    for (name, expect) in [("a", Expect::At(first)), ("new", Expect::Absent)] {
        proxy.requests(Flow::Swallow);
        let mut ops = put(name, "2", expect);
        ops.extend(put("beside", "2", Expect::Any));
        let work = ends("a commit", store.commit(ops));
        let cut = async {
            // If the connection were cut before the request is sent, it would be sent over the next
            // one.
            soon("a request", proxy.swallows()).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            proxy.cut();
        };
        let (answer, ()) = futures_util::join!(work, cut);
        assert!(
            matches!(&answer, Err(CommitError::Store(StoreError::Unavailable(why))) if why.contains("nothing was written")),
            "{answer:?}"
        );
    }
    assert_eq!(value(&direct, "a").await.as_deref(), Some("1"));
    assert_eq!(value(&direct, "new").await, None);
    assert_eq!(value(&direct, "beside").await, None);
}

#[tokio::test]
async fn an_unresolvable_response_is_unknown() {
    let server = server().await;
    let direct = open(&server.url(), "prod").await;
    let proxy = Proxy::before(server.address()).await;
    let connection = connect(&proxy.url()).await;
    let options = NatsStoreOptions::new(&lattice("prod")).timeout(Duration::from_secs(2));
    let store = NatsStore::open(&connection, options).await.expect("opens");
    let mut watch = direct.watch().await.expect("in reach");
    snapshot(&mut watch).await;

    // The store stays unreachable.
    proxy.answers(Flow::Swallow);
    let begun = Instant::now();
    let answer = soon("a commit", store.commit(put("a", "1", Expect::Absent))).await;
    assert!(matches!(answer, Err(CommitError::Unknown)), "{answer:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "by its own timeout"
    );
    assert_eq!(value(&direct, "a").await.as_deref(), Some("1"));
    proxy.cut();

    // Everything that the commit wrote has been overwritten.
    let options = NatsStoreOptions::new(&lattice("prod"));
    let connection = connect(&proxy.url()).await;
    let store = NatsStore::open(&connection, options).await.expect("opens");
    proxy.answers(Flow::Swallow);
    let work = ends("a commit", store.commit(put("b", "1", Expect::Absent)));
    let overwrite = async {
        while !matches!(next(&mut watch).await, WatchEvent::Put(e) if e.key == key("b")) {}
        commit_until_done(&direct, "b", "2").await;
        proxy.cut();
    };
    let (answer, ()) = futures_util::join!(work, overwrite);
    assert!(matches!(answer, Err(CommitError::Unknown)), "{answer:?}");
}

#[tokio::test]
async fn a_watch_that_stops_in_the_middle_of_a_commit_delivers_nothing_of_it() {
    let server = server().await;
    let direct = open(&server.url(), "prod").await;
    let proxy = Proxy::before(server.address()).await;
    let store = open(&proxy.url(), "prod").await;
    let mut watch = store.watch().await.expect("in reach");
    snapshot(&mut watch).await;
    proxy.answers(Flow::PassUntil(b"the first of three"));
    let values = [("a", "the first of three"), ("b", "2"), ("c", "3")];
    let ops = values.map(|(name, value)| put(name, value, Expect::Absent));
    let last = ends("a commit", direct.commit(ops.concat())).await;
    let last = last.expect("committed");
    soon("the rest is swallowed", proxy.swallows()).await;
    proxy.cut();
    loop {
        match next(&mut watch).await {
            WatchEvent::Lost => {}
            WatchEvent::Snapshot {
                revision, entries, ..
            } => {
                assert_eq!((revision, entries.len()), (last, 3));
                break;
            }
            other => panic!("a part of a commit: {other:?}"),
        }
    }
    let after = commit_until_done(&direct, "after", "x").await;
    assert!(matches!(next(&mut watch).await, WatchEvent::Put(e) if e.revision == after));
}

#[tokio::test]
async fn a_commit_whose_last_change_was_removed_is_delivered_without_it() {
    let server = server().await;
    let store = open(&server.url(), "prod").await;
    let mut watch = store.watch().await.expect("in reach");
    snapshot(&mut watch).await;
    let (client, jetstream) = raw_client(&server.url()).await;
    let bucket = jetstream.get_stream("KV_LATTICE_prod").await;
    let bucket = bucket.expect("a bucket");
    let consumer = soon("a consumer", bucket.consumer_names().next()).await;
    let consumer = consumer.expect("that of the watch").expect("a name");
    // A consumer sends its heartbeats also while it is paused.
    let pause = async |until: &'static str, is_paused: &str| {
        let subject = format!("$JS.API.CONSUMER.PAUSE.KV_LATTICE_prod.{consumer}");
        let answer = client.request(subject, until.into()).await;
        let answer = answer.expect("answered").payload;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains(is_paused), "{answer}");
    };
    pause(
        r#"{"pause_until":"2099-01-01T00:00:00Z"}"#,
        r#""paused":true"#,
    )
    .await;
    let ops = ["a", "b", "c"].map(|name| put(name, "1", Expect::Absent));
    let committed = ends("a commit", store.commit(ops.concat())).await;
    committed.expect("committed");
    let last = format!("$KV.LATTICE_prod.{}", key("c"));
    let purged = bucket.purge().filter(last).await.expect("purged");
    assert_eq!(purged.purged, 1);
    pause("{}", r#""paused":false"#).await;
    let WatchEvent::Commit(changes) = next(&mut watch).await else {
        panic!("the rest of the commit is one event");
    };
    let keys = changes.iter().map(|change| match change {
        WatchEvent::Put(entry) => entry.key.clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(keys.collect::<Vec<_>>(), [key("a"), key("b")]);
    let after = commit_until_done(&store, "after", "x").await;
    assert!(matches!(next(&mut watch).await, WatchEvent::Put(e) if e.revision == after));
}
