//! The span of one call, on either side.

use super::{CANCELLED, LEVEL, SYSTEM, TARGET, join, method};
use crate::{
    call::{CallError, Context, FunctionRef},
    name::ComponentId,
    wire::{Origin, Source},
};
use tracing::{Instrument as _, Span, field::Empty};

/// The span of a sampled call, which lasts as long as this.
pub(crate) struct CallSpan {
    span: Span,
    has_ended: bool,
}

/// A span of a call. The two sides have the same fields, but each needs its own call site.
macro_rules! call_span {
    ($name:literal, $kind:literal, ($source:expr, $target:expr, $method:expr)) => {
        tracing::span!(
            target: TARGET,
            LEVEL,
            $name,
            otel.name = $method,
            otel.kind = $kind,
            otel.status_description = Empty,
            rpc.system.name = SYSTEM,
            rpc.method = $method,
            rpc.status_code = Empty,
            "error.type" = Empty,
            lattice.source = name_of($source),
            lattice.target = $target.as_str(),
        )
    };
}

impl CallSpan {
    /// Begins the span of a call that is about to be made, and puts it into the call's context.
    pub(crate) fn client(
        (source, target): (&Source, &ComponentId),
        function: &FunctionRef,
        context: &mut Context,
    ) -> Self {
        let method = &*method(function);
        Self::joined(
            call_span!("call", "client", (source, target, method)),
            context,
        )
    }

    /// Begins the span of a call that was admitted, and puts it into the call's context.
    pub(crate) fn server(
        (source, target): (&Source, &ComponentId),
        method: &str,
        context: &mut Context,
    ) -> Self {
        Self::joined(
            call_span!("serve", "server", (source, target, method)),
            context,
        )
    }

    fn joined(span: Span, context: &mut Context) -> Self {
        join(&span, context);
        Self {
            span,
            has_ended: false,
        }
    }

    /// Runs the work of the call in the span, which ends with it.
    pub(crate) async fn run<T>(
        mut self,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let result = work.instrument(self.span.clone()).await;
        self.has_ended = true;
        match &result {
            Ok(_) => {
                self.span.record("rpc.status_code", "ok");
            }
            Err(error) => {
                self.span.record("rpc.status_code", error.kind());
                self.fail(error.kind(), &error.to_string());
            }
        }
        result
    }

    fn fail(&self, kind: &str, text: &str) {
        self.span.record("error.type", kind);
        self.span.record("otel.status_description", text);
    }
}

impl Drop for CallSpan {
    fn drop(&mut self) {
        if !self.has_ended {
            self.fail(CANCELLED, "the call was dropped before its end");
        }
    }
}

/// Notes on the caller's span, which is the current one, that the call is tried again, because the
/// replica on the host `from` has failed. Numbers are signed, as attributes of OpenTelemetry are:
/// others would become text.
#[cold]
pub(crate) fn retried(context: &Context, (attempt, from): (u8, &Origin), error: &CallError) {
    if context.trace.is_some_and(|trace| !trace.is_sampled()) {
        return;
    }
    tracing::event!(
        name: "retry",
        target: TARGET,
        LEVEL,
        lattice.attempt = i64::from(attempt),
        lattice.host = from.host.as_str(),
        "error.type" = error.kind(),
    );
}

fn name_of(source: &Source) -> &str {
    match source {
        Source::Component(id) => id.as_str(),
        Source::Wormhole(id) => id.as_str(),
        Source::Operator => "operator",
        Source::Host(id) => id.as_str(),
    }
}
