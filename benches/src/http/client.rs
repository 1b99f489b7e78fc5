//! The client.

use super::HELLO;
use crate::Failure;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
    client::conn::http1::{self, SendRequest},
    header::HOST,
};
use hyper_util::rt::TokioIo;
use lattice_benches_common::measure::Calls;
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{net::TcpStream, sync::Mutex as AsyncMutex};
use tokio_util::task::AbortOnDropHandle;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Bytes of one part of a request's body.
const PART: usize = 64 << 10;

/// One connection of HTTP/1.1 that stays open. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    requests: SendRequest<Body>,
    _task: AbortOnDropHandle<()>,
}

/// How many new connections are tried for a request that none of them has sent.
const CONNECTIONS: u32 = 3;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// No server accepts connections.
    #[error("no server accepts connections: {0}")]
    Refused(io::Error),
    /// The connection ended before any part of the response had arrived.
    #[error("the connection ended before the response: {0}")]
    Unanswered(hyper::Error),
    /// The response isn't one of HTTP, or its body broke.
    #[error("the response broke: {0}")]
    Broken(hyper::Error),
    /// Another status than 200.
    #[error("the status is {0}")]
    Status(StatusCode),
    /// A greeting of another length.
    #[error("the body has {0} bytes")]
    Length(usize),
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Fails when nothing accepts connections there.
    pub async fn open(address: SocketAddr) -> Result<Self, GetError> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(GetError::Refused)?;
        stream.set_nodelay(true).map_err(GetError::Refused)?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (requests, connection) = shaken.map_err(GetError::Unanswered)?;
        let task = tokio::spawn(async move {
            // The requests fail with the same error.
            let _ = connection.await;
        });
        Ok(Self {
            requests,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// Requests a path of a host with GET, and returns the length of the response's body.
    ///
    /// # Errors
    /// Fails when the connection ends, or the status isn't 200.
    pub async fn get(&mut self, host: &str, path: &str) -> Result<usize, GetError> {
        let mut body = self.get_head(host, path).await?.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(GetError::Broken)?;
            length += frame.data_ref().map_or(0, Bytes::len);
        }
        Ok(length)
    }

    /// Requests a path of a host with GET, and returns the response as soon as its head has
    /// arrived.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub async fn get_head(
        &mut self,
        host: &str,
        path: &str,
    ) -> Result<Response<Incoming>, GetError> {
        self.send("GET", host, path, Empty::new().boxed_unsync())
            .await
    }

    /// Posts a body of this many bytes, and returns how many came back.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub async fn echo(&mut self, host: &str, bytes: u64) -> Result<u64, GetError> {
        let part = Bytes::from(vec![7; PART]);
        let parts = stream::unfold(bytes, move |left| {
            let part = part.slice(..left.min(PART as u64) as usize);
            async move {
                let rest = left - part.len() as u64;
                (left > 0).then(|| (Ok(Frame::data(part)), rest))
            }
        });
        let body = StreamBody::new(parts).boxed_unsync();
        let mut body = self.send("POST", host, "/echo", body).await?.into_body();
        let mut back = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(GetError::Broken)?;
            back += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Ok(back)
    }

    async fn send(
        &mut self,
        method: &str,
        host: &str,
        path: &str,
        body: Body,
    ) -> Result<Response<Incoming>, GetError> {
        self.requests.ready().await.map_err(GetError::Unanswered)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host);
        let request = request
            .body(body)
            .expect("methods, paths and hosts are valid");
        let response = self.requests.send_request(request).await;
        let response = response.map_err(|error| {
            if error.is_parse() {
                GetError::Broken(error)
            } else {
                GetError::Unanswered(error)
            }
        })?;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(GetError::Status(status)),
        }
    }
}

/// One connection for each task that makes requests.
#[derive(Debug)]
pub struct Gets {
    connections: Vec<AsyncMutex<Connection>>,
    host: String,
}

impl Gets {
    /// Opens this many connections, for requests of `/` of this host.
    ///
    /// # Errors
    /// Fails when nothing accepts connections there.
    pub async fn open(address: SocketAddr, host: &str, count: usize) -> Result<Self, Failure> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(AsyncMutex::new(Connection::open(address).await?));
        }
        Ok(Self {
            connections,
            host: host.to_owned(),
        })
    }
}

impl Calls for Gets {
    async fn call(&self, task: usize, _: &Bytes) -> Result<usize, Failure> {
        let connection = &self.connections[task % self.connections.len()];
        Ok(connection.lock().await.get(&self.host, "/").await?)
    }
}

/// Connections to several servers, as a usual client has them: one for each request that runs, kept
/// for further requests.
///
/// A server that doesn't accept connections is passed over. A server may close a connection that is
/// kept while a request is on its way to it. So a request that got no response on such a connection
/// is made again on a new one, as clients do with idempotent requests.
#[derive(Debug)]
pub struct Pool {
    servers: Mutex<Vec<SocketAddr>>,
    kept: Mutex<Vec<Connection>>,
    host: String,
    next: AtomicUsize,
}

impl Pool {
    /// Creates a pool for requests of `/` of this host.
    pub fn new(servers: Vec<SocketAddr>, host: &str) -> Self {
        Self {
            servers: Mutex::new(servers),
            kept: Mutex::new(Vec::new()),
            host: host.to_owned(),
            next: AtomicUsize::new(0),
        }
    }

    /// Replaces the address of a server that has started again.
    pub fn replace(&self, old: SocketAddr, new: SocketAddr) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        for server in servers.iter_mut().filter(|server| **server == old) {
            *server = new;
        }
    }

    /// Requests `/` and checks that the response is the greeting.
    ///
    /// # Errors
    /// Fails when no server accepts connections, or the response isn't as expected.
    pub async fn get(&self) -> Result<(), GetError> {
        let kept = self.kept().pop();
        if let Some(mut connection) = kept {
            match connection.get(&self.host, "/").await {
                Err(GetError::Unanswered(_)) => {}
                other => return self.ended(connection, other),
            }
        }
        let mut left = CONNECTIONS;
        loop {
            left -= 1;
            let mut connection = self.open().await?;
            match connection.get(&self.host, "/").await {
                // The connection was closed before the request was sent.
                Err(GetError::Unanswered(error)) if error.is_canceled() && left > 0 => {}
                got => return self.ended(connection, got),
            }
        }
    }

    fn ended(&self, connection: Connection, got: Result<usize, GetError>) -> Result<(), GetError> {
        match got? {
            length if length == HELLO.len() => {
                self.kept().push(connection);
                Ok(())
            }
            other => Err(GetError::Length(other)),
        }
    }

    async fn open(&self) -> Result<Connection, GetError> {
        let servers = self
            .servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut refused = io::ErrorKind::NotConnected.into();
        for number in 0..servers.len() {
            match Connection::open(servers[(first + number) % servers.len()]).await {
                Err(GetError::Refused(error)) => refused = error,
                other => return other,
            }
        }
        Err(GetError::Refused(refused))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
