//! An actor that serves HTTP. A wormhole leads requests to it.

use lattice_actor_sdk::http::{Body, Request, Response};

#[lattice_actor_sdk::http]
async fn handle(request: Request<Body>) -> Response<Body> {
    Response::new(greeting(request.uri().path()).into())
}

fn greeting(path: &str) -> String {
    format!("Hello from placeholder-name, at {path}!\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_has_the_path() {
        assert_eq!(greeting("/Ada"), "Hello from placeholder-name, at /Ada!\n");
    }
}
