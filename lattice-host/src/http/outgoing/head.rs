//! The head of a request, checked as it will be sent: where it goes, and which of its headers are
//! its sender's to set.

use super::{
    failure::Failure,
    target::{Scheme, Target},
};
use crate::http::exchange::{self, ErrorCode, Header, Request, is_of_connection};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::collections::HashSet;

/// Returns where the request goes, and gives it exactly that URI. Removes the headers that its
/// sender declares to be of its own connection.
///
/// # Errors
/// Fails for a request that can't be sent.
pub(super) fn check(request: &mut Request) -> Result<Target, Failure> {
    if request.method.eq_ignore_ascii_case("connect") {
        return Err(Failure::new(
            ErrorCode::HttpRequestMethodInvalid,
            "the method CONNECT isn't supported; send requests to the host itself",
        ));
    }
    refuse_upgrades(&request.headers)?;
    remove_named_by_connection(&mut request.headers);
    let target = target(request)?;
    request.scheme = Some(target.scheme.as_str().to_owned());
    request.authority = Some(target.authority());
    request.path_with_query = Some(path(request.path_with_query.take())?);
    Ok(target)
}

fn target(request: &Request) -> Result<Target, Failure> {
    let invalid = |part: &str, reason: &dyn std::fmt::Display| {
        let text = format!("the {part} of the URI can't be used: {reason}");
        Failure::new(ErrorCode::HttpRequestUriInvalid, text)
    };
    // A sender that leaves the choice to others gets the safe one.
    let scheme = request.scheme.as_deref().unwrap_or("https");
    let scheme = Scheme::parse(scheme).map_err(|flaw| invalid("scheme", &flaw))?;
    let authority = request.authority.as_deref().unwrap_or_default();
    if authority.is_empty() {
        return Err(invalid("authority", &"there is none; set the host"));
    }
    Target::parse(scheme, authority).map_err(|flaw| invalid("authority", &flaw))
}

/// Returns the path as it is sent. One with a scheme or a host of its own would lead elsewhere.
fn path(path: Option<String>) -> Result<String, Failure> {
    let path = path.unwrap_or_default();
    if path.starts_with('/') {
        return Ok(path);
    }
    if path.is_empty() || path.starts_with('?') {
        return Ok(format!("/{path}"));
    }
    Err(Failure::new(
        ErrorCode::HttpRequestUriInvalid,
        "the path of the URI begins with neither `/` nor `?`; set the host as the authority",
    ))
}

/// Offers of other versions of HTTP may be ignored. Other protocols can't be spoken.
fn refuse_upgrades(headers: &[Header]) -> Result<(), Failure> {
    let is_http = |protocol: &String| {
        protocol == "h2c" || protocol.starts_with("http/") || protocol.starts_with("tls/")
    };
    if tokens(headers, "upgrade").all(|protocol| is_http(&protocol)) {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::HttpUpgradeFailed,
        "WebSocket and other upgrades aren't supported; send plain requests",
    ))
}

fn remove_named_by_connection(headers: &mut Vec<Header>) {
    let named: HashSet<String> = tokens(headers, "connection").collect();
    if !named.is_empty() {
        headers.retain(|header| !named.contains(&header.name.to_ascii_lowercase()));
    }
}

/// Returns the parts of all headers of a name that are lists, in lower case.
fn tokens<'h>(headers: &'h [Header], name: &'static str) -> impl Iterator<Item = String> + 'h {
    let values = headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name));
    let parts = values.flat_map(|header| header.value.split(|&byte| byte == b','));
    let parts = parts.map(|part| String::from_utf8_lossy(part.trim_ascii()).to_ascii_lowercase());
    parts.filter(|part| !part.is_empty())
}

/// How the body of a request is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Framing {
    /// How long it has to be, if the headers say so.
    pub(super) length: Option<u64>,
    /// Whether the headers announce trailers. Over HTTP/1.1 only such can be sent, and only after
    /// a body in chunks.
    pub(super) trailers: bool,
}

