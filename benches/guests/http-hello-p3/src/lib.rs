//! Serves HTTP by WASI 0.3: a short text, and the request's body.

wit_bindgen::generate!({ path: "../http", world: "hello", generate_all });

use exports::wasi::http::handler::Guest;
use wasi::http::types::{ErrorCode, Fields, Request, Response};

export!(Hello);

struct Hello;

impl Guest for Hello {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let (body, trailers) = match request.get_path_with_query().as_deref() {
            Some("/echo") => {
                // Dropped without a value, it means that everything was received.
                let (_, received) = wit_future::new(|| Ok(()));
                Request::consume_body(request, received)
            }
            _ => hello(),
        };
        Ok(Response::new(Fields::new(), Some(body), trailers).0)
    }
}

/// A body and its trailers.
type Body = (
    wit_bindgen::StreamReader<u8>,
    wit_bindgen::FutureReader<Result<Option<Fields>, ErrorCode>>,
);

fn hello() -> Body {
    let (mut writer, body) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    wit_bindgen::spawn_local(async move {
        // What is left over when the client has gone is of no use.
        writer.write_all(b"Hello, world!".to_vec()).await;
    });
    (body, trailers)
}
