//! The options of `lattice up` for metrics.

use crate::failure::Failure;
use clap::Args;
use lattice_host::{HostBuilder, http::MetricsEndpoint};
use std::{fs, path::PathBuf};

/// Where a host serves its metrics. It serves none by default.
#[derive(Debug, Args)]
#[command(next_help_heading = "Metrics")]
pub(crate) struct MetricsOptions {
    /// Serves the host's metrics for Prometheus at this address, such as `127.0.0.1:9464`, under
    /// `/metrics`
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<String>,
    /// File with a token that requests for metrics need, as `Authorization: Bearer TOKEN`
    #[arg(long, value_name = "FILE", requires = "metrics")]
    metrics_token_file: Option<PathBuf>,
    /// Lets everyone who reaches the address read the metrics without a token
    #[arg(long, requires = "metrics", conflicts_with = "metrics_token_file")]
    metrics_open: bool,
}

impl MetricsOptions {
    /// Adds the endpoint to a host, if there is one.
    pub(crate) fn add_to(&self, builder: HostBuilder) -> Result<HostBuilder, Failure> {
        let Some(address) = &self.metrics else {
            return Ok(builder);
        };
        let mut endpoint = MetricsEndpoint::at(address);
        if let Some(file) = &self.metrics_token_file {
            let token = fs::read_to_string(file).map_err(|error| {
                let what = format!("--metrics-token-file: `{}` can't be read", file.display());
                Failure::failed(&what, &error)
            })?;
            let token = token.trim();
            if token.is_empty() {
                return Err(Failure::Usage(format!(
                    "--metrics-token-file: `{}` is empty; write a token into it",
                    file.display()
                )));
            }
            endpoint = endpoint.token(token);
        }
        if self.metrics_open {
            endpoint = endpoint.open();
        }
        Ok(builder.metrics(endpoint))
    }
}