/// Returns how a body is sent, and leaves the headers as that needs them.
///
/// # Errors
/// Fails if the headers give the length of the body in more than one way.
pub(super) fn framing(headers: &mut HeaderMap, has_trailers: bool) -> Result<Framing, Failure> {
    let length = exchange::expected_length(headers, &Method::POST, StatusCode::OK);
    let length = length.map_err(|code| {
        Failure::new(
            code,
            "`content-length` isn't one number; set it once, or not at all",
        )
    })?;
    let announced = announced(headers);
    headers.remove(header::TRAILER);
    let trailers = has_trailers && !announced.is_empty();
    if trailers {
        let names: Vec<&str> = announced.iter().map(HeaderName::as_str).collect();
        // Names of headers are valid values.
        if let Ok(names) = HeaderValue::from_str(&names.join(", ")) {
            headers.insert(header::TRAILER, names);
        }
        headers.remove(header::CONTENT_LENGTH);
    }
    Ok(Framing { length, trailers })
}

fn announced(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::TRAILER).iter();
    let names = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok());
    let frames = [
        header::CONTENT_LENGTH,
        header::HOST,
        header::TE,
        header::TRAILER,
    ];
    names
        .filter(|name| !is_of_connection(name) && !frames.contains(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn header(name: &str, value: &'static str) -> Header {
        Header {
            name: name.to_owned(),
            value: Bytes::from_static(value.as_bytes()),
        }
    }

    fn request(scheme: Option<&str>, authority: Option<&str>, path: Option<&str>) -> Request {
        Request {
            method: "GET".to_owned(),
            scheme: scheme.map(str::to_owned),
            authority: authority.map(str::to_owned),
            path_with_query: path.map(str::to_owned),
            headers: Vec::new(),
            content: Bytes::new(),
            body: None,
            trailers: None,
        }
    }

    /// Returns the URI that is sent.
    fn sent(request: Request) -> Result<String, ErrorCode> {
        let mut request = request;
        check(&mut request).map_err(|failure| failure.code)?;
        let request = exchange::request_from_wire(request)?;
        Ok(request.uri().to_string())
    }

    #[test]
    fn the_uri_is_sent_in_one_form() {
        for (scheme, authority, path, expected) in [
            (
                Some("https"),
                "A.example.",
                Some("/x?y"),
                "https://a.example/x?y",
            ),
            (Some("HTTP"), "a.example:80", None, "http://a.example/"),
            (None, "a.example", Some(""), "https://a.example/"),
            (
                Some("http"),
                "a.example:8080",
                Some("?q"),
                "http://a.example:8080/?q",
            ),
            (Some("http"), "0x7f.1", Some("/"), "http://127.0.0.1/"),
            (Some("http"), "[::0001]:80", Some("/"), "http://[::1]/"),
            (
                Some("http"),
                "a.example",
                Some("//b.example/x"),
                "http://a.example//b.example/x",
            ),
            (
                Some("http"),
                "a.example",
                Some("/@b.example"),
                "http://a.example/@b.example",
            ),
        ] {
            let uri = sent(request(scheme, Some(authority), path));
            assert_eq!(uri.as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        for (scheme, authority, path) in [
            (Some("https"), Some("joe@a.example"), None),
            (Some("https"), Some("a.example@b.example"), None),
            (Some("https"), Some("a.example"), Some("http://b.example/")),
            (Some("https"), Some("a.example"), Some("@b.example/")),
            (Some("https"), Some("a.example"), Some(".b.example/")),
            (Some("https"), Some("a.example"), Some(":8080/")),
            (Some("https"), Some("a.example"), Some("*")),
            (Some("https"), Some("a.example"), Some("/a\r\nhost: b")),
            (Some("https"), Some("a.example/b"), None),
            (Some("https"), Some("a.example:x"), None),
            (Some("https"), Some(""), None),
            (Some("https"), None, Some("/")),
            (Some("ftp"), Some("a.example"), None),
            (Some("https://b.example/?"), Some("a.example"), None),
        ] {
            let refused = sent(request(scheme, authority, path));
            assert_eq!(
                refused,
                Err(ErrorCode::HttpRequestUriInvalid),
                "{scheme:?} {authority:?} {path:?}"
            );
        }
    }

    /// As `request_from_wire` does by itself, which has its own test.
    #[test]
    fn a_path_that_could_lead_elsewhere_is_refused_before_it_is_parsed() {
        for path in ["http://b.example/", "@b.example/", ".b.example/", ":8080/"] {
            let mut request = request(Some("https"), Some("a.example"), Some(path));
            let refused = check(&mut request).map(drop).map_err(|it| it.code);
            assert_eq!(refused, Err(ErrorCode::HttpRequestUriInvalid), "{path}");
        }
    }

    #[test]
    fn other_protocols_are_refused() {
        let code = |change: &dyn Fn(&mut Request)| {
            let mut request = request(Some("http"), Some("a.example"), None);
            change(&mut request);
            check(&mut request)
                .map(drop)
                .map_err(|failure| failure.code)
        };
        for method in ["CONNECT", "connect"] {
            let refused = code(&|request| request.method = method.to_owned());
            assert_eq!(refused, Err(ErrorCode::HttpRequestMethodInvalid));
        }
        for (upgrade, is_sent) in [
            ("h2c", true),
            ("HTTP/2.0, TLS/1.0", true),
            ("websocket", false),
            ("h2c, WebSocket", false),
        ] {
            let result = code(&|request| request.headers = vec![header("Upgrade", upgrade)]);
            assert_eq!(result.is_ok(), is_sent, "{upgrade}");
        }
    }

    #[test]
    fn headers_of_the_connection_and_the_host_are_not_the_senders() {
        let mut wire = request(Some("http"), Some("a.example"), None);
        wire.headers = vec![
            header("host", "b.example"),
            header("Connection", "close, X-Secret,,"),
            header("connection", "host"),
            header("x-secret", "1"),
            header("Keep-Alive", "5"),
            header("proxy-authorization", "x"),
            header("Proxy-Connection", "x"),
            header("te", "gzip"),
            header("te", "trailers"),
            header("transfer-encoding", "chunked"),
            header("upgrade", "h2c"),
            header("http2-settings", "x"),
            header("accept", "a"),
        ];
        check(&mut wire)
            .map(drop)
            .map_err(|failure| failure.code)
            .expect("fine");
        let request = exchange::request_from_wire(wire).expect("fine");
        let names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["te", "accept"]);
        assert_eq!(request.headers()["te"], "trailers");
    }

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn a_body_has_one_length() {
        let framing = |mut headers: HeaderMap| {
            let framing = framing(&mut headers, false).map_err(|failure| failure.code);
            framing.map(|framing| framing.length)
        };
        assert_eq!(framing(map(&[])), Ok(None));
        assert_eq!(framing(map(&[("content-length", "7")])), Ok(Some(7)));
        for values in [&["7", "8"][..], &["7, 8"], &["-1"], &["x"]] {
            let headers: Vec<_> = values
                .iter()
                .map(|&value| ("content-length", value))
                .collect();
            assert_eq!(framing(map(&headers)), Err(ErrorCode::HttpProtocolError));
        }
    }

    #[test]
    fn announced_trailers_are_sent_after_chunks() {
        let headers = || {
            map(&[
                ("trailer", "X-Sum, content-length, connection"),
                ("trailer", "x-more, not valid"),
                ("content-length", "7"),
            ])
        };
        let mut with = headers();
        let framed = framing(&mut with, true).map_err(|failure| failure.code);
        assert_eq!(
            framed,
            Ok(Framing {
                length: Some(7),
                trailers: true
            })
        );
        assert_eq!(with, map(&[("trailer", "x-sum, x-more")]));
        let mut without = headers();
        let framed = framing(&mut without, false).map_err(|failure| failure.code);
        assert_eq!(framed.map(|framing| framing.trailers), Ok(false));
        assert_eq!(without, map(&[("content-length", "7")]));
        let mut none = map(&[("trailer", "host")]);
        let framed = framing(&mut none, true).map_err(|failure| failure.code);
        assert_eq!(framed.map(|framing| framing.trailers), Ok(false));
    }
}
