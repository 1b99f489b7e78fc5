//! Components that are linked to themselves and wait for their own calls.

use super::*;
use bytes::Bytes;
use lattice_core::{
    call::{CallError, Context, FunctionRef, MAX_HOPS, Turns},
    client::Caller,
    serve::{Answer, Request, Service},
    server::ServeLimits,
    types::ComponentTypes,
    value::{from_bytes, to_bytes},
};
use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{task::yield_now, time::Instant};

pub(super) const BOUNCE: &str = "func(hops: u32) -> u32";

pub(super) fn bounce() -> FunctionRef {
    function("bounce", BOUNCE)
}

/// Calls itself the given number of times, one call inside the other.
struct Bouncer(Caller);

impl Service for Bouncer {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("bounce", BOUNCE)]))
    }

    fn call(&self, request: Request) -> Answer {
        let (hops,) = from_bytes::<(u32,)>(&request.args).expect("a number");
        if hops == 0 {
            return Answer::Ready(Ok(to_bytes(&0_u32).expect("a number encodes")));
        }
        let (caller, context) = (self.0.clone(), request.context);
        Answer::Later(Box::pin(async move {
            let next = to_bytes(&(hops - 1,)).expect("a number encodes");
            call(&caller, &bounce(), next, context.nested()).await
        }))
    }
}

struct Scene {
    _node: lattice_core::node::Node,
    _serving: lattice_core::server::ServeHandle,
    caller: Caller,
}

impl Scene {
    /// Serves the component with this limit of concurrent calls.
    async fn of(concurrent: usize) -> Self {
        let lattice = lattice().await;
        let node = host(&lattice, "a").await;
        let limits = NonZeroUsize::new(concurrent).expect("not zero");
        let limits = ServeLimits::default().concurrent(limits).queued(64);
        let service = Arc::new(Bouncer(node.caller("bouncer").expect("valid")));
        let serving = node.serve(id("bouncer"), service, limits).await;
        link(&lattice, "bouncer", "bouncer").await;
        link(&lattice, "caller", "bouncer").await;
        Self {
            caller: node.caller("caller").expect("valid"),
            _node: node,
            _serving: serving.expect("it serves"),
        }
    }

    async fn bounce(&self, hops: u32) -> Outcome {
        let args = to_bytes(&(hops,)).expect("a number encodes");
        let context = Context::new(Duration::from_secs(5));
        call(&self.caller, &bounce(), args, context).await
    }
}

pub(super) fn too_many(outcome: &Outcome) -> bool {
    // The innermost call is refused. The calls around it have run.
    matches!(outcome, Err(CallError::CalleeFailed { reason }) if reason.contains("hops"))
}

#[tokio::test]
async fn a_component_that_waits_for_itself_is_refused_at_once_and_serves_others() {
    for concurrent in [1, 4, 16] {
        let scene = Scene::of(concurrent).await;
        let deepest = u32::try_from(concurrent - 1).expect("small");
        assert_eq!(scene.bounce(deepest).await, Ok(Bytes::from_static(b"\0")));
        let start = Instant::now();
        let (circle, other) = tokio::join!(scene.bounce(deepest + 1), scene.bounce(0));
        assert!(too_many(&circle), "{circle:?}");
        assert_eq!(other, Ok(Bytes::from_static(b"\0")));
        assert!(start.elapsed() < Duration::from_secs(1), "it waited");
    }
}

#[tokio::test]
async fn chains_that_wait_for_each_other_do_not_all_wait_for_their_deadlines() {
    let scene = Scene::of(4).await;
    let start = Instant::now();
    let ended = futures_util::future::join_all((0..16).map(|_| scene.bounce(2))).await;
    assert!(start.elapsed() < Duration::from_secs(1), "they waited");
    assert!(ended.iter().any(Result::is_ok), "{ended:?}");
}

#[tokio::test]
async fn a_long_chain_ends_at_the_hop_limit_when_turns_are_free() {
    let scene = Scene::of(usize::from(MAX_HOPS) * 2).await;
    let circle = scene.bounce(u32::from(MAX_HOPS) + 1).await;
    assert!(too_many(&circle), "{circle:?}");
}

/// Serves each call with the only instance of a pool, and calls itself once two calls have arrived.
struct Pooled {
    caller: Caller,
    pool: Arc<Turns>,
    arrived: Arc<AtomicUsize>,
}

impl Service for Pooled {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("bounce", BOUNCE)]))
    }

    fn call(&self, request: Request) -> Answer {
        let (hops,) = from_bytes::<(u32,)>(&request.args).expect("a number");
        let (caller, mut context) = (self.caller.clone(), request.context);
        let (pool, arrived) = (self.pool.clone(), self.arrived.clone());
        Answer::Later(Box::pin(async move {
            arrived.fetch_add(1, Ordering::SeqCst);
            let _instance = pool.take(&id("bouncer"), &mut context).await?;
            if hops == 0 {
                return Ok(to_bytes(&0_u32).expect("a number encodes"));
            }
            while arrived.load(Ordering::SeqCst) < 2 {
                yield_now().await;
            }
            let next = to_bytes(&(hops - 1,)).expect("a number encodes");
            call(&caller, &bounce(), next, context.nested()).await
        }))
    }
}

#[tokio::test]
async fn a_circle_over_calls_and_instances_is_refused_at_once() {
    let lattice = lattice().await;
    let node = host(&lattice, "a").await;
    let limits = ServeLimits::default();
    let limits = limits.concurrent(NonZeroUsize::new(2).expect("not zero"));
    let service = Arc::new(Pooled {
        caller: node.caller("bouncer").expect("valid"),
        pool: Arc::new(Turns::new(1)),
        arrived: Arc::default(),
    });
    let arrived = service.arrived.clone();
    let serving = node.serve(id("bouncer"), service, limits).await;
    let scene = Scene {
        _serving: serving.expect("it serves"),
        caller: node.caller("caller").expect("valid"),
        _node: node,
    };
    link(&lattice, "bouncer", "bouncer").await;
    link(&lattice, "caller", "bouncer").await;
    let start = Instant::now();
    // The first call has the instance. The second one has the other turn and waits for the
    // instance, so that the first one's call to itself would wait for the second one.
    let second = async {
        while arrived.load(Ordering::SeqCst) < 1 {
            yield_now().await;
        }
        scene.bounce(0).await
    };
    let (first, second) = tokio::join!(scene.bounce(1), second);
    assert!(first.is_err(), "{first:?}");
    assert_eq!(second, Ok(Bytes::from_static(b"\0")));
    assert!(start.elapsed() < Duration::from_secs(1), "they waited");
}
