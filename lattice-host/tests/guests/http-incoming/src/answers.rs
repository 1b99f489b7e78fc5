//! Answers of a guest that does what it should.

use crate::bodies::{body_of, copy, finish, respond, wait, write};
use crate::wasi::http::types::{
    ErrorCode, Fields, FutureTrailers, IncomingBody, IncomingRequest, Method, OutgoingBody,
    ResponseOutparam, Scheme,
};
use std::cell::Cell;

thread_local! {
    static REQUESTS: Cell<u32> = const { Cell::new(0) };
    static FINISHED: Cell<u32> = const { Cell::new(0) };
}

pub fn hello(out: ResponseOutparam) {
    let body = respond(out, 200, &[("content-type", "text/plain")]);
    finish(body, b"hello");
}

/// The number of requests of this path that the instance has served, and of those of `after` that
/// it went on after.
pub fn count(out: ResponseOutparam) {
    REQUESTS.set(REQUESTS.get() + 1);
    let counted = format!("{} {}", REQUESTS.get(), FINISHED.get());
    finish(respond(out, 200, &[]), counted.as_bytes());
}

/// What the guest sees of the head of its request.
pub fn headers(request: &IncomingRequest, out: ResponseOutparam) {
    let method = match request.method() {
        Method::Get => "GET".to_owned(),
        Method::Post => "POST".to_owned(),
        Method::Other(method) => method,
        _ => "another".to_owned(),
    };
    let scheme = match request.scheme() {
        Some(Scheme::Http) => "http".to_owned(),
        Some(Scheme::Https) => "https".to_owned(),
        Some(Scheme::Other(scheme)) => scheme,
        None => "none".to_owned(),
    };
    let authority = request.authority().unwrap_or_default();
    let path = request.path_with_query().unwrap_or_default();
    let mut text = format!("{method} {scheme} {authority} {path}\n");
    for (name, value) in request.headers().entries() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(&value)));
    }
    let body = respond(out, 201, &[("x-one", "1"), ("x-two", "2"), ("x-one", "3")]);
    finish(body, text.as_bytes());
}

/// Sends the body of the request back, as it comes, with its trailers. One that breaks is not
/// finished.
pub fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let length = request.headers().get("content-length");
    let length = length
        .first()
        .map(|length| String::from_utf8_lossy(length).into_owned());
    let headers = length.as_deref().map(|length| ("content-length", length));
    let (incoming, stream) = body_of(request);
    let body = respond(out, 200, headers.as_slice());
    let to = body.write().expect("the stream");
    if copy(&stream, &to).is_err() {
        return;
    }
    drop((stream, to));
    let trailers = trailers_of(incoming);
    OutgoingBody::finish(body, trailers).expect("it is whole");
}

fn trailers_of(incoming: IncomingBody) -> Option<Fields> {
    let trailers: FutureTrailers = IncomingBody::finish(incoming);
    trailers.subscribe().block();
    let trailers = trailers.get()?.ok()?.ok()??;
    Fields::from_list(&trailers.entries()).ok()
}

/// A body with a trailer, and with what a trailer can't be.
pub fn trailers(_: &IncomingRequest, out: ResponseOutparam) {
    let body = respond(out, 200, &[]);
    let stream = body.write().expect("the stream");
    write(&stream, b"body").expect("it is read");
    drop(stream);
    let trailers = Fields::new();
    trailers.append("x-sum", b"7").expect("valid");
    let refused = trailers.append("transfer-encoding", b"chunked").is_err();
    trailers
        .append("x-refused", refused.to_string().as_bytes())
        .expect("valid");
    OutgoingBody::finish(body, Some(trailers)).expect("it is whole");
}

pub fn error(out: ResponseOutparam) {
    ResponseOutparam::set(out, Err(ErrorCode::HttpResponseTimeout));
}

/// Goes on after a whole response, until the client ends its own body.
pub fn after(request: &IncomingRequest, out: ResponseOutparam) {
    let (_incoming, stream) = body_of(request);
    finish(respond(out, 200, &[]), b"whole");
    wait(&stream);
    FINISHED.set(FINISHED.get() + 1);
}
