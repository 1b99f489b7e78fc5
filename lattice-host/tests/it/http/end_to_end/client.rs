//! A client of HTTP/1.1 with one connection.

use crate::host::support::PATIENCE;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::HOST,
};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, net::SocketAddr};
use tokio::{net::TcpStream, time::timeout};
use tokio_util::task::AbortOnDropHandle;

/// The host name of the wormhole that leads to `http-mischief`.
pub(super) const WORLD: &str = "world.example";

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A connection. Dropping it closes it at once.
pub(super) struct Client {
    requests: SendRequest<Body>,
    _task: AbortOnDropHandle<()>,
}

impl Client {
    pub(super) async fn open(address: SocketAddr) -> Self {
        Self::try_open(address).await.expect("connected")
    }

    pub(super) async fn try_open(address: SocketAddr) -> Result<Self, std::io::Error> {
        let stream = TcpStream::connect(address).await?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (requests, connection) = shaken.map_err(std::io::Error::other)?;
        let task = tokio::spawn(async move {
            // The requests fail with the same error.
            let _ = connection.await;
        });
        Ok(Self {
            requests,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// Sends a request, and returns the response as soon as its head has arrived.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let sent = async {
            self.requests.ready().await?;
            self.requests.send_request(request).await
        };
        timeout(PATIENCE, sent).await.expect("a response in time")
    }

    /// Requests a path of [`WORLD`] with GET.
    pub(super) async fn get(&mut self, path: &str) -> Result<Response<Incoming>, hyper::Error> {
        self.send(get(WORLD, path)).await
    }

    /// Requests a path of [`WORLD`] with GET, and returns the status and the whole body.
    pub(super) async fn page(&mut self, path: &str) -> (StatusCode, String) {
        let response = self.get(path).await;
        whole(response.expect("a response")).await
    }
}

/// Makes a request with GET.
pub(super) fn get(host: &str, path: &str) -> Request<Body> {
    let request = Request::get(path).header(HOST, host);
    request
        .body(Empty::new().boxed_unsync())
        .expect("a request")
}

/// Makes a request with a body.
pub(super) fn post(path: &str, body: Body) -> Request<Body> {
    let request = Request::post(path).header(HOST, WORLD);
    request.body(body).expect("a request")
}

/// Returns the status and the whole body.
pub(super) async fn whole(response: Response<Incoming>) -> (StatusCode, String) {
    let status = response.status();
    let body = collect(response).await.expect("a whole body");
    (status, body)
}

/// Returns the body, or the error with which it breaks.
pub(super) async fn collect(response: Response<Incoming>) -> Result<String, hyper::Error> {
    let body = timeout(PATIENCE, response.into_body().collect()).await;
    let body = body.expect("the body ends in time")?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}
