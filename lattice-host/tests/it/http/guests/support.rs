//! Requests to components, and what comes back.

pub(crate) use crate::host::support::*;

use futures_util::StreamExt;
use lattice_core::{Lattice, call::CallError};
use lattice_host::{Actor, Host};
use lattice_provider_sdk::{Broken, ByteReader, ByteWriter, Bytes};
use std::time::Duration;
use tokio::time::timeout;

/// Typed clients of `lattice:http`.
mod wire {
    lattice_provider_sdk::client!({ inline: "
        package lattice-test:http;
        world tests {
            import lattice:http/handler@0.1.0;
        }
    " });
}

pub(crate) use wire::lattice::http::{
    handler::HandlerClient,
    types::{ErrorCode, Header, Request, RequestOptions, Response},
};

pub(crate) type Answered = Result<Result<Response, ErrorCode>, CallError>;

/// Returns the actor of a guest, whose id is the name of its package.
pub(crate) fn guest(name: &str) -> Actor {
    actor(&name.replace('-', "_"))
}

/// Starts a host with one actor.
pub(crate) async fn serving(
    lattice: &Lattice,
    name: &str,
    adjust: impl FnOnce(Actor) -> Actor,
) -> Host {
    started(Host::builder(lattice).actor(name, adjust(guest(name)))).await
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        scheme: Some("http".to_owned()),
        authority: Some("a.example".to_owned()),
        path_with_query: Some(path.to_owned()),
        headers: Vec::new(),
        content: Bytes::new(),
        body: None,
        trailers: None,
    }
}

/// A request, and what writes its body.
pub(crate) fn post(path: &str) -> (Request, ByteWriter) {
    let (writer, body) = ByteReader::channel();
    let request = Request {
        method: "POST".to_owned(),
        body: Some(body),
        ..get(path)
    };
    (request, writer)
}

pub(crate) fn header(name: &str, value: &str) -> Header {
    Header {
        name: name.to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    }
}

pub(crate) fn options() -> RequestOptions {
    RequestOptions {
        connect_timeout: None,
        first_byte_timeout: None,
        between_bytes_timeout: None,
    }
}

/// Sends a request to a component, as an operator.
pub(crate) async fn send(lattice: &Lattice, component: &str, request: Request) -> Answered {
    send_within(lattice, component, request, PATIENCE).await
}

pub(crate) async fn send_within(
    lattice: &Lattice,
    component: &str,
    request: Request,
    limit: Duration,
) -> Answered {
    let client = HandlerClient::new(lattice.operator().component(component));
    client.handle(request, &options()).timeout(limit).await
}

/// Sends a request that is answered.
pub(crate) async fn answered(lattice: &Lattice, component: &str, request: Request) -> Response {
    let answered = send(lattice, component, request).await;
    let answered = answered.unwrap_or_else(|error| panic!("the call failed: {error}"));
    answered.unwrap_or_else(|code| panic!("answered with {code}"))
}

/// Sends a request without a body, and returns the status and the whole body.
pub(crate) async fn fetch(lattice: &Lattice, component: &str, path: &str) -> (u16, String) {
    let response = answered(lattice, component, get(path)).await;
    let status = response.status;
    (status, read(response).await.whole())
}

/// A body that was read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) text: String,
    pub(crate) trailers: Vec<(String, String)>,
    /// Why it isn't whole.
    pub(crate) broken: Option<String>,
}

impl Read {
    pub(crate) fn whole(self) -> String {
        assert_eq!(self.broken, None, "after {:?}", self.text);
        self.text
    }

    /// Returns why it isn't whole.
    pub(crate) fn broken(self) -> String {
        let Self { text, broken, .. } = self;
        broken.unwrap_or_else(|| panic!("it ended after {text:?}"))
    }
}

/// Reads a response to its end.
pub(crate) async fn read(response: Response) -> Read {
    timeout(PATIENCE, Reading::of(response).rest())
        .await
        .expect("a body ends in time")
}

/// A response that is read in parts.
pub(crate) struct Reading {
    content: Bytes,
    body: Option<ByteReader>,
    trailers: Option<lattice_provider_sdk::FutureReader<Result<Vec<Header>, ErrorCode>>>,
}

impl Reading {
    pub(crate) fn of(response: Response) -> Self {
        Self {
            content: response.content,
            body: response.body,
            trailers: response.trailers,
        }
    }

    async fn part(&mut self) -> Option<Result<Bytes, Broken>> {
        if !self.content.is_empty() {
            return Some(Ok(std::mem::take(&mut self.content)));
        }
        self.body.as_mut()?.next().await
    }

    /// Reads until so many bytes are there, and returns them.
    pub(crate) async fn next(&mut self, length: usize) -> String {
        let mut text = String::new();
        while text.len() < length {
            let part = timeout(PATIENCE, self.part()).await.expect("in time");
            let part = part.expect("not the end").expect("not broken");
            text.push_str(&String::from_utf8_lossy(&part));
        }
        text
    }

    /// Reads to the end.
    pub(crate) async fn rest(mut self) -> Read {
        let (mut text, mut broken) = (String::new(), None);
        while let Some(part) = self.part().await {
            match part {
                Ok(part) => text.push_str(&String::from_utf8_lossy(&part)),
                Err(error) => {
                    broken = Some(error.to_string());
                    break;
                }
            }
        }
        let mut trailers = Vec::new();
        match self.trailers {
            None => {}
            Some(later) => match later.await {
                Ok(Ok(all)) => trailers.extend(all.into_iter().map(text_of)),
                Ok(Err(code)) => broken = Some(code.to_string()),
                Err(error) => broken = broken.or_else(|| Some(error.to_string())),
            },
        }
        Read {
            text,
            trailers,
            broken,
        }
    }
}

pub(crate) fn text_of(header: Header) -> (String, String) {
    let value = String::from_utf8_lossy(&header.value).into_owned();
    (header.name, value)
}

/// Sends parts one by one, each when the one before has come back.
pub(crate) async fn ping_pong(lattice: &Lattice, component: &str) {
    let (request, mut writer) = post("/echo");
    let mut reading = Reading::of(answered(lattice, component, request).await);
    for part in ["one", "two", "three"] {
        writer.send(Bytes::from(part)).await.expect("it is read");
        assert_eq!(reading.next(part.len()).await, part);
    }
    writer.end();
    let rest = timeout(PATIENCE, reading.rest()).await.expect("in time");
    assert_eq!(rest.whole(), "");
}

/// Sends a large body, which comes back.
pub(crate) async fn echo_large(lattice: &Lattice, component: &str, path: &str) {
    const PART: usize = 50_000;
    const PARTS: usize = 40;
    let (mut request, mut writer) = post(path);
    request.headers = Vec::new();
    let sending = async move {
        for number in 0..PARTS {
            let byte = b'a' + u8::try_from(number % 26).expect("a letter");
            let part = Bytes::from(vec![byte; PART]);
            if writer.send(part).await.is_err() {
                return;
            }
        }
        writer.end();
    };
    let reading = async { read(answered(lattice, component, request).await).await };
    let (read, ()) = tokio::join!(reading, sending);
    let text = read.whole();
    assert_eq!(text.len(), PART * PARTS);
    for (number, part) in text.as_bytes().chunks(PART).enumerate() {
        let byte = b'a' + u8::try_from(number % 26).expect("a letter");
        assert!(part.iter().all(|found| *found == byte), "part {number}");
    }
}
