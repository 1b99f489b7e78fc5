//! Which addresses may be connected to. Each address is checked right before it is used, so it
//! makes no difference what a name resolved to before.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// What an address is, as far as it matters to who may connect to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any link may lead there.
    Public,
    /// Of a private network. Links with `private` may lead there.
    Private,
    /// Of this host itself. Links with `private` that list it by name may lead there.
    Loopback,
    /// No link may lead there, for this reason.
    Never(&'static str),
}

/// The addresses that a target may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) private: bool,
    pub(super) loopback: bool,
}

/// An address that may not be connected to. Its text says why, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address {address} is {kind}")]
pub(super) struct Prohibited {
    pub(super) address: IpAddr,
    pub(super) kind: Kind,
}

impl Reach {
    /// # Errors
    /// Fails when the address may not be connected to.
    pub(super) fn check(self, address: IpAddr) -> Result<(), Prohibited> {
        let kind = kind(address);
        let is_allowed = match kind {
            Kind::Public => true,
            Kind::Private => self.private,
            Kind::Loopback => self.loopback,
            Kind::Never(_) => false,
        };
        if is_allowed {
            return Ok(());
        }
        Err(Prohibited { address, kind })
    }
}

/// Writes what the address is, and what to do if a link doesn't lead there.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("public"),
            Self::Private => f.write_str(
                "of a private network; set `\"private\": true` in the link's config if that is \
                 wanted",
            ),
            Self::Loopback => f.write_str(
                "of this host itself; list it in `allow` as `localhost` or by its address, with \
                 `\"private\": true`, if that is wanted",
            ),
            Self::Never(what) => write!(f, "{what}, and no link leads there; use another one"),
        }
    }
}

/// Returns what an address is.
pub(super) fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind_of_v4(address),
        IpAddr::V6(address) => kind_of_v6(address),
    }
}

const METADATA: &str = "of a cloud's metadata service";
const RESERVED: &str = "reserved";
const NAT64: &str = "of NAT64, an IPv4 address in an IPv6 one";
const DOCUMENTATION: &str = "for documentation";

/// By the special-purpose registry of IANA.
fn kind_of_v4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        // Of most clouds, Alibaba, Azure and Oracle.
        [169, 254, 169, 254] | [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192] => {
            Kind::Never(METADATA)
        }
        [0, ..] => Kind::Never("unspecified"),
        [127, ..] => Kind::Loopback,
        [169, 254, ..] => Kind::Never("link-local"),
        [10, ..] | [100, 64..=127, ..] | [172, 16..=31, ..] | [192, 168, ..] => Kind::Private,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Kind::Never(DOCUMENTATION),
        [224..=239, ..] => Kind::Never("multicast"),
        [255, 255, 255, 255] => Kind::Never("broadcast"),
        [192, 0, 0, _] | [192, 88, 99, _] | [198, 18 | 19, ..] | [240..=255, ..] => {
            Kind::Never(RESERVED)
        }
        _ => Kind::Public,
    }
}

