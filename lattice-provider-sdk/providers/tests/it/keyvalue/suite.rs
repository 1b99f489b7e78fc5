//! What every backend does in the same way.

use super::{
    draft::wasi::keyvalue::store::{BucketClient, Error, INTERFACE as STORE},
    draft2::wasi::keyvalue::{
        atomics::CasError,
        store::{BucketClient as Bucket2, Error as Error2},
    },
    flat::lattice::keyvalue::store::Error as FlatError,
    stage::{Clients, PATIENCE, Stage},
};
use lattice_provider_sdk::{Bytes, CallError, Link};
use std::{collections::BTreeSet, fmt::Debug, sync::Arc};
use tokio::task::JoinSet;

/// Returns the value of a call that succeeds.
pub(super) fn ok<T, E: Debug>(result: Result<Result<T, E>, CallError>) -> T {
    result.expect("it is called").expect("it succeeds")
}

/// Returns the error of a call that fails as by its interface.
pub(super) fn refused<T, E>(result: Result<Result<T, E>, CallError>) -> E {
    result
        .expect("it is called")
        .err()
        .expect("it is refused by the provider")
}

pub(super) async fn open(clients: &Clients, name: &str) -> BucketClient {
    ok(clients.store.open(name).await)
}

pub(super) async fn open2(clients: &Clients, name: &str) -> Bucket2 {
    ok(clients.store2.open(name).await)
}

/// Keys that are hard for some backend.
fn odd_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "",
        " ",
        ".",
        "..",
        "a.b",
        ".a",
        "a.",
        "a..b",
        "*",
        ">",
        "$KV",
        "a b",
        "a\tb",
        "\r\n",
        "/",
        "//",
        "../etc",
        "{x}",
        "%00",
        "=",
        "=41",
        "A",
        "a",
        "é",
        "e\u{301}",
        "😀",
        "\u{feff}",
        "\u{10ffff}",
        "(",
        "[",
        "+",
        "-",
        "\"",
        "'",
        "\\",
        ":",
        "|",
    ]
    .map(str::to_owned)
    .into();
    keys.extend((0..0x20).filter_map(char::from_u32).map(String::from));
    keys.push("\u{7f}".to_owned());
    keys.push("k".repeat(1_024));
    keys.push("é".repeat(512));
    keys.sort_unstable();
    keys.dedup();
    keys
}

pub(super) async fn values(stage: Stage) {
    let clients = stage.clients("app");
    let (bucket, other) = (open(&clients, "a").await, open(&clients, "b").await);
    assert_eq!(ok(bucket.get("key").await), None);
    assert!(!ok(bucket.exists("key").await));
    ok(bucket.delete("key").await);
    ok(bucket.set("key", b"one").await);
    ok(bucket.set("key", b"two").await);
    assert_eq!(ok(bucket.get("key").await).as_deref(), Some(&b"two"[..]));
    assert!(ok(bucket.exists("key").await));
    assert_eq!(ok(other.get("key").await), None, "another bucket");
    ok(bucket.delete("key").await);
    assert_eq!(ok(bucket.get("key").await), None);
    assert_eq!(ok(bucket.list_keys(None).await).keys, Vec::<String>::new());

    // Bytes of any kind, and none, under keys of any kind.
    let bytes: Vec<u8> = (0..=255).collect();
    ok(bucket.set("bytes", &bytes).await);
    assert_eq!(ok(bucket.get("bytes").await).as_deref(), Some(&*bytes));
    ok(bucket.set("bytes", b"").await);
    assert_eq!(ok(bucket.get("bytes").await).as_deref(), Some(&b""[..]));
    assert!(ok(bucket.exists("bytes").await), "an empty value is one");

    let keys = odd_keys();
    for key in &keys {
        ok(other.set(key, key.as_bytes()).await);
    }
    for key in &keys {
        let value = ok(other.get(key).await);
        assert_eq!(value.as_deref(), Some(key.as_bytes()), "{key:?}");
    }
    assert_eq!(ok(other.list_keys(None).await).keys, keys);

    // Buckets of any name. Both drafts and the flat interface have the same ones.
    for name in ["", "_", "a_b", "a/b", "é", "default"] {
        let bucket = open(&clients, name).await;
        assert_eq!(ok(bucket.get("name").await), None, "{name}");
        ok(bucket.set("name", name.as_bytes()).await);
        let bucket = open2(&clients, name).await;
        let value = ok(bucket.get("name").await);
        assert_eq!(value.as_deref(), Some(name.as_bytes()));
    }
    let value = ok(clients.flat.get("name").await);
    assert_eq!(value.as_deref(), Some(&b"default"[..]));
    ok(clients.flat.delete("name").await);
    assert!(!ok(clients.flat.exists("name").await));
}

