//! A handler of the SDK, with streamed bodies. The path says what it does.

use futures_util::stream;
use lattice_actor_sdk::{
    http::{Body, Request, Response, StatusCode, fetch},
    log,
};
use std::io;

#[lattice_actor_sdk::http]
async fn handle(request: Request<Body>) -> Result<Response<Body>, String> {
    let in_words = |error: lattice_actor_sdk::http::Error| format!("{error:#}");
    match request.uri().path() {
        "/echo" => Ok(Response::new(request.into_body())),
        "/fail" => Err("a reason that is nobody's business".to_owned()),
        "/connection" => {
            let response = Response::builder().header("connection", "close");
            response
                .body(Body::empty())
                .map_err(|error| error.to_string())
        }
        "/break" => {
            let parts = [Ok("the first part"), Err(io::Error::other("no more"))];
            Ok(Response::new(Body::from_try_stream(stream::iter(parts))))
        }
        "/fetch" => {
            log::info!("on my way");
            let onward = Request::get("http://other.example/there").body(Body::empty());
            let onward = onward.map_err(|error| error.to_string())?;
            fetch(onward).await.map_err(in_words)
        }
        _ => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_FOUND;
            Ok(response)
        }
    }
}
