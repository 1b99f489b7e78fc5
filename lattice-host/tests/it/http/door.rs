//! An actor behind a wormhole, and a client that sends and receives bytes.

use lattice_core::{Lattice, wormholes::NewWormhole};
use lattice_host::{Actor, Host, http::Ingress};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// The deadline of an exchange. The first one may compile an interpreter of 20 MB.
const PATIENCE: Duration = Duration::from_mins(2);

/// A host with an actor and an ingress.
pub(super) struct Door {
    pub(super) lattice: Lattice,
    address: SocketAddr,
    _host: Host,
}

/// A connection to it.
pub(super) struct Connection(TcpStream);

impl Door {
    /// Opens a wormhole for every host name to an actor.
    pub(super) async fn to(actor: Actor) -> Self {
        Self::of(|builder| builder.actor("site", actor)).await
    }

    /// Opens it to the component `site` of a host.
    pub(super) async fn of(
        components: impl FnOnce(lattice_host::HostBuilder) -> lattice_host::HostBuilder,
    ) -> Self {
        let lattice = Lattice::in_memory("test").await.expect("a lattice");
        let host = components(Host::builder(&lattice))
            .ingress(Ingress::http("127.0.0.1:0"))
            .start()
            .await
            .expect("it starts");
        let wormhole = NewWormhole::new("site").expect("an id").any_host();
        let created = lattice.wormholes().create(wormhole).await;
        created.expect("the wormhole is created");
        Self {
            address: host.ingress_addresses()[0],
            lattice,
            _host: host,
        }
    }

    /// Sends a request without a body, and returns the whole response.
    pub(super) async fn get(&self, path: &str) -> String {
        self.send(&format!("GET {path}"), b"").await
    }

    /// Sends a request with this method and path, and this body, and returns the whole response.
    pub(super) async fn send(&self, what: &str, body: &[u8]) -> String {
        let mut connection = self.connect().await;
        let head = format!(
            "{what} HTTP/1.1\r\nhost: site.example\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        connection.write(head.as_bytes()).await;
        connection.write(body).await;
        connection.rest().await
    }

    pub(super) async fn connect(&self) -> Connection {
        let connected = within(TcpStream::connect(self.address)).await;
        Connection(connected.expect("the host takes connections"))
    }
}

impl Connection {
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        within(self.0.write_all(bytes)).await.expect("it is open");
    }

    /// Reads until `text` has come.
    pub(super) async fn until(&mut self, text: &str) {
        let mut received = Vec::new();
        while !String::from_utf8_lossy(&received).contains(text) {
            let read = within(self.0.read_buf(&mut received)).await;
            let read = read.expect("it is open");
            let so_far = String::from_utf8_lossy(&received);
            assert!(read > 0, "it was closed before `{text}`: {so_far}");
        }
    }

    /// Reads what is left until the other end closes the connection, or breaks it off.
    pub(super) async fn rest(&mut self) -> String {
        let mut received = Vec::new();
        match within(self.0.read_to_end(&mut received)).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error}"),
        }
        String::from_utf8_lossy(&received).into_owned()
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("in time")
}