/// By the special-purpose registry of IANA. An address that has an IPv4 address in it is never
/// reached, whatever that one is: it would lead there by a way that the rules for IPv4 don't see.
fn kind_of_v6(address: Ipv6Addr) -> Kind {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Kind::Never("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Loopback,
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => {
            Kind::Never("an IPv4 address in an IPv6 one")
        }
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => Kind::Never(NAT64),
        // Of Amazon and Google.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254] => {
            Kind::Never(METADATA)
        }
        [0xfc00..=0xfdff, ..] => Kind::Private,
        [0xfe80..=0xfebf, ..] => Kind::Never("link-local"),
        [0xff00..=0xffff, ..] => Kind::Never("multicast"),
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Kind::Never(DOCUMENTATION),
        // Among them Teredo, which has IPv4 addresses in it. So has 6to4.
        [0x2001, 0..=0x01ff, ..] => Kind::Never(RESERVED),
        [0x2002, ..] => Kind::Never("an IPv4 address in an IPv6 one"),
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Never(RESERVED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(kind_of_all: fn(Kind) -> bool, addresses: &[&str]) {
        for text in addresses {
            let found = kind(text.parse().expect(text));
            assert!(kind_of_all(found), "{text}: {found:?}");
        }
    }

    #[test]
    fn public_addresses_are_public() {
        all(
            |kind| kind == Kind::Public,
            &[
                "1.1.1.1",
                "8.8.8.8",
                "9.255.255.255",
                "11.0.0.0",
                "100.63.255.255",
                "100.128.0.0",
                "126.255.255.255",
                "128.0.0.0",
                "169.253.255.255",
                "169.255.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "192.0.1.0",
                "192.167.255.255",
                "192.169.0.0",
                "198.17.255.255",
                "198.20.0.0",
                "223.255.255.255",
                "2001:4860:4860::8888",
                "2606:4700::1111",
            ],
        );
    }

    #[test]
    fn private_addresses_are_private() {
        all(
            |kind| kind == Kind::Private,
            &[
                "10.0.0.0",
                "10.255.255.255",
                "100.64.0.0",
                "100.127.255.255",
                "172.16.0.0",
                "172.31.255.255",
                "192.168.0.1",
                "fc00::1",
                "fdff:ffff::1",
            ],
        );
    }

    #[test]
    fn loopback_is_loopback() {
        all(
            |kind| kind == Kind::Loopback,
            &["127.0.0.1", "127.255.255.255", "::1"],
        );
    }

    #[test]
    fn no_link_leads_to_anything_else() {
        all(
            |kind| matches!(kind, Kind::Never(_)),
            &[
                // Metadata services.
                "169.254.169.254",
                "100.100.100.200",
                "168.63.129.16",
                "192.0.0.192",
                "fd00:ec2::254",
                "fd20:ce::254",
                // Unspecified, link-local, multicast, broadcast.
                "0.0.0.0",
                "0.1.2.3",
                "::",
                "169.254.0.1",
                "169.254.170.2",
                "fe80::1",
                "febf::1",
                "224.0.0.1",
                "239.255.255.255",
                "ff02::1",
                "255.255.255.255",
                // Documentation, benchmarks, reserved.
                "192.0.0.1",
                "192.0.2.1",
                "192.88.99.1",
                "198.18.0.1",
                "198.19.255.255",
                "198.51.100.1",
                "203.0.113.1",
                "240.0.0.1",
                "2001:db8::1",
                "3fff::1",
                "2001:2::1",
                "2001:20::1",
                "100::1",
                "fec0::1",
                "5f00::1",
                "4000::1",
                // IPv4 in IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo.
                "::ffff:127.0.0.1",
                "::ffff:169.254.169.254",
                "::ffff:10.0.0.1",
                "::ffff:8.8.8.8",
                "::127.0.0.1",
                "::2",
                "::ffff:0:127.0.0.1",
                "64:ff9b::7f00:1",
                "64:ff9b::a9fe:a9fe",
                "64:ff9b::a00:1",
                "64:ff9b::808:808",
                "64:ff9b:1::808:808",
                "2002:7f00:1::",
                "2002:808:808::1",
                "2001:0:7f00:1::",
            ],
        );
    }

    #[test]
    fn what_a_link_reaches_depends_on_its_config() {
        let reach = |private, loopback| Reach { private, loopback };
        for (address, of_public, of_private, of_loopback) in [
            ("8.8.8.8", true, true, true),
            ("10.0.0.1", false, true, true),
            ("127.0.0.1", false, false, true),
            ("::1", false, false, true),
            ("169.254.169.254", false, false, false),
            ("::ffff:127.0.0.1", false, false, false),
        ] {
            let address = address.parse().expect("an address");
            let is_reached = |reach: Reach| reach.check(address).is_ok();
            assert_eq!(is_reached(reach(false, false)), of_public, "{address}");
            assert_eq!(is_reached(reach(true, false)), of_private, "{address}");
            assert_eq!(is_reached(reach(true, true)), of_loopback, "{address}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let refusal = |address: &str| {
            let address = address.parse().expect("an address");
            let reach = Reach {
                private: false,
                loopback: false,
            };
            reach.check(address).expect_err("refused").to_string()
        };
        assert!(refusal("10.0.0.1").contains("`\"private\": true`"));
        assert!(refusal("127.0.0.1").contains("list it in `allow`"));
        assert!(refusal("169.254.169.254").contains("metadata"));
        for of_nat64 in ["64:ff9b::808:808", "64:ff9b:1::808:808"] {
            assert_eq!(
                refusal(of_nat64),
                format!(
                    "the address {of_nat64} is of NAT64, an IPv4 address in an IPv6 one, and no \
                     link leads there; use another one"
                )
            );
        }
    }
}
