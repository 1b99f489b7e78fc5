//! A handler as wasmCloud's templates for Rust make it, which also uses what only wasmCloud has.

use std::io::Read as _;
use wasmcloud_component::{
    http, info,
    wasi::{config, keyvalue},
    wasmcloud::bus,
};

struct Component;

http::export!(Component);

impl http::Server for Component {
    fn handle(
        request: http::IncomingRequest,
    ) -> http::Result<http::Response<impl http::OutgoingBody>> {
        let (parts, mut body) = request.into_parts();
        info!("a request for {}", parts.uri.path());
        let text = match parts.uri.path() {
            "/echo" => {
                let mut bytes = Vec::new();
                let read = body.read_to_end(&mut bytes);
                read.map_err(|error| http::ErrorCode::InternalError(Some(error.to_string())))?;
                String::from_utf8_lossy(&bytes).into_owned()
            }
            "/config" => match config::store::get("greeting") {
                Ok(Some(value)) => format!("the greeting is {value}\n"),
                Ok(None) => "no greeting\n".to_owned(),
                Err(_) => "no config\n".to_owned(),
            },
            "/store" => match keyvalue::store::open("default") {
                Ok(_) => "there is a store\n".to_owned(),
                Err(error) => format!("no store: {error:?}\n"),
            },
            "/links" => match bus::lattice::set_link_name("other", Vec::new()) {
                Ok(()) => "another link\n".to_owned(),
                Err(error) => format!("no links: {error}\n"),
            },
            path => format!("Hello from wasmCloud, at {path}!\n"),
        };
        Ok(http::Response::new(text))
    }
}
