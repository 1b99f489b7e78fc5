//! URLs of requests that go out, as spans show them.

use http::uri::PathAndQuery;
use std::{borrow::Cow, fmt::Display};
use url::form_urlencoded;

/// What stands for a value that isn't shown.
const REDACTED: &str = "REDACTED";

/// Parts of the names of query parameters with secrets, in lower case. These names are those that
/// the conventions of OpenTelemetry list, and others by which tokens and passwords are sent. The
/// conventions compare whole names exactly: a value that is hidden without need does less harm than
/// a secret that is shown.
const SECRET_PARTS: [&str; 13] = [
    "assertion",
    "auth",
    "credential",
    "hmac",
    "jwt",
    "key",
    "passw",
    "pwd",
    "saml",
    "secret",
    "session",
    "signature",
    "token",
];
/// Whole names of such parameters.
const SECRET: [&str; 3] = ["code", "pass", "sig"];
/// Most bytes of a parameter without a value that is shown. A longer one may be a secret itself.
const FLAG: usize = 16;

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
        None if parameter.len() > FLAG => REDACTED.into(),
        _ => parameter.into(),
    }
}

/// Returns whether a parameter with this name, as it is in the query, has a secret as its value.
fn is_secret(name: &str) -> bool {
    let decoded = form_urlencoded::parse(name.as_bytes()).next();
    decoded.is_some_and(|(name, _)| {
        let name = name.to_ascii_lowercase();
        SECRET.contains(&&*name) || SECRET_PARTS.iter().any(|part| name.contains(part))
    })
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
            ("/a?size=1#token=2", "/a?size=1"),
            (
                "/a?subscription-key=1&oauth_token=2&SAMLResponse=3&auth%5Btoken%5D=4&page=5",
                "/a?subscription-key=REDACTED&oauth_token=REDACTED&SAMLResponse=REDACTED&auth%5Btoken%5D=REDACTED&page=5",
            ),
            ("/a?uploads&c2VjcmV0LW9mLXNvbWVib2R5", "/a?uploads&REDACTED"),
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
        let mut names = SECRET.iter().chain(&SECRET_PARTS);
        assert!(names.all(|name| name.to_ascii_lowercase() == **name));
    }
}
