//! Components that are told of changes.

use super::{
    draft::wasi::keyvalue::store::INTERFACE as STORE,
    stage::{PATIENCE, Stage},
    suite::{ok, open},
};
use lattice_provider_sdk::{Bytes, Call, Caller, Link, Stateless, serve};
use tokio::{sync::mpsc, time::timeout};

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

/// A component that passes on what it is told.
struct Watcher {
    told: mpsc::UnboundedSender<Told>,
    caller: Caller,
}

impl Stateless for Watcher {
    type World = watcher::World;
}

impl Watcher {
    async fn tell(&self, bucket: BucketClient, key: String, value: Option<Bytes>) {
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

pub(super) async fn changes_are_told_in_order(stage: Stage) {
    let clients = stage.clients("app");
    let (told, mut changes) = mpsc::unbounded_channel();
    let caller = stage.app.caller("watcher").expect("an id");
    let _serving = serve(&stage.app, "watcher", Watcher { told, caller })
        .await
        .expect("served");
    let store = Link::new("watcher", STORE.name(), "kv").expect("valid");
    stage.app.links().put(store).await.expect("it is put");
    let watching = watcher::wasi::keyvalue::watcher::INTERFACE.name();
    let link = Link::new("kv", watching, "watcher").expect("valid");
    let config = serde_json::json!({ "bucket": "carts", "key-prefix": "u/" });
    let link = link.config(&config).expect("JSON");
    stage.app.links().put(link).await.expect("it is put");

    // The provider has heard of the link when it tells of a change.
    let bucket = open(&clients, "carts").await;
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
        let (key, value) = loop {
            let change = timeout(PATIENCE, changes.recv()).await;
            let (key, value, now) = change.expect("it is told").expect("it watches");
            if key != "u/begin" {
                // The handle leads to the bucket, which has this value or a later one.
                assert!(now.is_some() || key == "u/key", "{key}");
                break (key, value);
            }
        };
        assert_eq!((key.as_str(), value), expected);
    }
}
