//! The rules for paths and the number of host names, and the form in which paths are compared.

use super::HostName;
use std::borrow::Cow;

/// Longest host name in bytes, as in DNS.
pub const MAX_HOST: usize = 253;
/// Longest path of a wormhole in bytes.
pub const MAX_PATH: usize = 256;
/// Most domains of one wormhole. Each has a claim in the store.
pub const MAX_DOMAINS: usize = 64;

/// Why a wormhole's host name, path or users can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WormholeRuleError {
    /// A host name breaks the rule of DNS.
    #[error(
        "invalid host name `{host}`: write labels of a-z, 0-9 and `-`, joined by dots, such as `shop.example`, without a scheme, a port or a path; write other letters in their `xn--` form"
    )]
    Host {
        /// The host name.
        host: String,
    },
    /// A path breaks its rule.
    #[error(
        "invalid path `{path}`: a path must begin with `/`, and has whole segments of the characters that a URL may have, without `//`, `.`, `..`, `?` and `#`, and {MAX_PATH} bytes at most"
    )]
    Path {
        /// The path.
        path: String,
    },
    /// There are too many domains.
    #[error("a wormhole has {MAX_DOMAINS} domains at most, not {domains}; open another one")]
    TooManyDomains {
        /// The number of domains.
        domains: usize,
    },
    /// A user's name can't be sent in a request.
    #[error("invalid user name `{user}`: it must not be empty, and has no `:`")]
    User {
        /// The name.
        user: String,
    },
    /// There is not exactly one kind of credentials.
    #[error(
        "`auth` takes exactly one of `basic`, `bearer` and `verifier`, and `verifier-link` goes with `verifier`; change it, or leave `auth` out to let all requests through"
    )]
    Auth,
    /// No request would be let through.
    #[error(
        "there are no {what}, so no request would be let through; add one, or leave `auth` out"
    )]
    NoneAllowed {
        /// `users` or `tokens`.
        what: &'static str,
    },
    /// There are too many users or tokens.
    #[error("there are more than {limit} {what}; let an actor decide, with `verifier`")]
    TooManyAllowed {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

/// Returns a host name in the form in which names are compared, without a copy of one that already
/// has it.
pub(super) fn as_canonical_host(host: &str) -> Cow<'_, str> {
    if host.ends_with('.') || host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        HostName::of_record(host).as_str().to_owned().into()
    } else {
        host.into()
    }
}

/// Returns a path without slashes at the end, or `/` for all paths.
pub(crate) fn canonical_path(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

/// Returns whether a path begins with the segments of `prefix`, which is in canonical form.
pub(super) fn is_within(path: &str, prefix: &str) -> bool {
    prefix == "/"
        || path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(crate) fn check_path(path: &str) -> Result<(), WormholeRuleError> {
    let is_allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&byte);
    let is_segment =
        |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_allowed);
    let has_segments = |rest: &str| {
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        rest.split('/').all(is_segment)
    };
    let is_good = path == "/" || path.strip_prefix('/').is_some_and(has_segments);
    if is_good && path.len() <= MAX_PATH {
        return Ok(());
    }
    Err(WormholeRuleError::Path {
        path: shortened(path, MAX_PATH),
    })
}

pub(crate) fn check_domains(domains: usize) -> Result<(), WormholeRuleError> {
    if domains <= MAX_DOMAINS {
        return Ok(());
    }
    Err(WormholeRuleError::TooManyDomains { domains })
}

/// Returns as much of a text as a message shows.
pub(super) fn shortened(text: &str, limit: usize) -> String {
    let end = text.floor_char_boundary(limit);
    if end == text.len() {
        text.to_owned()
    } else {
        format!("{}…", &text[..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_requests_are_compared_in_one_form() {
        assert_eq!(as_canonical_host("Shop.Example."), "shop.example");
        assert_eq!(as_canonical_host("shop.example"), "shop.example");
    }

    #[test]
    fn paths_have_whole_segments() {
        for good in ["/", "/api", "/api/", "/a/b-c/%41", "/a.b/..c"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        let long = format!("/{}", "x".repeat(MAX_PATH));
        for bad in [
            "", "api", "//", "/a//b", "/.", "/a/..", "/a?b", "/a#b", "/a b", "/é", "/a\\b", &long,
        ] {
            let error = check_path(bad).expect_err(bad);
            assert!(error.to_string().contains("must begin with `/`"), "{error}");
            assert!(error.to_string().len() < 600, "{error}");
        }
        assert_eq!(
            (
                canonical_path("/"),
                canonical_path("/a/"),
                canonical_path("")
            ),
            ("/", "/a", "/")
        );
        for (path, prefix, within) in [
            ("/api", "/api", true),
            ("/api/x", "/api", true),
            ("/apis", "/api", false),
            ("/ap", "/api", false),
            ("/anything", "/", true),
            ("", "/", true),
        ] {
            assert_eq!(is_within(path, prefix), within, "{path} {prefix}");
        }
    }
}
