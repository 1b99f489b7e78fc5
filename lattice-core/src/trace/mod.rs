//! Spans of calls, for distributed traces.
//!
//! Each call has two spans of [`tracing`]: the caller's (`otel.kind = "client"`), which lasts for
//! the whole logical call with its retries, and one of the callee (`"server"`) for each attempt
//! that was admitted, from its place in the queue to its result. A retry is an event `retry` on the
//! caller's span. Their target is [`TARGET`] and their level `DEBUG`, so that a subscriber which
//! logs at `INFO` doesn't make any. Their fields are attributes of the semantic conventions of
//! OpenTelemetry for RPC:
//!
//! | field | value |
//! | --- | --- |
//! | `otel.name`, `rpc.method` | the function: `example:hello/greeter/greet`, without a version |
//! | `rpc.system.name` | [`SYSTEM`] |
//! | `lattice.source`, `lattice.target` | the caller, and the component that is called |
//! | `rpc.status_code` | `ok`, or the [kind](CallError::kind) of the error |
//! | `error.type`, `otel.status_description` | of a call that failed: its kind, and its text |
//!
//! A call whose future is dropped fails as `cancelled`.
//!
//! Without more, the spans are those of this process: a program brings a subscriber of its own. A
//! [`Tracer`] joins the spans of all processes to traces, and decides which calls have spans at
//! all: the crate `lattice-mesh-otel` has the one for OpenTelemetry. The decision is made once,
//! where a trace starts, and is carried by the [context](Context::trace) of the call and of all
//! calls that are made on behalf of it, on every host. A call that isn't sampled makes no span.
//!
//! Calls that their caller may not make, because there is no link for them, have no spans, and
//! neither do calls of hosts in their own name. Those that they cause belong to the span that
//! is above them.

mod span;
mod tracer;

pub(crate) use span::{CallSpan, retried};
pub use tracer::{AlreadySet, Tracer, set_tracer};

use crate::{
    call::{CallError, Context, FunctionRef},
    name::{FunctionName, InterfaceName},
    wire::Source,
};
use tracing::Level;

/// The target of the spans of calls, and of their events.
pub const TARGET: &str = "lattice::calls";
/// The value of `rpc.system.name`.
pub const SYSTEM: &str = "lattice";
/// The value of `error.type` for a call whose future was dropped.
pub const CANCELLED: &str = "cancelled";

/// The level of the spans of calls.
const LEVEL: Level = Level::DEBUG;

/// Returns the value of `rpc.method` for a function: `example:hello/greeter/greet`.
pub fn method(function: &FunctionRef) -> String {
    method_of(function.interface(), function.function())
}

/// Returns the value of `error.type` for an error.
pub fn error_type(error: &CallError) -> &'static str {
    error.kind()
}

/// Returns the function with the interface that it belongs to.
pub(crate) fn method_of(interface: &InterfaceName, function: &FunctionName) -> String {
    format!("{}/{function}", interface.path())
}

/// Returns whether a call with this context, which is about to be made or served, has a span. If
/// the context doesn't say, a trace starts here, and this decides whether it is sampled.
///
/// It costs next to nothing while no subscriber wants the spans.
#[inline]
pub fn is_sampled(context: &mut Context) -> bool {
    match context.trace {
        Some(trace) => trace.is_sampled() && is_wanted(),
        None => tracing::level_enabled!(LEVEL) && starts_sampled(context),
    }
}

/// Makes `span` a part of the trace of `context`, or the start of a new one. The calls that are
/// made with the context belong to it then. Without a [`Tracer`], or if the span is disabled,
/// nothing changes.
pub fn join(span: &tracing::Span, context: &mut Context) {
    if span.is_disabled() {
        return;
    }
    if let Some(tracer) = tracer::current()
        && let Some(trace) = tracer.join(span, context.trace)
    {
        context.trace = Some(trace);
    }
}

/// As [`is_sampled`], for a call in this name: hosts have no spans.
#[inline]
pub(crate) fn is_sampled_of(source: &Source, context: &mut Context) -> bool {
    !matches!(source, Source::Host(_)) && is_sampled(context)
}

/// Whether a subscriber wants the spans of calls.
#[inline]
fn is_wanted() -> bool {
    tracing::span_enabled!(target: TARGET, LEVEL)
}

#[inline(never)]
fn starts_sampled(context: &mut Context) -> bool {
    if let Some(tracer) = tracer::current() {
        context.trace = tracer.start();
        if context.trace.is_some_and(|trace| !trace.is_sampled()) {
            return false;
        }
    }
    is_wanted()
}
