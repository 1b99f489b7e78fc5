//! An actor that serves requests by `wasi:http` 0.3, in a good way or not: the path says how.

wit_bindgen::generate!({ path: "wit", world: "http-handler", generate_all });

use exports::wasi::http::handler::Guest;
use std::cell::Cell;
use std::rc::Rc;
use wasi::clocks::monotonic_clock::wait_for;
use wasi::http::types::{ErrorCode, Fields, Request, Response};
use wasi::http::{client, handler};
use wit_bindgen::{StreamReader, StreamResult};

struct Handler;
export!(Handler);

thread_local! {
    static REQUESTS: Cell<u32> = const { Cell::new(0) };
    static AT_ONCE: Cell<u32> = const { Cell::new(0) };
}

impl Guest for Handler {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        REQUESTS.set(REQUESTS.get() + 1);
        let path = request.get_path_with_query().unwrap_or_default();
        let mut parts = path.trim_start_matches('/').splitn(2, '/');
        let (what, rest) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        match what {
            "hello" => Ok(whole(200, b"hello")),
            "count" => Ok(whole(200, REQUESTS.get().to_string().as_bytes())),
            "authority" => {
                let authority = request.get_authority().unwrap_or_default();
                Ok(whole(200, authority.as_bytes()))
            }
            "echo" => Ok(echo(request)),
            "overlap" => Ok(overlap(request).await),
            "error" => Err(ErrorCode::HttpResponseTimeout),
            "trap-before" => panic!("on purpose"),
            "trap-after-head" => Ok(trap_after_head(request)),
            "never" => {
                wait_for(3_600_000_000_000).await;
                unreachable!()
            }
            "forever" => Ok(forever()),
            "linger" => Ok(linger(request)),
            "upload" => upload(rest).await,
            "length" => Ok(length(rest)),
            "next" => {
                request
                    .set_path_with_query(Some(&format!("/{rest}")))
                    .expect("a path");
                handler::handle(request).await
            }
            "send" => {
                let request = onward(request, rest);
                client::send(request).await
            }
            _ => Ok(whole(404, b"no such path")),
        }
    }
}

/// Makes a response of a body that is written later.
fn response(status: u16, headers: Fields, body: StreamReader<u8>) -> Response {
    let (trailers, none) = wit_future::new(|| Ok(None));
    // The default is written when it is dropped.
    drop(trailers);
    let (response, _sent) = Response::new(headers, Some(body), none);
    response.set_status_code(status).expect("a status");
    response
}

fn whole(status: u16, content: &[u8]) -> Response {
    let (mut writer, reader) = wit_stream::new();
    let content = content.to_vec();
    wit_bindgen::spawn_local(async move {
        writer.write_all(content).await;
    });
    response(status, Fields::new(), reader)
}

fn body_of(request: Request) -> StreamReader<u8> {
    let (processed, result) = wit_future::new(|| Ok(()));
    drop(processed);
    Request::consume_body(request, result).0
}

/// Sends the body of the request back, as it comes.
fn echo(request: Request) -> Response {
    let mut from = body_of(request);
    let (mut writer, reader) = wit_stream::new();
    wit_bindgen::spawn_local(async move {
        loop {
            let (result, read) = from.read(Vec::with_capacity(64 * 1024)).await;
            if !writer.write_all(read).await.is_empty() || result == StreamResult::Dropped {
                return;
            }
        }
    });
    response(200, Fields::new(), reader)
}

/// Waits for the body of the request. Returns how many requests wait in this instance with it.
async fn overlap(request: Request) -> Response {
    AT_ONCE.set(AT_ONCE.get() + 1);
    let mut from = body_of(request);
    while from.read(Vec::with_capacity(1)).await.0 != StreamResult::Dropped {}
    let at_once = AT_ONCE.get();
    AT_ONCE.set(at_once - 1);
    whole(200, at_once.to_string().as_bytes())
}

/// Traps when the client ends its body, which it does when it has the head.
fn trap_after_head(request: Request) -> Response {
    let mut from = body_of(request);
    let (mut writer, reader) = wit_stream::new();
    wit_bindgen::spawn_local(async move {
        writer.write_all(b"part".to_vec()).await;
        while from.read(Vec::with_capacity(1)).await.0 != StreamResult::Dropped {}
        panic!("on purpose");
    });
    response(200, Fields::new(), reader)
}

fn forever() -> Response {
    let (mut writer, reader) = wit_stream::new();
    wit_bindgen::spawn_local(
        async move { while writer.write_all(vec![7; 1024]).await.is_empty() {} },
    );
    response(200, Fields::new(), reader)
}

/// Writes a part, and then neither goes on nor ends. It holds the body of the request.
fn linger(request: Request) -> Response {
    let from = body_of(request);
    let (mut writer, reader) = wit_stream::new();
    wit_bindgen::spawn_local(async move {
        writer.write_all(b"part".to_vec()).await;
        wait_for(3_600_000_000_000).await;
        drop((from, writer));
    });
    response(200, Fields::new(), reader)
}

/// Writes a part of a request's body. When the response is there, it traps, or else has ended the
/// body.
async fn upload(how: &str) -> Result<Response, ErrorCode> {
    let traps = how == "trap";
    let (mut writer, reader) = wit_stream::new();
    let has_ended = Rc::new(Cell::new(false));
    let ended = has_ended.clone();
    wit_bindgen::spawn_local(async move {
        writer.write_all(b"part".to_vec()).await;
        if traps {
            wait_for(3_600_000_000_000).await;
        }
        drop(writer);
        ended.set(true);
    });
    let (trailers, none) = wit_future::new(|| Ok(None));
    drop(trailers);
    let (next, _sent) = Request::new(Fields::new(), Some(reader), none, None);
    next.set_method(&wasi::http::types::Method::Post)
        .expect("a method");
    next.set_scheme(Some(&wasi::http::types::Scheme::Http))
        .expect("a scheme");
    next.set_authority(Some("next.internal"))
        .expect("an authority");
    next.set_path_with_query(Some("/")).expect("a path");
    client::send(next).await?;
    if traps {
        panic!("on purpose");
    }
    while !has_ended.get() {
        wait_for(1_000_000).await;
    }
    Ok(whole(200, b"uploaded"))
}

/// `LENGTH/PARTS…`: announces a length, and writes the parts.
fn length(rest: &str) -> Response {
    let mut parts = rest.split('/').map(str::to_owned);
    let length = parts.next().expect("a length");
    let headers = Fields::new();
    headers
        .append("content-length", length.as_bytes())
        .expect("valid");
    let (mut writer, reader) = wit_stream::new();
    let parts: Vec<String> = parts.collect();
    wit_bindgen::spawn_local(async move {
        for part in parts {
            writer.write_all(part.into_bytes()).await;
        }
    });
    response(200, headers, reader)
}

/// Makes a request with the method and the body of another one.
fn onward(request: Request, rest: &str) -> Request {
    let method = request.get_method();
    let (authority, path) = rest.split_once('/').expect("an authority and a path");
    let (trailers, none) = wit_future::new(|| Ok(None));
    drop(trailers);
    let (next, _sent) = Request::new(Fields::new(), Some(body_of(request)), none, None);
    next.set_method(&method).expect("a method");
    next.set_scheme(Some(&wasi::http::types::Scheme::Http))
        .expect("a scheme");
    next.set_authority(Some(authority)).expect("an authority");
    next.set_path_with_query(Some(&format!("/{path}")))
        .expect("a path");
    next
}
