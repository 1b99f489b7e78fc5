//! Spans of the requests that a provider makes to its backend.

use super::{Call, Provider, WorkSpan, span::LEVEL};
use std::future::Future;
use tracing::{Span, field::Empty};

/// A request to a backend that is a database, as traces name it. For others, such as a broker of
/// messages, [`Call::begin_span`] takes a span with attributes of their own.
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
    pub fn backend<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        request: BackendRequest<'_>,
        work: F,
    ) -> impl Future<Output = Result<T, E>> + use<P, T, E, F> {
        self.begin_span(|| request.span()).attempt(work)
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
            target: WorkSpan::TARGET,
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
