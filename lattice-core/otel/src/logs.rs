//! Log lines, sent by OTLP: those of actors, and those of the process itself.

use crate::{InstallError, environment::Signal, setup::Setup};
use opentelemetry_otlp::{LogExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::logs::SdkLoggerProvider;

/// Returns what sends the log lines of this process.
pub(crate) fn provider(setup: &Setup) -> Result<SdkLoggerProvider, InstallError> {
    let exporter = LogExporter::builder()
        .with_http()
        .with_http_client(setup.client(Signal::Logs))
        .with_endpoint(setup.url(Signal::Logs))
        .with_headers(setup.headers(Signal::Logs))
        .with_timeout(setup.timeout(Signal::Logs))
        .build();
    let exporter = exporter.map_err(|error| InstallError::exporter(&error))?;
    Ok(SdkLoggerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(setup.resource.clone())
        .build())
}
