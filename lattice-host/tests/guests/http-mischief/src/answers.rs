//! Responses with a short body, and what their heads may not be.

use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

/// Answers with this text.
pub(crate) fn text(response: ResponseOutparam, text: &str) {
    send(response, OutgoingResponse::new(Fields::new()), text);
}

/// Answers with this status, or says that it was refused.
pub(crate) fn status(response: ResponseOutparam, status: &str) {
    let head = OutgoingResponse::new(Fields::new());
    let status = status.parse().expect("a number");
    match head.set_status_code(status) {
        Ok(()) => send(response, head, "odd"),
        Err(()) => text(response, "refused"),
    }
}

/// Answers with so many headers, or says that they were refused.
pub(crate) fn headers(response: ResponseOutparam, count: &str) {
    let fields = Fields::new();
    for number in 0..count.parse::<u32>().expect("a number") {
        if fields.append(&format!("x-{number}"), b"").is_err() {
            return text(response, "refused");
        }
    }
    send(response, OutgoingResponse::new(fields), "many");
}

/// Tries to set headers that belong to the connection, as headers and as trailers, and lists those
/// that were not refused.
pub(crate) fn forbidden(response: ResponseOutparam) {
    let names = [
        "connection",
        "keep-alive",
        "transfer-encoding",
        "upgrade",
        "host",
        "proxy-connection",
    ];
    let taken: Vec<_> = names
        .into_iter()
        .filter(|name| {
            let entry = ((*name).to_owned(), b"x".to_vec());
            Fields::new().append(name, b"x").is_ok() || Fields::from_list(&[entry]).is_ok()
        })
        .collect();
    text(response, &format!("taken: {taken:?}"));
}

/// Tries to set headers with line breaks and other characters that no header has, and lists those
/// that were not refused.
pub(crate) fn inject(response: ResponseOutparam) {
    let headers: [(&str, &[u8]); 6] = [
        ("x-a", b"1\r\nx-injected: 1"),
        ("x-b", b"1\nx-injected: 1"),
        ("x-c", b"1\0"),
        ("x-d: 1\r\nx-injected", b"1"),
        ("x e", b"1"),
        ("", b"1"),
    ];
    let taken: Vec<_> = headers
        .into_iter()
        .filter(|(name, value)| Fields::new().append(name, value).is_ok())
        .collect();
    text(response, &format!("taken: {taken:?}"));
}

/// Answers with what the request looks like from here.
pub(crate) fn seen(request: &IncomingRequest, response: ResponseOutparam) {
    let mut lines = vec![
        format!("method {:?}", request.method()),
        format!("scheme {:?}", request.scheme()),
        format!("authority {:?}", request.authority()),
        format!("path {:?}", request.path_with_query()),
    ];
    let headers = request.headers().entries();
    let header =
        |(name, value): &(String, Vec<u8>)| format!("{name}: {}", String::from_utf8_lossy(value));
    lines.extend(headers.iter().map(header));
    text(response, &lines.join("\n"));
}

fn send(response: ResponseOutparam, head: OutgoingResponse, text: &str) {
    let body = head.body().expect("taken once");
    ResponseOutparam::set(response, Ok(head));
    let out = body.write().expect("taken once");
    for part in text.as_bytes().chunks(4_096) {
        if out.blocking_write_and_flush(part).is_err() {
            return;
        }
    }
    drop(out);
    // The client may have gone.
    let _ = OutgoingBody::finish(body, None);
}
