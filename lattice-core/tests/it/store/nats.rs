//! Features of the NATS store only, on a working server.

use super::{key, next, put, server::NatsConfig, snapshot, soon, value};
use async_nats::{HeaderMap, jetstream};
use futures_util::future::join_all;
use lattice_core::{
    name::LatticeName,
    nats::{NatsConnection, NatsOptions, NatsStore, NatsStoreOptions},
    store::{Expect, MAX_VALUE, Op, Store, StoreKey, WatchEvent},
};
use lattice_sim::{conformance, fault::FaultStore};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub(crate) fn lattice(name: &str) -> LatticeName {
    LatticeName::new(name).expect("a name")
}

pub(crate) async fn connect(url: &str) -> NatsConnection {
    soon("a connection", NatsOptions::new(url).connect())
        .await
        .expect("a server")
}

pub(crate) async fn open(url: &str, name: &str) -> NatsStore {
    let options = NatsStoreOptions::new(&lattice(name));
    NatsStore::open(&connect(url).await, options)
        .await
        .expect("a bucket")
}

/// `JetStream` as used by another client.
pub(crate) async fn raw_client(url: &str) -> (async_nats::Client, jetstream::Context) {
    let client = async_nats::connect(url).await.expect("a server");
    (client.clone(), jetstream::new(client))
}

#[tokio::test]
async fn keeps_the_contract() {
    let server = NatsConfig::default().jetstream().start().await;
    let names = AtomicU64::new(0);
    conformance::store::run(async || {
        let name = format!("l{}", names.fetch_add(1, Ordering::Relaxed));
        let one = open(&server.url(), &name).await;
        let two = open(&server.url(), &name).await;
        (Arc::new(one) as _, Arc::new(two) as _)
    })
    .await;
}

#[tokio::test]
async fn a_fault_store_without_faults_keeps_the_contract() {
    let server = NatsConfig::default().jetstream().start().await;
    let names = AtomicU64::new(0);
    conformance::store::run(async || {
        let name = format!("l{}", names.fetch_add(1, Ordering::Relaxed));
        let one = open(&server.url(), &name).await;
        let two = FaultStore::new(Arc::new(open(&server.url(), &name).await), 1);
        (Arc::new(one) as _, Arc::new(two) as _)
    })
    .await;
}

#[tokio::test]
async fn keeps_the_contract_in_a_domain() {
    let domain = "jetstream { store_dir: \"$DIR/js\", domain: hub }";
    let server = NatsConfig::default().text(domain).start().await;
    let names = AtomicU64::new(0);
    conformance::store::run(async || {
        let name = format!("l{}", names.fetch_add(1, Ordering::Relaxed));
        let open = async || {
            let options = NatsOptions::new(server.url()).jetstream_domain("hub");
            let connection = options.connect().await.expect("a server");
            let options = NatsStoreOptions::new(&lattice(&name));
            NatsStore::open(&connection, options)
                .await
                .expect("a bucket")
        };
        (Arc::new(open().await) as _, Arc::new(open().await) as _)
    })
    .await;
}

#[tokio::test]
async fn lattices_are_isolated_and_can_be_opened_concurrently() {
    let server = NatsConfig::default().jetstream().start().await;
    let url = server.url();
    let stores = join_all((0..6).map(|i| open(&url, ["blue", "red"][i % 2]))).await;
    let written = stores[0].commit(put("a", "blue", Expect::Absent)).await;
    written.expect("absent");
    let written = stores[1].commit(put("a", "red", Expect::Absent)).await;
    written.expect("absent in the other lattice as well");
    assert_eq!(value(&stores[4], "a").await.as_deref(), Some("blue"));
    assert_eq!(value(&stores[5], "a").await.as_deref(), Some("red"));
    let lives = join_all(stores.iter().map(Store::incarnation)).await;
    let lives: Vec<_> = lives.into_iter().map(|life| life.expect("there")).collect();
    assert!(lives.iter().step_by(2).all(|life| *life == lives[0]));
    assert_ne!(lives[0], lives[1]);
}

