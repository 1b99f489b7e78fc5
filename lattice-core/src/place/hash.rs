//! The hashes that every host of a lattice must agree on. A change to a number here, or to
//! [`mix`], moves every replica of every lattice.
//!
//! A name is hashed to a 64-bit seed once. The rank of a pair is one cheap mix of its two seeds,
//! because there are millions of pairs.

use crate::{
    entropy::random::mix,
    name::{ComponentId, HostId},
};

/// Returns the seed of a host.
pub(super) fn host(id: &HostId) -> u64 {
    seed(b"host", &[id.as_str()])
}

/// Returns the seed of a component.
pub(super) fn component(id: &ComponentId) -> u64 {
    seed(b"component", &[id.as_str()])
}

/// Returns the seed of a group: the hosts that carry `value` for `label`.
pub(super) fn group(label: &str, value: &str) -> u64 {
    seed(b"group", &[label, value])
}

/// Returns the rank of a pair, which is uniform and independent of every other pair's.
pub(super) const fn rank(a: u64, b: u64) -> u64 {
    mix(a ^ b)
}

/// Returns a number in [0, 1) from a hash.
pub(super) fn fraction(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// Returns the waiting time of a Poisson process of rate 1 from a uniform hash: −ln of a number in
/// (0, 1].
///
/// It uses only basic arithmetic, because the results of `ln` differ in the last bit between
/// platforms.
pub(super) fn waiting_time(hash: u64) -> f64 {
    let bits = (hash >> 11) + 1;
    let shift = bits.ilog2();
    // 1 <= mantissa < 2, so that the series below shrinks ninefold with each term.
    let mantissa = bits as f64 / (1_u64 << shift) as f64;
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let series = (0..16)
        .rev()
        .fold(0.0, |sum, n| sum * square + 1.0 / f64::from(2 * n + 1));
    f64::from(53 - shift) * std::f64::consts::LN_2 - 2.0 * t * series
}

fn seed(kind: &[u8], parts: &[&str]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"lattice placement 1 ").update(kind);
    for part in parts {
        hasher.update(&[0]).update(part.as_bytes());
    }
    let mut seed = [0; 8];
    hasher.finalize_xof().fill(&mut seed);
    u64::from_le_bytes(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let host = host(&HostId::new("host-1").expect("valid"));
        let component = component(&ComponentId::new("greeter").expect("valid"));
        assert_eq!(
            [host, component, group("zone", "a"), rank(host, component)]
                .map(|n| format!("{n:016x}")),
            [
                "bd05a2409484df33",
                "712dd1930a2d1fc6",
                "53c147a378c1bee2",
                "6b2405c50de1d6c4"
            ]
        );
    }

    #[test]
    fn waiting_times_are_logarithms() {
        assert!((waiting_time(u64::MAX)).abs() < 1e-12);
        for n in 1..1_000_u64 {
            let hash = rank(n, 7);
            let exact = -(((hash >> 11) + 1) as f64 / (1_u64 << 53) as f64).ln();
            assert!(
                (waiting_time(hash) - exact).abs() < 1e-12 * exact.max(1.0),
                "{hash:x}"
            );
        }
        assert!(waiting_time(0) > 36.0);
    }
}
