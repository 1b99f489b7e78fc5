//! The address of the metrics: bound, listening, and closed with the host.

use super::{
    MetricsEndpoint, MetricsError, MetricsSource,
    answer::{Answers, Readers},
};
use crate::http::IngressError;
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

/// Connections that are served at once. A server is read by one or two collectors.
const CONNECTIONS: usize = 16;
/// How long a client may take to send its request.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection lasts: collectors read again within this time, or connect again.
const LONGEST: Duration = Duration::from_mins(1);
/// How much longer it lasts for a response that is being sent.
const LAST: Duration = Duration::from_secs(10);
/// How long the listener pauses when the system has no more connections for it.
const PAUSE: Duration = Duration::from_millis(100);

/// An address that is bound, and at which nothing is served yet.
pub(crate) struct BoundMetrics {
    listener: TcpListener,
    address: SocketAddr,
    readers: Readers,
}

/// The metrics of a host, served. Dropping it ends that, with its connections.
pub(crate) struct ServedMetrics {
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl BoundMetrics {
    /// Binds the address.
    pub(crate) async fn bind(endpoint: MetricsEndpoint) -> Result<Self, MetricsError> {
        let MetricsEndpoint {
            address: wanted,
            token,
            is_open,
        } = endpoint;
        let failed = |source: io::Error| IngressError::of_listening(&wanted, source);
        let listener = TcpListener::bind(&wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let readers = match token {
            Some(token) => Readers::Token(token),
            None if is_open => Readers::All,
            None if address.ip().is_loopback() => Readers::ThisMachine,
            None => return Err(MetricsError::Unprotected { address: wanted }),
        };
        Ok(Self {
            listener,
            address,
            readers,
        })
    }

    /// Begins to serve what `source` reads.
    pub(crate) fn start(self, source: MetricsSource) -> ServedMetrics {
        let answers = Answers {
            source,
            readers: self.readers,
            reading: Mutex::new(()),
        };
        let task = tokio::spawn(listen(self.listener, Arc::new(answers)));
        tracing::info!("metrics are served at http://{}/metrics", self.address);
        ServedMetrics {
            address: self.address,
            _task: AbortOnDropHandle::new(task),
        }
    }
}

impl ServedMetrics {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Takes connections. They end with it.
async fn listen(listener: TcpListener, answers: Arc<Answers>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            // Further connections wait in the queue of the system until there is room.
            let place = room.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            Some(_) = connections.join_next() => continue,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                let answers = answers.clone();
                connections.spawn(async move {
                    let _place = place;
                    serve(socket, &answers).await;
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection for metrics was not taken");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(socket: TcpStream, answers: &Answers) {
    let service = service_fn(move |request: Request<Incoming>| async move {
        Ok::<_, Infallible>(answers.answer(request).await)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
    if timeout(LONGEST, connection.as_mut()).await.is_ok() {
        return;
    }
    connection.as_mut().graceful_shutdown();
    if timeout(LAST, connection).await.is_err() {
        tracing::debug!("a client did not take the metrics in time");
    }
}
