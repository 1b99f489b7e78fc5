//! Bodies of requests that guests make, whose instances end.

use super::support::*;
use lattice_core::{Lattice, link::Link};
use lattice_host::Host;
use lattice_provider_sdk::{ByteReader, Bytes, Call, Provider, Refusal};
use std::sync::Arc;
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};

/// Native servers of requests, under the names that guests import.
mod incoming {
    lattice_provider_sdk::provider!({ inline: "
        package wasi:http@0.2.0;
        interface outgoing-handler {
            use lattice:http/types@0.1.0.{request, request-options, response, error-code};
            handle: async func(request: request, options: request-options)
                -> result<response, error-code>;
        }
        world server { export outgoing-handler; }
    " });
}
mod client {
    lattice_provider_sdk::provider!({ inline: "
        package wasi:http@0.3.0;
        interface client {
            use lattice:http/types@0.1.0.{request, request-options, response, error-code};
            handle: async func(request: request, options: request-options)
                -> result<response, error-code>;
        }
        world server { export client; }
    " });
}

/// What was uploaded, and whether it is whole.
type Upload = (String, bool);

/// Answers requests at once, and reads their bodies when it is told to.
struct Sink {
    go: Arc<Notify>,
    uploads: mpsc::UnboundedSender<Upload>,
}

impl Sink {
    fn new() -> (Self, Arc<Notify>, mpsc::UnboundedReceiver<Upload>) {
        let (uploads, read) = mpsc::unbounded_channel();
        let go = Arc::<Notify>::default();
        let sink = Self {
            go: go.clone(),
            uploads,
        };
        (sink, go, read)
    }

    fn take(&self, content: Bytes, body: Option<ByteReader>) {
        let (go, uploads) = (self.go.clone(), self.uploads.clone());
        tokio::spawn(async move {
            go.notified().await;
            let upload = collect(content, body).await;
            uploads.send(upload).expect("the test waits for it");
        });
    }
}

async fn collect(content: Bytes, body: Option<ByteReader>) -> Upload {
    let mut text = String::from_utf8_lossy(&content).into_owned();
    let Some(mut body) = body else {
        return (text, true);
    };
    while let Some(part) = futures_util::StreamExt::next(&mut body).await {
        match part {
            Ok(part) => text.push_str(&String::from_utf8_lossy(&part)),
            Err(_) => return (text, false),
        }
    }
    (text, true)
}

struct Incoming(Sink);
struct Client(Sink);

macro_rules! serve {
    ($sink:ident, $world:ident, $interface:ident, $handler:ident) => {
        impl Provider for $sink {
            type World = $world::World;
            type Config = serde_json::Value;
            type Binding = ();

            async fn link(&self, _: &Link, _: Self::Config) -> Result<(), Refusal> {
                Ok(())
            }
        }

        impl $world::wasi::http::$interface::$handler for $sink {
            async fn handle(
                &self,
                _: &Call<Self>,
                request: $world::lattice::http::types::Request,
                _: $world::lattice::http::types::RequestOptions,
            ) -> Result<
                $world::lattice::http::types::Response,
                $world::lattice::http::types::ErrorCode,
            > {
                self.0.take(request.content, request.body);
                Ok($world::lattice::http::types::Response {
                    status: 200,
                    headers: Vec::new(),
                    content: Bytes::new(),
                    body: None,
                    trailers: None,
                })
            }
        }
    };
}

serve!(Incoming, incoming, outgoing_handler, OutgoingHandler);
serve!(Client, client, client, Client);

async fn next(uploads: &mut mpsc::UnboundedReceiver<Upload>) -> Upload {
    let upload = timeout(PATIENCE, uploads.recv()).await;
    upload.expect("in time").expect("an upload")
}

/// Makes a guest upload something, and trap.
async fn trapped(lattice: &Lattice, guest: &str) {
    let failed = send(lattice, guest, get("/upload/trap")).await;
    let reason = reason(failed.map(drop));
    assert!(reason.contains("on purpose"), "{reason}");
}

#[tokio::test]
async fn the_upload_of_a_guest_that_traps_is_broken() {
    const GUEST: &str = "http-incoming";
    let lattice = lattice().await;
    let (sink, go, mut uploads) = Sink::new();
    let host = Host::builder(&lattice).actor(GUEST, guest(GUEST));
    let _host = started(host.provider("sink", Incoming(sink))).await;
    link(&lattice, GUEST, "wasi:http/outgoing-handler@0.2.0", "sink").await;
    trapped(&lattice, GUEST).await;
    go.notify_one();
    assert_eq!(next(&mut uploads).await, ("part".to_owned(), false));
    // What the guest has ended is whole, though its instance is gone by the time it is read.
    assert_eq!(fetch(&lattice, GUEST, "/upload").await.1, "uploaded");
    go.notify_one();
    assert_eq!(next(&mut uploads).await, ("part, rest".to_owned(), true));
}

#[tokio::test]
async fn the_upload_of_a_shared_instance_that_traps_is_broken() {
    const GUEST: &str = "http-handler";
    let lattice = lattice().await;
    let (sink, go, mut uploads) = Sink::new();
    let host = Host::builder(&lattice).actor(GUEST, guest(GUEST));
    let _host = started(host.provider("sink", Client(sink))).await;
    link(&lattice, GUEST, "wasi:http/client@0.3.0", "sink").await;
    trapped(&lattice, GUEST).await;
    go.notify_one();
    let (text, is_whole) = next(&mut uploads).await;
    assert!(!is_whole, "it ended after {text:?}");
    assert_eq!(fetch(&lattice, GUEST, "/upload").await.1, "uploaded");
    let failed = send(&lattice, GUEST, get("/trap-before")).await;
    failed.map(drop).expect_err("it traps");
    go.notify_one();
    assert_eq!(next(&mut uploads).await, ("part".to_owned(), true));
}
