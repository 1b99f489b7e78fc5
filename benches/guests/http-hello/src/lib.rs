//! Serves HTTP by WASI 0.2: a short text, the request's body, and a body without an end.

use wasip2::{
    exports::http::incoming_handler::Guest,
    http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam},
    io::streams::{InputStream, OutputStream, StreamError},
};

/// Bytes that one call passes on, or writes.
const PART: u64 = 64 << 10;
/// What a stream takes in one write at most.
const WRITE: usize = 4 << 10;

wasip2::http::proxy::export!(Hello);

struct Hello;

impl Guest for Hello {
    fn handle(request: IncomingRequest, response: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let head = OutgoingResponse::new(Fields::new());
        let body = head.body().expect("taken once");
        ResponseOutparam::set(response, Ok(head));
        let out = body.write().expect("taken once");
        // Writing fails when the client has gone, so nothing is left to do.
        let written = match path.as_str() {
            "/echo" => echo(&request, &out),
            "/endless" => endless(&out),
            _ => out.blocking_write_and_flush(b"Hello, world!"),
        };
        drop(out);
        if written.is_ok() {
            let _ = OutgoingBody::finish(body, None);
        }
    }
}

fn echo(request: &IncomingRequest, out: &OutputStream) -> Result<(), StreamError> {
    let body = request.consume().expect("taken once");
    let input: InputStream = body.stream().expect("taken once");
    loop {
        match out.blocking_splice(&input, PART) {
            Ok(_) => {}
            Err(StreamError::Closed) => return out.blocking_flush(),
            Err(error) => return Err(error),
        }
    }
}

fn endless(out: &OutputStream) -> Result<(), StreamError> {
    loop {
        out.blocking_write_and_flush(&[7; WRITE])?;
    }
}
