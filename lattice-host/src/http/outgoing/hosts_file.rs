//! The names that a machine knows by itself: its file of hosts.
//!
//! Names are resolved with a dot at the end, because without one a resolver tries them under the
//! search domains of the machine as well, and what a link lists would be another host. With the
//! dot, it doesn't look into the file of hosts.

use std::{
    fs::File,
    io::Read as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The file of hosts.
const FILE: &str = "/etc/hosts";
/// The most bytes of it that are read.
const MOST_BYTES: u64 = 1024 * 1024;
/// The name of the own host, which no resolver is asked for, by RFC 6761.
const LOCALHOST: &str = "localhost";

/// Returns the addresses that the machine has for a name in lower case, without asking anybody.
pub(super) fn known(name: &str) -> Vec<IpAddr> {
    if name == LOCALHOST {
        return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    listed(&contents(), name)
}

/// Returns the file of hosts, as far as it can be read.
fn contents() -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(FILE) {
        // What was read before an error counts.
        let _ = file.take(MOST_BYTES).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the addresses of a name in a file of hosts: each line has an address and its names, up
/// to a `#`.
fn listed(file: &str, name: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        let is_named = words.any(|word| {
            let word = word.strip_suffix('.').unwrap_or(word);
            word.eq_ignore_ascii_case(name)
        });
        is_named.then_some(address)
    };
    file.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_all_their_addresses() {
        let file = "# 10.0.0.9 shop\n10.0.0.1\tshop shop.internal # other\n\n\
                    fd00::1 Shop.\n10.0.0.2 shopping\nnonsense shop\n10.0.0.3\n";
        let addresses = |name: &str| {
            let found = listed(file, name);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(addresses("shop"), ["10.0.0.1", "fd00::1"]);
        assert_eq!(addresses("shop.internal"), ["10.0.0.1"]);
        for none in ["other", "sho", "internal", "10.0.0.1", ""] {
            assert!(addresses(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn the_own_host_is_known_to_everyone() {
        let found = known("localhost");
        assert!(found.iter().all(IpAddr::is_loopback) && found.len() == 2);
        assert!(known("no-such-name.invalid").is_empty());
    }
}
