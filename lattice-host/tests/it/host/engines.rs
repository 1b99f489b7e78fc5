//! Engines other than the shared one.

use super::support::*;
use lattice_core::call::CallError;
use lattice_host::{ByteSize, Engine, EngineBuilder, Host, Limits};
use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

async fn works_on(engine: EngineBuilder) {
    let lattice = lattice().await;
    let engine = engine.build().expect("an engine");
    let _host = started(
        Host::builder(&lattice)
            .engine(engine)
            .actor("mischief", actor("mischief")),
    )
    .await;
    let _: u32 = act(&lattice, "count", ()).await.expect("answered");
}

#[tokio::test]
async fn compiled_code_is_cached_on_disk_and_a_broken_cache_is_ignored() {
    let cache = tempfile::tempdir().expect("a directory");
    works_on(Engine::builder().cache_in(cache.path())).await;
    let kept = files(cache.path());
    assert!(!kept.is_empty(), "the code is cached");
    for file in &kept {
        std::fs::write(file, b"garbage").expect("it can be written");
    }
    works_on(Engine::builder().cache_in(cache.path())).await;
    // A directory that is a file, and a relative one, which is refused.
    works_on(Engine::builder().cache_in(kept[0].join("below"))).await;
    works_on(Engine::builder().cache_in("relative")).await;
    works_on(Engine::builder().without_cache()).await;
}

/// Returns all files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let (mut found, mut left) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}

/// The test swaps the cached code of two actors, and expects each to run the other's code.
#[tokio::test]
async fn another_engine_runs_cached_code_without_compiling_it() {
    let cache = tempfile::tempdir().expect("a directory");
    let answer = async |number: u32| {
        let text = format!(
            r#"(component (core module $m (func (export "f") (result i32) (i32.const {number})))
                (core instance $m (instantiate $m))
                (func $f (result u32) (canon lift (core func $m "f")))
                (instance (export "test:cache/it@1.0.0") (export "f" (func $f))))"#
        );
        let actor = wat(&text);
        let engine = Engine::builder().cache_in(cache.path()).build();
        let lattice = lattice().await;
        let host = Host::builder(&lattice).engine(engine.expect("an engine"));
        let _host = started(host.actor("answering", actor)).await;
        call::<u32>(&lattice, "answering", "test:cache/it@1.0.0", "f", ())
            .await
            .expect("answered")
    };
    assert_eq!((answer(1).await, answer(2).await), (1, 2));
    let mut kept = files(&cache.path().join("modules"));
    kept.retain(|file| file.extension().is_none_or(|kind| kind != "stats"));
    let [one, two] = &kept[..] else {
        panic!("expected one file per actor: {kept:?}");
    };
    let read = |file| std::fs::read(file).expect("it can be read");
    let (first, second) = (read(one), read(two));
    std::fs::write(one, second).expect("it can be written");
    std::fs::write(two, first).expect("it can be written");
    assert_eq!((answer(1).await, answer(2).await), (2, 1));
}

#[tokio::test]
async fn an_instance_too_large_for_a_pool_slot_is_allocated_on_demand() {
    works_on(Engine::builder().without_cache().slot(ByteSize::kib(64))).await;
    let lattice = lattice().await;
    // An initial memory of 100 MiB, which is more than a slot of the shared engine has.
    let big = r#"(component (core module $m (memory 1600) (func (export "size") (result i32) memory.size))
        (core instance $m (instantiate $m))
        (func $f (result u32) (canon lift (core func $m "size")))
        (instance (export "test:big/it@1.0.0") (export "size" (func $f))))"#;
    let big = wat(big);
    let big = big.limits(Limits::default().memory(ByteSize::mib(200)));
    let _host = started(Host::builder(&lattice).actor("big", big)).await;
    let pages: u32 = call(&lattice, "big", "test:big/it@1.0.0", "size", ())
        .await
        .expect("answered");
    assert_eq!(pages, 1_600);
}

/// The engine has one slot. A call that finds it taken waits, and fails as not run when it has
/// waited almost until its deadline.
#[tokio::test]
async fn calls_wait_while_the_pool_is_full() {
    let lattice = lattice().await;
    let engine = Engine::builder()
        .without_cache()
        .instances(NonZeroU32::MIN)
        .build()
        .expect("an engine");
    let host = Host::builder(&lattice)
        .engine(engine)
        .actor("mischief", actor("mischief"));
    let _host = started(host).await;
    let mischief = || lattice.operator().component("mischief");
    let sleeping = mischief().call::<()>(ACTS, "sleep-ms", (60_000_u32,));
    let sleeping = tokio::spawn(sleeping.timeout(Duration::from_secs(2)).into_future());
    let overloaded = async {
        loop {
            let count = mischief().call::<u32>(ACTS, "count", ());
            match count.timeout(Duration::from_millis(200)).await {
                Err(CallError::Overloaded { component }) => return component,
                Err(other) => panic!("failed in another way: {other:?}"),
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    };
    let component = tokio::time::timeout(PATIENCE, overloaded)
        .await
        .expect("the pool becomes full");
    assert_eq!(component.as_str(), "mischief");
    let count: u32 = act(&lattice, "count", ()).await.expect("it waits its turn");
    assert_eq!(count, 1);
    let late = sleeping.await.expect("no panic").expect_err("too late");
    assert!(
        matches!(late, CallError::DeadlineExceeded { .. }),
        "{late:?}"
    );
}
