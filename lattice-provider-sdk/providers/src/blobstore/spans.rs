//! Spans of the operations of a store of objects.
//!
//! There are no conventions of OpenTelemetry for stores of objects of any kind, so their attributes
//! are Lattice's own. Names of objects are in no span. That of reading an object or a list ends
//! when it is open: what streams after that is the caller's.

use lattice_provider_sdk::WorkSpan;
use tracing::{Level, Span, field::Empty};

const LEVEL: Level = Level::DEBUG;

/// Returns the span of an operation on a container of a store.
pub(crate) fn request(system: &str, operation: &str, container: &str) -> Span {
    tracing::span!(
        target: WorkSpan::TARGET,
        LEVEL,
        "backend",
        otel.name = format!("{operation} {container}"),
        otel.kind = "client",
        otel.status_description = Empty,
        lattice.blobstore.system = system,
        lattice.blobstore.operation = operation,
        lattice.blobstore.container = container,
        "error.type" = Empty,
    )
}
