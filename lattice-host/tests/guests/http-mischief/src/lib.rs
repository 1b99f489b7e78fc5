//! Serves HTTP by WASI 0.2, and does what the path says: it answers, fails, or tries what is
//! forbidden.

mod answers;
mod bodies;
mod requests;

use wasip2::{
    exports::http::incoming_handler::Guest,
    http::types::{IncomingRequest, ResponseOutparam},
};

wasip2::http::proxy::export!(Mischief);

struct Mischief;

impl Guest for Mischief {
    fn handle(request: IncomingRequest, response: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let mut words = path.trim_start_matches('/').split(['/', '?']);
        let action = words.next().unwrap_or_default();
        let argument = words.next().unwrap_or_default();
        match action {
            "echo" => bodies::echo(&request, response),
            "count" => bodies::count(&request, response),
            "pour" => bodies::pour(response),
            "short" => bodies::short(response),
            "long" => bodies::long(response),
            "trailers" => bodies::trailers(response),
            "trap-later" => bodies::trap_later(response),
            "twice" => bodies::twice(response),
            "trap" => core::arch::wasm32::unreachable(),
            "silence" => {}
            "spin" => loop {
                std::hint::black_box(());
            },
            "status" => answers::status(response, argument),
            "headers" => answers::headers(response, argument),
            "forbidden" => answers::forbidden(response),
            "inject" => answers::inject(response),
            "seen" => answers::seen(&request, response),
            "ask" => requests::ask(&request, response),
            "relay" => requests::relay(&request, response),
            "hold" => requests::hold(response),
            "hold-and-pour" => requests::hold_and(|| bodies::pour(response)),
            "hold-and-count" => requests::hold_and(|| bodies::count(&request, response)),
            _ => answers::text(response, "hello"),
        }
    }
}
