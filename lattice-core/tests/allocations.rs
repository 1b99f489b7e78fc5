//! Bounds on the allocations of a call. An allocation that is added to the path of a call fails
//! these tests.

#[expect(dead_code, reason = "each test binary uses a part of it")]
#[path = "support/mod.rs"]
mod support;

use bytes::Bytes;
use futures_util::future::join_all;
use lattice_core::{
    call::Context,
    client::Caller,
    link::Link,
    name::LinkName,
    serve::{Answer, Request, Service},
    types::ComponentTypes,
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
};
use support::*;

/// The number of calls in one measurement.
const CALLS: usize = 4_800;
/// The most futures that can be awaited together without an allocation for each of them.
const AT_ONCE: usize = 24;

/// Counts the allocations of this thread.
struct Counting;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator can't be written otherwise")]
// SAFETY: every call is passed on unchanged; the counter is a plain thread-local that doesn't
// allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and `at` came from `System`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns its arguments at once.
struct Mirror;

impl Service for Mirror {
    fn types(&self) -> Arc<ComponentTypes> {
        Serve(Arc::default()).types()
    }

    fn call(&self, request: Request) -> Answer {
        Answer::Ready(Ok(request.args))
    }
}

/// Returns the allocations per call, with `at_once` calls in flight from one thread. Takes the
/// lowest of several measurements: on a busy machine frames look slow, and calls then take a path
/// that allocates more.
async fn per_call(caller: &Caller, at_once: usize) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..8 {
        best = best.min(measured(caller, at_once).await);
    }
    best
}

async fn measured(caller: &Caller, at_once: usize) -> f64 {
    let (function, link, args) = (echo(), LinkName::default(), text("sixteen bytes .."));
    let round = || async {
        let call = || caller.invoke_via(&function, &link, args.clone(), Context::default());
        for answer in join_all((0..at_once).map(|_| call())).await {
            assert_eq!(answer.as_ref().map(Bytes::len), Ok(args.len()));
        }
    };
    round().await;
    let before = ASKED.get();
    for _ in 0..CALLS / at_once {
        round().await;
    }
    (ASKED.get() - before) as f64 / CALLS as f64
}

#[tokio::test]
async fn a_local_call_does_not_allocate() {
    let lattice = lattice().await;
    let host = host(&lattice, "a").await;
    let _serving = serve_as(&host, "callee", Mirror).await;
    link(&lattice, "caller", "callee").await;
    let asked = per_call(&host.caller("caller").expect("valid"), AT_ONCE).await;
    // The remaining allocations are the lists of futures and results of this test.
    assert!(asked < 0.2, "{asked} allocations per local call");
}

#[tokio::test]
async fn calls_in_one_frame_share_its_allocations() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let _serving = serve_as(&b, "callee", Mirror).await;
    let spread = Link::new("caller", API, "callee").expect("a link");
    lattice.links().put(spread).await.expect("put");
    let caller = a.caller("caller").expect("valid");
    let (alone, together) = (per_call(&caller, 1).await, per_call(&caller, AT_ONCE).await);
    println!("{alone} allocations per call alone, {together} with {AT_ONCE} in flight");
    assert!(alone < 20.0, "{alone} allocations per call alone");
    assert!(together < 1.8, "{together} allocations per call together");
}
