//! The addresses of wormholes, from what live hosts announce.

use crate::{
    Lattice,
    wormhole::{INGRESS_LABEL, WormholeSpec},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// The domain under which every host serves one-label names.
const LOCALHOST: &str = "localhost";

/// Where live hosts serve wormholes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ingresses(BTreeSet<(String, SocketAddr)>);

impl Ingresses {
    /// Returns what the hosts announce of which this process has heard.
    pub fn of(lattice: &Lattice) -> Self {
        let peers = lattice.peers();
        let labels = peers
            .iter()
            .filter_map(|peer| peer.labels.get(INGRESS_LABEL));
        Self(labels.flat_map(|label| announced(label)).collect())
    }

    /// Returns whether no host serves wormholes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of addresses at which hosts serve wormholes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the URLs of a wormhole at these hosts, as a client on this machine can write them.
    /// Without any host, the names alone.
    pub fn urls(&self, spec: &WormholeSpec) -> Vec<String> {
        let hosts: Vec<String> = spec.hosts().map(|host| host.to_string()).collect();
        let path = &spec.path;
        if self.is_empty() {
            return hosts.iter().map(|host| format!("{host}{path}")).collect();
        }
        let ingresses = self.0.iter();
        let urls = ingresses.flat_map(|(scheme, address)| {
            let names = if hosts.is_empty() {
                vec![reachable(address.ip())]
            } else {
                hosts.iter().map(|host| name(host)).collect()
            };
            names.into_iter().map(move |name| {
                let port = port(scheme, address.port());
                format!("{scheme}://{name}{port}{path}")
            })
        });
        urls.collect()
    }
}

/// Returns a host name as a client on this machine can write it.
fn name(host: &str) -> String {
    if host.contains('.') {
        host.to_owned()
    } else {
        format!("{host}.{LOCALHOST}")
    }
}

/// Returns an address that a client can connect to: a host that listens on all of its addresses
/// does so on the loopback address too.
fn reachable(address: IpAddr) -> String {
    match address {
        address if address.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn port(scheme: &str, port: u16) -> String {
    match (scheme, port) {
        ("http", 80) | ("https", 443) => String::new(),
        (_, port) => format!(":{port}"),
    }
}

/// Reads a label: addresses such as `http://127.0.0.1:8080`, separated by commas. What isn't one is
/// left out, because it is from another host.
fn announced(label: &str) -> Vec<(String, SocketAddr)> {
    let entries = label.split(',').filter_map(|entry| {
        let (scheme, address) = entry.trim().split_once("://")?;
        let is_known = matches!(scheme, "http" | "https");
        is_known.then_some((scheme.to_owned(), address.parse().ok()?))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(label: &str, host: Option<&str>) -> Vec<String> {
        let mut spec = WormholeSpec::new("shop".parse().expect("an id"));
        spec.host = host.map(str::to_owned);
        spec.path = "/api".to_owned();
        Ingresses(announced(label).into_iter().collect()).urls(&spec)
    }

    #[test]
    fn addresses_are_urls_that_a_client_can_use() {
        for (label, host, expected) in [
            (
                "http://127.0.0.1:8080",
                "shop",
                "http://shop.localhost:8080/api",
            ),
            (
                "https://0.0.0.0:443",
                "shop.example",
                "https://shop.example/api",
            ),
            ("http://[::]:80", "shop.example", "http://shop.example/api"),
            ("", "shop", "shop/api"),
            ("gopher://127.0.0.1:70,http://x", "shop", "shop/api"),
        ] {
            assert_eq!(urls(label, Some(host)), [expected], "{label}");
        }
        let all = urls("http://0.0.0.0:8080,https://[::1]:8443", None);
        assert_eq!(all, ["http://127.0.0.1:8080/api", "https://[::1]:8443/api"]);
    }
}
