//! The path from a call to its callee on the same host: grant, replica and queue. The callee
//! returns immediately.

use bytes::Bytes;
use criterion::{Criterion, criterion_group};
use lattice_benches::{
    Failure,
    native::{ECHO, EchoProvider},
};
use lattice_core::{
    Lattice,
    call::{Context, FunctionRef},
    client::Caller,
    link::Link,
    name::{ComponentId, FunctionName, InterfaceName, LinkName},
    node::{Node, NodeOptions},
    serve::{Answer, Request, Service},
    server::{ServeHandle, ServeLimits},
    types::ComponentTypes,
};
use lattice_provider_sdk::IntoService;
use std::{
    cell::LazyCell,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

criterion_group! {
    name = route;
    config = Criterion::default()
        .sample_size(20)
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = local
}

fn local(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("route");
    for links in [1, 1_000] {
        let bare = LazyCell::new(|| {
            let scene = runtime.block_on(Scene::start(links, bare()));
            scene.expect("the scene starts")
        });
        group.bench_function(format!("bare service, {links} links"), |bencher| {
            let function = bare.function();
            bencher.iter_custom(|calls| runtime.block_on(bare.calls(&function, calls)));
        });
    }
    let provider = LazyCell::new(|| {
        let scene = runtime.block_on(Scene::start(1, EchoProvider.into_service()));
        scene.expect("the scene starts")
    });
    group.bench_function("provider, 1 link", |bencher| {
        let function = provider.function();
        bencher.iter_custom(|calls| runtime.block_on(provider.calls(&function, calls)));
    });
    group.finish();
}

/// A callee that does nothing, with the types of the provider.
struct Bare(Arc<ComponentTypes>);

fn bare() -> Arc<dyn Service> {
    Arc::new(Bare(EchoProvider.into_service().types()))
}

impl Service for Bare {
    fn types(&self) -> Arc<ComponentTypes> {
        self.0.clone()
    }

    fn call(&self, request: Request) -> Answer {
        Answer::Ready(Ok(request.args))
    }
}

struct Scene {
    caller: Caller,
    types: Arc<ComponentTypes>,
    _serving: ServeHandle,
    _node: Node,
    _lattice: Lattice,
}

impl Scene {
    /// Starts one node that serves the callee and calls it, in a lattice with `links` links.
    async fn start(links: usize, service: Arc<dyn Service>) -> Result<Self, Failure> {
        let lattice = Lattice::in_memory("bench").await?;
        let node = lattice.node(NodeOptions::default()).await?;
        let types = service.types();
        let serving = node
            .serve(ComponentId::new("callee")?, service, ServeLimits::default())
            .await?;
        lattice
            .links()
            .put(Link::new("driver", ECHO, "callee")?)
            .await?;
        for number in 1..links {
            lattice
                .links()
                .put(Link::new(format!("other-{number}"), ECHO, "callee")?)
                .await?;
        }
        let caller = node.caller("driver")?;
        Ok(Self {
            caller,
            types,
            _serving: serving,
            _node: node,
            _lattice: lattice,
        })
    }

    fn function(&self) -> FunctionRef {
        let interface = InterfaceName::new(ECHO).expect("an interface");
        let name = FunctionName::new("echo").expect("a function");
        let (_, functions) = self.types.export(&interface).expect("it is exported");
        let signature = functions.functions[&name].clone();
        FunctionRef::new(interface, name, &signature)
    }

    async fn calls(&self, function: &FunctionRef, calls: u64) -> Duration {
        let (link, args) = (
            LinkName::default(),
            Bytes::from_static(b"\x107777777777777777"),
        );
        let started = Instant::now();
        for _ in 0..calls {
            let answer = self
                .caller
                .invoke_via(function, &link, args.clone(), Context::default())
                .await;
            assert_eq!(answer.as_ref(), Ok(&args));
        }
        started.elapsed()
    }
}
