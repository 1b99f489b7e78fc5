//! Spans of reading secrets. Neither keys nor values are in them.

use lattice_provider_sdk::WorkSpan;
use tracing::{Level, Span, field::Empty};

const LEVEL: Level = Level::DEBUG;

/// Returns the span of reading a secret from a source of this kind.
pub(super) fn read(source: &str) -> Span {
    tracing::span!(
        target: WorkSpan::TARGET,
        LEVEL,
        "backend",
        otel.name = format!("read {source}"),
        otel.kind = "client",
        otel.status_description = Empty,
        lattice.secrets.source = source,
        "error.type" = Empty,
    )
}
