//! Calls from native code to an actor on the same host, in a fresh and in a warm instance.

use criterion::{Criterion, criterion_group};
use lattice_benches::scene::{Callee, Scene};
use lattice_host::Instances;
use std::{
    cell::LazyCell,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

criterion_group! {
    name = instantiate;
    config = Criterion::default()
        .sample_size(20)
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = instances
}

fn instances(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("instantiate");
    for (name, instances) in [("fresh", Instances::Fresh), ("warm", Instances::warm())] {
        let scene = LazyCell::new(|| {
            let scene = runtime.block_on(Scene::start(Callee::Actor(instances)));
            scene.expect("the scene starts")
        });
        group.bench_function(name, |bencher| {
            let scene = LazyCell::force(&scene);
            bencher.iter_custom(|calls| runtime.block_on(echoes(scene, calls)));
        });
    }
    group.finish();
}

async fn echoes(scene: &Scene, calls: u64) -> Duration {
    let started = Instant::now();
    for _ in 0..calls {
        let answer = scene
            .echo()
            .echo(b"sixteen bytes it")
            .await
            .expect("answered");
        assert_eq!(answer.len(), 16);
    }
    started.elapsed()
}
