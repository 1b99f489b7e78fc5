//! A proxy in front of a server, for connections that break, hang, or have TLS.

use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// They stay open, and nothing passes.
    Hang,
    /// They are closed, new ones at once.
    Cut,
}

/// A proxy, which ends with this value.
pub(crate) struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    _serving: AbortOnDropHandle<()>,
}

impl Proxy {
    pub(crate) async fn new(server: SocketAddr) -> Self {
        Self::start(server, None).await
    }

    /// Takes connections with TLS.
    pub(crate) async fn with_tls(server: SocketAddr, acceptor: TlsAcceptor) -> Self {
        Self::start(server, Some(acceptor)).await
    }

    async fn start(server: SocketAddr, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (mode, modes) = watch::channel(Mode::Pass);
        Self {
            address: listener.local_addr().expect("an address"),
            mode,
            _serving: AbortOnDropHandle::new(tokio::spawn(async move {
                let mut connections = JoinSet::new();
                while let Ok((client, _)) = listener.accept().await {
                    connections.spawn(serve(client, server, acceptor.clone(), modes.clone()));
                }
            })),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn serve(
    client: TcpStream,
    server: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    mut modes: watch::Receiver<Mode>,
) {
    let passing = modes.clone();
    let passed = async move {
        let server = TcpStream::connect(server).await?;
        match acceptor {
            None => pass_both(client, server, passing).await,
            Some(acceptor) => pass_both(acceptor.accept(client).await?, server, passing).await,
        }
    };
    // Each end sees for itself how it ended.
    tokio::select! {
        _ = modes.wait_for(|mode| *mode == Mode::Cut) => {}
        _ = passed => {}
    }
}

async fn pass_both<S: AsyncRead + AsyncWrite>(
    client: S,
    server: TcpStream,
    modes: watch::Receiver<Mode>,
) -> io::Result<()> {
    let (from_client, to_client) = split(client);
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        passed = pass(from_client, to_server, modes.clone()) => passed,
        passed = pass(from_server, to_client, modes) => passed,
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut modes: watch::Receiver<Mode>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        // The proxy is there.
        let _ = modes.wait_for(|mode| *mode != Mode::Hang).await;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
        to.flush().await?;
    }
}
