//! The source of randomness and of the time of day: the operating system, or the simulator in its
//! place.

pub(crate) mod random;
pub(crate) mod simulated;

pub(crate) use random::Random;
pub(crate) use simulated::is_on as is_simulated;

use crate::name::HostId;
use foldhash::fast::{FoldHasher, SeedableRandomState};
use std::{
    hash::BuildHasher,
    time::{Duration, SystemTime},
};

/// Hashes the keys of maps whose order can be observed.
///
/// Seeded at random for each map. In a simulation every map has the same seed, so that a run can
/// be repeated.
#[derive(Debug, Clone)]
pub(crate) struct HashState(SeedableRandomState);

impl Default for HashState {
    fn default() -> Self {
        if is_simulated() {
            Self(SeedableRandomState::fixed())
        } else {
            Self(SeedableRandomState::random())
        }
    }
}

impl BuildHasher for HashState {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

/// Returns a random number, or `None` when the operating system provides no randomness.
pub(crate) fn number() -> Option<u64> {
    simulated::with(|stand_in| stand_in.random.next()).or_else(|| getrandom::u64().ok())
}

/// Returns a random number from 0 to 1, or 1 when the operating system provides no randomness. A
/// pause that is multiplied by it then has its full length.
#[doc(hidden)]
pub fn share() -> f64 {
    number().map_or(1.0, |number| number as f64 / u64::MAX as f64)
}

/// Returns the time since 1970, or zero when the clock is set to an earlier time.
pub(crate) fn since_1970() -> Duration {
    simulated::with(|stand_in| stand_in.time).unwrap_or_else(|| {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    })
}

/// Returns an id that no other host has: `host-` and 16 random hexadecimal digits.
///
/// # Panics
/// When the operating system provides no randomness.
pub fn host_id() -> HostId {
    HostId::from_number(number().expect("the operating system gives randomness"))
}

#[cfg(test)]
mod tests {
    use super::{
        simulated::{StandIn, on},
        *,
    };
    use std::collections::HashSet;

    fn order() -> Vec<u32> {
        let set: HashSet<u32, HashState> = (0..100).collect();
        set.into_iter().collect()
    }

    fn stand_in(seed: u64) -> StandIn {
        StandIn {
            random: Random::new(seed),
            time: Duration::from_secs(seed),
        }
    }

    #[test]
    fn host_ids_differ() {
        assert_ne!(host_id(), host_id());
    }

    #[test]
    fn maps_have_a_fixed_order_only_in_simulations() {
        let simulated = on(&mut Some(stand_in(1)), order);
        assert_eq!(on(&mut Some(stand_in(2)), order), simulated);
        assert!((0..10).any(|_| order() != simulated));
        let orders: Vec<_> = (0..10).map(|_| order()).collect();
        assert!(orders.iter().any(|other| *other != orders[0]));
    }

    #[test]
    fn a_simulated_source_replaces_randomness_and_time_while_its_host_runs() {
        let drawn = |seed| {
            on(&mut Some(stand_in(seed)), || {
                (number(), since_1970(), host_id())
            })
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7).0, drawn(8).0);
        assert_eq!(drawn(7).1, Duration::from_secs(7));
        assert!(!is_simulated());
        assert!(since_1970() > Duration::from_secs(1_000_000_000));
        let mut outer = Some(stand_in(1));
        on(&mut outer, || {
            on(&mut None, || assert!(!is_simulated()));
            assert!(is_simulated());
        });
        assert!(outer.is_some());
    }
}
