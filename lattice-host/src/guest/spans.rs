//! The spans of sampled calls that actors serve, for the lines that they log.
//!
//! An instance that serves several calls runs in a task of its own, which is in none of their
//! spans. It knows the contexts of its calls, and these lead to the spans. Only sampled calls are
//! kept here, for as long as they run.

use foldhash::fast::RandomState;
use futures_util::FutureExt as _;
use lattice_core::{call::Context, id::TraceContext, serve::Answer, sync::Mutex};
use std::{
    collections::HashMap,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};
use tracing::Span;

type SpanId = [u8; 8];

/// How many spans there are, which is 0 on most hosts at most times.
static KEPT: AtomicUsize = AtomicUsize::new(0);
static SPANS: LazyLock<Mutex<HashMap<SpanId, Span, RandomState>>> =
    LazyLock::new(|| Mutex::new(HashMap::default()));

/// Serves a call. Lines that are logged for it find its span while it runs.
pub(super) fn keep(context: &Context, serve: impl FnOnce() -> Answer) -> Answer {
    let Some(kept) = Kept::of(context) else {
        return serve();
    };
    match serve() {
        Answer::Ready(result) => Answer::Ready(result),
        Answer::Later(work) => Answer::Later(work.map(move |result| kept.after(result)).boxed()),
        Answer::Passing(work) => {
            Answer::Passing(work.map(move |result| kept.after(result)).boxed())
        }
    }
}

/// Runs `log` in the span of the call with this context, if it is sampled and still runs here.
pub(crate) fn within(context: impl FnOnce() -> Context, log: impl FnOnce()) {
    if KEPT.load(Ordering::Relaxed) == 0 {
        return log();
    }
    let span = context().trace.filter(TraceContext::is_sampled);
    let span = span.and_then(|trace| SPANS.lock().get(&trace.span_id).cloned());
    match span {
        Some(span) => span.in_scope(log),
        None => log(),
    }
}

/// A span that is kept until this is dropped.
struct Kept(SpanId);

impl Kept {
    /// Keeps the span of the call that begins, if it has one.
    fn of(context: &Context) -> Option<Self> {
        let trace = context.trace.filter(TraceContext::is_sampled)?;
        let span = Span::current();
        if span.is_none() {
            return None;
        }
        KEPT.fetch_add(1, Ordering::Relaxed);
        SPANS.lock().insert(trace.span_id, span);
        Some(Self(trace.span_id))
    }

    fn after<T>(self, result: T) -> T {
        drop(self);
        result
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT.fetch_sub(1, Ordering::Relaxed);
        // Dropped after the lock, because that may end the span.
        let _span = SPANS.lock().remove(&self.0);
    }
}
