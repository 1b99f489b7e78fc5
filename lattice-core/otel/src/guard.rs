//! Keeps telemetry going, and sends the rest of it at the end.

use crate::{ShutdownError, export::Exporter, traces::Losses};
use opentelemetry_sdk::{
    error::OTelSdkError, logs::SdkLoggerProvider, metrics::SdkMeterProvider,
    trace::SdkTracerProvider,
};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// What makes and sends each signal.
#[derive(Default)]
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

    /// Sends what has not been sent yet, and ends telemetry, within a time.
    ///
    /// # Errors
    /// Fails with a [`ShutdownError`] if some of it was not sent.
    ///
    /// # Cancel safety
    /// Telemetry ends all the same; what isn't sent by then may be lost.
    pub async fn shutdown(self, within: Duration) -> Result<(), ShutdownError> {
        let Some(exporter) = self.exporter else {
            return Ok(());
        };
        let (providers, until) = (self.providers, Instant::now() + within);
        // The SDK blocks.
        let ended = exporter.handle().spawn_blocking(move || {
            let left = || until.saturating_duration_since(Instant::now());
            let results = [
                providers.traces.map(|p| p.shutdown_with_timeout(left())),
                providers.logs.map(|p| p.shutdown_with_timeout(left())),
                providers.metrics.map(|p| p.shutdown_with_timeout(left())),
            ];
            let mut results = results.into_iter().flatten();
            results.find_map(Result::err)
        });
        match timeout(within, ended).await {
            Ok(Ok(None | Some(OTelSdkError::AlreadyShutdown))) => Ok(()),
            Ok(Ok(Some(OTelSdkError::InternalFailure(reason)))) => {
                Err(ShutdownError::NotSent(reason))
            }
            Ok(Ok(Some(OTelSdkError::Timeout(_)))) | Err(_) => Err(ShutdownError::Late(within)),
            Ok(Err(panicked)) => Err(ShutdownError::NotSent(panicked.to_string())),
        }
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
