//! Says hello over HTTP. A wormhole leads requests to it.

use lattice_actor_sdk::http::{Body, Request, Response};

#[lattice_actor_sdk::http]
async fn handle(request: Request<Body>) -> Response<Body> {
    Response::new(format!("Hello from Rust, at {}!\n", request.uri().path()).into())
}
