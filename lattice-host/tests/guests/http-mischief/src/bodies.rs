//! Bodies: long ones, broken ones, and ones of another length than announced.

use super::answers;
use wasip2::{
    http::types::{
        Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
    },
    io::streams::{OutputStream, StreamError},
};

/// Bytes of one read.
const READ: u64 = 64 << 10;

/// A response whose head has been sent. The stream has to be dropped before its body.
struct Sending {
    out: OutputStream,
    body: OutgoingBody,
}

impl Sending {
    fn start(response: ResponseOutparam, headers: &[(&str, &str)]) -> Self {
        let fields = Fields::new();
        for (name, value) in headers {
            fields.append(name, value.as_bytes()).expect("taken");
        }
        let head = OutgoingResponse::new(fields);
        let body = head.body().expect("taken once");
        ResponseOutparam::set(response, Ok(head));
        let out = body.write().expect("taken once");
        Self { out, body }
    }

    fn finish(self, trailers: Option<Fields>) {
        drop(self.out);
        // The client may have gone, or the length may be wrong.
        let _ = OutgoingBody::finish(self.body, trailers);
    }
}

/// Sends the request's body back as it arrives.
pub(crate) fn echo(request: &IncomingRequest, response: ResponseOutparam) {
    let body = request.consume().expect("taken once");
    let input = body.stream().expect("taken once");
    let sending = Sending::start(response, &[]);
    loop {
        match sending.out.blocking_splice(&input, READ) {
            Ok(_) => {}
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return,
        }
    }
    if sending.out.blocking_flush().is_ok() {
        sending.finish(None);
    }
}

/// Reads the request's body to its end and answers with its length and its trailers, or with the
/// word `broken`.
pub(crate) fn count(request: &IncomingRequest, response: ResponseOutparam) {
    let body = request.consume().expect("taken once");
    let input = body.stream().expect("taken once");
    let mut length = 0;
    let ended = loop {
        match input.blocking_read(READ) {
            Ok(part) => length += part.len(),
            Err(StreamError::Closed) => break true,
            Err(StreamError::LastOperationFailed(_)) => break false,
        }
    };
    drop(input);
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    let trailers = match trailers.get() {
        Some(Ok(Ok(trailers))) => trailers.map_or(0, |trailers| trailers.entries().len()),
        _ => return answers::text(response, "broken"),
    };
    if ended {
        answers::text(response, &format!("{length} bytes, {trailers} trailers"));
    } else {
        answers::text(response, "broken");
    }
}

/// Writes a body without an end, until writing fails.
pub(crate) fn pour(response: ResponseOutparam) {
    let sending = Sending::start(response, &[]);
    while sending.out.blocking_write_and_flush(&[7; 4_096]).is_ok() {}
}

/// Announces ten bytes and sends five.
pub(crate) fn short(response: ResponseOutparam) {
    let sending = Sending::start(response, &[("content-length", "10")]);
    let _ = sending.out.blocking_write_and_flush(b"12345");
    sending.finish(None);
}

/// Announces five bytes and sends ten.
pub(crate) fn long(response: ResponseOutparam) {
    let sending = Sending::start(response, &[("content-length", "5")]);
    let _ = sending.out.blocking_write_and_flush(b"1234567890");
    sending.finish(None);
}

/// Sends a body and trailers.
pub(crate) fn trailers(response: ResponseOutparam) {
    let sending = Sending::start(response, &[("trailer", "x-sum")]);
    let _ = sending.out.blocking_write_and_flush(b"body");
    let trailers = Fields::new();
    trailers.append("x-sum", b"4").expect("taken");
    sending.finish(Some(trailers));
}

/// Sends a part of a body that is too large to be held back until the guest returns, and traps.
pub(crate) fn trap_later(response: ResponseOutparam) {
    let sending = Sending::start(response, &[]);
    for _ in 0..256 {
        let _ = sending.out.blocking_write_and_flush(&[7; 4_096]);
    }
    core::arch::wasm32::unreachable()
}

/// Answers, and then tries to answer with another response.
pub(crate) fn twice(response: ResponseOutparam) {
    let handle = response.handle();
    let sending = Sending::start(response, &[]);
    let _ = sending.out.blocking_write_and_flush(b"first");
    // SAFETY: there is no such handle any more, which the host finds out.
    let again = unsafe { ResponseOutparam::from_handle(handle) };
    answers::text(again, "second");
    sending.finish(None);
}
