//! Where a request goes, in the one form in which it is compared, sent and resolved.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};
use url::Host as UrlHost;

/// The longest name of a host, without the dot at its end, and its longest part, by RFC 1035.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// The scheme, host and port of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    pub(super) host: Host,
    pub(super) port: u16,
}

/// A scheme in which requests can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

/// A host: a name in lower case, in its ASCII form and without a dot at its end, or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

/// What is wrong with an authority. Its text says what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("it has a user name or a password before `@`; send them in a header")]
    User,
    #[error("its port isn't a number from 1 to 65535; correct it or remove it with its colon")]
    Port,
    #[error("an IPv6 address needs brackets, as in `[::1]:8080`")]
    Brackets,
    #[error("it isn't the name or the address of a host; correct it")]
    Host,
    #[error("its scheme is neither `http` nor `https`; use one of them")]
    Scheme,
}

impl Scheme {
    /// Parses a scheme, in any case.
    pub(super) fn parse(text: &str) -> Result<Self, Flaw> {
        if text.eq_ignore_ascii_case("http") {
            return Ok(Self::Http);
        }
        if text.eq_ignore_ascii_case("https") {
            return Ok(Self::Https);
        }
        Err(Flaw::Scheme)
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(super) fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Target {
    /// Parses an authority of a request.
    pub(super) fn parse(scheme: Scheme, authority: &str) -> Result<Self, Flaw> {
        let (host, port) = split(authority)?;
        Ok(Self {
            scheme,
            host: Host::parse(host)?,
            port: port.unwrap_or(scheme.default_port()),
        })
    }

    /// Returns the authority as it is sent: the host, and the port unless it is the scheme's.
    pub(super) fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            return self.host.to_string();
        }
        format!("{}:{}", self.host, self.port)
    }
}

/// Writes the origin: the scheme and the authority.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

impl Host {
    /// Parses a host as browsers do: international names become ASCII, and every notation of an
    /// IPv4 address (`0x7f.1`, `2130706433`) becomes that address.
    pub(super) fn parse(text: &str) -> Result<Self, Flaw> {
        match UrlHost::parse(text).map_err(|_| Flaw::Host)? {
            UrlHost::Ipv4(address) => Ok(Self::Address(address.into())),
            UrlHost::Ipv6(address) => Ok(Self::Address(address.into())),
            UrlHost::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(&name);
                if is_name(name) {
                    Ok(Self::Name(name.to_owned()))
                } else {
                    Err(Flaw::Host)
                }
            }
        }
    }

    /// Returns whether this is how one writes the own host: `localhost`, or a loopback address.
    pub(super) fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Address(IpAddr::V4(address)) => address.is_loopback(),
            Self::Address(IpAddr::V6(address)) => *address == Ipv6Addr::LOCALHOST,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Splits an authority into its host and its port.
pub(super) fn split(authority: &str) -> Result<(&str, Option<u16>), Flaw> {
    if authority.contains('@') {
        return Err(Flaw::User);
    }
    let (host, rest) = if authority.starts_with('[') {
        let end = authority.find(']').ok_or(Flaw::Brackets)? + 1;
        authority.split_at(end)
    } else {
        authority.split_at(authority.find(':').unwrap_or(authority.len()))
    };
    let Some(port) = rest.strip_prefix(':') else {
        return if rest.is_empty() {
            Ok((host, None))
        } else {
            Err(Flaw::Host)
        };
    };
    if port.contains(':') {
        return Err(Flaw::Brackets);
    }
    Ok((host, Some(parse_port(port)?)))
}

fn parse_port(text: &str) -> Result<u16, Flaw> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if is_number && port != 0 => Ok(port),
        _ => Err(Flaw::Port),
    }
}