#[tokio::test]
async fn malformed_values_in_the_bucket_are_delivered_unchanged() {
    let server = NatsConfig::default().jetstream().start().await;
    let store = open(&server.url(), "prod").await;
    let mut watch = store.watch().await.expect("in reach");
    snapshot(&mut watch).await;
    let (client, context) = raw_client(&server.url()).await;
    let noise: Vec<u8> = (0..=255).rev().collect();
    let garbage = |subject: &str| format!("$KV.LATTICE_prod.{subject}");
    let mut seen = Vec::new();
    for subject in ["x", "link", "a.b.c.d.e", "ümläut", "=zz", "types._"] {
        let ack = context
            .publish(garbage(subject), noise.clone().into())
            .await
            .expect("sent");
        ack.await.expect("stored");
        match next(&mut watch).await {
            WatchEvent::Put(entry) => {
                assert_eq!(entry.key.as_str(), subject);
                assert_eq!(entry.value, noise);
                assert!(StoreKey::parse(subject).is_none(), "none of ours");
                seen.push(entry);
            }
            other => panic!("{subject}: {other:?}"),
        }
    }
    let odd = [
        ("KV-Operation", "NONSENSE"),
        ("Nats-Batch-Id", "not a batch"),
        ("Lattice-Write", ""),
        ("Nats-Msg-Id", "1"),
    ];
    for (name, content) in odd {
        let mut headers = HeaderMap::new();
        headers.insert(name, content);
        let subject = garbage("x");
        let stored = client.request_with_headers(subject, headers, "odd".into());
        soon("the server's response", stored)
            .await
            .expect("an answer");
    }
    let mut marker = HeaderMap::new();
    marker.insert("KV-Operation", "DEL");
    client
        .request_with_headers(garbage("link"), marker, "with a body".into())
        .await
        .expect("stored");
    loop {
        match next(&mut watch).await {
            WatchEvent::Delete { key, .. } if key == seen[1].key => break,
            WatchEvent::Put(entry) => assert_eq!(entry.key.as_str(), "x"),
            other => panic!("{other:?}"),
        }
    }
    let mut fresh = store.watch().await.expect("in reach");
    let (_, _, entries) = snapshot(&mut fresh).await;
    assert!(entries.iter().any(|entry| entry.key.as_str() == "ümläut"));
    assert!(entries.iter().all(|entry| entry.key != seen[1].key));

    let cleaned = seen.iter().filter(|e| e.key.as_str().is_ascii());
    let ops = cleaned.map(|entry| Op::delete(entry.key.clone(), Expect::Any));
    soon("a commit", store.commit(ops.collect()))
        .await
        .expect("foreign keys can be deleted");
}

#[tokio::test]
async fn a_purge_of_the_stream_is_noticed() {
    let server = NatsConfig::default().jetstream().start().await;
    let store = open(&server.url(), "prod").await;
    for name in ["a", "b", "c"] {
        let put = store.commit(put(name, "1", Expect::Any)).await;
        put.expect("in reach");
    }
    let mut watch = store.watch().await.expect("in reach");
    let (.., entries) = snapshot(&mut watch).await;
    assert_eq!(entries.len(), 3);
    let (client, _) = raw_client(&server.url()).await;
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Rollup", "all");
    let stored = client.request_with_headers("$KV.LATTICE_prod.boom", headers, "x".into());
    stored.await.expect("stored");
    for _ in 0..2 {
        let (.., entries) = snapshot(&mut watch).await;
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert_eq!(entries[0].key.as_str(), "boom");
        let mut other = store.watch().await.expect("in reach");
        std::mem::swap(&mut watch, &mut other);
    }
}

