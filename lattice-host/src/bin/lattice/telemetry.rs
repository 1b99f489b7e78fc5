//! The options of `lattice up` for telemetry.

use crate::failure::Failure;
use clap::Args;
use lattice_otel::{Builder, Guard, LayerBox, Telemetry};
use std::time::Duration;
use tracing_subscriber::Registry;

/// How long the end of the process waits until the last telemetry is sent.
pub(crate) const LAST: Duration = Duration::from_secs(2);

/// Where a host sends telemetry. It sends none by default.
#[derive(Debug, Args)]
#[command(next_help_heading = "Telemetry")]
pub(crate) struct TelemetryOptions {
    /// Sends traces, metrics and logs by OTLP to the collector at this address, such as
    /// `http://localhost:4318` [env: `OTEL_EXPORTER_OTLP_ENDPOINT`, and the other variables of
    /// OpenTelemetry]
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// The share of traces that are sampled, of those that start on this host, from 0 to 1. The
    /// default is 1 [env: `OTEL_TRACES_SAMPLER_ARG`, with `OTEL_TRACES_SAMPLER=traceidratio`]
    #[arg(long, value_name = "SHARE")]
    trace_sample: Option<f64>,
}

impl TelemetryOptions {
    /// Starts telemetry, if there is a collector. Returns what makes it of the program's events and
    /// spans.
    pub(crate) fn start(&self) -> Result<Option<(LayerBox<Registry>, Guard)>, Failure> {
        let Some(builder) = self.builder()? else {
            return Ok(None);
        };
        let started = builder.layer();
        started
            .map(Some)
            .map_err(|error| Failure::Usage(error.to_string()))
    }

    fn builder(&self) -> Result<Option<Builder>, Failure> {
        if self.otlp.is_none() && !Telemetry::is_wanted() {
            return match self.trace_sample {
                None => Ok(None),
                Some(_) => Err(Failure::Usage(
                    "--trace-sample needs a collector; name one with --otlp or OTEL_EXPORTER_OTLP_ENDPOINT"
                        .to_owned(),
                )),
            };
        }
        let version = env!("CARGO_PKG_VERSION");
        let mut builder = Telemetry::builder().attribute("service.version", version);
        if let Some(url) = &self.otlp {
            builder = builder.endpoint(url);
        }
        if let Some(share) = self.trace_sample {
            builder = builder.sample(share);
        }
        Ok(Some(builder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(otlp: Option<&str>, trace_sample: Option<f64>) -> TelemetryOptions {
        TelemetryOptions {
            otlp: otlp.map(str::to_owned),
            trace_sample,
        }
    }

    #[test]
    fn what_cannot_be_is_refused_before_anything_starts() {
        for (otlp, sample, expected) in [
            (Some("localhost:4318"), None, "http://localhost:4318"),
            (
                Some("http://localhost:4318"),
                Some(2.0),
                "from 0 (none) to 1",
            ),
        ] {
            match options(otlp, sample).start() {
                Err(Failure::Usage(text)) => assert!(text.contains(expected), "{text}"),
                _ => panic!("{otlp:?} and {sample:?} are no telemetry"),
            }
        }
    }
}
