//! URLs of requests that go out, as spans show them.

use http::uri::PathAndQuery;
use std::{borrow::Cow, fmt::Display};
use url::form_urlencoded;

/// What stands for a value that isn't shown.
const REDACTED: &str = "REDACTED";

/// The names of query parameters with secrets, in lower case: those that the conventions of
/// OpenTelemetry list or have listed, and others by which tokens and passwords are sent. They are
/// compared ignoring case and with `-` as `_`, although the conventions compare them exactly: a
/// value that is hidden without need does less harm than a secret that is shown.
const SECRET: [&str; 29] = [
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "auth_token",
    "authorization",
    "awsaccesskeyid",
    "client_secret",
    "code",
    "credential",
    "id_token",
    "jwt",
    "key",
    "pass",
    "passwd",
    "password",
    "private_token",
    "pwd",
    "refresh_token",
    "secret",
    "session",
    "sig",
    "signature",
    "token",
    "x_amz_credential",
    "x_amz_security_token",
    "x_amz_signature",
    "x_goog_credential",
    "x_goog_signature",
];

/// Returns the URL with an origin, which has no user and no password, and a path with its query.
/// Values of parameters with secrets are replaced. A path that can't be sent isn't shown.
pub(super) fn full(origin: &dyn Display, path: &str) -> String {
    // What follows `#` isn't sent.
    let Ok(path) = path.parse::<PathAndQuery>() else {
        return origin.to_string();
    };
    let query = path.query();
    let query = query.map(|query| query.split('&').map(shown).collect::<Vec<_>>().join("&"));
    match query {
        Some(query) => format!("{origin}{}?{query}", path.path()),
        None => format!("{origin}{}", path.path()),
    }
}

/// Returns a parameter as it is shown.
fn shown(parameter: &str) -> Cow<'_, str> {
    match parameter.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={REDACTED}").into(),
        _ => parameter.into(),
    }
}

/// Returns whether a parameter with this name, as it is in the query, has a secret as its value.
fn is_secret(name: &str) -> bool {
    let decoded = form_urlencoded::parse(name.as_bytes()).next();
    let decoded = decoded.map(|(name, _)| name.to_ascii_lowercase().replace('-', "_"));
    decoded.is_some_and(|name| SECRET.contains(&&*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &str) -> String {
        full(&"https://a.example:8443", path)
    }

    #[test]
    fn a_url_is_whole_but_for_its_secrets() {
        for (path, expected) in [
            ("/", "/"),
            ("/a//b%20c", "/a//b%20c"),
            ("/a?", "/a?"),
            (
                "/a?color=blue&size&=x&&sort=a=b",
                "/a?color=blue&size&=x&&sort=a=b",
            ),
            ("/a?color=blue&sig=4711", "/a?color=blue&sig=REDACTED"),
            ("/a?sig=&sig=1=2&sig", "/a?sig=REDACTED&sig=REDACTED&sig"),
            (
                "/a?X-Amz-Signature=1&X-Amz-Credential=2&X-Amz-Security-Token=3&X-Amz-Expires=4",
                "/a?X-Amz-Signature=REDACTED&X-Amz-Credential=REDACTED&X-Amz-Security-Token=REDACTED&X-Amz-Expires=4",
            ),
            (
                "/a?AWSAccessKeyId=1&Signature=2&X-Goog-Signature=3",
                "/a?AWSAccessKeyId=REDACTED&Signature=REDACTED&X-Goog-Signature=REDACTED",
            ),
            (
                "/a?API-Key=1&%74oken=2",
                "/a?API-Key=REDACTED&%74oken=REDACTED",
            ),
            ("/a?tokens=1#token=2", "/a?tokens=1"),
        ] {
            assert_eq!(
                shown(path),
                format!("https://a.example:8443{expected}"),
                "{path}"
            );
        }
    }

    #[test]
    fn a_path_that_is_not_sent_is_not_shown() {
        for path in ["/a b?token=1", "/a\r\nb"] {
            assert_eq!(shown(path), "https://a.example:8443", "{path:?}");
        }
    }

    #[test]
    fn the_names_are_written_as_they_are_compared() {
        let compared = |name: &&str| name.to_ascii_lowercase().replace('-', "_") == **name;
        assert!(SECRET.iter().all(compared));
        assert!(SECRET.is_sorted());
    }
}
