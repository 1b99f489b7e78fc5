//! A connection to a server that can be cut.

use std::net::SocketAddr;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Forwards connections to a server at an address of its own.
pub(crate) struct Cable {
    address: SocketAddr,
    server: SocketAddr,
    /// Accepts connections, and forwards them.
    task: JoinSet<()>,
}

impl Cable {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let mut cable = Self {
            address: "127.0.0.1:0".parse().expect("an address"),
            server,
            task: JoinSet::new(),
        };
        cable.mend().await;
        cable
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections, and takes no new ones.
    pub(crate) async fn cut(&mut self) {
        // The address is free once the listener is gone.
        self.task.shutdown().await;
    }

    /// Takes connections again, at the same address.
    pub(crate) async fn mend(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("it listens");
        self.address = listener.local_addr().expect("an address");
        self.task.spawn(forward(listener, self.server));
    }

    /// Takes connections again, and forwards them to another server.
    pub(crate) async fn lead_to(&mut self, server: SocketAddr) {
        self.server = server;
        self.mend().await;
    }
}

/// Dropping this ends all that it forwards.
async fn forward(listener: TcpListener, server: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((mut from, _)) = listener.accept().await {
        connections.spawn(async move {
            if let Ok(mut to) = TcpStream::connect(server).await {
                // Its end is all that there is to know of it.
                let _ = copy_bidirectional(&mut from, &mut to).await;
            }
        });
    }
}
