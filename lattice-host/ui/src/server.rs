//! Serving the page at an address of its own.

use crate::{error::UiError, limits::UiLimits, service::UiService, socket::Socket};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// How long requests may take to finish when the server is shut down.
const GRACE: Duration = Duration::from_secs(5);
/// Pause after a connection that could not be accepted, because too many files are open.
const PAUSE: Duration = Duration::from_millis(100);
/// Most headers of a request.
const HEADERS: usize = 64;
/// Most bytes of the head of a request, and of what is buffered of a response.
const BUFFER: usize = 64 * 1024;
/// About how many bytes the system keeps for a client that doesn't take them. By default it keeps
/// several megabytes, and it would take long to notice that a page is not read.
const SEND_BUFFER: u32 = 256 * 1024;
/// Connections that may wait until they are accepted.
const BACKLOG: u32 = 128;

/// A page that is served at an address of its own, from [`Ui::serve`](crate::Ui::serve).
///
/// Dropping it ends the server at once, with everything that it was sending.
#[derive(Debug)]
#[must_use = "the page is served until this is dropped"]
pub struct UiServer {
    address: SocketAddr,
    service: UiService,
    task: AbortOnDropHandle<()>,
}

impl UiServer {
    /// Returns the address at which it listens. With port 0, the system has chosen the port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address to open in a browser, with the token: whoever has it may do everything
    /// that the page may do.
    pub fn url(&self) -> String {
        let mut address = self.address;
        // It listens at every address of this machine.
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        format!("http://{address}{}", self.service.opening())
    }

    /// Returns the service, which can be mounted elsewhere as well.
    pub fn service(&self) -> &UiService {
        &self.service
    }

    /// Stops: no new connections are taken, open pages are told so, and requests may finish for
    /// 5 s.
    ///
    /// # Cancel safety
    /// Dropping the future stops at once.
    pub async fn shutdown(self) {
        self.service.stop();
        // It ends within the grace.
        let _ = timeout(GRACE + PAUSE, self.task).await;
    }
}

/// Listens and serves.
#[expect(
    clippy::unused_async,
    reason = "only a runtime can listen, and this needs one when it is awaited"
)]
pub(crate) async fn start(
    address: SocketAddr,
    service: UiService,
    limits: &UiLimits,
) -> Result<UiServer, UiError> {
    let refused = |source| UiError::Listen { address, source };
    let listener = listen(address).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let acceptor = Acceptor {
        service: service.clone(),
        limits: *limits,
        room: Arc::new(Semaphore::new(limits.connections.max(1) as usize)),
        stop: service.stopping().clone(),
    };
    Ok(UiServer {
        address,
        service,
        task: AbortOnDropHandle::new(tokio::spawn(acceptor.run(listener))),
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A port can be used again at once after its last server has stopped. On Windows, this would
    // allow two servers at one port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

struct Acceptor {
    service: UiService,
    limits: UiLimits,
    /// The connections that may still be opened.
    room: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(_) = connections.join_next() => {}
                (stream, permit) = self.accept(&listener) => {
                    let connection = connection(stream, self.service.clone(), self.limits, self.stop.clone(), permit);
                    connections.spawn(connection);
                }
            }
        }
        drop(listener);
        let all = async { while connections.join_next().await.is_some() {} };
        if timeout(GRACE, all).await.is_err() {
            tracing::debug!("requests of the page were cut off");
        }
    }

    /// Waits until there is room for a connection, and for one.
    async fn accept(&self, listener: &TcpListener) -> (TcpStream, OwnedSemaphorePermit) {
        let Ok(permit) = self.room.clone().acquire_owned().await else {
            // The semaphore is never closed.
            return std::future::pending().await;
        };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return (stream, permit),
                Err(error) => {
                    tracing::debug!(%error, "the page can't accept a connection");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Serves one connection. It ends when its client closes it, does not send a request in time, or
/// does not take a response, and after the current request when the server stops.
async fn connection(
    stream: TcpStream,
    service: UiService,
    limits: UiLimits,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
) {
    // Small events must not wait for the acknowledgement of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection of the page has ended");
        return;
    }
    let io = TokioIo::new(Socket::new(stream, limits.stall));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.arrival)
        .max_headers(HEADERS)
        .max_buf_size(BUFFER)
        .serve_connection(io, TowerToHyperService::new(service));
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the page has ended");
    }
}
