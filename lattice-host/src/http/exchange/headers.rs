//! Headers as values.

use super::{ErrorCode, Header};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Headers that are about one connection, and never passed on.
const OF_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Headers that say how a message is framed, routed, authorized or read, so that they can't come
/// after it, by RFC 9110: a receiver that adds trailers to the headers would believe them too late,
/// or for another message.
const NOT_IN_TRAILERS: [HeaderName; 22] = [
    header::AGE,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::DATE,
    header::EXPECT,
    header::EXPIRES,
    header::HOST,
    header::LOCATION,
    header::MAX_FORWARDS,
    header::RANGE,
    header::RETRY_AFTER,
    header::SET_COOKIE,
    header::TE,
    header::TRAILER,
    header::VARY,
    header::WARNING,
    header::WWW_AUTHENTICATE,
];

/// What only a proxy, or the ingress, says about a client, beside names that begin with
/// `x-forwarded-`. It is known before the body, and in trailers a client would say it of itself.
const SAID_BY_PROXIES: [HeaderName; 7] = [
    header::FORWARDED,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-request-id"),
];

/// Returns whether a header is about one connection, so that it is never passed on.
pub(crate) fn is_of_connection(name: &HeaderName) -> bool {
    OF_CONNECTION.contains(name)
}

/// Which part of a message headers are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Request,
    Response,
    Trailers,
}

/// Returns the headers of a message as values, without those of the connection.
pub(super) fn to_wire(headers: &HeaderMap, section: Section) -> Vec<Header> {
    let named = named_by_connection(headers);
    let kept = headers
        .iter()
        .filter(|(name, value)| !named.contains(name) && is_passed_on(name, value, section));
    let mut values = Vec::with_capacity(headers.len());
    values.extend(kept.map(|(name, value)| Header {
        name: name.as_str().to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    }));
    values
}

/// Returns headers from their values, without those that aren't passed on.
///
/// # Errors
/// [`ErrorCode::HttpProtocolError`] for a name or value that isn't valid, and the code of the
/// section when there are too many.
pub(super) fn from_wire(headers: Vec<Header>, section: Section) -> Result<HeaderMap, ErrorCode> {
    let mut map = HeaderMap::new();
    for Header { name, value } in headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let name = name.map_err(|_| ErrorCode::HttpProtocolError)?;
        let value = HeaderValue::from_maybe_shared(value);
        let value = value.map_err(|_| ErrorCode::HttpProtocolError)?;
        if !is_passed_on(&name, &value, section) {
            continue;
        }
        let added = map.try_append(name, value);
        added.map_err(|_| section.too_many())?;
    }
    Ok(map)
}

impl Section {
    fn too_many(self) -> ErrorCode {
        match self {
            Self::Request => ErrorCode::HttpRequestHeaderSectionSize(None),
            Self::Response => ErrorCode::HttpResponseHeaderSectionSize(None),
            Self::Trailers => ErrorCode::HttpResponseTrailerSectionSize(None),
        }
    }
}

fn is_passed_on(name: &HeaderName, value: &HeaderValue, section: Section) -> bool {
    if is_of_connection(name) {
        return false;
    }
    match section {
        Section::Request if *name == header::HOST => false,
        Section::Trailers => {
            !NOT_IN_TRAILERS.contains(name)
                && !SAID_BY_PROXIES.contains(name)
                && !name.as_str().starts_with("x-forwarded-")
        }
        // It says whether trailers can be passed on, and everything else in it is of the
        // connection.
        _ if *name == header::TE => value.as_bytes().eq_ignore_ascii_case(b"trailers"),
        Section::Request | Section::Response => true,
    }
}

/// Returns the headers that a message declares to be of its connection.
pub(crate) fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter();
    let named = values.filter_map(|value| value.to_str().ok());
    let named = named.flat_map(|value| value.split(','));
    named
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn names(headers: &[Header]) -> Vec<&str> {
        headers.iter().map(|header| &*header.name).collect()
    }

    #[test]
    fn headers_of_the_connection_are_left_out() {
        let headers = map(&[
            ("connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("keep-alive", "5"),
            ("te", "gzip"),
            ("te", "Trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "x"),
            ("host", "a"),
            ("accept", "a"),
            ("accept", "b"),
        ]);
        let passed = to_wire(&headers, Section::Request);
        assert_eq!(names(&passed), ["te", "accept", "accept"]);
        assert_eq!(passed[2].value, "b");
        let trailers = map(&[
            ("content-length", "3"),
            ("grpc-status", "0"),
            ("host", "a"),
            ("te", "trailers"),
            ("authorization", "Bearer x"),
            ("set-cookie", "a=1"),
            ("x-forwarded-for", "192.0.2.1"),
            ("forwarded", "for=192.0.2.1"),
            ("x-real-ip", "192.0.2.1"),
            ("true-client-ip", "192.0.2.1"),
            ("x-original-url", "/admin"),
            ("x-request-id", "1"),
        ]);
        assert_eq!(
            names(&to_wire(&trailers, Section::Trailers)),
            ["grpc-status"]
        );
        assert!(to_wire(&headers, Section::Response).len() > passed.len());
    }

    #[test]
    fn what_a_header_cannot_hold_is_refused() {
        let header = |name: &str, value: &'static str| Header {
            name: name.to_owned(),
            value: Bytes::from_static(value.as_bytes()),
        };
        for (name, value) in [
            ("x", "a\r\nset-cookie: b"),
            ("x", "a\0"),
            ("x y", "a"),
            ("", "a"),
            ("x\r\n", "a"),
        ] {
            let refused = from_wire(vec![header(name, value)], Section::Response);
            assert_eq!(refused, Err(ErrorCode::HttpProtocolError), "{name:?}");
        }
        let read = from_wire(
            vec![header("X-Y", "a"), header("upgrade", "b")],
            Section::Response,
        );
        assert_eq!(read, Ok(map(&[("x-y", "a")])));
    }

    #[test]
    fn more_headers_than_a_map_holds_are_refused() {
        let header = |number: usize| Header {
            name: format!("x-{number}"),
            value: Bytes::new(),
        };
        let many: Vec<Header> = (0..33_000).map(header).collect();
        let refused = from_wire(many, Section::Response);
        assert_eq!(
            refused.err(),
            Some(ErrorCode::HttpResponseHeaderSectionSize(None))
        );
    }
}
