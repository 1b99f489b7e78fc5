//! Answers of a guest that does what it should not.

use crate::bodies::{body_of, finish, respond, wait, write};
use crate::wasi::clocks::monotonic_clock::subscribe_duration;
use crate::wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

pub fn handle(what: &str, rest: &str, request: &IncomingRequest, out: ResponseOutparam) {
    match what {
        "trap-before" => panic!("on purpose"),
        "trap-at-once" => trap_at_once(out),
        "trap-after-head" => trap_after_head(request, out),
        "never" => subscribe_duration(3_600_000_000_000).block(),
        "silent" => {}
        "dropped" => dropped(request, out),
        "twice" => twice(out),
        "status" => status(out, rest),
        "length" => length(out, rest),
        "unfinished" => unfinished(out),
        "unfinished-later" => unfinished_later(request, out),
        "forever" => forever(out),
        "spin" => spin(request, out),
        "hold" => hold(request, out),
        "many-headers" => many_headers(out),
        "large-header" => large_header(out),
        "forbidden" => forbidden(out),
        _ => finish(respond(out, 404, &[]), b"no such path"),
    }
}

fn trap_at_once(out: ResponseOutparam) {
    let body = respond(out, 200, &[]);
    let stream = body.write().expect("the stream");
    write(&stream, b"part").expect("it is read");
    panic!("on purpose");
}

/// Traps when the client sends something, which it does when it has the head.
fn trap_after_head(request: &IncomingRequest, out: ResponseOutparam) {
    let (_incoming, stream) = body_of(request);
    let body = respond(out, 200, &[]);
    let to = body.write().expect("the stream");
    write(&to, b"part").expect("it is read");
    wait(&stream);
    panic!("on purpose");
}

/// Drops the place for its response, and goes on.
fn dropped(request: &IncomingRequest, out: ResponseOutparam) {
    let (_incoming, stream) = body_of(request);
    drop(out);
    wait(&stream);
}

fn twice(out: ResponseOutparam) {
    let handle = out.handle();
    finish(respond(out, 200, &[]), b"once");
    // Safety: it isn't safe, and the host has to notice.
    let again = unsafe { ResponseOutparam::from_handle(handle) };
    finish(respond(again, 200, &[]), b"twice");
}

fn status(out: ResponseOutparam, rest: &str) {
    let status = rest.parse().expect("a status");
    finish(respond(out, status, &[]), b"");
}

/// `LENGTH/PARTS…`: announces a length, and writes the parts.
fn length(out: ResponseOutparam, rest: &str) {
    let mut parts = rest.split('/');
    let length = parts.next().expect("a length");
    let body = respond(out, 200, &[("content-length", length)]);
    let stream = body.write().expect("the stream");
    for part in parts {
        // The host refuses what is too much.
        let _ = write(&stream, part.as_bytes());
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

/// Returns with a body that it neither finishes nor drops.
fn unfinished(out: ResponseOutparam) {
    let body = respond(out, 200, &[]);
    let stream = body.write().expect("the stream");
    write(&stream, b"part").expect("it is read");
    drop(stream);
    std::mem::forget(body);
}

/// The same when the client has the head.
fn unfinished_later(request: &IncomingRequest, out: ResponseOutparam) {
    let (_incoming, from) = body_of(request);
    let body = respond(out, 200, &[]);
    let stream = body.write().expect("the stream");
    write(&stream, b"part").expect("it is read");
    wait(&from);
    drop(stream);
    std::mem::forget(body);
}

/// Writes until it can't any more.
fn forever(out: ResponseOutparam) {
    let body = respond(out, 200, &[]);
    let stream = body.write().expect("the stream");
    while write(&stream, &[7; 1024]).is_ok() {}
}

/// Computes without end once the client has the head.
fn spin(request: &IncomingRequest, out: ResponseOutparam) {
    let (_incoming, from) = body_of(request);
    let body = respond(out, 200, &[]);
    let stream = body.write().expect("the stream");
    write(&stream, b"part").expect("it is read");
    wait(&from);
    let mut n = 1_u64;
    loop {
        n = std::hint::black_box(n.wrapping_mul(3));
    }
}

/// Writes a part, and the rest when the client sends something or ends its body.
fn hold(request: &IncomingRequest, out: ResponseOutparam) {
    let (_incoming, from) = body_of(request);
    let body = respond(out, 200, &[]);
    let stream = body.write().expect("the stream");
    write(&stream, b"part").expect("it is read");
    wait(&from);
    write(&stream, b", rest").expect("it is read");
    drop(stream);
    OutgoingBody::finish(body, None).expect("it is whole");
}

fn many_headers(out: ResponseOutparam) {
    let headers = Fields::new();
    for number in 0..33_000 {
        headers.append(&format!("x-{number}"), b"1").expect("valid");
    }
    ResponseOutparam::set(out, Ok(OutgoingResponse::new(headers)));
}

fn large_header(out: ResponseOutparam) {
    let headers = Fields::new();
    headers
        .append("x-large", &vec![b'x'; 200 * 1024])
        .expect("valid");
    ResponseOutparam::set(out, Ok(OutgoingResponse::new(headers)));
}

/// Lists the headers that it may not set.
fn forbidden(out: ResponseOutparam) {
    let tried = [
        ("connection", "close"),
        ("host", "other.example"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("keep-alive", "5"),
        ("x y", "1"),
        ("x-injected", "1\r\nset-cookie: a"),
        ("x-fine", "1"),
    ];
    let headers = Fields::new();
    let refused = tried
        .iter()
        .filter(|(name, value)| headers.append(name, value.as_bytes()).is_err());
    let refused: Vec<&str> = refused.map(|(name, _)| *name).collect();
    finish(respond(out, 200, &[]), refused.join(",").as_bytes());
}
