//! Each end of a call asks once whether a trace that starts there is sampled. If one asked twice,
//! the share of sampled traces would be the square of what is set.

mod support;

use lattice_core::{
    id::TraceContext,
    trace::{Tracer, set_tracer},
};
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Shop, fresh};
use tracing_subscriber::util::SubscriberInitExt as _;

static ASKED: AtomicUsize = AtomicUsize::new(0);

/// Samples everything, and joins nothing: a call carries no trace to its other end, as that of a
/// program without telemetry does.
struct Counts;

impl Tracer for Counts {
    fn start(&self) -> Option<TraceContext> {
        ASKED.fetch_add(1, Ordering::SeqCst);
        None
    }

    fn join(&self, _: &tracing::Span, _: Option<TraceContext>) -> Option<TraceContext> {
        None
    }
}

#[tokio::test]
async fn each_end_of_a_call_decides_once() {
    tracing_subscriber::registry().init();
    set_tracer(Counts).expect("it is the only one");
    let shop = Shop::open(0).await;
    let before = ASKED.load(Ordering::SeqCst);
    let told = shop.call(fresh()).await.expect("it is served");
    assert_eq!(told, "");
    // Two calls, one within a host and one to another.
    assert_eq!(ASKED.load(Ordering::SeqCst) - before, 4);
}
