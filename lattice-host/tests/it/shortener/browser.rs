//! A client of the shortener: of its pages, and of its API.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// The label of the wormhole in the manifests, below a domain that every ingress has.
pub(super) const NAME: &str = "short.localhost";
const JSON: &str = "application/json";
/// The deadline of an exchange. The first one may wait for a component to be compiled.
const PATIENCE: Duration = Duration::from_mins(1);

/// A client, which makes a connection for each request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Browser {
    address: SocketAddr,
}

/// A response.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: String,
}

impl Browser {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Returns the beginning of the address of each link.
    pub(super) fn origin(&self) -> String {
        format!("http://{NAME}:{}", self.address.port())
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), None).await
    }

    /// Asks the API for a link.
    pub(super) async fn create(&self, link: &Value) -> Answer {
        let body = link.to_string();
        self.send("POST /api/links", Some((JSON, &body))).await
    }

    /// Returns how often a link was followed, as the API says, if it says it.
    pub(super) async fn clicks(&self, code: &str) -> Option<u64> {
        let answer = self.get(&format!("/api/links/{code}")).await;
        let shown: Value = serde_json::from_str(&answer.body).ok()?;
        let days = shown["clicks"]["days"].as_array()?;
        let sum: u64 = days.iter().filter_map(|day| day["clicks"].as_u64()).sum();
        let total = shown["clicks"]["total"].as_u64()?;
        assert_eq!(sum, total, "{shown}");
        Some(total)
    }

    /// Sends a request with this method and path, and a body of this type.
    pub(super) async fn send(&self, what: &str, body: Option<(&str, &str)>) -> Answer {
        let (method, path) = what.split_once(' ').expect("a method and a path");
        let host = format!("{NAME}:{}", self.address.port());
        let request = Request::builder().method(method).uri(path);
        let mut request = request.header(header::HOST, host);
        if let Some((kind, _)) = body {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let body = body.map_or("", |(_, body)| body).to_owned();
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.expect("a request");
        let answer = timeout(PATIENCE, self.exchange(request)).await;
        let answer = answer.unwrap_or_else(|_| panic!("{what}: no response in time"));
        answer.unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, hyper::Error> {
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends when `requests` is dropped.
        tokio::spawn(connection);
        let (head, body) = requests.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}

impl Answer {
    /// Returns a header; an empty text if there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("text"))
    }

    /// Returns the body of the API.
    pub(super) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), JSON, "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that it is an error of the API.
    pub(super) fn fails(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let error = &self.json()["error"];
        assert_eq!(error["code"], code, "{self:?}");
        assert!(error["message"].is_string(), "{self:?}");
    }
}
