//! From a request to its response.

use super::MetricsSource;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, WWW_AUTHENTICATE},
};
use http_body_util::Full;
use lattice_core::telemetry::metrics::Exposition;
use std::net::IpAddr;
use tokio::sync::Mutex;

/// The path of the metrics.
const PATH: &str = "/metrics";

/// Who may read the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// Those who have a token with this hash.
    Token(blake3::Hash),
    /// The users of this machine.
    ThisMachine,
    /// Everyone.
    All,
}

/// Answers requests for the metrics.
pub(super) struct Answers {
    pub(super) source: MetricsSource,
    pub(super) readers: Readers,
    /// Held while a reading is made, so that many clients don't take many threads.
    pub(super) reading: Mutex<()>,
}

impl Answers {
    /// Answers one request.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>> {
        let headers = request.headers();
        if let Err(status) = self.readers.check(headers) {
            let mut response = plain(status, refusal(status));
            if status == StatusCode::UNAUTHORIZED {
                let bearer = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
            }
            return response;
        }
        if request.uri().path() != PATH {
            return plain(StatusCode::NOT_FOUND, "the metrics are at /metrics\n");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allowed);
            return response;
        }
        let accepts = headers.get_all(ACCEPT).iter();
        let accepts: Vec<&str> = accepts.filter_map(|one| one.to_str().ok()).collect();
        let exposition = Exposition::accepted(&accepts.join(","));
        match self.text(exposition).await {
            Some(text) => {
                let mut response = Response::new(Full::from(text));
                let kind = HeaderValue::from_static(exposition.media_type());
                response.headers_mut().insert(CONTENT_TYPE, kind);
                let none = HeaderValue::from_static("no-store");
                response.headers_mut().insert(CACHE_CONTROL, none);
                response
            }
            None => plain(StatusCode::SERVICE_UNAVAILABLE, "the host has stopped\n"),
        }
    }

    /// Makes the text on a thread of its own: among thousands of series it takes milliseconds.
    async fn text(&self, exposition: Exposition) -> Option<String> {
        let _reading = self.reading.lock().await;
        let source = self.source.clone();
        let read = move || source().map(|metrics| metrics.to_text(exposition));
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }
}

impl Readers {
    fn check(self, headers: &HeaderMap) -> Result<(), StatusCode> {
        match self {
            Self::All => Ok(()),
            Self::Token(hash) => {
                let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
                let token = given.and_then(|given| {
                    let (scheme, token) = given.split_at_checked(7)?;
                    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
                });
                // Hashes are compared in constant time.
                let is_it = token.is_some_and(|token| blake3::hash(token.trim_ascii()) == hash);
                is_it.then_some(()).ok_or(StatusCode::UNAUTHORIZED)
            }
            Self::ThisMachine => {
                let host = headers.get(HOST).and_then(|host| host.to_str().ok());
                let is_own = host.is_some_and(is_of_this_machine);
                is_own.then_some(()).ok_or(StatusCode::MISDIRECTED_REQUEST)
            }
        }
    }
}

/// Returns whether a host with or without a port is an address or `localhost`: no name that
/// somebody else may have made lead here.
fn is_of_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost") || address.unwrap_or(name).parse::<IpAddr>().is_ok()
}

fn refusal(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "send the token, as `Authorization: Bearer TOKEN`\n",
        _ => "name an address or localhost as the host of the request\n",
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_localhost_are_of_this_machine_and_other_names_are_not() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9464",
            "[::1]:9464",
            "[::1]",
            "LocalHost:1",
        ] {
            assert!(is_of_this_machine(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "evil.example",
            "evil.example:9464",
            "localhost.evil.example",
        ] {
            assert!(!is_of_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_token_is_needed_whole() {
        let readers = Readers::Token(blake3::hash(b"secret"));
        let check = |value: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            }
            readers.check(&headers)
        };
        assert_eq!(check(Some("Bearer secret")), Ok(()));
        assert_eq!(check(Some("bearer  secret ")), Ok(()));
        for wrong in [
            None,
            Some("secret"),
            Some("Bearer "),
            Some("Bearer secrets"),
            Some("Basic secret"),
        ] {
            assert_eq!(check(wrong), Err(StatusCode::UNAUTHORIZED), "{wrong:?}");
        }
    }
}
