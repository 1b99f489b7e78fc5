//! Heads of requests and responses: their sizes, and what they say about protocols and bodies.

use super::{config::IngressLimits, respond::Rejection};
use crate::http::exchange::named_by_connection;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, COOKIE, TRANSFER_ENCODING, UPGRADE},
    request, response,
};

/// Most headers of a response, and most bytes of them. What has more is no answer for a client.
const MOST_HEADERS: usize = 1_024;
const MOST_HEADER_BYTES: usize = 256 * 1024;

/// How the names of the cookies begin that let a browser into the page of a lattice.
const OF_PAGE: &[u8] = b"lattice-ui-";

/// Returns whether the head of a request is over the limits.
pub(super) fn is_too_large(head: &request::Parts, limits: &IngressLimits) -> bool {
    let path = head.uri.path_and_query();
    let path = path.map_or(0, |path| path.as_str().len());
    let bytes = path + head.headers.iter().map(size).sum::<usize>();
    head.headers.len() > limits.headers || bytes > limits.header_bytes.as_usize()
}

/// Refuses the head of a response that can't be passed on.
pub(super) fn check_head(head: &response::Parts) -> Result<(), Rejection> {
    let reason = if head.status.is_informational() {
        format!("the response has the status {}", head.status)
    } else if head.headers.len() > MOST_HEADERS {
        format!("the response has more than {MOST_HEADERS} headers")
    } else if head.headers.iter().map(size).sum::<usize>() > MOST_HEADER_BYTES {
        format!("the headers of the response have more than {MOST_HEADER_BYTES} bytes")
    } else {
        return Ok(());
    };
    Err(Rejection::bad_gateway(reason))
}

/// Returns the size of a header in bytes.
fn size((name, value): (&HeaderName, &HeaderValue)) -> usize {
    name.as_str().len() + value.len()
}

pub(super) fn has_no_body(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Returns whether a request wants another protocol. One for `h2c` is served as it is.
pub(super) fn wants_upgrade(parts: &request::Parts) -> bool {
    let is_other = |value: &HeaderValue| {
        let mut protocols = value.as_bytes().split(|byte| *byte == b',');
        !protocols.all(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"h2c"))
    };
    parts.method == Method::CONNECT || parts.headers.get_all(UPGRADE).iter().any(is_other)
}

/// Returns whether the body of a request is in another form than in chunks, or in chunks several
/// times. hyper refuses the former, and reads the latter as if it were one time, which another
/// server before this one may not do.
pub(super) fn has_other_codings(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(TRANSFER_ENCODING).iter();
    let (Some(first), second) = (values.next(), values.next()) else {
        return false;
    };
    second.is_some() || !first.as_bytes().eq_ignore_ascii_case(b"chunked")
}

/// Returns how long the body of a request is, as its head says.
pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Removes the header `Connection` and the headers that it names. That happens before the ingress
/// and a verifier add theirs, so that a client can't name those to have them removed.
pub(super) fn remove_named_by_connection(headers: &mut HeaderMap) {
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    headers.remove(CONNECTION);
}

