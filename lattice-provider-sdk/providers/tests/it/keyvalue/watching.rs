//! Components that are told of changes.

use super::{
    draft::wasi::keyvalue::store::{BucketClient as BucketOf, Error, INTERFACE as STORE},
    stage::{Kind, PATIENCE, Stage},
    suite::{ok, open},
};
use crate::wait::eventually;
use futures_util::future::join_all;
use lattice_provider_sdk::{
    Bytes, Call, Caller, IntoService as _, Lattice, Link, ServeHandle, Stateless, serve,
};
use lattice_providers::keyvalue::{MemoryConfig, MemoryKeyValue};
use serde_json::json;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

mod watcher {
    lattice_provider_sdk::provider!({ inline: "
        package test:watching;
        world watching {
            import wasi:keyvalue/store@0.2.0-draft;
            export wasi:keyvalue/watcher@0.2.0-draft;
        }
    " });
}

use watcher::wasi::keyvalue::{store::BucketClient, watcher::Watcher as Watch};

/// A key, its new value, and what the bucket has for it then.
type Told = (String, Option<Bytes>, Option<Bytes>);

/// A component that passes on what it is told, as long as it may.
struct Watcher {
    told: mpsc::UnboundedSender<Told>,
    caller: Caller,
    may_go_on: watch::Receiver<bool>,
}

impl Stateless for Watcher {
    type World = watcher::World;
}

impl Watcher {
    async fn tell(&self, bucket: BucketClient, key: String, value: Option<Bytes>) {
        let mut may_go_on = self.may_go_on.clone();
        // It fails when the test is over.
        let _ = may_go_on.wait_for(|may| *may).await;
        let bucket = bucket.via(self.caller.clone());
        let now = ok(bucket.get(&key).await);
        // The test may be over.
        let _ = self.told.send((key, value, now));
    }
}

impl Watch for Watcher {
    async fn on_set(&self, _: &Call<Self>, bucket: BucketClient, key: String, value: Bytes) {
        self.tell(bucket, key, Some(value)).await;
    }

    async fn on_delete(&self, _: &Call<Self>, bucket: BucketClient, key: String) {
        self.tell(bucket, key, None).await;
    }
}

/// A stage with a watcher of the bucket `carts`, which is told what it may be.
struct Watched {
    stage: Stage,
    bucket: BucketOf,
    changes: mpsc::UnboundedReceiver<Told>,
    may_go_on: watch::Sender<bool>,
    _serving: ServeHandle,
}

impl Watched {
    async fn new(stage: Stage) -> Self {
        let (told, mut changes) = mpsc::unbounded_channel();
        let may_go_on = watch::Sender::new(true);
        let watcher = Watcher {
            told,
            caller: stage.app.caller("watcher").expect("an id"),
            may_go_on: may_go_on.subscribe(),
        };
        let serving = serve(&stage.app, "watcher", watcher).await;
        let store = Link::new("watcher", STORE.name(), "kv").expect("valid");
        stage.app.links().put(store).await.expect("it is put");
        let watching = watcher::wasi::keyvalue::watcher::INTERFACE.name();
        let link = Link::new("kv", watching, "watcher").expect("valid");
        let config = serde_json::json!({ "bucket": "carts", "key-prefix": "u/" });
        let link = link.config(&config).expect("JSON");
        stage.app.links().put(link).await.expect("it is put");

        // The provider has heard of the link when it tells of a change.
        let bucket = open(&stage.clients("app"), "carts").await;
        let begun = async {
            loop {
                ok(bucket.set("u/begin", b"").await);
                tokio::task::yield_now().await;
                if changes.try_recv().is_ok() {
                    break;
                }
            }
        };
        timeout(PATIENCE, begun).await.expect("it is told");
        Self {
            stage,
            bucket,
            changes,
            may_go_on,
            _serving: serving.expect("served"),
        }
    }

    /// Returns the next change but those of the beginning.
    async fn next(&mut self) -> Told {
        loop {
            let change = timeout(PATIENCE, self.changes.recv()).await;
            let told = change.expect("it is told").expect("it watches");
            if !told.0.starts_with("u/begin") {
                return told;
            }
        }
    }

    /// Waits until the replica that makes this bucket's writes has heard of the link, as is seen by
    /// a key of its own.
    async fn hears(&mut self, bucket: &BucketOf, key: &str) {
        let told = async {
            loop {
                ok(bucket.set(key, b"").await);
                tokio::task::yield_now().await;
                while let Ok(told) = self.changes.try_recv() {
                    if told.0 == key {
                        return;
                    }
                }
            }
        };
        timeout(PATIENCE, told).await.expect("it is told");
    }
}

pub(super) async fn changes_are_told_in_order(stage: Stage) {
    let mut watched = Watched::new(stage).await;
    let clients = watched.stage.clients("app");
    let bucket = open(&clients, "carts").await;
    let other = open(&clients, "other").await;
    for step in 0..10_u8 {
        ok(bucket.set("u/key", &[step]).await);
        ok(bucket.set("not/watched", &[step]).await);
        ok(other.set("u/key", &[step]).await);
    }
    let sum = clients.atomics.increment(&bucket, "u/n", 41).await;
    assert_eq!(ok(sum), 41);
    let entries = [
        ("u/a".to_owned(), Bytes::from("1")),
        ("x".to_owned(), Bytes::new()),
    ];
    ok(clients.batch.set_many(&bucket, &entries).await);
    ok(bucket.delete("u/key").await);

    let mut expected: Vec<(&str, Option<Bytes>)> = (0..10_u8)
        .map(|step| ("u/key", Some(Bytes::copy_from_slice(&[step]))))
        .collect();
    expected.push(("u/n", Some("41".into())));
    expected.push(("u/a", Some("1".into())));
    expected.push(("u/key", None));
    for expected in expected {
        let (key, value, now) = watched.next().await;
        // The handle leads to the bucket, which has this value or a later one.
        assert!(now.is_some() || key == "u/key", "{key}");
        assert_eq!((key.as_str(), value), expected);
    }
}

#[tokio::test]
async fn a_link_to_a_watcher_is_in_the_health_as_long_as_its_config_does_not_fit() {
    let lattice = Lattice::in_memory("test").await.expect("it opens");
    let provider = MemoryKeyValue::new(MemoryConfig::default()).into_service();
    let serving = serve(&lattice, "kv", provider.clone()).await;
    let _serving = serving.expect("served");
    let watching = watcher::wasi::keyvalue::watcher::INTERFACE.name();
    let put = async |config: serde_json::Value| {
        let link = Link::new("kv", watching, "watcher").expect("valid");
        let link = link.config(&config).expect("JSON");
        let put = lattice.links().replace(link).await;
        put.expect("it is put").key.clone()
    };
    let fits = json!({ "bucket": "carts" });
    for (config, expected) in [
        (json!({}), "missing field `bucket`"),
        (json!({ "bucket": "carts", "prefix": "u/" }), "`prefix`"),
        (json!({ "bucket": "b".repeat(256) }), "at most"),
    ] {
        let key = put(config).await;
        let named = format!("link {key}: ");
        eventually("it is told", async || {
            let health = provider.health().await;
            health.is_err_and(|reason| reason.contains(&named) && reason.contains(expected))
        })
        .await;
        put(fits.clone()).await;
        eventually("it fits", async || provider.health().await.is_ok()).await;
    }
    let key = put(json!({ "bucket": 7 })).await;
    eventually("it is told", async || provider.health().await.is_err()).await;
    lattice.links().delete(&key).await.expect("deleted");
    eventually("it is forgotten", async || provider.health().await.is_ok()).await;
}

#[tokio::test]
async fn a_watcher_that_is_behind_holds_up_writes_and_misses_none() {
    let stage = Stage::start(Kind::Memory)
        .await
        .expect("no server is needed");
    let mut watched = Watched::new(stage).await;
    watched.may_go_on.send_replace(false);
    let value = vec![7; 1_024 * 1_024];
    let mut written = Vec::new();
    let refused = loop {
        let key = format!("u/{:03}", written.len());
        let set = watched.bucket.set(&key, &value).timeout(PATIENCE);
        match set.await.expect("called") {
            Ok(()) => written.push(key),
            Err(Error::Other(text)) => break text,
            Err(error) => panic!("{error:?}"),
        }
        assert!(written.len() < 100, "the queue is bounded");
    };
    assert!(
        refused.contains("a watcher of the bucket is behind"),
        "{refused}"
    );
    let last = format!("u/{:03}", written.len());
    assert!(
        !ok(watched.bucket.exists(&last).await),
        "nothing was written"
    );
    // Writes of one key don't wait for each other's turns to be refused.
    let writes = (0..12).map(|_| {
        let set = watched.bucket.set("u/same", &value);
        set.timeout(PATIENCE).into_future()
    });
    for refused in join_all(writes).await {
        let is_told = matches!(&refused, Ok(Err(Error::Other(text))) if text.contains("is behind"));
        assert!(is_told, "{refused:?}");
    }
    // Other keys and other buckets can be written.
    ok(watched.bucket.set("x", &value).await);

    watched.may_go_on.send_replace(true);
    for expected in &written {
        assert_eq!(watched.next().await.0, *expected);
    }
    ok(watched.bucket.set(&last, b"").timeout(PATIENCE).await);
    assert_eq!(watched.next().await.0, last);
}

#[tokio::test]
async fn a_change_is_told_once_by_the_replica_that_makes_it_and_none_that_others_make() {
    for kind in [Kind::Redis, Kind::Nats] {
        let Some(mut stage) = Stage::start(kind).await else {
            continue;
        };
        stage.serve_again().await;
        let mut watched = Watched::new(stage).await;
        let programs = watched.stage.programs().map(Clone::clone);
        let mut buckets = Vec::new();
        for (program, key) in programs.iter().zip(["u/begin-1", "u/begin-2"]) {
            let bucket = open(&Stage::clients_in(program, "app"), "carts").await;
            watched.hears(&bucket, key).await;
            buckets.push(bucket);
        }
        for step in 0..10_u8 {
            let bucket = &buckets[usize::from(step % 2)];
            ok(bucket.set("u/key", &[step]).await);
        }
        watched.stage.write_beside("carts", "u/other", "x").await;
        let other = ok(buckets[0].get("u/other").await);
        assert_eq!(other.as_deref(), Some(&b"x"[..]), "{kind:?}");
        for (bucket, key) in buckets.iter().zip(["u/last-1", "u/last-2"]) {
            ok(bucket.set(key, b"").await);
        }

        let (mut steps, mut last) = (Vec::new(), Vec::new());
        while last.len() < 2 {
            let (key, value, _) = watched.next().await;
            if key == "u/key" {
                steps.push(value.expect("it was set")[0]);
            } else {
                last.push(key);
            }
        }
        last.sort();
        assert_eq!(last, ["u/last-1", "u/last-2"], "{kind:?}");
        // Each replica tells its own, in the order in which it has made them.
        let of = |replica: u8| {
            let steps = steps.iter().copied();
            steps.filter(|step| step % 2 == replica).collect::<Vec<_>>()
        };
        assert_eq!(of(0), [0, 2, 4, 6, 8], "{kind:?}");
        assert_eq!(of(1), [1, 3, 5, 7, 9], "{kind:?}");
    }
}
