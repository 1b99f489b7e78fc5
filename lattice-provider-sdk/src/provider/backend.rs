//! Spans of the requests that a provider makes to its backend.

use super::{Call, Provider};
use lattice_core::trace;
use std::future::Future;
use tracing::{Instrument as _, Level, Span, field::Empty};

/// The target of these spans.
const TARGET: &str = "lattice::backend";
const LEVEL: Level = Level::DEBUG;
/// The value of `error.type`: the errors of backends have no kinds.
const FAILED: &str = "_OTHER";

/// A request to a backend, as traces name it.
#[derive(Debug, Clone, Copy)]
pub struct BackendRequest<'r> {
    /// The kind of backend, such as `redis`: the attribute `db.system.name`.
    pub system: &'r str,
    /// What is requested, such as `get`: the attribute `db.operation.name`. One of a few names.
    pub operation: &'r str,
    /// What of the backend it is for, such as a database or a bucket: the attribute `db.namespace`.
    pub namespace: &'r str,
}

impl<P: Provider> Call<P> {
    /// Runs the work of a request to the provider's backend. If the call is
    /// [sampled](lattice_core::trace), that is a span of its own, of kind `client`, within the span
    /// of the call. Otherwise it costs next to nothing.
    ///
    /// # Errors
    /// Fails like the work.
    ///
    /// # Cancel safety
    /// That of the work.
    pub async fn backend<T, E>(
        &self,
        request: BackendRequest<'_>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut context = *self.context();
        // Where a trace starts was decided for the call.
        let is_sampled = match context.trace {
            Some(_) => trace::is_sampled(&mut context),
            None => tracing::span_enabled!(target: TARGET, LEVEL),
        };
        let span = if is_sampled {
            request.span()
        } else {
            Span::none()
        };
        trace::join(&span, &mut context);
        let result = work.instrument(span.clone()).await;
        if result.is_err() {
            span.record("error.type", FAILED);
            // The text may have values of the request in it. The caller gets it.
            span.record("otel.status_description", "");
        }
        result
    }
}

impl BackendRequest<'_> {
    fn span(self) -> Span {
        let Self {
            system,
            operation,
            namespace,
        } = self;
        let name = match namespace {
            "" => operation.to_owned(),
            namespace => format!("{operation} {namespace}"),
        };
        tracing::span!(
            target: TARGET,
            LEVEL,
            "backend",
            otel.name = name,
            otel.kind = "client",
            otel.status_description = Empty,
            db.system.name = system,
            db.operation.name = operation,
            db.namespace = namespace,
            "error.type" = Empty,
        )
    }
}
