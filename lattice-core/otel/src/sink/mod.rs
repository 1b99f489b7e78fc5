//! A receiver of OTLP in the same process, for tests: what was sent can be looked at, and the
//! answers can be chosen.
//!
//! ```no_run
//! # async fn test() -> std::io::Result<()> {
//! use lattice_otel::sink::Sink;
//! use std::time::Duration;
//!
//! let sink = Sink::start().await?;
//! // … send to `sink.url()` …
//! let has_come = sink.wait(Duration::from_secs(10), |sink| sink.spans().len() >= 3).await;
//! assert!(has_come, "{:#?}", sink.spans());
//! # Ok(())
//! # }
//! ```

mod received;
mod server;
mod tree;

pub use received::{LogRecord, SpanEvent, SpanRecord};
pub use tree::tree;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use server::State;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

/// How a [`Sink`] answers requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// It takes them. This is the default.
    Take,
    /// It takes them and says so with bytes that no message of OTLP has.
    Garbage,
    /// It refuses them, as a server that is overloaded does.
    Refuse,
    /// It reads them and doesn't answer.
    Never,
}

/// A receiver of OTLP over HTTP on a port of this machine. It ends when it is dropped.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Sink {
    /// Starts to listen.
    ///
    /// # Errors
    /// Fails if this machine has no free port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let task = tokio::spawn(server::run(listener, state.clone()));
        Ok(Self {
            address,
            state,
            task,
        })
    }

    /// Returns the endpoint to send to.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers requests like this from now on.
    pub fn answer(&self, answer: Answer) {
        self.state.lock().answer = Some(answer);
    }

    /// Returns how many requests have come.
    pub fn requests(&self) -> usize {
        self.state.lock().requests
    }

    /// Returns the spans that it has taken, in the order in which they came.
    pub fn spans(&self) -> Vec<SpanRecord> {
        self.state.lock().spans.clone()
    }

    /// Returns the log lines that it has taken.
    pub fn logs(&self) -> Vec<LogRecord> {
        self.state.lock().logs.clone()
    }

    /// Returns the requests with metrics that it has taken.
    pub fn metrics(&self) -> Vec<ExportMetricsServiceRequest> {
        self.state.lock().metrics.clone()
    }

    /// Waits until `is_there`, which is asked again whenever a request has come. Returns whether
    /// that was within the time.
    pub async fn wait(&self, within: Duration, is_there: impl Fn(&Self) -> bool) -> bool {
        let waits = async {
            loop {
                let came = self.state.came.notified();
                tokio::pin!(came);
                came.as_mut().enable();
                if is_there(self) {
                    return;
                }
                came.await;
            }
        };
        timeout(within, waits).await.is_ok()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}
