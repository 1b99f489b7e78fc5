//! The layers of a subscriber of `tracing` from which telemetry is made.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::{logs::SdkLoggerProvider, trace::SdkTracerProvider};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::Targets, layer::Identity, registry::LookupSpan};

/// A layer for a subscriber.
pub type LayerBox<S> = Box<dyn Layer<S> + Send + Sync>;

/// The scope of all spans.
const SCOPE: &str = "lattice";

/// What takes part in sending telemetry. Its own spans and events would be sent with more of them.
const SENDERS: [&str; 7] = [
    "h2",
    "hyper",
    "hyper_util",
    "opentelemetry",
    "opentelemetry_sdk",
    "reqwest",
    "rustls",
];

/// The targets whose spans, and events within them, are of the level `DEBUG`: those of calls, of
/// HTTP, of providers for their requests to backends, messages and ticks, and the lines of actors.
const DETAILED: [&str; 4] = [
    lattice_core::trace::TARGET,
    "lattice::http",
    "lattice::backend",
    "lattice::actor",
];

/// Returns the layer that makes spans, and adds events to them.
pub(crate) fn of_traces<S>(provider: &SdkTracerProvider) -> LayerBox<S>
where
    S: Subscriber + for<'s> LookupSpan<'s> + Send + Sync,
{
    let detailed = DETAILED.map(|target| (target, LevelFilter::DEBUG));
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(SCOPE))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        // An actor that logs an error has not failed.
        .with_error_events_to_status(false)
        .with_error_events_to_exceptions(false)
        .with_filter(others().with_targets(detailed))
        .boxed()
}

/// Returns the layer that sends events as log lines.
pub(crate) fn of_logs<S>(provider: &SdkLoggerProvider) -> LayerBox<S>
where
    S: Subscriber + for<'s> LookupSpan<'s> + Send + Sync,
{
    OpenTelemetryTracingBridge::new(provider)
        .with_filter(others())
        .boxed()
}

/// Returns several layers as one.
pub(crate) fn all<S>(layers: impl IntoIterator<Item = LayerBox<S>>) -> LayerBox<S>
where
    S: Subscriber + for<'s> LookupSpan<'s> + Send + Sync,
{
    let layers: Vec<LayerBox<S>> = layers.into_iter().collect();
    if layers.is_empty() {
        // No layers would say that nothing is wanted, of other layers too.
        return Identity::new().boxed();
    }
    layers.boxed()
}

fn others() -> Targets {
    let silent = SENDERS.map(|target| (target, LevelFilter::OFF));
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_targets(silent)
}
