//! Requests that the guest makes.
//!
//! The request that came in says where to: by the headers `x-scheme`, `x-authority` and `x-path`.

use super::answers;
use wasip2::{
    http::{
        outgoing_handler,
        types::{
            ErrorCode, Fields, FutureIncomingResponse, IncomingRequest, IncomingResponse, Method,
            OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme,
        },
    },
    io::streams::{InputStream, OutputStream, StreamError},
};

/// Bytes of one read.
const READ: u64 = 64 << 10;

/// Makes a request, and answers with the status and the body of its response, or with its error.
pub(crate) fn ask(request: &IncomingRequest, response: ResponseOutparam) {
    match start(request).and_then(finish) {
        Ok(from) => {
            let status = from.status();
            let body = from.consume().expect("taken once");
            let input = body.stream().expect("taken once");
            let mut text = format!("{status}: ").into_bytes();
            loop {
                match input.blocking_read(READ) {
                    Ok(part) => text.extend(part),
                    Err(StreamError::Closed) => break,
                    Err(StreamError::LastOperationFailed(_)) => {
                        text.extend(b", broken");
                        break;
                    }
                }
            }
            answers::text(response, &String::from_utf8_lossy(&text));
        }
        Err(error) => answers::text(response, &format!("error: {error:?}")),
    }
}

/// Passes the request on as it is, and the response back.
pub(crate) fn relay(request: &IncomingRequest, response: ResponseOutparam) {
    let path = request.path_with_query().unwrap_or_default();
    let outgoing = OutgoingRequest::new(Fields::new());
    outgoing.set_method(&request.method()).expect("a method");
    outgoing.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    let authority = request.authority();
    outgoing
        .set_authority(authority.as_deref())
        .expect("an authority");
    let rest = path.strip_prefix("/relay").unwrap_or(&path);
    outgoing.set_path_with_query(Some(rest)).expect("a path");
    let to = outgoing.body().expect("taken once");
    let answer = match outgoing_handler::handle(outgoing, None) {
        Ok(answer) => answer,
        Err(error) => return answers::text(response, &format!("error: {error:?}")),
    };
    let from = request.consume().expect("taken once");
    let (input, out) = (
        from.stream().expect("taken once"),
        to.write().expect("taken once"),
    );
    if !copy(&input, &out) {
        return;
    }
    drop(out);
    let _ = OutgoingBody::finish(to, None);
    match finish(answer) {
        Ok(from) => forward(&from, response),
        Err(error) => answers::text(response, &format!("error: {error:?}")),
    }
}

/// Makes a request to `held`, and answers when it is answered.
pub(crate) fn hold(response: ResponseOutparam) {
    let _held = held().map(finish);
    answers::text(response, "let go");
}

/// Does something while a request to `held` waits for its response.
pub(crate) fn hold_and(act: impl FnOnce()) {
    let _held = held();
    act();
}

fn held() -> Result<FutureIncomingResponse, ErrorCode> {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some("held")).expect("an authority");
    request.set_path_with_query(Some("/")).expect("a path");
    outgoing_handler::handle(request, None)
}

fn start(request: &IncomingRequest) -> Result<FutureIncomingResponse, ErrorCode> {
    let headers = request.headers();
    let header = |name: &str| {
        let value = headers.get(name).pop()?;
        String::from_utf8(value).ok()
    };
    let outgoing = OutgoingRequest::new(Fields::new());
    outgoing.set_method(&Method::Get).expect("a method");
    let scheme = match header("x-scheme").as_deref() {
        Some("https") => Scheme::Https,
        None | Some("http") => Scheme::Http,
        Some(other) => Scheme::Other(other.to_owned()),
    };
    let refused = |()| ErrorCode::HttpRequestUriInvalid;
    outgoing.set_scheme(Some(&scheme)).map_err(refused)?;
    outgoing
        .set_authority(header("x-authority").as_deref())
        .map_err(refused)?;
    outgoing
        .set_path_with_query(header("x-path").as_deref().or(Some("/")))
        .map_err(refused)?;
    outgoing_handler::handle(outgoing, None)
}

fn finish(answer: FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    answer.subscribe().block();
    let answer = answer.get().expect("it is ready");
    answer.expect("it is taken once")
}

/// Passes a response on.
fn forward(from: &IncomingResponse, response: ResponseOutparam) {
    let head = OutgoingResponse::new(from.headers().clone());
    head.set_status_code(from.status()).expect("a status");
    let to = head.body().expect("taken once");
    ResponseOutparam::set(response, Ok(head));
    let body = from.consume().expect("taken once");
    let (input, out) = (
        body.stream().expect("taken once"),
        to.write().expect("taken once"),
    );
    if copy(&input, &out) {
        drop(out);
        let _ = OutgoingBody::finish(to, None);
    }
}

/// Copies all of a stream, and returns whether it has ended whole.
fn copy(input: &InputStream, out: &OutputStream) -> bool {
    loop {
        match out.blocking_splice(input, READ) {
            Ok(_) => {}
            Err(StreamError::Closed) => return out.blocking_flush().is_ok(),
            Err(StreamError::LastOperationFailed(_)) => return false,
        }
    }
}
