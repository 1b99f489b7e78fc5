//! How many replicas a host takes before those that hash to it go to the next host.
//!
//! A tight bound balances well, but then each host that joins or leaves shifts the bounds of all
//! hosts and displaces replicas elsewhere. So the bound is set where few hosts reach it: at the
//! expected load and some standard deviations. It is rounded up or down by a hash of the host, so
//! that a slightly different bound changes the rounded number of only a few hosts at a time.

use super::hash;

/// Standard deviations above the expected load at which a host counts as full. The table was
/// measured for a host that joins. It shows the replicas that move, relative to the fewest that
/// must move, and the load of the fullest host, relative to the average:
///
/// | deviations | 100 hosts, 50,000 replicas | 1,000 hosts, 30,000 replicas |
/// | --- | --- | --- |
/// | 0 | moves 1.37, fullest 1.00 | moves 6.12, fullest 1.03 |
/// | 1 | moves 1.09, fullest 1.05 | moves 1.47, fullest 1.20 |
/// | 1.5 | moves 1.05, fullest 1.07 | moves 1.15, fullest 1.30 |
/// | 2 | moves 1.03, fullest 1.09 | moves 1.10, fullest 1.37 |
const DEVIATIONS: f64 = 1.5;

/// The load that rendezvous hashing brings to a host: its mean and its variance.
#[derive(Clone, Copy, Default)]
pub(super) struct Expected {
    mean: f64,
    variance: f64,
}

impl Expected {
    /// Adds `count` workloads that bring `each` replicas on average: that number, rounded down or
    /// up by chance.
    pub(super) fn add(&mut self, each: f64, count: f64) {
        let chance = each.fract();
        self.mean += each * count;
        self.variance += chance * (1.0 - chance) * count;
    }
}

/// How many more replicas each host takes until it reaches its bound.
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
