//! One connection: its protocol, its limits, and its end.

use super::{
    body::Running,
    config::{DEFAULT_HEADERS, IngressLimits},
    service::{Arrival, WormholeService},
    timeouts::{Activity, ConnectionTimes, Reset, RunningRequest, TimedIo},
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use http::{Request, Version};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use lattice_core::error::chain;
use std::{convert::Infallible, error::Error, net::IpAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How much of a body that a client doesn't take, and of one that an actor doesn't take, a
/// connection holds.
const SEND_BUFFER: usize = 128 * 1024;
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How long a new connection may take to begin its first request when the ingress stops.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// What all connections of a listener have in common.
pub(super) struct Shared {
    pub(super) service: WormholeService,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) limits: IngressLimits,
    /// Cancelled when connections should end after what they do now.
    pub(super) stopping: CancellationToken,
}

impl Shared {
    /// Waits until the ingress has stopped, and new connections have had their time.
    async fn has_stopped(&self) {
        self.stopping.cancelled().await;
        sleep(FIRST_REQUEST).await;
    }
}

/// Serves a connection until it ends.
pub(super) async fn serve(socket: TcpStream, peer: IpAddr, shared: Arc<Shared>) {
    // Answers are sent at once. Without it they still arrive.
    let _ = socket.set_nodelay(true);
    let Some(tls) = &shared.tls else {
        return serve_http(socket, peer, &shared).await;
    };
    let handshake = tokio::select! {
        handshake = timeout(shared.limits.handshake, tls.accept(socket)) => handshake,
        () = shared.has_stopped() => return,
    };
    match handshake {
        Ok(Ok(stream)) => serve_http(stream, peer, &shared).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
}

async fn serve_http<I>(io: I, peer: IpAddr, shared: &Shared)
where
    I: AsyncRead + AsyncWrite + Reset + Unpin + Send + 'static,
{
    let activity = Activity::new();
    let times = ConnectionTimes {
        header: shared.limits.header,
        idle: shared.limits.idle,
        stalled: shared.limits.body_idle,
    };
    let io = TokioIo::new(TimedIo::new(io, times, activity.clone()));
    let (streams, _end_with_connection) = Streams::new();
    let builder = builder(streams, &shared.limits);
    let is_https = shared.tls.is_some();
    let service = service_fn(|request: Request<Incoming>| {
        let version = request.version();
        let arrival = Arrival {
            peer: Some(peer),
            is_https,
            in_flight: Some(Box::new(Exchange {
                running: activity.begin(version == Version::HTTP_2),
                ends_with_connection: version < Version::HTTP_11,
            })),
        };
        let service = shared.service.clone();
        async move { Ok::<_, Infallible>(service.answer(request, arrival).await) }
    });
    let mut connection = pin!(builder.serve_connection(io, service));
    let should_end = async {
        tokio::select! {
            () = ends(&activity, shared) => {}
            () = activity.is_idle.notified() => {}
        }
    };
    // In a set of its own, it is polled only when it was woken, and not with each part of a
    // request. Waiting for the end takes locks that all connections share.
    let mut should_end = FuturesUnordered::from_iter([should_end]);
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    report(peer, &*error);
                }
                return;
            }
            // Afterwards, the set is empty.
            Some(()) = should_end.next() => connection.as_mut().graceful_shutdown(),
        }
    }
}

/// Logs why a connection ended. What isn't a request of HTTP/1, hyper has answered itself, so that
/// there is no request id under which the log could say it.
fn report(peer: IpAddr, error: &(dyn Error + Send + Sync + 'static)) {
    let hyper_error = error.downcast_ref::<hyper::Error>();
    let error = chain(error);
    if hyper_error.is_some_and(hyper::Error::is_parse) {
        tracing::debug!(%peer, error, "what is no request of HTTP was refused");
    } else {
        tracing::debug!(%peer, error, "a connection ended with an error");
    }
}

/// Waits until the ingress stops and the connection is not a new one.
async fn ends(activity: &Activity, shared: &Shared) {
    shared.stopping.cancelled().await;
    // A client that has just connected does not expect that its first request fails.
    let _ = timeout(FIRST_REQUEST, activity.first_request()).await;
}

fn builder(streams: Streams, limits: &IngressLimits) -> auto::Builder<Streams> {
    let header_bytes = limits.header_bytes.as_usize();
    let mut builder = auto::Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        // `TimedIo` has the timeouts of heads and of idle connections.
        .header_read_timeout(None)
        .max_buf_size(header_bytes.max(SEND_BUFFER));
    // Without a limit that is set, it has the same one, and its memory on the stack.
    if limits.headers != DEFAULT_HEADERS {
        builder.http1().max_headers(limits.headers);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        // Finds clients that are gone without a word.
        .keep_alive_interval(limits.idle / 2)
        .keep_alive_timeout(limits.idle / 2);
    builder
}

/// One request and its response.
struct Exchange {
    running: RunningRequest,
    /// Whether only the end of the connection shows the end of the response: for HTTP/1.0.
    ends_with_connection: bool,
}

impl Running for Exchange {
    fn broke(&self) {
        if self.ends_with_connection {
            self.running.activity().set_broken();
        }
    }
}

/// Runs the streams of an HTTP/2 connection in tasks that end with it.
#[derive(Clone)]
struct Streams(CancellationToken);

impl Streams {
    /// They end when the guard is dropped.
    fn new() -> (Self, DropGuard) {
        let token = CancellationToken::new();
        (Self(token.clone()), token.drop_guard())
    }
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(self.0.clone().run_until_cancelled_owned(stream));
    }
}

impl Reset for TcpStream {
    fn reset(&self) {
        let _ = self.set_zero_linger();
    }
}

impl Reset for TlsStream<TcpStream> {
    fn reset(&self) {
        self.get_ref().0.reset();
    }
}
