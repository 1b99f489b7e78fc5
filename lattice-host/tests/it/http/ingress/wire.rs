//! A client that sends and receives bytes.

use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Longer than anything takes that isn't stuck, also on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// A connection.
pub(crate) struct Wire<S = TcpStream> {
    io: S,
    /// What was received and not yet used.
    received: Vec<u8>,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Its lines after the first one, in lower case up to the colon.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
}

/// The body of a response, as far as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    Whole(String),
    Cut(String),
}

impl Wire {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let connected = within(TcpStream::connect(address)).await;
        Self::over(connected.expect("the ingress takes connections"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn over(io: S) -> Self {
        Self {
            io,
            received: Vec::new(),
        }
    }

    /// Sends text. Its lines end as HTTP wants.
    pub(super) async fn send(&mut self, text: &str) {
        let text = text.replace('\n', "\r\n");
        let sent = within(self.io.write_all(text.as_bytes())).await;
        sent.expect("the connection is open");
        within(self.io.flush())
            .await
            .expect("the connection is open");
    }

    /// Sends bytes, and returns whether the connection took them.
    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        within(self.io.write_all(bytes)).await.is_ok() && within(self.io.flush()).await.is_ok()
    }

    /// Sends a request without a body, and returns the response.
    pub(crate) async fn get(&mut self, host: &str, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\nhost: {host}\n\n"))
            .await;
        self.answer().await
    }

    /// Receives a response to a request that isn't `HEAD`.
    pub(super) async fn answer(&mut self) -> Answer {
        let answer = self.try_answer().await;
        answer.expect("the connection doesn't end without a response")
    }

    /// Receives a response, unless the connection ends without the head of one.
    pub(super) async fn try_answer(&mut self) -> Option<Answer> {
        let mut answer = self.try_head().await?;
        let is_chunked = answer.header("transfer-encoding") == Some("chunked");
        let length = answer.header("content-length").map(|length| {
            length
                .parse()
                .unwrap_or_else(|_| panic!("a length: {length}"))
        });
        answer.body = match length {
            _ if matches!(answer.status, 204 | 304) => Body::Whole(String::new()),
            _ if is_chunked => self.chunks().await,
            Some(length) => self.exactly(length).await,
            None => {
                let (rest, is_orderly) = self.rest().await;
                if is_orderly {
                    Body::Whole(rest)
                } else {
                    Body::Cut(rest)
                }
            }
        };
        Some(answer)
    }

    /// Receives the head of a response.
    pub(super) async fn head(&mut self) -> Answer {
        let head = self.try_head().await;
        head.expect("the connection doesn't end without a response")
    }

    async fn try_head(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(end) = find(&self.received, b"\r\n\r\n") {
                break end;
            }
            if !self.receive().await {
                return None;
            }
        };
        let head: Vec<u8> = self.received.drain(..end + 4).collect();
        let head = String::from_utf8(head).expect("a head is text");
        let mut lines = head.trim_end().split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let header = |line: &str| {
            let (name, value) = line.split_once(':').expect("a header");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Some(Answer {
            status: status.unwrap_or_else(|| panic!("a status line: {first}")),
            headers: lines.map(header).collect(),
            body: Body::Whole(String::new()),
        })
    }

    /// Receives bytes, and returns whether the connection is still open.
    pub(super) async fn receive(&mut self) -> bool {
        let mut buffer = vec![0; 16 * 1024];
        match within(self.io.read(&mut buffer)).await {
            Ok(0) | Err(_) => false,
            Ok(bytes) => {
                self.received.extend_from_slice(&buffer[..bytes]);
                true
            }
        }
    }

    /// Receives all that comes until the connection ends, and returns whether that was in order.
    pub(super) async fn rest(&mut self) -> (String, bool) {
        let mut all = std::mem::take(&mut self.received);
        let ended = within(self.io.read_to_end(&mut all)).await;
        (String::from_utf8_lossy(&all).into_owned(), ended.is_ok())
    }

    async fn exactly(&mut self, length: usize) -> Body {
        while self.received.len() < length {
            if !self.receive().await {
                return Body::Cut(text(std::mem::take(&mut self.received)));
            }
        }
        Body::Whole(text(self.received.drain(..length).collect()))
    }

    /// Receives a body in chunks whose head was received.
    pub(super) async fn rest_of_chunks(&mut self) -> Body {
        self.chunks().await
    }

    async fn chunks(&mut self) -> Body {
        let mut all = String::new();
        loop {
            let Some(size) = self.line().await else {
                return Body::Cut(all);
            };
            let size = usize::from_str_radix(&size, 16);
            let size = size.unwrap_or_else(|_| panic!("the size of a chunk after {all}"));
            if size == 0 {
                // Trailers and an empty line.
                while self.line().await.is_some_and(|line| !line.is_empty()) {}
                return Body::Whole(all);
            }
            match self.exactly(size).await {
                Body::Whole(chunk) => all.push_str(&chunk),
                Body::Cut(part) => return Body::Cut(all + &part),
            }
            let _ = self.line().await;
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.received, b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).collect();
                return Some(text(line).trim_end().to_owned());
            }
            if !self.receive().await {
                return None;
            }
        }
    }
}

impl Answer {
    /// Returns the value of a header, which must not be there twice.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(other, _)| other == name);
        let value = named.next().map(|(_, value)| &**value);
        assert!(named.next().is_none(), "`{name}` is there twice: {self:?}");
        value
    }

    /// Returns the body, which must be whole.
    pub(crate) fn text(&self) -> &str {
        match &self.body {
            Body::Whole(text) => text,
            Body::Cut(_) => panic!("the body is cut: {self:?}"),
        }
    }
}

/// Waits for something that must happen.
pub(super) async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("it doesn't hang")
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}
