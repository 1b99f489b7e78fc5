//! A bucket with three replicas, on a cluster of three servers.

use super::{
    key,
    nats::{lattice, raw_client},
    next, put,
    server::{NatsConfig, NatsServer, free_address},
    snapshot, soon, value,
};
use crate::{
    log::Log,
    support::{Two, echo, eventually, text},
};
use lattice_core::{
    Lattice,
    auth::LatticeKey,
    call::{CallError, Context},
    nats::{NatsOptions, NatsStore, NatsStoreOptions, OpenError},
    store::{CommitError, Expect, Op, Revision, Store, StoreError, WatchEvent},
};
use lattice_sim::conformance;
use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

const SERVERS: usize = 3;
/// The longest time that an election takes on a busy machine.
const ELECTION: Duration = Duration::from_secs(45);

async fn cluster() -> Vec<NatsServer> {
    cluster_with(|_| String::new()).await
}

/// Returns so many addresses on which nothing listens.
fn free_addresses(count: usize) -> Vec<String> {
    (0..count).map(|_| free_address()).collect()
}

/// Starts a cluster `c` whose servers have further lines in their configuration.
async fn cluster_with(more: impl Fn(usize) -> String) -> Vec<NatsServer> {
    let routes = free_addresses(SERVERS);
    let all = routes.iter().map(|route| format!("\"nats://{route}\""));
    let all = all.collect::<Vec<_>>().join(", ");
    let mut servers = Vec::new();
    for (i, route) in routes.iter().enumerate() {
        let text = format!(
            "server_name: s{i}\ncluster {{ name: c, listen: \"{route}\", routes: [{all}] }}\n{}",
            more(i)
        );
        let config = NatsConfig::default().jetstream().text(&text);
        servers.push(config.start().await);
    }
    servers
}

