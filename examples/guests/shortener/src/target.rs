//! Where links may lead.

use std::{fmt, net::Ipv6Addr};

/// Longest address, in bytes. Browsers and servers take longer ones, but no person needs them.
pub(crate) const LONGEST: usize = 2_048;
/// Longest name of a host, as the DNS has it.
const LONGEST_HOST: usize = 253;
const LONGEST_LABEL: usize = 63;

/// Why a link may not lead to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Empty,
    TooLong,
    /// It has characters that an address can't have.
    Characters,
    /// It isn't of the web.
    Scheme,
    /// It has a user's name or password, by which it would look like another address.
    User,
    Host,
    Port,
    /// It leads to this site.
    Itself,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the address is missing"),
            Self::TooLong => write!(f, "the address has more than {LONGEST} characters"),
            Self::Characters => f.write_str(
                "the address has spaces, or characters that have to be percent-encoded, as in %C3%BC",
            ),
            Self::Scheme => f.write_str("the address doesn't begin with http:// or https://"),
            Self::User => f.write_str("the address has a user's name; remove what is before the @"),
            Self::Host => f.write_str("the name of the host isn't valid"),
            Self::Port => f.write_str("the port isn't a number from 1 to 65535"),
            Self::Itself => f.write_str("the address leads to this site itself"),
        }
    }
}

/// Returns the address as a link stores it: as it was given, without spaces around it.
///
/// `own_host` is the name under which this site was reached. That is the only one that an actor
/// can know of itself, so a loop over another name of the same site isn't detected.
pub(crate) fn check(address: &str, own_host: Option<&str>) -> Result<String, Refusal> {
    let address = address.trim();
    if address.is_empty() {
        return Err(Refusal::Empty);
    }
    if address.len() > LONGEST {
        return Err(Refusal::TooLong);
    }
    if !address.bytes().all(is_allowed) {
        return Err(Refusal::Characters);
    }
    let (scheme, rest) = address.split_once("://").ok_or(Refusal::Scheme)?;
    if !["http", "https"]
        .iter()
        .any(|web| scheme.eq_ignore_ascii_case(web))
    {
        return Err(Refusal::Scheme);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(Refusal::User);
    }
    let host = host(authority)?;
    if own_host.is_some_and(|own| normal(own) == normal(host)) {
        return Err(Refusal::Itself);
    }
    Ok(address.to_owned())
}

/// What RFC 3986 lets an address have.
fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

/// Returns the host of an authority, which has a valid port if it has one.
fn host(authority: &str) -> Result<&str, Refusal> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inner, port) = rest.split_once(']').ok_or(Refusal::Host)?;
            inner.parse::<Ipv6Addr>().map_err(|_| Refusal::Host)?;
            let port = match port.strip_prefix(':') {
                None if port.is_empty() => None,
                None => return Err(Refusal::Host),
                port => port,
            };
            (&authority[..inner.len() + 2], port)
        }
        None => {
            let (host, port) = match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            };
            if !is_name(host.strip_suffix('.').unwrap_or(host)) {
                return Err(Refusal::Host);
            }
            (host, port)
        }
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if port.is_some_and(|port| !port.is_empty() && !is_port(port)) {
        return Err(Refusal::Port);
    }
    Ok(host)
}

fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    host.len() <= LONGEST_HOST && host.split('.').all(is_label)
}

/// Returns a host's name in the form in which it is compared.
fn normal(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}
