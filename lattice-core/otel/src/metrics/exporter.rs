//! Sends the metrics of the SDK and the readings of observed hosts in one request.

use super::{encode, readings};
use crate::{environment::Signal, export, setup::Setup};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header::CONTENT_TYPE};
use opentelemetry_http::HttpClient as _;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};
use prost::Message as _;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// The exporter.
pub(super) struct Exporter {
    client: export::Exporter,
    url: String,
    headers: HeaderMap,
    is_refused: AtomicBool,
    is_shut_down: AtomicBool,
}

impl Exporter {
    pub(super) fn new(setup: &Setup) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in setup.headers(Signal::Metrics) {
            let parsed = (HeaderName::try_from(name), HeaderValue::try_from(value));
            // They were checked when the variables were read.
            if let (Ok(name), Ok(value)) = parsed {
                headers.insert(name, value);
            }
        }
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        headers.insert(CONTENT_TYPE, protobuf);
        Self {
            client: setup.client(Signal::Metrics),
            url: setup.url(Signal::Metrics),
            headers,
            is_refused: AtomicBool::new(false),
            is_shut_down: AtomicBool::new(false),
        }
    }

    /// Logs that metrics are not taken, once until they are again. The SDK says nothing of it.
    fn tell(&self, sent: &OTelSdkResult) {
        let was_refused = self.is_refused.swap(sent.is_err(), Ordering::Relaxed);
        match sent {
            Err(reason) if !was_refused => tracing::warn!(
                %reason,
                "metrics were not sent to the collector; they will be once it takes them; check \
                 that it is up and its address"
            ),
            Ok(()) if was_refused => tracing::info!("metrics are sent to the collector again"),
            _ => {}
        }
    }

    async fn send(&self, request: ExportMetricsServiceRequest) -> OTelSdkResult {
        let mut message = Request::post(&self.url)
            .body(request.encode_to_vec().into())
            .map_err(|error| OTelSdkError::InternalFailure(error.to_string()))?;
        message.headers_mut().clone_from(&self.headers);
        let sent = self.client.send_bytes(message).await;
        let response = sent.map_err(|error| OTelSdkError::InternalFailure(error.to_string()))?;
        if response.status().is_success() {
            return Ok(());
        }
        let status = response.status();
        let reason = format!("the collector answered to metrics with {status}");
        Err(OTelSdkError::InternalFailure(reason))
    }
}

impl PushMetricExporter for Exporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        if self.is_shut_down.load(Ordering::Relaxed) {
            return Err(OTelSdkError::AlreadyShutdown);
        }
        let mut request = ExportMetricsServiceRequest::from(metrics);
        if let Some(resource) = request.resource_metrics.first_mut() {
            let hosts = readings();
            let hosts = hosts.iter().map(encode::scope);
            resource.scope_metrics.extend(hosts);
        }
        let sent = self.send(request).await;
        self.tell(&sent);
        sent
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        self.is_shut_down.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use opentelemetry_sdk::Resource;

    #[test]
    fn it_knows_whether_metrics_are_taken() {
        let resource = Resource::builder_empty().build();
        let setup = Setup::new(&Environment(&|_| None), None, None, resource);
        let exporter = Exporter::new(&setup.expect("nothing is wrong"));
        let is_refused = || exporter.is_refused.load(Ordering::Relaxed);
        exporter.tell(&Err(OTelSdkError::InternalFailure("away".to_owned())));
        assert!(is_refused());
        exporter.tell(&Ok(()));
        assert!(!is_refused());
    }
}