/// Joins several headers `Cookie`, into which HTTP/2 may split one, as actors expect one.
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (cookies.next(), cookies.next()) else {
        return;
    };
    let all: Vec<&[u8]> = [first, second]
        .into_iter()
        .chain(cookies)
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Removes the cookies of the lattice's own page, after [`join_cookies`]. Browsers send a cookie to
/// every port of the machine that has set it, and whoever has that of the page is an operator,
/// which an actor must not become.
pub(super) fn remove_cookies_of_page(headers: &mut HeaderMap) {
    let Some(cookies) = headers.get(COOKIE).map(HeaderValue::as_bytes) else {
        return;
    };
    let is_of_page = |cookie: &&[u8]| cookie.trim_ascii().starts_with(OF_PAGE);
    let all = || cookies.split(|byte| *byte == b';');
    if !all().any(|cookie| is_of_page(&cookie)) {
        return;
    }
    let kept: Vec<&[u8]> = all()
        .filter(|cookie| !is_of_page(cookie))
        .map(<[u8]>::trim_ascii)
        .collect();
    let kept = HeaderValue::from_bytes(&kept.join(&b"; "[..]));
    match kept {
        Ok(kept) if !kept.is_empty() => {
            headers.insert(COOKIE, kept);
        }
        _ => {
            headers.remove(COOKIE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, Response};

    fn parts(method: &str, headers: &[(&str, &str)]) -> request::Parts {
        let request = headers.iter().fold(
            Request::builder().method(method).uri("/"),
            |request, (name, value)| request.header(*name, *value),
        );
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn other_protocols_are_refused_and_h2c_is_ignored() {
        for (method, headers, wanted) in [
            ("GET", &[("upgrade", "websocket")][..], true),
            ("GET", &[("upgrade", "h2c, websocket")], true),
            ("GET", &[("upgrade", "h2c")], false),
            ("GET", &[("upgrade", "H2C ")], false),
            ("GET", &[], false),
            ("CONNECT", &[], true),
        ] {
            let parts = parts(method, headers);
            assert_eq!(wants_upgrade(&parts), wanted, "{method} {headers:?}");
        }
    }

    #[test]
    fn headers_that_a_client_names_as_of_its_connection_are_removed() {
        let mut headers = parts(
            "GET",
            &[
                ("connection", "close, X-Private"),
                ("connection", "x-other,connection"),
                ("x-private", "1"),
                ("x-private", "2"),
                ("x-other", "1"),
                ("accept", "*/*"),
            ],
        )
        .headers;
        remove_named_by_connection(&mut headers);
        assert_eq!(headers.len(), 1, "{headers:?}");
        assert_eq!(headers["accept"], "*/*");
    }

    #[test]
    fn a_body_is_in_chunks_once_or_not_at_all() {
        for (headers, is_other) in [
            (&[][..], false),
            (&[("transfer-encoding", "chunked")], false),
            (&[("transfer-encoding", "Chunked")], false),
            (&[("transfer-encoding", "chunked, chunked")], true),
            (&[("transfer-encoding", "gzip, chunked")], true),
            (&[("transfer-encoding", "")], true),
            (
                &[
                    ("transfer-encoding", "chunked"),
                    ("transfer-encoding", "chunked"),
                ],
                true,
            ),
        ] {
            let headers = parts("POST", headers).headers;
            assert_eq!(has_other_codings(&headers), is_other, "{headers:?}");
        }
    }

    #[test]
    fn cookies_are_joined() {
        let mut headers = parts("GET", &[("cookie", "a=1"), ("cookie", "b=2; c=3")]).headers;
        join_cookies(&mut headers);
        let cookies: Vec<_> = headers.get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3"]);
        let mut one = parts("GET", &[("cookie", "a=1")]).headers;
        join_cookies(&mut one);
        assert_eq!(one[COOKIE], "a=1");
    }

    #[test]
    fn actors_do_not_get_the_cookie_of_the_page() {
        for (given, kept) in [
            ("lattice-ui-9119=secret", None),
            ("a=1; lattice-ui-9119=secret; b=2", Some("a=1; b=2")),
            ("lattice-ui-80=x;lattice-ui-81=y;a=1", Some("a=1")),
            ("a=lattice-ui-9119;b", Some("a=lattice-ui-9119;b")),
        ] {
            let mut headers = parts("GET", &[("cookie", given)]).headers;
            remove_cookies_of_page(&mut headers);
            let left = headers.get(COOKIE).and_then(|value| value.to_str().ok());
            assert_eq!(left, kept, "{given}");
        }
    }

    #[test]
    fn a_head_that_is_no_answer_is_refused() {
        let head = |status: u16, headers: usize, bytes: usize| {
            let mut response = Response::builder().status(status);
            for number in 0..headers {
                response = response.header(format!("x-{number}"), "a".repeat(bytes));
            }
            check_head(&response.body(()).expect("a response").into_parts().0)
        };
        assert!(head(200, 1_024, 100).is_ok());
        assert!(head(101, 0, 0).is_err() && head(103, 0, 0).is_err());
        assert!(head(200, 1_025, 1).is_err());
        assert!(head(200, 100, 4_000).is_err());
    }

    #[test]
    fn some_responses_have_no_body() {
        assert!(has_no_body(&Method::HEAD, StatusCode::OK));
        assert!(has_no_body(&Method::GET, StatusCode::NO_CONTENT));
        assert!(has_no_body(&Method::GET, StatusCode::NOT_MODIFIED));
        assert!(!has_no_body(&Method::GET, StatusCode::NOT_FOUND));
    }
}