pub(super) async fn limits(stage: Stage) {
    let clients = stage.clients("app");
    let bucket = open(&clients, "limits").await;
    let key = "k".repeat(1_025);
    let error = refused(bucket.set(&key, b"x").await);
    assert!(
        matches!(&error, Error::Other(text) if text.contains("1024 bytes")),
        "{error:?}"
    );
    assert!(matches!(refused(bucket.get(&key).await), Error::Other(_)));
    let error = refused(clients.flat.get(&key).await);
    assert!(matches!(error, FlatError::InvalidKey(_)), "{error:?}");

    // What every backend has by default.
    let value = vec![7; 1_000 * 1_024];
    ok(bucket.set("large", &value).timeout(PATIENCE).await);
    let found = ok(bucket.get("large").timeout(PATIENCE).await);
    assert!(found.is_some_and(|found| found == value));
    let value = vec![7; 1_024 * 1_024 + 1];
    let error = refused(bucket.set("larger", &value).timeout(PATIENCE).await);
    assert!(
        matches!(&error, Error::Other(text) if text.contains("max-value-size")),
        "{error:?}"
    );
    let error = refused(clients.flat.set("larger", &value).timeout(PATIENCE).await);
    assert!(matches!(error, FlatError::TooLarge(_)), "{error:?}");
    let entries = [
        ("small".to_owned(), Bytes::new()),
        ("larger".to_owned(), value.into()),
    ];
    let set = clients
        .batch
        .set_many(&bucket, &entries)
        .timeout(PATIENCE)
        .await;
    assert!(matches!(refused(set), Error::Other(_)));
    assert_eq!(
        ok(bucket.list_keys(None).await).keys,
        ["large"],
        "nothing was written"
    );

    let keys: Vec<_> = (0..1_001).map(|n| n.to_string()).collect();
    let error = refused(clients.batch.get_many(&bucket, &keys).await);
    assert!(
        matches!(&error, Error::Other(text) if text.contains("1000")),
        "{error:?}"
    );
    let many = vec!["large".to_owned(); 20];
    let get = clients
        .batch
        .get_many(&bucket, &many)
        .timeout(PATIENCE)
        .await;
    let error = refused(get);
    assert!(
        matches!(&error, Error::Other(text) if text.contains("fewer keys")),
        "{error:?}"
    );
    let error = refused(clients.store.open(&"b".repeat(256)).await);
    assert!(
        matches!(&error, Error::Other(text) if text.contains("255 bytes")),
        "{error:?}"
    );
}

pub(super) async fn counters(stage: Stage) {
    let clients = stage.clients("app");
    let (bucket, bucket2) = (open(&clients, "c").await, open2(&clients, "c").await);
    let (one, two) = (&clients.atomics, &clients.atomics2);
    assert_eq!(ok(one.increment(&bucket, "n", 5).await), 5);
    assert_eq!(ok(two.increment(&bucket2, "n", -7).await), -2);
    assert_eq!(ok(bucket.get("n").await).as_deref(), Some(&b"-2"[..]));
    let error = refused(one.increment(&bucket, "n", 1).await);
    assert!(
        matches!(&error, Error::Other(text) if text.contains("range")),
        "{error:?}"
    );
    assert_eq!(
        ok(two.increment(&bucket2, "n", 0).await),
        -2,
        "it is unchanged"
    );
    assert_eq!(ok(one.increment(&bucket, "n", 2).await), 0);
    assert_eq!(ok(bucket.list_keys(None).await).keys, ["n"]);

    ok(bucket.set("most", i64::MAX.to_string().as_bytes()).await);
    assert!(matches!(
        refused(one.increment(&bucket, "most", 1).await),
        Error::Other(_)
    ));
    assert!(matches!(
        refused(two.increment(&bucket2, "most", 1).await),
        Error2::Other(_)
    ));
    assert!(matches!(
        refused(one.increment(&bucket, "n", u64::MAX).await),
        Error::Other(_)
    ));
    assert_eq!(ok(two.increment(&bucket2, "most", 0).await), i64::MAX);
    ok(bucket.set("least", i64::MIN.to_string().as_bytes()).await);
    assert!(matches!(
        refused(two.increment(&bucket2, "least", -1).await),
        Error2::Other(_)
    ));

    for value in ["", "x", "1.5", " 1", "+1", "007", "9223372036854775808"] {
        ok(bucket.set("text", value.as_bytes()).await);
        let error = refused(one.increment(&bucket, "text", 1).await);
        let is_told = matches!(&error, Error::Other(text) if text.contains("isn't a counter"));
        assert!(is_told, "{value:?}: {error:?}");
        let kept = ok(bucket.get("text").await);
        assert_eq!(kept.as_deref(), Some(value.as_bytes()));
    }
    assert_eq!(ok(clients.flat.increment("n", -3).await), -3);
    ok(clients.flat.set("text", b"x").await);
    let error = refused(clients.flat.increment("text", 1).await);
    assert!(matches!(error, FlatError::NotACounter), "{error:?}");
    let error = refused(clients.flat.increment("n", i64::MIN).await);
    assert!(matches!(error, FlatError::CounterOverflow), "{error:?}");
}

