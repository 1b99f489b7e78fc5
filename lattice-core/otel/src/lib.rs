//! OpenTelemetry for a [lattice](lattice_core): one trace through every host and process that takes
//! part in a request, the log lines of actors on its spans, and metrics, sent by OTLP over HTTP.
//!
//! ```
//! use lattice_otel::Telemetry;
//! use std::time::Duration;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let telemetry = Telemetry::builder()
//!         .endpoint("http://localhost:4318")
//!         .service_name("shop")
//!         .sample(0.01)
//!         .install()?;
//!
//!     // From now on, one of a hundred calls is traced, with all calls that it causes.
//!     let lattice = lattice_core::Lattice::in_memory("dev").await?;
//!     # drop(lattice);
//!
//!     if let Err(error) = telemetry.shutdown(Duration::from_secs(2)).await {
//!         eprintln!("{error}");
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Each process exports by itself: hosts, the processes of providers, and programs that only call.
//! A process without telemetry passes the traces of others on, and has no spans in them.
//!
//! # Spans
//!
//! | span | kind | made by |
//! | --- | --- | --- |
//! | `GET /path/of/the/wormhole` | server | a host, for a request to a wormhole |
//! | `example:hello/greeter/greet` | client | the caller's host, for a call with all of its retries |
//! | `example:hello/greeter/greet` | server | the callee's host, for each attempt that it admitted |
//! | `GET` | client | the provider of outgoing HTTP, for a request to the web |
//! | `publish orders.*` | producer | a provider of messaging, for a message that is published |
//! | `process orders.*` | consumer | the same, for each delivery |
//! | `tick nightly` | internal | the provider of schedules, for each tick: a trace starts with it |
//! | `get orders` and the like | client | other standard providers, for a request to their backend |
//!
//! Names and attributes are those of the stable semantic conventions for RPC and HTTP, and of the
//! newest ones for messaging; see [`lattice_core::trace`]. Log lines of actors, and retries, are
//! events of the span during which they happened. Spans of the program itself, made with `tracing`
//! at level `INFO` or above, are part of the traces too.
//!
//! # Sampling
//!
//! Whether a trace is sampled is decided once, where it starts, and the decision travels with each
//! call. Calls that aren't sampled make no span, which is what keeps telemetry cheap. A request to
//! a wormhole with a valid `traceparent` follows the decision in it.
//!
//! # Metrics
//!
//! The readings of the hosts and nodes that the program [observes](observe) are sent together with
//! the metrics of its own instruments, which it makes with the crate `opentelemetry`.
//!
//! # When the collector is away
//!
//! Spans wait in a queue of bounded size and are sent by a thread of its own. Where the collector
//! is slow, away, or answers nonsense, no call waits or fails. The spans that are lost are
//! [counted](Guard::lost_spans), and a warning tells their number at most once a minute. Another
//! one tells that metrics are not taken, once until they are again; their sums go on, and nothing
//! of them is lost.
//!
//! # Variables
//!
//! What the program doesn't set is read from the standard variables: `OTEL_SDK_DISABLED`,
//! `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_ENDPOINT`, `_HEADERS`,
//! `_TIMEOUT` and `_PROTOCOL`, the same for one signal, such as
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_{TRACES,METRICS,LOGS}_EXPORTER` (`otlp` or `none`),
//! `OTEL_TRACES_SAMPLER` with `OTEL_TRACES_SAMPLER_ARG`, `OTEL_BSP_*`, `OTEL_BLRP_*`, and
//! `OTEL_METRIC_EXPORT_INTERVAL`. The only protocol is `http/protobuf`.
//!
//! # Features
//!
//! * `sink`: a receiver of OTLP in the same process, for tests.

#![forbid(unsafe_code)]

mod environment;
mod error;
mod export;
mod guard;
mod layer;
mod logs;
mod metrics;
mod setup;
#[cfg(feature = "sink")]
pub mod sink;
mod telemetry;
mod traces;

pub use error::{InstallError, UnsentError};
pub use guard::Guard;
pub use layer::LayerBox;
pub use metrics::{Observed, observe};
pub use telemetry::{Builder, Telemetry};
