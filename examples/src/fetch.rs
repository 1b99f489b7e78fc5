//! A small HTTP client.

use crate::Report;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request, StatusCode,
    body::Bytes,
    client::conn::http1::handshake,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// Far longer than a request of an example takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server has answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: String,
}

/// Makes a request to the server at this address, for this host name and path, and returns the
/// response's body.
///
/// # Errors
/// Fails when there is no successful response whose body is text.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> Result<String, Report> {
    let answer = follow(address, host, path).await?;
    if answer.status.is_success() {
        Ok(answer.body)
    } else {
        Err(format!("the response is {}: {}", answer.status, answer.body).into())
    }
}

/// Makes a request as [`get`] does, and returns the response, whatever its status is.
///
/// # Errors
/// Fails when there is no response whose body is text.
pub async fn follow(address: SocketAddr, host: &str, path: &str) -> Result<Answer, Report> {
    let request = Request::get(path).body(String::new())?;
    timeout(PATIENCE, exchange(address, host, request)).await?
}

/// Sends JSON to this path, and returns the response, whatever its status is.
///
/// # Errors
/// Fails when there is no response whose body is text.
pub async fn post(
    address: SocketAddr,
    host: &str,
    path: &str,
    json: String,
) -> Result<Answer, Report> {
    let request = Request::post(path).header(CONTENT_TYPE, "application/json");
    timeout(PATIENCE, exchange(address, host, request.body(json)?)).await?
}

async fn exchange(
    address: SocketAddr,
    host: &str,
    request: Request<String>,
) -> Result<Answer, Report> {
    let stream = TcpStream::connect(address).await?;
    let (mut requests, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends when `requests` is dropped.
    tokio::spawn(connection);
    let mut request = request.map(|body| Full::new(Bytes::from(body)));
    let host = format!("{host}:{}", address.port());
    request.headers_mut().insert(HOST, host.parse()?);
    let response = requests.send_request(request).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: String::from_utf8(body.into())?,
    })
}
