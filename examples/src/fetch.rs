//! A small HTTP client.

use crate::Report;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, body::Bytes, client::conn::http1::handshake, header::HOST};
use hyper_util::rt::TokioIo;
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// Far longer than a request of an example takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a request to the server at this address, for this host name and path, and returns the
/// response's body.
///
/// # Errors
/// Fails when there is no successful response whose body is text.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> Result<String, Report> {
    timeout(PATIENCE, exchange(address, host, path)).await?
}

async fn exchange(address: SocketAddr, host: &str, path: &str) -> Result<String, Report> {
    let stream = TcpStream::connect(address).await?;
    let (mut requests, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends when `requests` is dropped.
    tokio::spawn(connection);
    let request = Request::get(path)
        .header(HOST, format!("{host}:{}", address.port()))
        .body(Empty::<Bytes>::new())?;
    let response = requests.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    let body = String::from_utf8(body.into())?;
    if status.is_success() {
        Ok(body)
    } else {
        Err(format!("the response is {status}: {body}").into())
    }
}
