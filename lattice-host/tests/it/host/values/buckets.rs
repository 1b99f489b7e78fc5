//! A key-value store with buckets, in the shape of `wasi:keyvalue`, end to end: a store in Rust,
//! and users of it in Rust and in Python.

use super::{
    place::{Hosts, On, Part, Scene, kind},
    support::*,
};
use lattice_host::{Actor, ByteSize, Instances, Limits};
use std::{path::PathBuf, time::Duration};

const STORE: &str = "lattice-test:bucket/store@0.1.0";
const CHECKS: &str = "lattice-test:bucket/checks@0.1.0";

/// Every placement of the user on the first host: the hosts, and where the store is.
const PLACES: [(Hosts, On); 3] = [
    (Hosts::One, On::First),
    (Hosts::OverMemory, On::Second),
    (Hosts::OverNats, On::Second),
];

/// Lets `user` check the store in every placement, several times in each.
async fn check_everywhere(user: &Actor, instances: Instances) {
    for (hosts, on) in PLACES {
        let store = actor("bucket_store").instances(instances);
        let parts = vec![
            Part::actor("user", On::First, user.clone().instances(instances)),
            Part::actor("store", on, store),
        ];
        let scene = Scene::start(hosts, parts, &[("user", STORE, "store")]).await;
        for round in 1..=3 {
            let checked = call(&scene.lattice, "user", CHECKS, "check", ()).await;
            let checked: Result<(), String> =
                checked.unwrap_or_else(|error| panic!("{hosts:?}, round {round}: {error}"));
            let place = format!("{hosts:?}, {}, round {round}", kind(instances));
            assert_eq!(checked, Ok(()), "{place}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_in_rust_uses_buckets_in_fresh_instances() {
    check_everywhere(&actor("bucket_user"), Instances::Fresh).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_in_rust_uses_buckets_in_warm_instances() {
    check_everywhere(&actor("bucket_user"), Instances::warm()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_in_python_uses_buckets() {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => {
            println!("skipped, because there is no guest in Python: {reason}");
            return;
        }
    };
    for instances in [Instances::Fresh, Instances::warm()] {
        check_everywhere(&python, instances).await;
    }
}

/// Returns the actor that `.ci/python-guests.sh` has built, or why it hasn't.
fn python() -> Result<Actor, String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests/python");
    let folder = PathBuf::from(folder);
    let file = folder.join("bucket_user.wasm");
    if !file.exists() {
        let reason = std::fs::read_to_string(folder.join("missing.txt"));
        return Err(reason.unwrap_or_else(|_| "run `make guests`".to_owned()));
    }
    // It contains an interpreter.
    let limits = Limits::default()
        .memory(ByteSize::mib(256))
        .table_elements(100_000)
        .cpu(Duration::from_secs(20));
    Ok(Actor::from_file(file).limits(limits))
}