#[tokio::test]
async fn expired_and_deleted_keys_leave_markers_with_a_term() {
    let server = NatsConfig::default().jetstream().start().await;
    let store = open(&server.url(), "prod").await;
    store
        .commit(put("a", "1", Expect::Any))
        .await
        .expect("in reach");
    let gone = store.commit(vec![Op::delete(key("a"), Expect::Any)]).await;
    let gone = gone.expect("in reach");
    let ttl = Duration::from_secs(1);
    let mut watch = store.watch().await.expect("in reach");
    let lease = store.lease(key("job"), "A".into(), ttl, Expect::Absent);
    lease.await.expect("free");
    loop {
        if let WatchEvent::Delete { key: ended, .. } = next(&mut watch).await {
            assert_eq!(ended, key("job"));
            break;
        }
    }
    let (_, context) = raw_client(&server.url()).await;
    let stream = context.get_stream("KV_LATTICE_prod").await.expect("there");
    for (name, term) in [("a", "86400"), ("job", "24h0m0s")] {
        let subject = format!("$KV.LATTICE_prod.{}", key(name));
        let marker = stream.direct_get_last_for_subject(subject).await;
        let marker = marker.expect("a marker");
        let ttl = marker.headers.get("Nats-TTL").map(ToString::to_string);
        assert_eq!(ttl.as_deref(), Some(term), "{name}: {:?}", marker.headers);
    }
    assert_eq!(value(&store, "a").await, None);
    assert!(gone.0 > 0);
}

#[tokio::test]
async fn a_snapshot_has_the_revision_of_a_last_write_that_left_nothing_behind() {
    let server = NatsConfig::default().jetstream().start().await;
    let store = open(&server.url(), "prod").await;
    let mut last = None;
    for name in ["a", "b", "b"] {
        let put = store.commit(put(name, "1", Expect::Any)).await;
        last = Some(put.expect("in reach"));
    }
    // As the marker of an expired lease is removed after a day.
    let (_, context) = raw_client(&server.url()).await;
    let stream = context.get_stream("KV_LATTICE_prod").await.expect("there");
    let subject = format!("$KV.LATTICE_prod.{}", key("b"));
    stream.purge().filter(subject).await.expect("purged");
    assert_eq!(store.position().await.expect("in reach").newest, last);
    for name in ["a", "c"] {
        let mut watch = store.watch().await.expect("in reach");
        let (_, revision, entries) = snapshot(&mut watch).await;
        assert_eq!(Some(revision), last);
        assert!(entries.iter().any(|entry| entry.key == key("a")));
        let put = store.commit(put(name, "2", Expect::Any)).await;
        last = Some(put.expect("in reach"));
        match next(&mut watch).await {
            WatchEvent::Put(entry) => assert_eq!(Some(entry.revision), last),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn large_snapshots_arrive_completely() {
    let server = NatsConfig::default().jetstream().start().await;
    // First more bytes, then more messages than the server and the client keep for a watch that is
    // behind.
    for (name, commits, ops, size) in [("bytes", 20, 4, MAX_VALUE), ("keys", 80, 1_000, 20)] {
        let store = open(&server.url(), name).await;
        for round in 0..commits {
            let ops = (0..ops).map(|i| {
                let body = vec![1; size];
                Op::put(key(&format!("r{round}i{i}")), body, Expect::Absent)
            });
            soon("a commit", store.commit(ops.collect()))
                .await
                .expect("in reach");
        }
        let mut watch = store.watch().await.expect("in reach");
        let (.., entries) = snapshot(&mut watch).await;
        assert_eq!(entries.len(), commits * ops);
        assert!(entries.iter().all(|entry| entry.value.len() == size));
    }
}

#[tokio::test]
async fn more_concurrent_commits_than_a_stream_accepts_succeed() {
    const WRITERS: usize = 10;
    const EACH: usize = 10;
    let server = NatsConfig::default().jetstream().start().await;
    let url = server.url();
    let stores = join_all((0..WRITERS).map(|_| open(&url, "prod"))).await;
    let commits = (0..WRITERS * EACH).map(|i| {
        let ops = (0..5).map(|k| put(&format!("c{i}k{k}"), "v", Expect::Absent));
        soon(
            "a commit",
            stores[i % WRITERS].commit(ops.flatten().collect()),
        )
    });
    for result in join_all(commits).await {
        result.expect("every commit succeeds eventually");
    }
    let (.., entries) = snapshot(&mut stores[0].watch().await.expect("in reach")).await;
    assert_eq!(entries.len(), WRITERS * EACH * 5);
}
