//! Moving values between a guest's memory and wire bytes: calls in both directions between a warm
//! actor and native code of its host.
//!
//! Whole calls are measured. The figure for 16 bytes is therefore the cost of everything but the
//! values, and the difference to it is the cost of larger values.

use criterion::{Criterion, Throughput, criterion_group};
use lattice_benches::{
    native::readings,
    scene::{Callee, Scene},
};
use lattice_host::Instances;
use std::{
    cell::LazyCell,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

/// Calls that a guest makes one after the other: few enough to stay within its deadline.
const IN_A_ROW: u64 = 512;

criterion_group! {
    name = transcode;
    config = Criterion::default()
        .sample_size(20)
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = imports, exports
}

/// A guest calls a provider.
fn imports(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let scene = LazyCell::new(|| {
        let scene = runtime.block_on(Scene::start(Callee::Provider));
        scene.expect("the scene starts")
    });
    let mut group = criterion.benchmark_group("transcode/import");
    for size in [16_u32, 1 << 10, 64 << 10] {
        group.throughput(Throughput::Bytes(u64::from(size)));
        group.bench_function(format!("list<u8> of {size} B"), |bencher| {
            let scene = LazyCell::force(&scene);
            bencher.iter_custom(|calls| {
                let run = |calls| scene.drive().run(calls, size);
                runtime.block_on(in_rows(calls, async |calls| {
                    assert_eq!(run(calls).await, Ok(bytes(calls, size)))
                }))
            });
        });
    }
    for count in [1_u32, 16] {
        group.throughput(Throughput::Elements(u64::from(count)));
        group.bench_function(format!("{count} records"), |bencher| {
            let scene = LazyCell::force(&scene);
            bencher.iter_custom(|calls| {
                let run = |calls| scene.drive().run_readings(calls, count);
                runtime.block_on(in_rows(calls, async |calls| {
                    assert_eq!(run(calls).await, Ok(bytes(calls, count)))
                }))
            });
        });
    }
    group.finish();
}

/// Native code calls a guest.
fn exports(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let scene = LazyCell::new(|| {
        let scene = runtime.block_on(Scene::start(Callee::Actor(Instances::warm())));
        scene.expect("the scene starts")
    });
    let mut group = criterion.benchmark_group("transcode/export");
    for size in [16_usize, 1 << 10, 64 << 10] {
        let body = vec![7; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("list<u8> of {size} B"), |bencher| {
            let scene = LazyCell::force(&scene);
            bencher.iter_custom(|calls| {
                runtime.block_on(timed(calls, async || {
                    let answer = scene.echo().echo(&body).await.expect("answered");
                    assert_eq!(answer.len(), size);
                }))
            });
        });
    }
    for count in [1_u32, 16] {
        let all = readings(count);
        group.throughput(Throughput::Elements(u64::from(count)));
        group.bench_function(format!("{count} records"), |bencher| {
            let scene = LazyCell::force(&scene);
            bencher.iter_custom(|calls| {
                runtime.block_on(timed(calls, async || {
                    let answer = scene.echo().readings(&all).await.expect("answered");
                    assert_eq!(answer.len(), all.len());
                }))
            });
        });
    }
    group.finish();
}

fn bytes(calls: u32, size: u32) -> u64 {
    u64::from(calls) * u64::from(size)
}

async fn in_rows(calls: u64, run: impl AsyncFn(u32)) -> Duration {
    let started = Instant::now();
    let mut left = calls;
    while left > 0 {
        let now = left.min(IN_A_ROW);
        run(now as u32).await;
        left -= now;
    }
    started.elapsed()
}

async fn timed(calls: u64, call: impl AsyncFn()) -> Duration {
    let started = Instant::now();
    for _ in 0..calls {
        call().await;
    }
    started.elapsed()
}
