//! Spans of what a provider does beside serving calls.

use super::{Call, Provider};
use futures_util::TryFutureExt as _;
use lattice_core::{call::Context, trace};
use std::future::Future;
use tracing::{Instrument as _, Level, Span};

pub(super) const LEVEL: Level = Level::DEBUG;
/// The value of `error.type` for an error without a kind.
const FAILED: &str = "_OTHER";

/// A span of a provider's own, and its place in a trace: a request to its backend
/// ([`Call::begin_span`]), or work that no call has asked for, such as passing on a message that
/// has arrived. If its trace isn't [sampled](lattice_core::trace), there is no span, and this only
/// knows the place. The span ends when the work has ended and this is dropped.
///
/// ```
/// use lattice_provider_sdk::{Context, WorkSpan};
/// use std::time::Duration;
///
/// async fn check_index() -> std::io::Result<()> {
///     // A trace starts here.
///     let span = WorkSpan::start(Context::new(Duration::from_secs(5)), || {
///         tracing::info_span!("check the index", "error.type" = tracing::field::Empty)
///     });
///     // Calls within it are made with `client.method().with_context(*span.context())`.
///     span.attempt(async { std::fs::metadata("index").map(drop) }).await
/// }
/// ```
#[derive(Debug, Clone)]
pub struct WorkSpan {
    span: Span,
    context: Context,
}

impl WorkSpan {
    /// The target of the spans of standard providers. Telemetry takes those of level `DEBUG` and
    /// above with this target, and of others those of level `INFO` and above.
    pub const TARGET: &'static str = "lattice::backend";

    /// Begins work that is no part of a call. It belongs to the trace in `context`, or starts one
    /// if there is none, and this decides whether that is sampled.
    ///
    /// `span` makes the span, if it is sampled. It should have the empty fields `error.type` and
    /// `otel.status_description`, and `otel.kind` unless it is `internal`.
    pub fn start(mut context: Context, span: impl FnOnce() -> Span) -> Self {
        let is_sampled = trace::is_sampled(&mut context);
        Self::joined(is_sampled, context, span)
    }

    fn joined(is_sampled: bool, mut context: Context, span: impl FnOnce() -> Span) -> Self {
        let span = if is_sampled { span() } else { Span::none() };
        trace::join(&span, &mut context);
        Self { span, context }
    }

    /// Returns the context of calls that belong to the work. Its trace is also what messages to
    /// other programs carry as their `traceparent`.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Runs work in the span.
    ///
    /// # Cancel safety
    /// That of the work.
    pub fn run<T, F: Future<Output = T>>(&self, work: F) -> impl Future<Output = T> + use<T, F> {
        // Not an async function, here and below: it would have room for the work twice, and the
        // futures of clients of databases are large.
        work.instrument(self.span.clone())
    }

    /// Runs work in the span, which fails if the work does. The text of the error may have values
    /// of the request in it, so it isn't noted.
    ///
    /// # Errors
    /// Fails like the work.
    ///
    /// # Cancel safety
    /// That of the work.
    pub fn attempt<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<T, E>> + use<T, E, F> {
        self.attempt_as(|_| FAILED, work)
    }

    /// Runs work in the span, which fails if the work does. `kind` names the error in the attribute
    /// `error.type`: one of a few names.
    ///
    /// # Errors
    /// Fails like the work.
    ///
    /// # Cancel safety
    /// That of the work.
    pub fn attempt_as<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        kind: fn(&E) -> &'static str,
        work: F,
    ) -> impl Future<Output = Result<T, E>> + use<T, E, F> {
        let span = self.clone();
        self.run(work)
            .inspect_err(move |error| span.failed(kind(error)))
    }

    /// Notes that the work has failed. `kind` is the value of `error.type`, one of a few names, or
    /// `_OTHER`.
    pub fn failed(&self, kind: &str) {
        self.span.record("error.type", kind);
        self.span.record("otel.status_description", "");
    }

    /// Notes, as an event `retry`, that the attempt with this number has failed, from 1 on, and
    /// that there will be another one. `kind` is that of its error.
    pub fn retried(&self, attempt: u32, kind: &str) {
        if self.span.is_disabled() {
            return;
        }
        tracing::event!(
            name: "retry",
            // In a static, which knows no `Self`.
            target: WorkSpan::TARGET,
            parent: &self.span,
            LEVEL,
            lattice.attempt = i64::from(attempt),
            "error.type" = kind,
        );
    }
}

impl<P: Provider> Call<P> {
    /// Begins a request that the call needs, to the provider's backend or to something else. If the
    /// call is [sampled](lattice_core::trace), `span` makes its span, which is within that of the
    /// call; [`WorkSpan::start`] says what fields it should have. [`backend`](Self::backend) makes
    /// the span of a request to a database.
    pub fn begin_span(&self, span: impl FnOnce() -> Span) -> WorkSpan {
        let mut context = *self.context();
        // Where a trace starts was decided for the call.
        let is_sampled = match context.trace {
            Some(_) => trace::is_sampled(&mut context),
            None => tracing::level_enabled!(LEVEL),
        };
        WorkSpan::joined(is_sampled, context, span)
    }
}