/// How many tasks contend, and what each of them does.
const TASKS: usize = 6;
const EACH: usize = 8;

pub(super) async fn counters_under_contention(mut stage: Stage) {
    stage.serve_again().await;
    let clients = Arc::new(stage.clients("app"));
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let clients = clients.clone();
        tasks.spawn(async move {
            let bucket = open(&clients, "contended").await;
            let mut sums = Vec::new();
            for _ in 0..EACH {
                let sum = clients.atomics.increment(&bucket, "n", 1).timeout(PATIENCE);
                sums.push(ok(sum.await));
            }
            sums
        });
    }
    let mut sums: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    sums.sort_unstable();
    let expected: Vec<_> = (1..=(TASKS * EACH) as u64).collect();
    assert_eq!(sums, expected, "each sum was returned once");
}

pub(super) async fn swaps(stage: Stage) {
    let clients = stage.clients("app");
    let (atomics, bucket) = (&clients.atomics2, open2(&clients, "s").await);

    // A key that doesn't exist.
    let absent = ok(atomics.cas_new(&bucket, "key").await);
    let late = ok(atomics.cas_new(&bucket, "key").await);
    assert_eq!(ok(absent.current().await), None);
    ok(atomics.swap(absent, b"one").await);
    assert_eq!(ok(bucket.get("key").await).as_deref(), Some(&b"one"[..]));
    let Err(CasError::CasFailed(again)) = atomics.swap(late, b"late").await.expect("called") else {
        panic!("the key was created meanwhile");
    };
    assert_eq!(ok(again.current().await).as_deref(), Some(&b"one"[..]));
    ok(atomics.swap(again, b"two").await);

    // A value that changes, and one that is deleted.
    let seen = ok(atomics.cas_new(&bucket, "key").await);
    ok(bucket.set("key", b"three").await);
    let failed = atomics.swap(seen, b"x").await.expect("called");
    assert!(matches!(failed, Err(CasError::CasFailed(_))), "{failed:?}");
    let seen = ok(atomics.cas_new(&bucket, "key").await);
    ok(bucket.delete("key").await);
    let Err(CasError::CasFailed(gone)) = atomics.swap(seen, b"x").await.expect("called") else {
        panic!("the key was deleted meanwhile");
    };
    assert_eq!(ok(gone.current().await), None);
    ok(atomics.swap(gone, b"").await);
    let value = ok(bucket.get("key").await);
    assert_eq!(value.as_deref(), Some(&b""[..]));
    // An empty value isn't the same as none.
    let empty = ok(atomics.cas_new(&bucket, "key").await);
    assert_eq!(ok(empty.current().await).as_deref(), Some(&b""[..]));
    ok(atomics.swap(empty, b"four").await);
    assert_eq!(ok(bucket.list_keys(None).await).keys, ["key"]);
}

