//! Metrics as text, at an address of their own.
//!
//! They are never at an address of an ingress: no host name, path or header of a request for a
//! wormhole leads here, and nothing here leads to an actor.

mod answer;
mod listener;

pub(crate) use listener::{BoundMetrics, ServedMetrics};

use super::IngressError;
use std::{fmt, sync::Arc};

/// Reads the metrics. `None` when there is nothing to read them from any more.
type MetricsSource = Arc<dyn Fn() -> Option<lattice_core::telemetry::Metrics> + Send + Sync>;

/// An address at which a host serves its metrics, under the path `/metrics`, in the formats of
/// Prometheus and `OpenMetrics`. For
/// [`HostBuilder::metrics`](crate::HostBuilder::metrics).
///
/// ```
/// use lattice_core::Lattice;
/// use lattice_host::{Host, http::MetricsEndpoint};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let lattice = Lattice::in_memory("dev").await?;
/// // Port 0 is any free one.
/// let metrics = MetricsEndpoint::at("127.0.0.1:0");
/// let host = Host::builder(&lattice).metrics(metrics).start().await?;
/// println!("curl http://{}/metrics", host.metrics_address().expect("it serves them"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Who may read them
///
/// Metrics have the ids of components and the names of methods. At an address of this machine's
/// own, such as `127.0.0.1`, every user of the machine may read them, as long as the request names
/// an address or `localhost` as its host: so no page of a browser can read them under a name of its
/// own. At any other address, a request needs the [`token`](Self::token), unless the endpoint is
/// [`open`](Self::open).
///
/// # Limits
///
/// At most 16 connections are served at once, and further ones wait. A client has 5 s to send its
/// request, and a connection lasts a minute, and 10 s more for a response that is being sent. One
/// reading is made at a time.
#[derive(Clone)]
#[must_use = "an endpoint does nothing until a host has it"]
pub struct MetricsEndpoint {
    pub(super) address: String,
    pub(super) token: Option<blake3::Hash>,
    pub(super) is_open: bool,
}

/// Why metrics can't be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// The address can't be opened.
    #[error(transparent)]
    Address(#[from] IngressError),
    /// Other machines reach the address, and nothing protects the metrics there.
    #[error(
        "other machines reach `{address}`, and the metrics there have no token; set one with `--metrics-token-file` or `MetricsEndpoint::token`, let everyone read them with `--metrics-open` or `MetricsEndpoint::open`, or serve them at `127.0.0.1`"
    )]
    Unprotected {
        /// The address.
        address: String,
    },
}

impl MetricsEndpoint {
    /// Serves the metrics at this address: `127.0.0.1:9464`.
    pub fn at(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            token: None,
            is_open: false,
        }
    }

    /// Serves them only to requests with this token, as `Authorization: Bearer TOKEN`. Spaces
    /// around it don't count.
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(blake3::hash(token.trim().as_bytes()));
        self
    }

    /// Serves them without a token to everyone who reaches the address.
    pub fn open(mut self) -> Self {
        self.is_open = true;
        self
    }
}

impl fmt::Debug for MetricsEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsEndpoint")
            .field("address", &self.address)
            .field("has_token", &self.token.is_some())
            .field("is_open", &self.is_open)
            .finish()
    }
}
