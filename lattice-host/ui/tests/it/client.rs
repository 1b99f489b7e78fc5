//! A client that sends what it is told, and no more.

use crate::{PATIENCE, TOKEN};
use lattice_ui::UiServer;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

/// A response, as text.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Self {
            status: status.unwrap_or_else(|| panic!("no status: {text:?}")),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// Returns a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        let mut pairs = lines.filter_map(|line| line.split_once(": "));
        pairs.find_map(|(given, value)| (given == name).then_some(value))
    }

    /// Returns the code of an error, which has to say what happened.
    pub(crate) fn code(&self) -> String {
        let json: Value =
            serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert!(
            json["what"].as_str().is_some_and(|what| !what.is_empty()),
            "{self:?}"
        );
        json["code"].as_str().expect("a code").to_owned()
    }
}

/// Returns the lines of a head after its first one.
pub(crate) fn head(lines: &[String]) -> String {
    lines
        .iter()
        .flat_map(|line| [line.as_str(), "\r\n"])
        .collect()
}

/// Returns a request with these lines after its first one, and this body.
pub(crate) fn request(first: &str, lines: &[String], body: &str) -> String {
    let lines = head(lines);
    let length = body.len();
    format!(
        "{first} HTTP/1.1\r\n{lines}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// The lines of a request that may do everything.
pub(crate) fn allowed(page: &UiServer) -> Vec<String> {
    vec![
        format!("Host: {}", page.address()),
        format!("Authorization: Bearer {TOKEN}"),
    ]
}

/// Sends bytes and reads until the server closes the connection.
pub(crate) async fn exchange(address: SocketAddr, bytes: &str) -> Response {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(bytes.as_bytes()).await.expect("it reads");
        let mut response = Vec::new();
        // The connection may be reset behind a response to a request that wasn't read to its end.
        let _ = stream.read_to_end(&mut response).await;
        Response::parse(&String::from_utf8_lossy(&response))
    };
    timeout(PATIENCE, exchange).await.expect("a response")
}

/// Makes a request that may do everything.
pub(crate) async fn ask(page: &UiServer, first: &str, body: &str) -> Response {
    let mut lines = allowed(page);
    if !body.is_empty() {
        lines.push("Content-Type: application/json".to_owned());
    }
    exchange(page.address(), &request(first, &lines, body)).await
}

/// An open stream of events.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) status: u16,
    chunks: BufReader<TcpStream>,
    /// What was read of the body, from the first line that was not returned.
    body: Vec<u8>,
}

/// One event.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl Events {
    pub(crate) async fn open(page: &UiServer, last: Option<&str>) -> Self {
        let mut lines = allowed(page);
        lines.extend(last.map(|id| format!("Last-Event-ID: {id}")));
        let lines = head(&lines);
        let opening = async {
            let mut stream = TcpStream::connect(page.address())
                .await
                .expect("it listens");
            let request = format!("GET /api/stream HTTP/1.1\r\n{lines}\r\n");
            stream
                .write_all(request.as_bytes())
                .await
                .expect("it reads");
            let mut lines = BufReader::new(stream);
            let mut first = String::new();
            lines.read_line(&mut first).await.expect("a line");
            let status = first
                .split(' ')
                .nth(1)
                .and_then(|status| status.parse().ok());
            let mut header = String::new();
            while header != "\r\n" {
                header.clear();
                let read = lines.read_line(&mut header).await;
                assert_ne!(read.expect("a header"), 0, "the head ends");
            }
            Self {
                status: status.unwrap_or_else(|| panic!("no status: {first:?}")),
                chunks: lines,
                body: Vec::new(),
            }
        };
        timeout(PATIENCE, opening).await.expect("a response")
    }

    /// Waits for the next event. `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let reading = async {
            let (mut name, mut id) = (String::new(), String::new());
            loop {
                let line = self.line().await?;
                if let Some(event) = line.strip_prefix("event: ") {
                    event.trim_end().clone_into(&mut name);
                } else if let Some(given) = line.strip_prefix("id: ") {
                    given.trim_end().clone_into(&mut id);
                } else if let Some(data) = line.strip_prefix("data: ") {
                    let data = serde_json::from_str(data)
                        .unwrap_or_else(|error| panic!("{error}: {data}"));
                    return Some(Event { name, id, data });
                }
            }
        };
        timeout(PATIENCE, reading)
            .await
            .expect("an event or the end")
    }

    /// The next line, in one chunk or several. `None` at the end.
    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.body.iter().position(|byte| *byte == b'\n') {
                let line = self.body.drain(..=end).collect();
                return Some(String::from_utf8(line).expect("text"));
            }
            let mut size = String::new();
            self.chunks.read_line(&mut size).await.ok()?;
            let size = usize::from_str_radix(size.trim_end(), 16).ok()?;
            let mut chunk = vec![0; size + "\r\n".len()];
            self.chunks.read_exact(&mut chunk).await.ok()?;
            if size == 0 {
                return None;
            }
            self.body.extend_from_slice(&chunk[..size]);
        }
    }
}
