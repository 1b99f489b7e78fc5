//! A handler of the SDK that waits for the whole body, which is text.

use lattice_actor_sdk::http::{Request, Response};

#[lattice_actor_sdk::http]
fn shout(request: Request<String>) -> Response<String> {
    Response::new(request.body().to_uppercase())
}
