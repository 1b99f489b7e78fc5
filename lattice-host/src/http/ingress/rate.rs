//! Token buckets: how many requests may enter in a time.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash, RandomState},
    time::Duration,
};

use lattice_core::sync::Mutex;
use tokio::time::Instant;

/// The number of parts of a table. Each has its own lock.
const SHARDS: usize = 16;
/// How many buckets are compared to find the one that is forgotten, when a part is full.
const SAMPLE: usize = 8;

/// How many requests may enter: `burst` at once, and `per_second` more in each second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Allowance {
    pub(super) per_second: f64,
    pub(super) burst: f64,
}

/// A bounded table of token buckets.
///
/// When it is full, a new bucket replaces the one of several that is the fullest. So an attacker
/// with very many addresses can get buckets back that have been used up, and no memory.
pub(super) struct Buckets<K> {
    shards: [Mutex<HashMap<K, Bucket>>; SHARDS],
    hasher: RandomState,
    /// Most buckets of a part.
    most: usize,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// Creates a table of at most about `most` buckets.
    pub(super) fn new(most: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            most: most.div_ceil(SHARDS).max(1),
        }
    }

    /// Takes a token of `key`'s bucket. Returns how long it takes until there is one, if there is
    /// none now.
    pub(super) fn take(&self, key: K, allowed: Allowance, now: Instant) -> Result<(), Duration> {
        let shard = self.hasher.hash_one(&key) as usize % SHARDS;
        let mut buckets = self.shards[shard].lock();
        if !buckets.contains_key(&key) && buckets.len() >= self.most {
            forget_one(&mut buckets, allowed, now);
        }
        let bucket = buckets.entry(key).or_insert(Bucket {
            tokens: allowed.burst,
            at: now,
        });
        *bucket = bucket.refilled(allowed, now);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let missing = 1.0 - bucket.tokens;
        Err(Duration::try_from_secs_f64(missing / allowed.per_second).unwrap_or(Duration::MAX))
    }
}

impl Bucket {
    fn refilled(self, allowed: Allowance, now: Instant) -> Self {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        Self {
            tokens: (self.tokens + passed * allowed.per_second).min(allowed.burst),
            at: now.max(self.at),
        }
    }
}

/// Forgets the fullest of some buckets.
fn forget_one<K: Hash + Eq + Clone>(
    buckets: &mut HashMap<K, Bucket>,
    allowed: Allowance,
    now: Instant,
) {
    let fullest = buckets.iter().take(SAMPLE).max_by(|(_, a), (_, b)| {
        let (a, b) = (a.refilled(allowed, now), b.refilled(allowed, now));
        a.tokens.total_cmp(&b.tokens)
    });
    if let Some(key) = fullest.map(|(key, _)| key.clone()) {
        buckets.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: Allowance = Allowance {
        per_second: 2.0,
        burst: 3.0,
    };

    #[test]
    fn a_burst_enters_at_once_and_then_as_many_as_the_rate() {
        let (buckets, start) = (Buckets::new(64), Instant::now());
        for _ in 0..3 {
            assert_eq!(buckets.take("a", THREE, start), Ok(()));
        }
        let wait = buckets.take("a", THREE, start).expect_err("it is empty");
        assert_eq!(wait, Duration::from_millis(500));
        assert_eq!(buckets.take("b", THREE, start), Ok(()), "another's");
        let later = start + wait;
        assert_eq!(buckets.take("a", THREE, later), Ok(()));
        assert!(buckets.take("a", THREE, later).is_err());
        let much_later = start + Duration::from_secs(3_600);
        for _ in 0..3 {
            assert_eq!(buckets.take("a", THREE, much_later), Ok(()));
        }
        assert!(buckets.take("a", THREE, much_later).is_err(), "no more");
    }

    #[test]
    fn a_rate_of_nothing_waits_for_ever() {
        let (buckets, now) = (Buckets::new(64), Instant::now());
        let none = Allowance {
            per_second: 0.0,
            burst: 0.0,
        };
        assert_eq!(buckets.take("a", none, now), Err(Duration::MAX));
    }

    #[test]
    fn a_table_is_bounded_and_keeps_buckets_in_use() {
        let (buckets, now) = (Buckets::new(SHARDS), Instant::now());
        for key in 0..1_000 {
            let _ = buckets.take(key, THREE, now);
        }
        let held: usize = buckets.shards.iter().map(|shard| shard.lock().len()).sum();
        assert!(held <= SHARDS, "{held} buckets");
    }

    #[test]
    fn the_clock_may_go_back() {
        let (buckets, now) = (Buckets::new(64), Instant::now());
        let later = now + Duration::from_secs(1);
        for _ in 0..3 {
            assert_eq!(buckets.take("a", THREE, later), Ok(()));
        }
        assert!(buckets.take("a", THREE, now).is_err());
        assert!(buckets.take("a", THREE, later).is_err());
    }
}
