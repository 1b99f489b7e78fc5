//! Connections of the client, with TLS, and with an end that others can bring about.
//!
//! The client reads and writes in a thread of its own. It has no deadline while it connects, and
//! waits for a server that hangs. A line that is cut ends that thread at once.

use super::settings::Server;
use async_rs::{Runtime, Tokio, traits::Reactor, util::RuntimeParts};
use futures_util::Stream;
use lapin::{AsyncTcpStream, ConnectionProperties, uri::AMQPUri};
use std::{
    cell::RefCell,
    io::{self, Read, Write},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_util::{
    compat::{Compat, TokioAsyncReadCompatExt as _},
    sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned},
};
use tracing::dispatcher::{self, DefaultGuard, Dispatch};

thread_local! {
    /// Keeps what a thread of the client logs out of the log.
    static QUIET: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
}

/// A connection of the client, whose line is cut when the guard is dropped.
pub(super) struct Connected {
    pub(super) connection: lapin::Connection,
    pub(super) line: DropGuard,
}

/// Connects to a server, and logs in.
///
/// # Cancel safety
/// Dropping the future ends the attempt.
pub(super) async fn connect(server: &Server, name: &str) -> lapin::Result<Connected> {
    let cut = CancellationToken::new();
    let line = cut.clone().drop_guard();
    let runtime = Runtime::new(RuntimeParts::new(Tokio::current(), Wires(Tokio::current())));
    let target = server.clone();
    let connecting = async move |_: AMQPUri, _: Runtime<RuntimeParts<Tokio, Wires>>| {
        be_quiet();
        let line = dial(&target, cut.clone()).await?;
        Ok::<_, lapin::Error>(AsyncTcpStream::Plain(line.compat()))
    };
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connected =
        lapin::Connection::connector(server.uri.clone(), runtime, connecting, properties);
    let connection = connected.await?;
    Ok(Connected { connection, line })
}

/// Silences the thread on which it is called: that of a connection. The client logs what passes
/// there, with passwords, and the bodies of messages that were returned.
fn be_quiet() {
    QUIET.with_borrow_mut(|quiet| {
        quiet.get_or_insert_with(|| dispatcher::set_default(&Dispatch::none()));
    });
}

async fn dial(server: &Server, cut: CancellationToken) -> io::Result<Line> {
    let authority = &server.uri.authority;
    let connected = async {
        let stream = TcpStream::connect((authority.host.as_str(), authority.port)).await?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Duplex> = match &server.tls {
            None => Box::new(stream),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
        };
        Ok::<_, io::Error>(stream)
    };
    let stream = tokio::select! {
        () = cut.cancelled() => return Err(cut_off()),
        connected = connected => connected?,
    };
    Ok(Line {
        stream,
        is_cut: Box::pin(cut.cancelled_owned()),
    })
}

fn cut_off() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionAborted,
        "the connection was given up",
    )
}

/// What the client takes connections from. It is given the one that it needs instead.
#[derive(Debug, Clone)]
struct Wires(Tokio);

impl Reactor for Wires {
    type TcpStream = Compat<Line>;
    type Sleep = <Tokio as Reactor>::Sleep;

    #[expect(
        refining_impl_trait_internal,
        reason = "the traits of the result are those of a crate that isn't used otherwise"
    )]
    fn register<H: Read + Write + Send + 'static>(&self, _: H) -> io::Result<Compat<Line>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, length: Duration) -> Self::Sleep {
        self.0.sleep(length)
    }

    fn interval(&self, length: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(length)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Compat<Line>>> + Send + 'static {
        let never = CancellationToken::new();
        async move {
            let stream = TcpStream::connect(address).await?;
            let line = Line {
                stream: Box::new(stream),
                is_cut: Box::pin(never.cancelled_owned()),
            };
            Ok(line.compat())
        }
    }
}

/// A connection with TLS or without.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// A connection that fails once it is cut.
struct Line {
    stream: Box<dyn Duplex>,
    is_cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Line {
    /// Returns the stream, or fails if it is cut. Wakes the task when it is cut later.
    fn stream(&mut self, context: &mut Context<'_>) -> io::Result<Pin<&mut dyn Duplex>> {
        if self.is_cut.as_mut().poll(context).is_ready() {
            return Err(cut_off());
        }
        Ok(Pin::new(&mut *self.stream))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().stream(context)?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().stream(context)?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream(context)?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream(context)?.poll_shutdown(context)
    }
}
