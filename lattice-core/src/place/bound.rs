//! How much a host takes before what hashes to it goes on to the next.
//!
//! A tight bound balances well, but then each host that comes or goes shifts the bounds of all and pushes others around. So the
//! bound stands where few hosts reach it: at the expected load and some standard deviations. It is rounded up or down by a
//! hash of the host, so that a slightly different bound is a different number for few hosts at a time.

use super::hash;

/// Standard deviations above the expected load at which a host counts as full. Measured for a host that joins, against the
/// least that must move, with the fullest host against the average:
///
/// | deviations | 100 hosts, 50,000 replicas | 1,000 hosts, 30,000 replicas |
/// | --- | --- | --- |
/// | 0 | moves 1.37, fullest 1.00 | moves 6.12, fullest 1.03 |
/// | 1 | moves 1.09, fullest 1.05 | moves 1.47, fullest 1.20 |
/// | 1.5 | moves 1.05, fullest 1.07 | moves 1.15, fullest 1.30 |
/// | 2 | moves 1.03, fullest 1.09 | moves 1.10, fullest 1.37 |
const DEVIATIONS: f64 = 1.5;

/// What rendezvous hashing brings to a host: the mean, and the variance of it.
#[derive(Clone, Copy, Default)]
pub(super) struct Expected {
    mean: f64,
    variance: f64,
}

impl Expected {
    /// `count` workloads bring `each` replicas on average: that number, rounded down or up by chance.
    pub(super) fn add(&mut self, each: f64, count: f64) {
        let chance = each.fract();
        self.mean += each * count;
        self.variance += chance * (1.0 - chance) * count;
    }
}

/// What each host has been given so far, and its bound.
pub(super) struct Loads {
    left: Vec<i64>,
}

impl Loads {
    pub(super) fn new(seeds: &[u64], expected: &[Expected]) -> Self {
        let left = seeds.iter().zip(expected).map(|(seed, expected)| {
            let bound = expected.mean + DEVIATIONS * expected.variance.sqrt();
            (bound + hash::fraction(*seed)).floor() as i64
        });
        Self {
            left: left.collect(),
        }
    }

    pub(super) fn open(&self, host: u32) -> bool {
        self.left[host as usize] > 0
    }

    pub(super) fn add(&mut self, host: u32, replicas: u32) {
        self.left[host as usize] -= i64::from(replicas);
    }
}
