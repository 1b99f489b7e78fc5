//! How many requests of a wormhole enter, in all and of one client.

use super::rate::{Allowance, Buckets};
use lattice_core::{name::WormholeId, wormhole::Rate, wormholes::Wormhole};
use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};
use tokio::time::Instant;

/// Most wormholes, and most clients of wormholes, whose requests are counted.
const MOST_WORMHOLES: usize = 16_384;
const MOST_CLIENTS: usize = 131_072;

/// Counts the requests of one ingress.
pub(super) struct Rates {
    wormholes: Buckets<WormholeId>,
    clients: Buckets<(WormholeId, Option<IpAddr>)>,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            wormholes: Buckets::new(MOST_WORMHOLES),
            clients: Buckets::new(MOST_CLIENTS),
        }
    }
}

impl Rates {
    /// Counts a request. Returns how long its client should wait, if it may not enter now.
    pub(super) fn count(
        &self,
        wormhole: &Wormhole,
        client: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), Duration> {
        let limits = &wormhole.spec.limits;
        if let Some(rate) = limits.client_rate {
            let key = (wormhole.id.clone(), client.map(network_of));
            self.clients.take(key, allowance(rate), now)?;
        }
        if let Some(rate) = limits.rate {
            self.wormholes
                .take(wormhole.id.clone(), allowance(rate), now)?;
        }
        Ok(())
    }
}

fn allowance(rate: Rate) -> Allowance {
    Allowance {
        per_second: f64::from(rate.per_second.get()),
        burst: f64::from(rate.burst.get()),
    }
}

/// Returns the part of an address that one client has to itself: of IPv6, a network of 64 bits.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_a_network_of_ipv6() {
        let network = |text: &str| network_of(text.parse().expect("an address"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }
}
