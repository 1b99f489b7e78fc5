//! Joins the spans of calls to traces of OpenTelemetry, and decides which traces are sampled.
//!
//! The decision is made before a span exists, so that a call which isn't sampled makes none. The
//! sampler of the SDK has to repeat it when the span is started, and is told so.

use lattice_core::{id::TraceContext, trace::Tracer};
use opentelemetry::{
    Context, KeyValue,
    trace::{
        Link, SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    },
};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};
use std::cell::Cell;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

thread_local! {
    /// Whether the root span that this thread is about to start was already sampled.
    static IS_SAMPLED: Cell<bool> = const { Cell::new(false) };
}

/// Decides for each trace that starts with a call, and joins the spans of calls.
#[derive(Debug)]
pub(crate) struct Propagation {
    /// The share of traces that are sampled, from 0 to 1.
    ratio: f64,
}

impl Propagation {
    pub(crate) fn new(ratio: f64) -> Self {
        Self { ratio }
    }
}

impl Tracer for Propagation {
    fn start(&self) -> Option<TraceContext> {
        // A span of the program itself: its sampler has decided.
        let around = Context::map_current(|context| {
            let span = context.has_active_span().then(|| context.span());
            span.and_then(|span| position(span.span_context()))
        });
        if around.is_some() {
            return around;
        }
        if self.ratio > 0.0 && fastrand::f64() < self.ratio {
            return None;
        }
        Some(TraceContext {
            trace_id: fastrand::u128(1..).to_be_bytes(),
            span_id: fastrand::u64(1..).to_be_bytes(),
            flags: 0,
        })
    }

    fn join(&self, span: &Span, parent: Option<TraceContext>) -> Option<TraceContext> {
        let joined = match parent {
            // The span has the one around it as its parent, which is nearer.
            Some(parent) if is_around(&parent) => Ok(()),
            Some(parent) => {
                span.set_parent(Context::new().with_remote_span_context(remote(parent)))
            }
            None => span.set_parent(Context::new()),
        };
        joined.ok()?;
        IS_SAMPLED.set(true);
        // This starts the span, and so asks the sampler.
        let context = span.context();
        IS_SAMPLED.set(false);
        position(context.span().span_context())
    }
}

/// Whether this code runs within a span of the same trace.
fn is_around(parent: &TraceContext) -> bool {
    Context::map_current(|context| {
        context.has_active_span()
            && context.span().span_context().trace_id().to_bytes() == parent.trace_id
    })
}

fn position(span: &SpanContext) -> Option<TraceContext> {
    span.is_valid().then(|| TraceContext {
        trace_id: span.trace_id().to_bytes(),
        span_id: span.span_id().to_bytes(),
        flags: span.trace_flags().to_u8(),
    })
}

fn remote(trace: TraceContext) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(trace.trace_id),
        SpanId::from_bytes(trace.span_id),
        TraceFlags::new(trace.flags),
        true,
        TraceState::NONE,
    )
}

/// The sampler of spans without a parent: those of calls are sampled, because the others have no
/// span, and of those that the program makes itself, a share is.
#[derive(Debug, Clone)]
pub(crate) struct RootSampler(Sampler);

impl RootSampler {
    pub(crate) fn new(ratio: f64) -> Self {
        Self(Sampler::TraceIdRatioBased(ratio))
    }
}

impl ShouldSample for RootSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if IS_SAMPLED.get() {
            return SamplingResult {
                decision: SamplingDecision::RecordAndSample,
                attributes: Vec::new(),
                trace_state: TraceState::NONE,
            };
        }
        self.0
            .should_sample(parent, trace, name, kind, attributes, links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(ratio: f64) -> usize {
        let propagation = Propagation::new(ratio);
        let starts = (0..10_000).map(|_| propagation.start());
        starts.filter(Option::is_none).count()
    }

    #[test]
    fn a_share_of_traces_is_sampled() {
        assert_eq!(sampled(0.0), 0);
        assert_eq!(sampled(1.0), 10_000);
        let few = sampled(0.01);
        assert!((40..250).contains(&few), "{few} of 10,000 at 1 %");
    }

    #[test]
    fn the_others_have_a_position_that_says_so() {
        let start = Propagation::new(0.0).start().expect("it isn't sampled");
        assert!(!start.is_sampled());
        assert!(remote(start).is_valid());
        assert_eq!(position(&remote(start)), Some(start));
    }

    #[test]
    fn a_position_that_no_span_has_is_none() {
        assert_eq!(position(&SpanContext::empty_context()), None);
    }
}