/// Returns whether `name` is made of labels that resolvers take for nothing else.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let bytes = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.len() <= LONGEST_LABEL && label.bytes().all(bytes)
    };
    name.len() <= LONGEST_NAME && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(authority: &str) -> Result<String, Flaw> {
        Target::parse(Scheme::Https, authority).map(|target| target.to_string())
    }

    #[test]
    fn every_spelling_of_a_host_becomes_the_same() {
        for (authority, expected) in [
            ("example.com", "https://example.com"),
            ("EXAMPLE.com.", "https://example.com"),
            ("example.com:443", "https://example.com"),
            ("example.com.:443", "https://example.com"),
            ("example.com:00443", "https://example.com"),
            ("example.com:8443", "https://example.com:8443"),
            ("ex%61mple.com", "https://example.com"),
            ("example。com", "https://example.com"),
            ("ｅｘａｍｐｌｅ.com", "https://example.com"),
            ("BÜCHER.example", "https://xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "https://xn--bcher-kva.example"),
            ("my_service.local", "https://my_service.local"),
            ("127.0.0.1", "https://127.0.0.1"),
            ("127.1", "https://127.0.0.1"),
            ("127.0.0.1.", "https://127.0.0.1"),
            ("2130706433", "https://127.0.0.1"),
            ("0x7f000001", "https://127.0.0.1"),
            ("0x7f.1", "https://127.0.0.1"),
            ("0177.0.0.01", "https://127.0.0.1"),
            ("１２７.0.0.1", "https://127.0.0.1"),
            ("%31%32%37.0.0.1", "https://127.0.0.1"),
            ("[::1]", "https://[::1]"),
            ("[0:0:0:0:0:0:0:1]:80", "https://[::1]:80"),
            ("[::FFFF:127.0.0.1]", "https://[::ffff:127.0.0.1]"),
        ] {
            assert_eq!(parsed(authority).as_deref(), Ok(expected), "{authority}");
        }
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        for (authority, expected) in [
            ("user@example.com", Flaw::User),
            ("user:secret@example.com", Flaw::User),
            ("example.com:80@evil.example", Flaw::User),
            ("example.com@", Flaw::User),
            ("example.com:", Flaw::Port),
            ("example.com:0", Flaw::Port),
            ("example.com:65536", Flaw::Port),
            ("example.com:+80", Flaw::Port),
            ("example.com: 80", Flaw::Port),
            ("example.com:80/x", Flaw::Port),
            ("::1", Flaw::Brackets),
            ("fe80::1:8080", Flaw::Brackets),
            ("[::1", Flaw::Brackets),
            ("[::1]x", Flaw::Host),
            ("[::1%25eth0]", Flaw::Host),
            ("[fe80::1%eth0]", Flaw::Host),
            ("[v1.x]", Flaw::Host),
            ("", Flaw::Host),
            (".", Flaw::Host),
            (".example.com", Flaw::Host),
            ("a..example.com", Flaw::Host),
            ("example.com..", Flaw::Host),
            ("example.com/x", Flaw::Host),
            ("example.com\\x", Flaw::Host),
            ("example.com#x", Flaw::Host),
            ("example.com?x", Flaw::Host),
            ("exa mple.com", Flaw::Host),
            ("example.com\r\nx", Flaw::Host),
            ("example%00.com", Flaw::Host),
            ("*.example.com", Flaw::Host),
            ("a,b", Flaw::Host),
            ("1.2.3.4.5", Flaw::Host),
            ("256.1.1.1", Flaw::Host),
            ("1.2.3.09", Flaw::Host),
        ] {
            assert_eq!(parsed(authority), Err(expected), "{authority:?}");
        }
        let long = format!("{}.example", "a".repeat(64));
        assert_eq!(parsed(&long), Err(Flaw::Host));
        assert_eq!(parsed(&"a.".repeat(150)), Err(Flaw::Host));
    }

    #[test]
    fn schemes_are_http_and_https_in_any_case() {
        assert_eq!(Scheme::parse("HTTP"), Ok(Scheme::Http));
        assert_eq!(Scheme::parse("Https"), Ok(Scheme::Https));
        for other in ["", "ftp", "ws", "https ", "file"] {
            assert_eq!(Scheme::parse(other), Err(Flaw::Scheme), "{other}");
        }
    }
}
