//! What a request says about the client that sent it, and what of that is believed.
//!
//! The headers `x-forwarded-for`, `x-forwarded-proto` and `x-forwarded-host` are always set here. A
//! request from a proxy that is trusted adds to what the proxy wrote. From any other client they
//! are removed first, together with other headers of that kind, because guests take them for the
//! word of a proxy.

use super::network::IpNetwork;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::net::IpAddr;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What only a trusted proxy may say, beside names that begin with `x-forwarded-`.
const OF_PROXIES: [HeaderName; 6] = [
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

/// The client of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    /// Its address, as far as it is known: the last one that no trusted proxy has.
    pub(super) address: Option<IpAddr>,
    /// The protocol that it used.
    pub(super) is_https: bool,
    /// Whether the request comes from a trusted proxy.
    pub(super) is_proxied: bool,
}

impl Client {
    /// Returns the client of a request that `peer` has sent.
    pub(super) fn of(
        headers: &HeaderMap,
        (peer, is_https): (Option<IpAddr>, bool),
        proxies: &[IpNetwork],
    ) -> Self {
        let peer = peer.map(|peer| peer.to_canonical());
        let direct = Self {
            address: peer,
            is_https,
            is_proxied: false,
        };
        let Some(peer) = peer.filter(|peer| is_trusted(*peer, proxies)) else {
            return direct;
        };
        let proto = headers.get(PROTO).map(HeaderValue::as_bytes);
        Self {
            address: Some(first_untrusted(headers, peer, proxies)),
            is_https: match proto {
                Some(proto) if proto.eq_ignore_ascii_case(b"https") => true,
                Some(proto) if proto.eq_ignore_ascii_case(b"http") => false,
                _ => is_https,
            },
            is_proxied: true,
        }
    }

    /// Returns the scheme that the client used.
    pub(super) fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    /// Sets the headers about the client. `host` is the one that the request named.
    pub(super) fn write(&self, headers: &mut HeaderMap, peer: Option<IpAddr>, host: &str) {
        if !self.is_proxied {
            remove_untrusted(headers);
        }
        let mut addresses = String::new();
        for value in headers.get_all(FOR) {
            if let Ok(value) = value.to_str() {
                addresses.push_str(value.trim());
                addresses.push_str(", ");
            }
        }
        match peer {
            Some(peer) => addresses.push_str(&peer.to_canonical().to_string()),
            None => addresses.push_str("unknown"),
        }
        if let Ok(addresses) = HeaderValue::try_from(addresses) {
            headers.insert(FOR, addresses);
        }
        headers.insert(PROTO, HeaderValue::from_static(self.scheme()));
        if !headers.contains_key(HOST)
            && let Ok(host) = HeaderValue::from_str(host)
        {
            headers.insert(HOST, host);
        }
    }
}

fn is_trusted(address: IpAddr, proxies: &[IpNetwork]) -> bool {
    proxies.iter().any(|network| network.contains(address))
}

/// Follows the addresses back from the proxy until one isn't a trusted proxy's. What a client
/// claims about itself is further back.
fn first_untrusted(headers: &HeaderMap, peer: IpAddr, proxies: &[IpNetwork]) -> IpAddr {
    let mut known = peer;
    let values: Vec<&str> = headers
        .get_all(FOR)
        .iter()
        .map(|value| value.to_str().unwrap_or_default())
        .collect();
    for text in values.iter().rev().flat_map(|value| value.rsplit(',')) {
        let Some(address) = parse(text.trim()) else {
            return known;
        };
        known = address;
        if !is_trusted(address, proxies) {
            break;
        }
    }
    known
}

/// Parses an address, which some proxies write with a port.
fn parse(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text
        .parse()
        .or_else(|_| {
            text.parse()
                .map(|with_port: std::net::SocketAddr| with_port.ip())
        })
        .or_else(|_| text.trim_matches(['[', ']']).parse())
        .ok()?;
    Some(address.to_canonical())
}

fn remove_untrusted(headers: &mut HeaderMap) {
    let is_claimed = |name: &&HeaderName| name.as_str().starts_with("x-forwarded-");
    let claimed: Vec<HeaderName> = headers.keys().filter(is_claimed).cloned().collect();
    for name in claimed.into_iter().chain(OF_PROXIES) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect()
    }

    fn client(headers: &HeaderMap, peer: &str) -> Client {
        let proxies = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().expect("a range"));
        let peer = Some(peer.parse().expect("an address"));
        Client::of(headers, (peer, false), &proxies)
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "it is compared with, or given as, such values"
    )]
    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn a_client_is_not_believed() {
        let mut headers = map(&[
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-prefix", "/admin"),
            ("forwarded", "for=1.2.3.4"),
            ("x-real-ip", "1.2.3.4"),
            ("accept", "*/*"),
        ]);
        let direct = client(&headers, "192.0.2.7");
        assert_eq!(direct.address, address("192.0.2.7"));
        assert!(!direct.is_https && !direct.is_proxied);
        direct.write(&mut headers, address("192.0.2.7"), "a.example");
        let expected = map(&[
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "a.example"),
            ("accept", "*/*"),
        ]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn a_trusted_proxy_is_believed_up_to_the_first_untrusted_address() {
        let mut headers = map(&[
            ("x-forwarded-for", "6.6.6.6, 192.0.2.7,10.0.0.2"),
            ("x-forwarded-proto", "https"),
        ]);
        let proxied = client(&headers, "10.0.0.1");
        assert_eq!(proxied.address, address("192.0.2.7"), "not what it claims");
        assert!(proxied.is_https && proxied.is_proxied);
        proxied.write(&mut headers, address("10.0.0.1"), "a.example");
        let expected = map(&[
            ("x-forwarded-for", "6.6.6.6, 192.0.2.7,10.0.0.2, 10.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "a.example"),
        ]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn addresses_are_read_from_the_last_header_and_with_ports() {
        let mut headers = map(&[("x-forwarded-for", "6.6.6.6")]);
        headers.append(FOR, HeaderValue::from_static("192.0.2.7:4711, [fd00::2]"));
        assert_eq!(client(&headers, "10.0.0.1").address, address("192.0.2.7"));
        let headers = map(&[("x-forwarded-for", "192.0.2.7, unknown")]);
        assert_eq!(client(&headers, "10.0.0.1").address, address("10.0.0.1"));
        let headers = map(&[("x-forwarded-for", "10.0.0.5, 10.0.0.6")]);
        assert_eq!(client(&headers, "10.0.0.1").address, address("10.0.0.5"));
        let mapped = client(&HeaderMap::new(), "::ffff:10.0.0.1");
        assert!(mapped.is_proxied);
    }

    #[test]
    fn a_client_without_an_address_is_unknown() {
        let headers = map(&[("x-forwarded-for", "1.2.3.4")]);
        let proxies = ["0.0.0.0/0".parse().expect("a range")];
        let unknown = Client::of(&headers, (None, true), &proxies);
        assert_eq!(unknown.address, None);
        let mut headers = headers;
        unknown.write(&mut headers, None, "a");
        assert_eq!(headers[FOR], "unknown");
        assert_eq!(headers[PROTO], "https");
    }
}