pub(super) async fn swaps_under_contention(mut stage: Stage) {
    stage.serve_again().await;
    let clients = Arc::new(stage.clients("app"));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let clients = clients.clone();
        tasks.spawn(async move {
            let bucket = open2(&clients, "contended").await;
            for step in 0..EACH / 2 {
                let mine = format!("{task}.{step} ");
                let cas = clients.atomics2.cas_new(&bucket, "log").timeout(PATIENCE);
                let mut cas = ok(cas.await);
                loop {
                    let seen = ok(cas.current().timeout(PATIENCE).await);
                    let mut log = seen.map_or_else(Vec::new, |seen| seen.to_vec());
                    log.extend(mine.as_bytes());
                    let swap = clients.atomics2.swap(cas, &log).timeout(PATIENCE);
                    match swap.await.expect("called") {
                        Ok(()) => break,
                        Err(CasError::CasFailed(again)) => cas = again,
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
        });
    }
    tasks.join_all().await;
    let bucket = open(&clients, "contended").await;
    let log = ok(bucket.get("log").await).expect("it was written");
    let log = String::from_utf8(log.to_vec()).expect("text");
    let entries: BTreeSet<&str> = log.split_whitespace().collect();
    assert_eq!(entries.len(), TASKS * EACH / 2, "{log}");
    assert_eq!(log.split_whitespace().count(), entries.len(), "{log}");
}

pub(super) async fn batches(stage: Stage) {
    let clients = stage.clients("app");
    let (bucket, bucket2) = (open(&clients, "b").await, open2(&clients, "b").await);
    let spin_bucket = ok(clients.spin_store.open("b").await);
    let entry = |key: &str, value: &'static str| (key.to_owned(), Bytes::from(value));
    let entries = [
        entry("a", "1"),
        entry("", ""),
        entry("b", "2"),
        entry("a", "3"),
    ];
    ok(clients.batch.set_many(&bucket, &entries).await);
    let keys = ["b", "none", "a", "", "b"].map(str::to_owned);
    let expected = [
        Some(entry("b", "2")),
        None,
        Some(entry("a", "3")),
        Some(entry("", "")),
        Some(entry("b", "2")),
    ];
    assert_eq!(ok(clients.batch.get_many(&bucket, &keys).await), expected);
    assert_eq!(ok(clients.batch2.get_many(&bucket2, &keys).await), expected);
    // The same function of the same interface, with another type.
    let in_pairs = ok(clients.spin_batch.get_many(&spin_bucket, &keys).await);
    let pairs = keys.iter().zip(&expected).map(|(key, found)| {
        let value = found.as_ref().map(|(_, value)| value.clone());
        (key.clone(), value)
    });
    assert_eq!(in_pairs, pairs.collect::<Vec<_>>());

    let gone = ["a", "none", "b"].map(str::to_owned);
    ok(clients.spin_batch.delete_many(&spin_bucket, &gone).await);
    assert_eq!(ok(bucket.list_keys(None).await).keys, [""]);
    ok(clients.batch2.set_many(&bucket2, &[]).await);
    ok(clients.batch2.delete_many(&bucket2, &[]).await);
    assert!(ok(clients.batch2.get_many(&bucket2, &[]).await).is_empty());
}

pub(super) async fn links(stage: Stage) {
    let config = r#"{"bucket-prefix": "shop-", "buckets": ["carts", "default"]}"#;
    stage.link("shop", config).await;
    stage.link("reader", r#"{"read-only": true}"#).await;
    let (app, shop, reader) = (
        stage.clients("app"),
        stage.clients("shop"),
        stage.clients("reader"),
    );
    let carts = open(&shop, "carts").await;
    ok(carts.set("key", b"value").await);
    let error = refused(shop.store.open("other").await);
    assert!(matches!(error, Error::NoSuchStore), "{error:?}");
    ok(shop.flat.set("flat", b"x").await);
    let all = open(&app, "shop-carts").await;
    assert!(ok(all.exists("key").await));
    assert_eq!(ok(open(&app, "carts").await.get("key").await), None);
    assert!(ok(open(&app, "shop-default").await.exists("flat").await));

    let bucket = open(&reader, "shop-carts").await;
    assert!(ok(bucket.exists("key").await));
    let bucket2 = open2(&reader, "shop-carts").await;
    assert!(matches!(
        refused(bucket.set("key", b"x").await),
        Error::AccessDenied
    ));
    assert!(matches!(
        refused(bucket.delete("key").await),
        Error::AccessDenied
    ));
    let denied = reader.atomics2.increment(&bucket2, "n", 1).await;
    assert!(matches!(refused(denied), Error2::AccessDenied));
    let keys = ["key".to_owned()];
    let denied = reader.batch.delete_many(&bucket, &keys).await;
    assert!(matches!(refused(denied), Error::AccessDenied));
    let cas = ok(reader.atomics2.cas_new(&bucket2, "key").await);
    let denied = reader.atomics2.swap(cas, b"x").await.expect("called");
    let is_denied = matches!(denied, Err(CasError::StoreError(Error2::AccessDenied)));
    assert!(is_denied, "{denied:?}");
    let error = refused(reader.flat.set("key", b"x").await);
    assert!(
        matches!(&error, FlatError::Other(text) if text.contains("read-only")),
        "{error:?}"
    );
    assert_eq!(ok(all.get("key").await).as_deref(), Some(&b"value"[..]));

    // A bucket that was opened to be read isn't written over another link of its holder either.
    let caller = stage.app.caller("reader").expect("an id");
    let writer = Link::new("reader", STORE.name(), "kv").expect("valid");
    let writer = writer.named("writer").expect("a name");
    stage.app.links().put(writer).await.expect("it is put");
    let bucket = bucket.via(caller.via("writer").expect("a name"));
    let denied = bucket.set("key", b"x").await;
    assert!(matches!(refused(denied), Error::AccessDenied));
    assert_eq!(ok(bucket.get("key").await).as_deref(), Some(&b"value"[..]));
}
