//! Heads of requests and responses as values.

use super::{
    Body, ErrorCode, Request, Response,
    body::BodyValues,
    headers::{self, Section},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, uri};
use http_body::Body as HttpBody;

/// Converts a request to values. Its authority is that of its URI, or else its header `host`.
pub(crate) fn request_to_wire<B>(request: http::Request<B>) -> Request
where
    B: HttpBody<Data = Bytes, Error: Into<ErrorCode>> + Send + 'static,
{
    let (parts, body) = request.into_parts();
    let authority = parts.uri.authority().map(ToString::to_string);
    let BodyValues {
        content,
        body,
        trailers,
    } = BodyValues::new(body);
    Request {
        method: parts.method.as_str().to_owned(),
        scheme: parts.uri.scheme_str().map(str::to_owned),
        authority: authority.or_else(|| host(&parts.headers)),
        path_with_query: parts
            .uri
            .path_and_query()
            .map(|path| path.as_str().to_owned()),
        headers: headers::to_wire(&parts.headers, Section::Request),
        content,
        body,
        trailers,
    }
}

/// Converts values to a request. Its URI is absolute if they have a scheme and an authority. An
/// authority without a scheme is in the header `host`, except of `CONNECT`.
///
/// # Errors
/// The [`ErrorCode`] of what isn't valid.
pub(crate) fn request_from_wire(request: Request) -> Result<http::Request<Body>, ErrorCode> {
    let method = Method::from_bytes(request.method.as_bytes());
    let method = method.map_err(|_| ErrorCode::HttpRequestMethodInvalid)?;
    let mut headers = headers::from_wire(request.headers, Section::Request)?;
    let mut parts = uri::Parts::default();
    parts.path_and_query = path(request.path_with_query.as_deref())?;
    let authority = request.authority.as_deref().map(authority).transpose()?;
    let scheme = request.scheme.as_deref().map(scheme).transpose()?;
    match (scheme, authority) {
        (Some(scheme), Some(authority)) => {
            parts.scheme = Some(scheme);
            parts.authority = Some(authority);
            let path = uri::PathAndQuery::from_static("/");
            parts.path_and_query.get_or_insert(path);
        }
        (_, Some(authority)) if method == Method::CONNECT && parts.path_and_query.is_none() => {
            parts.authority = Some(authority);
        }
        (_, Some(authority)) => {
            let host = HeaderValue::from_str(authority.as_str());
            headers.insert(header::HOST, host.map_err(|_| uri_invalid())?);
        }
        (_, None) => {}
    }
    if parts.authority.is_none() {
        let path = uri::PathAndQuery::from_static("/");
        parts.path_and_query.get_or_insert(path);
    }
    let uri = Uri::from_parts(parts).map_err(|_| uri_invalid())?;
    let body = BodyValues {
        content: request.content,
        body: request.body,
        trailers: request.trailers,
    };
    let mut converted = http::Request::new(body.into_body());
    *converted.method_mut() = method;
    *converted.uri_mut() = uri;
    *converted.headers_mut() = headers;
    Ok(converted)
}

/// Converts a response to values.
pub(crate) fn response_to_wire<B>(response: http::Response<B>) -> Response
where
    B: HttpBody<Data = Bytes, Error: Into<ErrorCode>> + Send + 'static,
{
    let (parts, body) = response.into_parts();
    let BodyValues {
        content,
        body,
        trailers,
    } = BodyValues::new(body);
    Response {
        status: parts.status.as_u16(),
        headers: headers::to_wire(&parts.headers, Section::Response),
        content,
        body,
        trailers,
    }
}

/// Converts values to a response.
///
/// # Errors
/// The [`ErrorCode`] of what isn't valid. A status below 200 isn't that of a response.
pub(crate) fn response_from_wire(response: Response) -> Result<http::Response<Body>, ErrorCode> {
    let status = StatusCode::from_u16(response.status);
    let status = status.ok().filter(|status| !status.is_informational());
    let status = status.ok_or(ErrorCode::HttpProtocolError)?;
    let headers = headers::from_wire(response.headers, Section::Response)?;
    let body = BodyValues {
        content: response.content,
        body: response.body,
        trailers: response.trailers,
    };
    let mut converted = http::Response::new(body.into_body());
    *converted.status_mut() = status;
    *converted.headers_mut() = headers;
    Ok(converted)
}

