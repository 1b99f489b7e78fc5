//! Metrics, sent by OTLP.
//!
//! A periodic reader of the SDK asks for metrics once a minute, unless the variable
//! `OTEL_METRIC_EXPORT_INTERVAL` says otherwise. What it has of the program's own instruments is
//! sent together with a reading of every [observed](observe) host. The readings don't go through
//! instruments of the SDK, because it has none for histograms that count by themselves.

mod encode;
mod exporter;

use crate::setup::Setup;
use exporter::Exporter;
use lattice_core::telemetry::Metrics;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// Reads metrics. `None` when there is nothing to read them from any more.
type Source = Arc<dyn Fn() -> Option<Metrics> + Send + Sync>;

/// What is observed in this process, each with its number.
static SOURCES: Mutex<Sources> = Mutex::new(Sources {
    all: Vec::new(),
    added: 0,
});

struct Sources {
    all: Vec<(u64, Source)>,
    added: u64,
}

/// Metrics that are sent until this is dropped. From [`observe`].
#[must_use = "nothing is sent any more when it is dropped"]
pub struct Observed(u64);

/// Sends metrics with those of this process, from the next time on, until the returned value is
/// dropped or `source` returns `None`. `source` is called on a thread of its own, once for each
/// time. Nothing is sent unless [`Telemetry`](crate::Telemetry) is installed, with metrics.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use lattice_core::{Lattice, node::NodeOptions};
///
/// let lattice = Lattice::in_memory("dev").await?;
/// let node = lattice.node(NodeOptions::default()).await?;
/// // Of a host of `lattice-mesh-host`: `observe(host.metrics_source())`.
/// let _observed = lattice_otel::observe({
///     let node = node.clone();
///     move || Some(node.metrics())
/// });
/// # Ok(()) }
/// ```
pub fn observe(source: impl Fn() -> Option<Metrics> + Send + Sync + 'static) -> Observed {
    let mut sources = lock();
    sources.added += 1;
    let number = sources.added;
    sources.all.push((number, Arc::new(source)));
    Observed(number)
}

impl Drop for Observed {
    fn drop(&mut self) {
        remove(self.0);
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").finish_non_exhaustive()
    }
}

/// Returns what sends the metrics of this process.
pub(crate) fn provider(setup: &Setup) -> SdkMeterProvider {
    let exporter = Exporter::new(setup);
    let provider = SdkMeterProvider::builder()
        .with_periodic_exporter(exporter)
        .with_resource(setup.resource.clone())
        .build();
    // The reader sends nothing while it has no metric of the SDK.
    let meter = provider.meter(encode::SCOPE);
    meter
        .u64_observable_gauge("lattice.observed")
        .with_description("Hosts of this process whose metrics are sent.")
        .with_unit("{host}")
        .with_callback(|gauge| gauge.observe(lock().all.len() as u64, &[]))
        .build();
    provider
}

/// Returns a reading of each source, and forgets those that have none any more.
fn readings() -> Vec<Metrics> {
    // No lock is held while they are called: one may be dropped meanwhile.
    let sources = lock().all.clone();
    let read = sources.into_iter().filter_map(|(number, source)| {
        let metrics = source();
        if metrics.is_none() {
            remove(number);
        }
        metrics
    });
    read.collect()
}

fn remove(number: u64) {
    let mut sources = lock();
    let at = sources.all.iter().position(|(one, _)| *one == number);
    let removed = at.map(|at| sources.all.remove(at));
    drop(sources);
    // What it refers to may observe or drop others.
    drop(removed);
}

fn lock() -> std::sync::MutexGuard<'static, Sources> {
    SOURCES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_source_is_read_until_it_is_dropped_or_has_nothing() {
        let since = SystemTime::UNIX_EPOCH;
        let mark = since + std::time::Duration::from_secs(7);
        let marked = || {
            let all = readings();
            all.iter().filter(|one| one.since() == mark).count()
        };
        let one = observe(move || Some(Metrics::new(mark)));
        let gone = observe(|| None);
        assert_eq!(marked(), 1);
        assert!(!lock().all.iter().any(|(number, _)| *number == gone.0));
        drop((one, gone));
        assert_eq!(marked(), 0);
    }
}
