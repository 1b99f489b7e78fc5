//! What joins the spans of several processes to traces.

use crate::id::TraceContext;
use std::sync::OnceLock;
use tracing::Span;

static TRACER: OnceLock<Box<dyn Tracer>> = OnceLock::new();

/// Joins the spans of several processes to traces, and decides which traces are sampled. A process
/// has at most one, as it has one global subscriber of [`tracing`].
///
/// The methods are called in the middle of calls, so they must not wait.
pub trait Tracer: Send + Sync + 'static {
    /// A call is made that doesn't belong to a trace. Returns the position in the trace that it is
    /// part of all the same, as when the program has a span of its own around it, or the start of a
    /// trace that isn't sampled; or `None` if a sampled trace starts with the span of the call.
    fn start(&self) -> Option<TraceContext>;

    /// Makes `span`, which was just created, a child of `parent`, or the root of a trace if there
    /// is none. Returns its position, which calls carry on, or `None` if the span isn't part of any
    /// trace.
    fn join(&self, span: &Span, parent: Option<TraceContext>) -> Option<TraceContext>;
}

/// The process already has a [`Tracer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this process already has a tracer; install telemetry once, at the start of the program")]
pub struct AlreadySet;

/// Sets the tracer of this process, for the rest of its life.
///
/// # Errors
/// Fails with [`AlreadySet`] if it has one.
pub fn set_tracer(tracer: impl Tracer) -> Result<(), AlreadySet> {
    TRACER.set(Box::new(tracer)).map_err(|_| AlreadySet)
}

pub(super) fn current() -> Option<&'static dyn Tracer> {
    TRACER.get().map(|tracer| &**tracer)
}
