//! A key-value store with buckets, in the shape of `wasi:keyvalue`, end to end: a store as an
//! actor and as a native provider, and users of it in Rust, Python and JavaScript.

use super::{
    native::Buckets,
    place::{Hosts, On, Part, Scene, kind},
    support::*,
};
use client::lattice_test::bucket::store::{BucketClient, StoreClient};
use lattice_core::{
    Lattice, bus::memory::MemoryNetwork, call::CallError, client::Caller, name::ComponentId,
    store::MemoryStore,
};
use lattice_host::{Actor, ByteSize, Host, Instances, Limits};
use std::{path::PathBuf, sync::Arc, time::Duration};

mod client {
    lattice_provider_sdk::client!({ path: "tests/guests/bucket", world: "bucket-user" });
}

const STORE: &str = "lattice-test:bucket/store@0.1.0";
const CHECKS: &str = "lattice-test:bucket/checks@0.1.0";

/// Every placement of the user on the first host: the hosts, and where the store is.
const PLACES: [(Hosts, On); 3] = [
    (Hosts::One, On::First),
    (Hosts::OverMemory, On::Second),
    (Hosts::OverNats, On::Second),
];

/// What the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    Actor,
    Provider,
}

/// Lets `user` check the store in every placement, several times in each.
async fn check_everywhere(user: &Actor, store: Store, instances: Instances) {
    for (hosts, on) in PLACES {
        let part = match store {
            Store::Actor => Part::actor("store", on, actor("bucket_store").instances(instances)),
            Store::Provider => Part::provider("store", on, Buckets::default()),
        };
        let user = user.clone().instances(instances);
        let parts = vec![Part::actor("user", On::First, user), part];
        let scene = Scene::start(hosts, parts, &[("user", STORE, "store")]).await;
        for round in 1..=3 {
            let checked = call(&scene.lattice, "user", CHECKS, "check", ()).await;
            let checked: Result<(), String> = checked
                .unwrap_or_else(|error| panic!("{store:?}, {hosts:?}, round {round}: {error}"));
            let place = format!("{store:?}, {hosts:?}, {}, round {round}", kind(instances));
            assert_eq!(checked, Ok(()), "{place}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_in_rust_uses_buckets_of_an_actor() {
    for instances in [Instances::Fresh, Instances::warm()] {
        check_everywhere(&actor("bucket_user"), Store::Actor, instances).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_in_rust_uses_buckets_of_a_provider() {
    for instances in [Instances::Fresh, Instances::warm()] {
        check_everywhere(&actor("bucket_user"), Store::Provider, instances).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_in_python_uses_buckets() {
    check_guest("python").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_in_javascript_uses_buckets() {
    check_guest("javascript").await;
}

/// Lets the guest in this language check both kinds of stores, if it was built.
async fn check_guest(language: &str) {
    let guest = match built(language) {
        Ok(guest) => guest,
        Err(reason) => {
            println!("skipped, because there is no guest in {language}: {reason}");
            return;
        }
    };
    for store in [Store::Actor, Store::Provider] {
        for instances in [Instances::Fresh, Instances::warm()] {
            check_everywhere(&guest, store, instances).await;
        }
    }
}

/// Reads `cat` until its bucket's host is known to be lost: until then, a call may have run there.
async fn read_on(bucket: &BucketClient) -> Option<bytes::Bytes> {
    let read = async {
        loop {
            match bucket.get("cat").await {
                Ok(found) => return found.expect("no error of the store"),
                Err(CallError::HostLost { .. }) => {}
                Err(other) => panic!("another error: {other}"),
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, read).await;
    found.expect("another host serves it")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_of_a_provider_survives_its_host() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let program = async || {
        let bus = Arc::new(network.connect());
        let lattice = Lattice::on(bus, store.clone(), "test").trust_bus();
        lattice.await.expect("a lattice")
    };
    let (here, one, two) = (program().await, program().await, program().await);
    let buckets = Buckets::default();
    let first = Host::builder(&one).provider("store", buckets.clone());
    let first = started(first).await;
    link(&here, "app", STORE, "store").await;
    served(&here, "store").await;
    let app: Caller = here.caller("app").expect("an id");
    let opened = StoreClient::new(app).open("photos").await;
    let bucket = opened.expect("a result").expect("it exists");
    let put = bucket.set("cat", b"asleep").await.expect("a result");
    put.expect("no error of the store");

    let _second = started(Host::builder(&two).provider("store", buckets)).await;
    let store = ComponentId::new("store").expect("an id");
    crate::wait::until("both hosts serve it", || {
        here.peers().serving(&store).len() == 2
    })
    .await;
    first.node().kill();
    for _ in 0..2 {
        assert_eq!(read_on(&bucket).await, Some("asleep".into()));
    }
}

/// Returns the actor that `.ci/python-guests.sh` or `.ci/javascript-guests.sh` has built, or why it
/// hasn't.
fn built(language: &str) -> Result<Actor, String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests");
    let folder = PathBuf::from(folder).join(language);
    let file = folder.join("bucket_user.wasm");
    if !file.exists() {
        let reason = std::fs::read_to_string(folder.join("bucket_user.missing.txt"));
        return Err(reason.unwrap_or_else(|_| "run `make guests`".to_owned()));
    }
    // It contains an interpreter.
    let limits = Limits::default()
        .memory(ByteSize::mib(256))
        .table_elements(100_000)
        .cpu(Duration::from_secs(20));
    Ok(Actor::from_file(file).limits(limits))
}
