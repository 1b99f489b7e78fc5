//! A proxy between a client and its server, which forwards bytes until the test cuts the
//! connection.

use crate::Failure;
use std::sync::Arc;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

/// A connection to a server that can be cut. Dropping it cuts it permanently.
#[derive(Debug)]
pub struct Proxy {
    /// Where clients connect, such as `nats://127.0.0.1:4222`.
    pub url: String,
    open: Arc<watch::Sender<bool>>,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Starts a proxy to the server at this `nats://` address.
    ///
    /// # Errors
    /// Fails when no port is free.
    pub async fn before(server: &str) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("nats://{}", listener.local_addr()?);
        let server = server.trim_start_matches("nats://").to_owned();
        let open = Arc::new(watch::Sender::new(true));
        let task = tokio::spawn(accept(listener, server, open.clone()));
        Ok(Self {
            url,
            open,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// Closes all connections, and new ones as they come.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Accepts connections again.
    pub fn heal(&self) {
        self.open.send_replace(true);
    }
}

async fn accept(listener: TcpListener, server: String, open: Arc<watch::Sender<bool>>) {
    let mut pipes = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while pipes.try_join_next().is_some() {}
        if *open.borrow() {
            pipes.spawn(pipe(client, server.clone(), open.subscribe()));
        }
    }
}

async fn pipe(mut client: TcpStream, server: String, mut open: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(&server).await else {
        return;
    };
    tokio::select! {
        // The two ends handle errors of the connection.
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = open.wait_for(|open| !open) => {}
    }
}