/// Opens the bucket through server `through`, once the cluster has a leader.
async fn open(servers: &[NatsServer], through: usize, name: &str) -> NatsStore {
    let mut options = NatsOptions::new(servers[through].url());
    for other in servers.iter().cycle().skip(through + 1).take(SERVERS - 1) {
        options = options.server(other.url());
    }
    let connection = options.connect().await.expect("a server");
    let begun = Instant::now();
    loop {
        let replicas = NonZeroUsize::new(SERVERS).expect("not zero");
        let options = NatsStoreOptions::new(&lattice(name)).replicas(replicas);
        match NatsStore::open(&connection, options).await {
            Ok(store) => return store,
            Err(OpenError::Unavailable { .. } | OpenError::Refused { .. })
                if begun.elapsed() < ELECTION =>
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn commit_until_done(store: &NatsStore, ops: Vec<Op>) -> Revision {
    let begun = Instant::now();
    loop {
        match soon("a commit", store.commit(ops.clone())).await {
            Ok(revision) => return revision,
            Err(error) => assert!(begun.elapsed() < ELECTION, "never done: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn keeps_the_contract() {
    let servers = cluster().await;
    let names = AtomicU64::new(0);
    conformance::store::run(async || {
        let name = format!("l{}", names.fetch_add(1, Ordering::Relaxed));
        let one = open(&servers, 0, &name).await;
        let two = open(&servers, 1, &name).await;
        (Arc::new(one) as _, Arc::new(two) as _)
    })
    .await;
}

/// Without a number, a cluster keeps three copies, and a single server one.
#[tokio::test]
async fn a_cluster_keeps_three_copies_by_default() {
    let servers = cluster().await;
    let connection = NatsOptions::new(servers[0].url())
        .connect()
        .await
        .expect("a server");
    let begun = Instant::now();
    while let Err(error) =
        NatsStore::open(&connection, NatsStoreOptions::new(&lattice("prod"))).await
    {
        assert!(begun.elapsed() < ELECTION, "never opened: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (_, context) = raw_client(&servers[1].url()).await;
    let stream = context.get_stream("KV_LATTICE_prod").await.expect("there");
    assert_eq!(stream.cached_info().config.num_replicas, 3);
}

/// One copy in a cluster is reported with the way to keep three, and three copies are not.
#[tokio::test]
async fn a_lone_copy_in_a_cluster_is_reported() {
    let servers = cluster().await;
    let connection = NatsOptions::new(servers[0].url());
    let connection = connection.connect().await.expect("a server");
    for (name, copies) in [("lone", 1), ("kept", 3)] {
        let log = Log::default();
        let guard = log.capture();
        let copies = NonZeroUsize::new(copies).expect("not zero");
        let options = NatsStoreOptions::new(&lattice(name)).replicas(copies);
        let begun = Instant::now();
        while let Err(error) = NatsStore::open(&connection, options.clone()).await {
            assert!(begun.elapsed() < ELECTION, "never opened: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        drop(guard);
        let said = log.text();
        let warns = said.lines().any(|line| {
            line.contains("WARN")
                && line.contains(&format!(
                    "`nats stream edit KV_LATTICE_{name} --replicas 3`"
                ))
                && line.contains("cluster=\"c\"")
        });
        assert_eq!(warns, name == "lone", "{said}");
    }
}

async fn join_until_done(url: &str) -> Lattice {
    let begun = Instant::now();
    loop {
        let key = LatticeKey::from_hex(&"5a".repeat(32)).expect("a key");
        match Lattice::connect(url, "prod").key(key).await {
            Ok(lattice) => return lattice,
            Err(error) => assert!(begun.elapsed() < ELECTION, "never joined: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The store is in one cluster, and a host in another one, which only a gateway connects to it.
#[tokio::test]
async fn a_lattice_spans_clusters_that_gateways_connect() {
    let gates = free_addresses(SERVERS + 1);
    let gateway = |name: &str, at: usize, other: &str, to: usize| {
        let (listen, url) = (&gates[at], &gates[to]);
        format!(
            "gateway {{ name: {name}, listen: \"{listen}\", gateways: [{{ name: {other}, url: \"nats://{url}\" }}] }}"
        )
    };
    let servers = cluster_with(|at| gateway("c", at, "west", SERVERS)).await;
    let listen = free_addresses(1).remove(0);
    let west = format!(
        "server_name: west\ncluster {{ name: west, listen: \"{listen}\" }}\n{}",
        gateway("west", SERVERS, "c", 0)
    );
    let west = NatsConfig::default().text(&west).start().await;
    let there = join_until_done(&servers[1].url()).await;
    let here = join_until_done(&west.url()).await;
    let two = Two::across(&here, &there).await;
    eventually("it is called", async || two.say().await.is_ok()).await;
    // As one message, and as several.
    for size in [100 << 10, 3 << 20] {
        let large = text(&"x".repeat(size));
        let answer = two
            .call(&echo(), large.clone(), Context::new(ELECTION))
            .await;
        assert!(answer == Ok(large), "{size} bytes");
    }
    let missing = here.operator().component("nowhere").types().await;
    assert!(
        matches!(missing, Err(CallError::NotServed { .. })),
        "{missing:?}"
    );
}

/// Each server dies once while commits continue. Their results are true, and a watch converges.
#[tokio::test]
async fn a_commit_survives_the_death_of_any_server() {
    let mut servers = cluster().await;
    let writer = open(&servers, 0, "prod").await;
    let reader = open(&servers, 1, "prod").await;
    let mut watch = reader.watch().await.expect("in reach");
    snapshot(&mut watch).await;
    let mut last = Revision::default();
    for (victim, server) in servers.iter_mut().enumerate() {
        for round in 0..4 {
            let name = |i: usize| format!("v{victim}r{round}k{i}");
            let ops = (0..5).map(|i| put(&name(i), "1", Expect::Absent));
            let work = soon("a commit", writer.commit(ops.flatten().collect()));
            let kill = async {
                if round == 1 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    server.kill();
                }
            };
            let (answer, ()) = futures_util::join!(work, kill);
            last = commit_until_done(&writer, put("after", "x", Expect::Any)).await;
            let mut there = 0;
            for i in 0..5 {
                there += usize::from(value_until_read(&writer, &name(i)).await.is_some());
            }
            assert!(there == 0 || there == 5, "a partial commit: {there} of 5");
            match answer {
                Ok(_) => assert_eq!(there, 5, "confirmed, and lost"),
                Err(CommitError::Store(StoreError::Unavailable(_))) => {
                    assert_eq!(
                        there, 0,
                        "the error is \"nothing was written\", and it was written"
                    );
                }
                Err(CommitError::Unknown) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        server.restart().await;
    }
    let mut seen = Revision::default();
    while seen < last {
        match next(&mut watch).await {
            WatchEvent::Snapshot { revision, .. } => seen = revision,
            event => {
                for change in event.changes() {
                    if let WatchEvent::Put(entry) = change {
                        seen = entry.revision;
                    }
                }
            }
        }
    }
    assert_eq!(value(&reader, "after").await.as_deref(), Some("x"));
}

async fn value_until_read(store: &NatsStore, name: &str) -> Option<bytes::Bytes> {
    let begun = Instant::now();
    loop {
        match soon("a read", store.read(key(name))).await {
            Ok(entry) => return entry.map(|entry| entry.value),
            Err(error) => assert!(begun.elapsed() < ELECTION, "never read: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
