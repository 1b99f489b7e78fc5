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
    /// The database: the attribute `db.namespace`. Empty if it has no name, or that isn't known.
    pub namespace: &'r str,
    /// What it is for within the database, such as a bucket or a table: the attribute
    /// `db.collection.name`. Empty if it is for the whole database, or that isn't known.
    pub collection: &'r str,
    /// The server. None if there is none, or it isn't known which one of several it is.
    pub server: Option<&'r BackendServer>,
}

/// The server of a backend, as the settings of its provider name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendServer {
    /// Its name or address, or the path of its Unix socket, without a user and a password: the
    /// attribute `server.address`.
    pub address: String,
    /// Its port: the attribute `server.port`. None for a Unix socket.
    pub port: Option<u16>,
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

    /// Runs the work of a request to the provider's backend, as [`backend`](Self::backend) does.
    /// `kind` names an error of it in the attribute `error.type`: one of a few names, which have
    /// nothing of the request in them.
    ///
    /// # Errors
    /// Fails like the work.
    ///
    /// # Cancel safety
    /// That of the work.
    pub fn backend_as<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        request: BackendRequest<'_>,
        kind: fn(&E) -> &'static str,
        work: F,
    ) -> impl Future<Output = Result<T, E>> + use<P, T, E, F> {
        self.begin_span(|| request.span()).attempt_as(kind, work)
    }
}

impl<'r> BackendRequest<'r> {
    /// A request of which nothing else is known.
    pub const fn new(system: &'r str, operation: &'r str) -> Self {
        Self {
            system,
            operation,
            namespace: "",
            collection: "",
            server: None,
        }
    }

    fn span(self) -> Span {
        let Self {
            system,
            operation,
            namespace,
            collection,
            server,
        } = self;
        let [namespace, collection] =
            [namespace, collection].map(|part| (!part.is_empty()).then_some(part));
        let name = match collection.or(namespace) {
            Some(target) => format!("{operation} {target}"),
            None => operation.to_owned(),
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
            db.collection.name = collection,
            server.address = server.map(|server| &*server.address),
            // Signed, as attributes of OpenTelemetry are: other numbers would become text.
            server.port = server.and_then(|server| server.port).map(i64::from),
            "error.type" = Empty,
        )
    }
}
