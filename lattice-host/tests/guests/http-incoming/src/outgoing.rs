//! Requests that the guest makes for those that it serves.

use crate::bodies::{Pipe, finish, respond, write};
use crate::lattice::rpc::links;
use crate::wasi::http::outgoing_handler;
use crate::wasi::http::types::{
    ErrorCode, Fields, IncomingRequest, Method, OutgoingBody, OutgoingRequest, RequestOptions,
    ResponseOutparam, Scheme,
};
use crate::wasi::io::poll::{Pollable, poll};

const OUTGOING: &str = "wasi:http/outgoing-handler@0.2.3";

/// Passes the request on, to `PATH`. Headers of the request say to which authority, over which link
/// and with which timeout. An error is the body of a 502.
pub fn proxy(request: &IncomingRequest, out: ResponseOutparam, path: &str) {
    let header = |name: &str| {
        let values = request.headers().get(name);
        values
            .first()
            .map(|value| String::from_utf8_lossy(value).into_owned())
    };
    if let Some(link) = header("x-link") {
        links::use_(OUTGOING, &link).expect("it is imported");
    }
    let authority = header("x-authority").unwrap_or_else(|| "next.internal".to_owned());
    let options = RequestOptions::new();
    if let Some(timeout) = header("x-timeout-ms") {
        let nanos = timeout.parse::<u64>().expect("a number") * 1_000_000;
        options
            .set_connect_timeout(Some(nanos))
            .expect("it can be set");
        options
            .set_first_byte_timeout(Some(nanos))
            .expect("it can be set");
    }
    let next = OutgoingRequest::new(Fields::new());
    next.set_method(&request.method()).expect("a method");
    next.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    next.set_authority(Some(&authority)).expect("an authority");
    let path = format!("/{path}");
    next.set_path_with_query(Some(&path)).expect("a path");
    pass_on(request, next, options, out);
}

/// Copies both bodies at once, because the response may come as the request is read.
fn pass_on(
    request: &IncomingRequest,
    next: OutgoingRequest,
    options: RequestOptions,
    out: ResponseOutparam,
) {
    let body = next.body().expect("the body");
    let answer = match outgoing_handler::handle(next, Some(options)) {
        Ok(answer) => answer,
        Err(code) => return bad_gateway(out, &code),
    };
    let incoming = request.consume().expect("the first time");
    let mut up = Some(Pipe::new(incoming, body));
    let response = loop {
        up = up.and_then(Pipe::advance);
        if let Some(response) = answer.get() {
            break response.expect("the first time");
        }
        let (there, more) = (answer.subscribe(), up.as_ref().map(Pipe::more));
        wait_for_one(&there, more.as_ref());
    };
    let response = match response {
        Ok(response) => response,
        Err(code) => return bad_gateway(out, &code),
    };
    let incoming = response.consume().expect("the first time");
    let body = respond(out, response.status(), &[("x-proxy", "1")]);
    let mut down = Pipe::new(incoming, body);
    loop {
        up = up.and_then(Pipe::advance);
        match down.advance() {
            Some(left) => down = left,
            None => return,
        }
        let (there, more) = (down.more(), up.as_ref().map(Pipe::more));
        wait_for_one(&there, more.as_ref());
    }
}

/// Writes a part of a request's body and waits for the response. Then it traps, or else writes the
/// rest, and returns.
pub fn upload(out: ResponseOutparam, how: &str) {
    let next = OutgoingRequest::new(Fields::new());
    next.set_method(&Method::Post).expect("a method");
    next.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    next.set_authority(Some("next.internal"))
        .expect("an authority");
    next.set_path_with_query(Some("/")).expect("a path");
    let body = next.body().expect("the body");
    let stream = body.write().expect("the stream");
    let answer = outgoing_handler::handle(next, None).expect("it is taken");
    write(&stream, b"part").expect("it is read");
    answer.subscribe().block();
    if how == "trap" {
        panic!("on purpose");
    }
    write(&stream, b", rest").expect("it is read");
    drop(stream);
    OutgoingBody::finish(body, None).expect("it is whole");
    finish(respond(out, 200, &[]), b"uploaded");
}

fn wait_for_one(one: &Pollable, other: Option<&Pollable>) {
    let both: Vec<&Pollable> = std::iter::once(one).chain(other).collect();
    poll(&both);
}

fn bad_gateway(out: ResponseOutparam, code: &ErrorCode) {
    finish(respond(out, 502, &[]), format!("{code:?}").as_bytes());
}
