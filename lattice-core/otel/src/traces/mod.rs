//! Traces: which are sampled, how the spans of processes are joined, and how they are sent.

mod losses;
mod propagation;

pub(crate) use losses::Losses;
pub(crate) use propagation::Propagation;

use crate::{InstallError, environment::Signal, setup::Setup};
use losses::{CountedExporter, CountedProcessor};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider,
};
use propagation::RootSampler;
use std::sync::Arc;

/// Returns what makes and sends the spans of this process, of which a share is sampled, with room
/// for so many that wait, and the count of those that were lost.
pub(crate) fn provider(
    setup: &Setup,
    (ratio, queue): (f64, usize),
) -> Result<(SdkTracerProvider, Arc<Losses>), InstallError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(setup.client(Signal::Traces))
        .with_endpoint(setup.url(Signal::Traces))
        .with_headers(setup.headers(Signal::Traces))
        .with_timeout(setup.timeout(Signal::Traces))
        .build();
    let exporter = exporter.map_err(|error| InstallError::exporter(&error))?;
    let losses = Arc::new(Losses::default());
    let exporter = CountedExporter {
        next: exporter,
        losses: losses.clone(),
    };
    let batches = BatchConfigBuilder::default().with_max_queue_size(queue);
    let processor = CountedProcessor {
        next: BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches.build())
            .build(),
        most: queue,
        losses: losses.clone(),
    };
    let tracer = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::parent_based(RootSampler::new(ratio)))
        .with_resource(setup.resource.clone())
        .build();
    Ok((tracer, losses))
}
