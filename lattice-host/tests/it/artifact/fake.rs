//! A fake registry over plain HTTP. A test's function responds to its requests, and it records
//! them.

use lattice_host::artifact::ImageDigest;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// `GET /v2/…`.
    pub(crate) what: String,
    /// The headers, by their names in lower case.
    pub(crate) headers: HashMap<String, String>,
    /// The number of equal requests before this one.
    pub(crate) before: usize,
}

/// A response.
pub(crate) enum Answer {
    /// A complete response.
    Content {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// This many bytes of the declared body; then the connection is closed.
    Cut { body: Vec<u8>, sent: usize },
    /// The body, byte by byte, without end.
    Drip,
    /// An endless body.
    Flood { status: u16 },
    /// No response, while the connection stays open.
    Silence,
}

/// A running registry, which stops on drop.
pub(crate) struct Fake {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _task: AbortOnDropHandle<()>,
}

/// Manifests and blobs by their paths, all returned correctly.
#[derive(Clone, Default)]
pub(crate) struct Contents(HashMap<String, Vec<u8>>);

impl Fake {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
        let serve = async move {
            // Its connections end with this task.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                connections.spawn(async move {
                    // A client that disconnects isn't a failure of the registry.
                    let _ = serve(stream, &seen, &*answer).await;
                });
            }
        };
        Self {
            address,
            asked,
            _task: AbortOnDropHandle::new(tokio::spawn(serve)),
        }
    }

    /// Returns host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Returns the requests that begin with `beginning`.
    pub(crate) fn asked(&self, beginning: &str) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|asked| asked.what.starts_with(beginning))
            .cloned()
            .collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Asked>>,
    answer: &(dyn Fn(&Asked) -> Answer + Send + Sync),
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let what = lines
        .next()
        .unwrap_or_default()
        .trim_end_matches(" HTTP/1.1")
        .to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let asked = {
        let mut seen = seen.lock().unwrap();
        let before = seen.iter().filter(|asked| asked.what == what).count();
        let asked = Asked {
            what,
            headers,
            before,
        };
        seen.push(asked.clone());
        asked
    };
    send(&mut stream, answer(&asked)).await
}

async fn send(stream: &mut TcpStream, answer: Answer) -> std::io::Result<()> {
    match answer {
        Answer::Content {
            status,
            headers,
            body,
        } => {
            let mut head = format!(
                "HTTP/1.1 {status} Status\r\nconnection: close\r\ncontent-length: {}\r\n",
                body.len()
            );
            for (name, value) in headers {
                head.extend([name, ": ", &value, "\r\n"]);
            }
            stream.write_all(format!("{head}\r\n").as_bytes()).await?;
            stream.write_all(&body).await?;
        }
        Answer::Cut { body, sent } => {
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body[..sent]).await?;
        }
        Answer::Drip => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                .await?;
            loop {
                stream.write_all(b"1\r\nx\r\n").await?;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
        Answer::Flood { status } => {
            let head = format!("HTTP/1.1 {status} Status\r\ntransfer-encoding: chunked\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            let chunk = [b"10000\r\n", &vec![b' '; 0x10000][..], b"\r\n"].concat();
            loop {
                stream.write_all(&chunk).await?;
            }
        }
        Answer::Silence => std::future::pending().await,
    }
    stream.shutdown().await?;
    // Waits until the client has read everything and closes the connection.
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

impl Answer {
    pub(crate) fn content(body: impl Into<Vec<u8>>) -> Self {
        Self::Content {
            status: 200,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Content {
            status,
            headers: Vec::new(),
            body: b"details".into(),
        }
    }
}

impl Contents {
    /// Returns the contents of a registry with the image `a:1` of this layer.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::default()
            .blob(bytes)
            .manifest("1", &manifest(&[("application/wasm", bytes)]))
    }

    pub(crate) fn blob(mut self, bytes: &[u8]) -> Self {
        self.0.insert(
            format!("/v2/a/blobs/{}", ImageDigest::of(bytes)),
            bytes.into(),
        );
        self
    }

    /// Adds a manifest under a tag and under its digest.
    pub(crate) fn manifest(mut self, tag: &str, document: &str) -> Self {
        let digest = ImageDigest::of(document.as_bytes()).to_string();
        for name in [tag, &digest] {
            self.0
                .insert(format!("/v2/a/manifests/{name}"), document.into());
        }
        self
    }

    pub(crate) fn answer(&self, asked: &Asked) -> Answer {
        let Some((method, path)) = asked.what.split_once(' ') else {
            return Answer::status(400);
        };
        match self.0.get(path) {
            _ if path == "/v2/" => Answer::content("{}"),
            Some(body) if method == "GET" => Answer::content(body.clone()),
            _ => Answer::status(404),
        }
    }
}

/// Returns a manifest of these layers.
pub(crate) fn manifest(layers: &[(&str, &[u8])]) -> String {
    let layers = layers.iter().map(|(media_type, bytes)| {
        serde_json::json!({"mediaType": media_type, "digest": ImageDigest::of(bytes), "size": bytes.len()})
    });
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.wasm.config.v0+json", "digest": ImageDigest::of(b"{}"), "size": 2},
        "layers": layers.collect::<Vec<_>>(),
    })
    .to_string()
}
