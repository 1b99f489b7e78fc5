//! Metrics, sent by OTLP.

use crate::{InstallError, environment::Signal, setup::Setup};
use opentelemetry_otlp::{MetricExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;

/// Returns what sends the metrics of this process, once a minute unless a variable says otherwise.
pub(crate) fn provider(setup: &Setup) -> Result<SdkMeterProvider, InstallError> {
    let exporter = MetricExporter::builder()
        .with_http()
        .with_http_client(setup.client.clone())
        .with_endpoint(setup.url(Signal::Metrics))
        .with_headers(setup.headers(Signal::Metrics))
        .with_timeout(setup.timeout)
        .build();
    let exporter = exporter.map_err(|error| InstallError::exporter(&error))?;
    Ok(SdkMeterProvider::builder()
        .with_periodic_exporter(exporter)
        .with_resource(setup.resource.clone())
        .build())
}
