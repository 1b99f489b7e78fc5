//! Between a client and its server: passes bytes on, until it is told to cut them off from each other.

use crate::Failure;
use std::sync::Arc;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

/// A way to a server that can be cut. Dropping it cuts it for good.
#[derive(Debug)]
pub struct Proxy {
    /// Where clients connect, as `nats://127.0.0.1:4222`.
    pub url: String,
    open: Arc<watch::Sender<bool>>,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    /// To the server at this `nats://` address.
    ///
    /// # Errors
    /// No port is free.
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

    /// Hangs up on everyone, and on whoever comes.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Lets everyone through again.
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
        // How a connection ends is for its two ends to say.
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = open.wait_for(|open| !open) => {}
    }
}
