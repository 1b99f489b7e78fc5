//! The actions over the service, against a lattice in this process.

mod apps;
mod bad_input;
mod calls;
mod explanations;
mod links;
mod logs;
mod undo;
mod wormholes;

use axum::body::Body;
use futures_util::StreamExt as _;
use http::{Method, Request, Response, header};
use http_body_util::BodyExt as _;
use lattice_core::{
    Lattice,
    link::{Link, LinkKey},
    name::ComponentId,
    serve::Functions,
    server::ServeHandle,
};
use lattice_ui::{Ui, UiService};
use serde_json::{Value, json};
use std::{future::poll_fn, time::Duration};
use tower_service::Service as _;

const GREETER: &str = "example:hello/greeter@0.1.0";
const COUNTER: &str = "example:hello/counter@1.2.0";
/// What must never be sent.
const SECRET: &str = "enigma-4711";
/// How long a test waits for something to become true.
const PATIENCE: Duration = Duration::from_secs(20);

/// A page of a lattice, and what was sent by it.
struct Page {
    service: UiService,
    lattice: Lattice,
}

impl Page {
    async fn new() -> Self {
        Self::of(|ui| ui).await
    }

    async fn of(choose: impl FnOnce(Ui) -> Ui) -> Self {
        let lattice = Lattice::in_memory("dev").await.expect("in memory");
        let service = choose(Ui::new(&lattice)).service().expect("a service");
        Self { service, lattice }
    }

    async fn ask(&self, method: Method, path: &str, body: Body) -> Response<Body> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .header(
                header::AUTHORIZATION,
                format!("Bearer {}", self.service.token()),
            );
        let request = request.body(body).expect("a request");
        let mut service = self.service.clone();
        poll_fn(|cx| tower_service::Service::<Request<Body>>::poll_ready(&mut service, cx))
            .await
            .expect("never fails");
        let response = service.call(request);
        let response = tokio::time::timeout(PATIENCE, response).await;
        response.expect("in time").expect("never fails")
    }

    /// Returns the status and the JSON of a response, in which no secret is.
    async fn answer(&self, method: Method, path: &str, body: Body) -> (u16, Value) {
        let response = self.ask(method, path, body).await;
        let status = response.status().as_u16();
        let bytes = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        assert!(
            !text.contains(SECRET),
            "a secret was sent by {path}: {text}"
        );
        let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        (status, json)
    }

    async fn get(&self, path: &str) -> Value {
        let (status, json) = self.answer(Method::GET, path, Body::empty()).await;
        assert_eq!(status, 200, "{path}: {json}");
        json
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (status, json) = self.posted(path, &body).await;
        assert_eq!(status, 200, "{path}: {json}");
        json
    }

    async fn posted(&self, path: &str, body: &Value) -> (u16, Value) {
        let body = Body::from(body.to_string());
        self.answer(Method::POST, path, body).await
    }

    /// Checks that a request by POST is refused with this code, and with advice.
    #[track_caller]
    fn refused(
        &self,
        path: &'static str,
        body: Value,
        code: &'static str,
    ) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let (status, json) = self.posted(path, &body).await;
            assert_eq!(
                json["code"], code,
                "{caller}: {path} {body}: {status} {json}"
            );
            assert!(status >= 400, "{caller}: {status}");
            assert!(json["what"].is_string(), "{caller}: {json}");
            assert!(json["next"].is_string(), "{caller}: {json}");
            json
        }
    }

    /// Checks that a request by GET is refused with this code.
    async fn denied(&self, path: &str, code: &str) -> Value {
        let (status, json) = self.answer(Method::GET, path, Body::empty()).await;
        assert_eq!(json["code"], code, "{path}: {status} {json}");
        assert!(status >= 400 && json["what"].is_string(), "{path}: {json}");
        json
    }

    /// Serves components made of Rust functions: `greeter`, `counter`, and `front`, which exports
    /// nothing that the others call.
    async fn serve(&self) -> Vec<ServeHandle> {
        let greeter = Functions::new()
            .export(
                GREETER,
                "greet",
                "func(name: string, times: option<u8>) -> string",
                async |(name, times): (String, Option<u8>)| {
                    format!("Hello, {name}!").repeat(times.unwrap_or(1).into())
                },
            )
            .and_then(|greeter| {
                greeter.export(
                    GREETER,
                    "find",
                    "func(id: u64) -> result<record { id: u64, tags: list<string> }, string>",
                    async |(id,): (u64,)| match id {
                        0 => Err("there is none".to_owned()),
                        id => Ok((id, vec!["a".to_owned()])),
                    },
                )
            })
            .and_then(|greeter| {
                greeter.export(
                    GREETER,
                    "open",
                    "func(at: own<example:hello/greeter/door>)",
                    async |(_,): (u32,)| (),
                )
            });
        let counter =
            Functions::new().export(COUNTER, "count", "func() -> u64", async |(): ()| u64::MAX);
        let mut handles = Vec::new();
        for (id, functions) in [("greeter", greeter), ("counter", counter)] {
            let functions = functions.expect("valid");
            handles.push(self.lattice.serve(id, functions).await.expect("served"));
        }
        handles
    }

    async fn link(&self, source: &str, interface: &str, target: &str) -> LinkKey {
        let link = Link::new(source, interface, target).expect("valid");
        let link = link.config(&json!({ "password": SECRET })).expect("JSON");
        let entry = self.lattice.links().put(link).await.expect("put");
        (*entry.key).clone()
    }
}

fn id(text: &str) -> ComponentId {
    ComponentId::new(text).expect("valid")
}

/// Reads a stream of server-sent events until one has this text in it.
async fn event(body: &mut Body, text: &str) -> String {
    let mut read = String::new();
    let mut chunks = std::mem::replace(body, Body::empty()).into_data_stream();
    let found = async {
        while let Some(chunk) = chunks.next().await {
            read += std::str::from_utf8(&chunk.expect("a chunk")).expect("text");
            if read.contains(text) {
                return;
            }
        }
        panic!("the stream ended without {text}: {read}");
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .expect("in time");
    *body = Body::from_stream(chunks);
    read
}
