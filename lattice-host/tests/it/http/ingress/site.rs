//! A native component that serves requests in all the ways that a guest could, by their paths.

use bytes::Bytes;
use futures_util::{StreamExt as _, future::pending};
use lattice_provider_sdk::{ByteReader, ByteWriter, Call, FutureReader, Stateless};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::Semaphore;

lattice_provider_sdk::provider!({ inline: "
    package test:site;
    world site { export lattice:http/handler@0.1.0; }
" });

use lattice::http::{
    handler::Handler,
    types::{ErrorCode, Header, Request, RequestOptions, Response},
};

/// A component that serves requests.
#[derive(Clone, Default)]
pub(super) struct Site(Arc<State>);

/// What the component has seen.
pub(super) struct State {
    /// How many calls have begun.
    pub(super) begun: AtomicUsize,
    /// How many calls that wait, and bodies that go on forever, were cancelled.
    pub(super) cancelled: Arc<AtomicUsize>,
    /// How many bodies of requests `/read` has begun to read and not seen the end of: they broke,
    /// or the call was cancelled.
    pub(super) broken: Arc<AtomicUsize>,
    /// What `/gate` waits for, and `/parts` after the first part.
    pub(super) gate: Semaphore,
}

impl Default for State {
    fn default() -> Self {
        Self {
            begun: AtomicUsize::default(),
            cancelled: Arc::default(),
            broken: Arc::default(),
            gate: Semaphore::new(0),
        }
    }
}

impl Site {
    pub(super) fn state(&self) -> &State {
        &self.0
    }
}

impl Stateless for Site {
    type World = World;
}

impl Handler for Site {
    async fn handle(
        &self,
        _: &Call<Self>,
        request: Request,
        _: RequestOptions,
    ) -> Result<Response, ErrorCode> {
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        let path = request.path_with_query.clone().unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default().to_owned();
        match &*path {
            "/echo" => Ok(echo(request)),
            "/see" => Ok(see(&request)),
            "/read" => self.read(request).await,
            "/never" => {
                let _counted = OnDrop(self.0.cancelled.clone());
                pending().await
            }
            "/gate" => {
                let _turn = self.0.gate.acquire().await;
                Ok(text("through"))
            }
            "/ever" => Ok(self.ever()),
            "/parts" => Ok(self.parts()),
            "/code" => Err(ErrorCode::InternalError(Some("secret".to_owned()))),
            "/panic" => panic!("secret"),
            path => other(path).ok_or(ErrorCode::DestinationNotFound),
        }
    }
}

impl Site {
    /// Reads the whole body before it answers.
    async fn read(&self, request: Request) -> Result<Response, ErrorCode> {
        let unread = OnDrop(self.0.broken.clone());
        let mut bytes = request.content.len();
        if let Some(mut body) = request.body {
            while let Some(part) = body.next().await {
                let Ok(part) = part else {
                    return Ok(text("broken"));
                };
                bytes += part.len();
            }
        }
        unread.disarm();
        Ok(text(&bytes.to_string()))
    }

    /// A body whose second part waits for the gate.
    fn parts(&self) -> Response {
        let state = self.0.clone();
        streamed(move |mut writer| async move {
            let _ = writer.send(Bytes::from_static(b"one part")).await;
            let _turn = state.gate.acquire().await;
            let _ = writer.send(Bytes::from_static(b", and the other")).await;
            writer.end();
        })
    }

    /// A body that goes on until its reader is gone.
    fn ever(&self) -> Response {
        let cancelled = self.0.cancelled.clone();
        streamed(move |mut writer| async move {
            let _counted = OnDrop(cancelled);
            while writer.send(Bytes::from(vec![b'x'; 8_192])).await.is_ok() {}
        })
    }
}

/// What needs nothing but the path.
fn other(path: &str) -> Option<Response> {
    Some(match path {
        "/hello" => text("hello"),
        "/empty" => text(""),
        "/broken" => streamed(|mut writer| async move {
            let _ = writer.send(Bytes::from_static(b"a part")).await;
            writer.fail("secret");
        }),
        "/lost" => streamed(|mut writer| async move {
            let _ = writer.send(Bytes::from_static(b"a part")).await;
        }),
        "/stalls" => streamed(|mut writer| async move {
            let _ = writer.send(Bytes::from_static(b"a part")).await;
            writer.unread().await;
        }),
        "/short" => with(text("short"), &[("content-length", "10")]),
        "/long" => with(text("much too long"), &[("content-length", "4")]),
        "/two-lengths" => with(
            text("hello"),
            &[("content-length", "5"), ("content-length", "6")],
        ),
        "/exact" => with(text("exact"), &[("content-length", "5")]),
        "/inject" => with(text(""), &[("x-name", "a\r\nset-cookie: stolen=1")]),
        "/hop" => with(
            text("hop"),
            &[
                ("connection", "x-private"),
                ("keep-alive", "timeout=9"),
                ("transfer-encoding", "gzip"),
                ("upgrade", "websocket"),
                ("x-request-id", "of the component"),
                ("x-public", "1"),
            ],
        ),
        "/many" => {
            let headers = (0..33_000).map(|number| header(&format!("x-{number}"), "1"));
            Response {
                headers: headers.collect(),
                ..text("many")
            }
        }
        "/huge" => {
            let value = "a".repeat(128 * 1024);
            with(text(""), &[("x-a", &value), ("x-b", &value), ("x-c", "1")])
        }
        "/trailers" => Response {
            trailers: Some(FutureReader::new(async {
                Ok(vec![
                    header("x-sum", "7"),
                    header("content-length", "3"),
                    header("transfer-encoding", "chunked"),
                    header("set-cookie", "a=1"),
                ])
            })),
            ..with(text("hello"), &[("trailer", "x-sum, content-length")])
        },
        path => {
            let status = path.strip_prefix("/status/")?.parse().ok()?;
            Response {
                status,
                ..text("with a body")
            }
        }
    })
}

/// Answers with the body that came, as it comes.
fn echo(request: Request) -> Response {
    Response {
        status: 200,
        headers: Vec::new(),
        content: request.content,
        body: request.body.map(ByteReader::fallible),
        trailers: request.trailers,
    }
}

/// Answers with the head that came, a line for each part of it.
fn see(request: &Request) -> Response {
    let mut lines = vec![
        format!("method {}", request.method),
        format!("scheme {}", request.scheme.as_deref().unwrap_or_default()),
        format!(
            "authority {}",
            request.authority.as_deref().unwrap_or_default()
        ),
        format!(
            "path {}",
            request.path_with_query.as_deref().unwrap_or_default()
        ),
    ];
    lines.extend(request.headers.iter().map(|header| {
        let value = String::from_utf8_lossy(&header.value);
        format!("{}: {value}", header.name)
    }));
    text(&lines.join("\n"))
}

fn text(text: &str) -> Response {
    Response {
        status: 200,
        headers: Vec::new(),
        content: Bytes::copy_from_slice(text.as_bytes()),
        body: None,
        trailers: None,
    }
}

fn with(mut response: Response, headers: &[(&str, &str)]) -> Response {
    let headers = headers.iter().map(|(name, value)| header(name, value));
    response.headers.extend(headers);
    response
}

fn header(name: &str, value: &str) -> Header {
    Header {
        name: name.to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    }
}

/// A response whose body a task writes.
fn streamed<F: Future<Output = ()> + Send + 'static>(
    write: impl FnOnce(ByteWriter) -> F,
) -> Response {
    let (writer, body) = ByteReader::channel();
    tokio::spawn(write(writer));
    Response {
        body: Some(body),
        ..text("")
    }
}

/// Counts when it is dropped.
struct OnDrop(Arc<AtomicUsize>);

impl OnDrop {
    /// Drops it without counting.
    fn disarm(mut self) {
        self.0 = Arc::default();
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
