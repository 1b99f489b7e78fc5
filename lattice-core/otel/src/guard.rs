//! Keeps telemetry going, and sends the rest of it at the end.

use crate::{UnsentError, export::Exporter, traces::Losses};
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    logs::SdkLoggerProvider,
    metrics::SdkMeterProvider,
    trace::SdkTracerProvider,
};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// What makes and sends each signal.
#[derive(Clone, Default)]
pub(crate) struct Providers {
    pub(crate) traces: Option<SdkTracerProvider>,
    pub(crate) logs: Option<SdkLoggerProvider>,
    pub(crate) metrics: Option<SdkMeterProvider>,
    pub(crate) losses: Arc<Losses>,
}

/// Installed telemetry. [Shut it down](Self::shutdown) at the end of the program; what has not been
/// sent when it is dropped is lost.
#[must_use = "what was not sent at the end of the program is lost unless this is shut down"]
pub struct Guard {
    providers: Providers,
    /// `None` if telemetry is switched off.
    exporter: Option<Exporter>,
}

impl Guard {
    pub(crate) fn new(providers: Providers, exporter: Exporter) -> Self {
        Self {
            providers,
            exporter: Some(exporter),
        }
    }

    /// That of telemetry that is switched off.
    pub(crate) fn idle() -> Self {
        Self {
            providers: Providers::default(),
            exporter: None,
        }
    }

    /// Returns the number of spans that were lost so far: there was no room for them, or the
    /// collector didn't take them. A warning tells it at most once a minute.
    pub fn lost_spans(&self) -> u64 {
        self.providers.losses.lost()
    }

    /// Sends what has not been sent yet, within a time. The process sends by itself every few
    /// seconds, so this is for tests, and for programs that are stopped without notice.
    ///
    /// # Errors
    /// Fails with an [`UnsentError`] if some of it was not sent.
    ///
    /// # Cancel safety
    /// It is sent all the same.
    pub async fn flush(&self, within: Duration) -> Result<(), UnsentError> {
        let providers = self.providers.clone();
        self.blocking(within, move || providers.flush()).await
    }

    /// Sends what has not been sent yet, and ends telemetry, within a time.
    ///
    /// # Errors
    /// Fails with an [`UnsentError`] if some of it was not sent. It is lost.
    ///
    /// # Cancel safety
    /// Telemetry ends all the same; what isn't sent by then may be lost.
    pub async fn shutdown(self, within: Duration) -> Result<(), UnsentError> {
        let providers = self.providers.clone();
        self.blocking(within, move || providers.end(within)).await
    }

    /// Runs what the SDK does in the thread that calls it.
    async fn blocking(
        &self,
        within: Duration,
        work: impl FnOnce() -> OTelSdkResult + Send + 'static,
    ) -> Result<(), UnsentError> {
        let Some(exporter) = &self.exporter else {
            return Ok(());
        };
        let done = exporter.handle().spawn_blocking(work);
        match timeout(within, done).await {
            Ok(Ok(Ok(()) | Err(OTelSdkError::AlreadyShutdown))) => Ok(()),
            Ok(Ok(Err(OTelSdkError::InternalFailure(reason)))) => Err(UnsentError::NotSent(reason)),
            Ok(Ok(Err(OTelSdkError::Timeout(_)))) | Err(_) => Err(UnsentError::Late(within)),
            Ok(Err(panicked)) => Err(UnsentError::NotSent(panicked.to_string())),
        }
    }
}

impl Providers {
    fn flush(&self) -> OTelSdkResult {
        let results = [
            self.traces.as_ref().map(SdkTracerProvider::force_flush),
            self.logs.as_ref().map(SdkLoggerProvider::force_flush),
            self.metrics.as_ref().map(SdkMeterProvider::force_flush),
        ];
        results.into_iter().flatten().collect()
    }

    fn end(&self, within: Duration) -> OTelSdkResult {
        let until = Instant::now() + within;
        let left = || until.saturating_duration_since(Instant::now());
        let traces = self.traces.as_ref();
        let logs = self.logs.as_ref();
        let metrics = self.metrics.as_ref();
        // Each takes the time that is left, and what the one before has lost doesn't stop the next.
        let results = [
            traces.map(|traces| traces.shutdown_with_timeout(left())),
            logs.map(|logs| logs.shutdown_with_timeout(left())),
            metrics.map(|metrics| metrics.shutdown_with_timeout(left())),
        ];
        results.into_iter().flatten().collect()
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("is_on", &self.exporter.is_some())
            .field("lost_spans", &self.lost_spans())
            .finish_non_exhaustive()
    }
}
