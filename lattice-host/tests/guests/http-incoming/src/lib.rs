//! An actor that serves requests by `wasi:http` 0.2, in a good way or not: the path says how.

wit_bindgen::generate!({ path: "wit", world: "http-incoming", generate_all });

mod answers;
mod bodies;
mod faults;
mod outgoing;

use exports::wasi::http::incoming_handler::Guest;
use wasi::http::types::{IncomingRequest, ResponseOutparam};

struct Incoming;
export!(Incoming);

impl Guest for Incoming {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let mut parts = path.trim_start_matches('/').splitn(2, '/');
        let (what, rest) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        // Without a query.
        let what = what.split('?').next().unwrap_or("");
        match what {
            "hello" => answers::hello(out),
            "count" => answers::count(out),
            "headers" => answers::headers(&request, out),
            "echo" => answers::echo(&request, out),
            "trailers" => answers::trailers(&request, out),
            "error" => answers::error(out),
            "after" => answers::after(&request, out),
            "upload" => outgoing::upload(out, rest),
            "proxy" => outgoing::proxy(&request, out, rest),
            _ => faults::handle(what, rest, &request, out),
        }
    }
}