fn host(headers: &HeaderMap) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    Some(host.to_owned())
}

/// Reads a path. One that isn't relative to the authority would lead somewhere else.
fn path(path: Option<&str>) -> Result<Option<uri::PathAndQuery>, ErrorCode> {
    let Some(path) = path else {
        return Ok(None);
    };
    if !(path.is_empty() || path == "*" || path.starts_with(['/', '?'])) {
        return Err(uri_invalid());
    }
    let path = if path.is_empty() { "/" } else { path };
    let parsed = uri::PathAndQuery::try_from(path);
    parsed.map(Some).map_err(|_| uri_invalid())
}

fn authority(authority: &str) -> Result<uri::Authority, ErrorCode> {
    uri::Authority::try_from(authority).map_err(|_| uri_invalid())
}

fn scheme(scheme: &str) -> Result<uri::Scheme, ErrorCode> {
    uri::Scheme::try_from(scheme).map_err(|_| uri_invalid())
}

fn uri_invalid() -> ErrorCode {
    ErrorCode::HttpRequestUriInvalid
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full};

    fn body(text: &'static str) -> Body {
        let body = Full::new(Bytes::from_static(text.as_bytes()));
        body.map_err(|never| match never {}).boxed_unsync()
    }

    fn round_trip(request: http::request::Builder) -> http::Request<Body> {
        let wire = request_to_wire(request.body(body("hello")).expect("valid"));
        request_from_wire(wire).expect("valid")
    }

    #[tokio::test]
    async fn a_request_stays_the_same() {
        let request = http::Request::post("https://a.example:8443/x/y?z=1")
            .header("accept", "a")
            .header("accept", "b")
            .header("host", "other.example");
        let request = round_trip(request);
        assert_eq!(request.method(), "POST");
        assert_eq!(request.uri(), "https://a.example:8443/x/y?z=1");
        let accept: Vec<_> = request.headers().get_all("accept").iter().collect();
        assert_eq!(accept, ["a", "b"]);
        assert_eq!(request.headers().get("host"), None, "the authority is it");
        let body = request.into_body().collect().await.expect("whole");
        assert_eq!(body.to_bytes(), "hello");
    }

    #[test]
    fn every_form_of_a_uri_is_kept() {
        let of_host = http::Request::get("/x").header("host", "a.example");
        let request = round_trip(of_host);
        assert_eq!(
            (request.uri().to_string(), &request.headers()["host"]),
            ("/x".to_owned(), &HeaderValue::from_static("a.example"))
        );
        let request = round_trip(http::Request::options("*"));
        assert_eq!(request.uri(), "*");
        let request = round_trip(http::Request::builder().method("CONNECT").uri("a:443"));
        assert_eq!(request.uri(), "a:443");
        let request = round_trip(http::Request::builder().method("M-SEARCH").uri("/"));
        assert_eq!(request.method(), "M-SEARCH");
    }

    #[test]
    fn what_is_not_valid_is_refused() {
        let wire = || request_to_wire(http::Request::new(body("")));
        let refused = |change: fn(&mut Request)| {
            let mut request = wire();
            change(&mut request);
            request_from_wire(request).expect_err("refused")
        };
        let is_uri = |code| assert_eq!(code, ErrorCode::HttpRequestUriInvalid);
        is_uri(refused(|r| r.path_with_query = Some("http://b/".into())));
        is_uri(refused(|r| r.path_with_query = Some("x".into())));
        is_uri(refused(|r| r.path_with_query = Some("/a b".into())));
        is_uri(refused(|r| r.authority = Some("a/b".into())));
        is_uri(refused(|r| r.scheme = Some("1:".into())));
        let method = refused(|r| r.method = "GET /".into());
        assert_eq!(method, ErrorCode::HttpRequestMethodInvalid);
    }

    #[test]
    fn an_informational_status_is_no_response() {
        for status in [0, 100, 101, 103, 199, 1_000] {
            let mut response = response_to_wire(http::Response::new(body("")));
            response.status = status;
            let refused = response_from_wire(response).expect_err("refused");
            assert_eq!(refused, ErrorCode::HttpProtocolError, "{status}");
        }
    }
}
