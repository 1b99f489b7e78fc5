//! Which wormhole a request is for: its host name and its path, in the form in which they are
//! compared.

use http::{
    Uri,
    header::HOST,
    request::Parts,
    uri::{Authority, PathAndQuery},
};
use lattice_core::wormhole::{Wormhole, WormholeTable};
use std::{borrow::Cow, net::Ipv6Addr, sync::Arc};

/// The base domain that every ingress has, so that `name.localhost` leads to wormhole `name`.
const LOCALHOST: &str = "localhost";
/// Longest host name, as DNS has it.
const LONGEST_HOST: usize = 253;

/// Where a request goes.
#[derive(Debug)]
pub(super) struct Destination {
    /// The host and the port as the client wrote them.
    pub(super) authority: Authority,
    /// The host name without a port and in lower case.
    host: String,
    /// The path as it is compared with those of wormholes.
    path: String,
}

/// Why it isn't known where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadDestination {
    NoHost,
    SeveralHosts,
    BadHost,
    BadPath,
}

impl BadDestination {
    /// Says what the client has to change.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::NoHost => "the request names no host; send the header Host",
            Self::SeveralHosts => "the request names several hosts; send one",
            Self::BadHost => "the host isn't a valid name; send a host name or an address",
            Self::BadPath => "the path has segments of dots; send it without them",
        }
    }
}

impl Destination {
    /// Reads where a request goes.
    pub(super) fn of(parts: &Parts) -> Result<Self, BadDestination> {
        let authority = authority(parts)?;
        let host = host_name(authority.as_str()).ok_or(BadDestination::BadHost)?;
        let path = compared_path(parts.uri.path()).ok_or(BadDestination::BadPath)?;
        Ok(Self {
            authority,
            host,
            path: path.into_owned(),
        })
    }

    /// Finds the open wormhole that the request is for. A wormhole with the host's full name comes
    /// before one with the name under a base domain, and that before one without a name.
    pub(super) fn find<'t>(
        &self,
        table: &'t WormholeTable,
        domains: &[String],
    ) -> Option<&'t Arc<Wormhole>> {
        let domains = domains.iter().map(String::as_str).chain([LOCALHOST]);
        let labels = domains.filter_map(|domain| label_under(&self.host, domain));
        let mut nameless = None;
        for name in [self.host.as_str()].into_iter().chain(labels) {
            match table.find(name, &self.path) {
                Some(found) if !found.spec.serves_any_host() => return Some(found),
                found => nameless = nameless.or(found),
            }
        }
        nameless
    }

    /// Returns the URI that the wormhole's actor gets.
    pub(super) fn uri(&self, scheme: &str, path: Option<PathAndQuery>) -> Option<Uri> {
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        Uri::builder()
            .scheme(scheme)
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .ok()
    }
}

/// Normalises a base domain that someone configured. `None` when it isn't a host name.
pub(super) fn base_domain(text: &str) -> Option<String> {
    host_name(text.trim_start_matches("*.").trim_start_matches('.'))
}

/// Returns the one label that is before `domain`.
fn label_under<'h>(host: &'h str, domain: &str) -> Option<&'h str> {
    let label = host.strip_suffix(domain)?.strip_suffix('.')?;
    (!label.is_empty() && !label.contains('.')).then_some(label)
}

/// Returns the one host that the request names. An absolute URI and the header `Host` have to name
/// the same one, and so have `:authority` and `Host`.
fn authority(parts: &Parts) -> Result<Authority, BadDestination> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(BadDestination::SeveralHosts),
        (None, None) => None,
        (Some(host), None) => {
            let parsed = Authority::try_from(host.as_bytes());
            Some(parsed.map_err(|_| BadDestination::BadHost)?)
        }
    };
    match (parts.uri.authority(), host) {
        (None, None) => Err(BadDestination::NoHost),
        (None, Some(host)) => Ok(host),
        (Some(authority), None) => Ok(authority.clone()),
        (Some(authority), Some(host)) if *authority == host => Ok(host),
        (Some(_), Some(_)) => Err(BadDestination::SeveralHosts),
    }
}

/// Returns the host name of an authority: without port and last dot, in lower case. `None` when it
/// has user information or isn't a host name or an IP address.
fn host_name(authority: &str) -> Option<String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            let port = match after {
                "" => "",
                after => after.strip_prefix(':')?,
            };
            (&authority[..address.len() + 2], port)
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let has_digits = port.bytes().all(|digit| digit.is_ascii_digit());
    let is_port = port.is_empty() || (has_digits && port.parse::<u16>().is_ok());
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_name = host.starts_with('[')
        || host.split('.').all(|label| {
            let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            !label.is_empty() && label.bytes().all(is_of_name)
        });
    (is_port && is_name && host.len() <= LONGEST_HOST).then(|| host.to_ascii_lowercase())
}

/// Returns the path in the form in which it is compared: percent-encoded letters, digits and `-._~`
/// decoded, and several slashes as one, because an actor may read it so. `None` when a segment
/// consists of dots, with which it would lead out of the part that the wormhole is for.
fn compared_path(path: &str) -> Option<Cow<'_, str>> {
    let decoded = if path.contains('%') {
        Cow::Owned(decoded(path))
    } else {
        Cow::Borrowed(path)
    };
    if has_dot_segments(&decoded) {
        return None;
    }
    if !decoded.contains("//") {
        return Some(decoded);
    }
    let mut single = String::with_capacity(decoded.len());
    for character in decoded.chars() {
        if character != '/' || !single.ends_with('/') {
            single.push(character);
        }
    }
    Some(Cow::Owned(single))
}

/// Returns whether a segment of the path consists of dots. Encoded slashes and backslashes separate
/// segments here too, because an actor may decode the path before it resolves it.
fn has_dot_segments(decoded: &str) -> bool {
    const ENCODED: [&str; 4] = ["%2f", "%2F", "%5c", "%5C"];
    let mut path = Cow::Borrowed(decoded);
    for separator in ENCODED {
        if path.contains(separator) {
            path = Cow::Owned(path.replace(separator, "/"));
        }
    }
    path.split(['/', '\\'])
        .any(|segment| matches!(segment, "." | ".."))
}

/// Decodes what needn't be encoded.
fn decoded(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let code = rest
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code.map(char::from) {
            Some(plain) if plain.is_ascii_alphanumeric() || "-._~".contains(plain) => {
                decoded.push(plain);
                rest = &rest[2..];
            }
            _ => decoded.push('%'),
        }
    }
    decoded.push_str(rest);
    decoded
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
