//! Credentials that were right a moment ago.

use lattice_core::sync::Mutex;
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// Most credentials that are remembered.
const MOST: usize = 4_096;
/// How long they are remembered.
const TERM: Duration = Duration::from_mins(5);

/// The digest of credentials, with a key that only this process has.
pub(super) type Key = [u8; 32];

/// Remembers credentials that were right, by a keyed digest.
pub(super) struct Verified {
    key: [u8; 32],
    /// Since when they are known.
    known: Mutex<HashMap<Key, Instant>>,
}

impl Default for Verified {
    fn default() -> Self {
        let mut key = [0; 32];
        // Without random bytes nothing is remembered for longer than this process lives, and
        // digests could be guessed only by someone who reads its memory.
        let _ = getrandom::fill(&mut key);
        Self {
            key,
            known: Mutex::default(),
        }
    }
}

impl Verified {
    /// Returns the digest of these parts.
    pub(super) fn key(&self, parts: &[&str]) -> Key {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().into()
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        let known = self.known.lock();
        known.get(key).is_some_and(|since| since.elapsed() < TERM)
    }

    pub(super) fn insert(&self, key: Key) {
        let now = Instant::now();
        let mut known = self.known.lock();
        if known.len() >= MOST {
            known.retain(|_, since| now.saturating_duration_since(*since) < TERM);
        }
        if known.len() >= MOST
            && let Some(any) = known.keys().next().copied()
        {
            known.remove(&any);
        }
        known.insert(key, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn credentials_are_forgotten_after_a_time() {
        let verified = Verified::default();
        let key = verified.key(&["hash", "ada", "secret"]);
        assert!(!verified.contains(&key));
        verified.insert(key);
        assert!(verified.contains(&key));
        tokio::time::advance(TERM).await;
        assert!(!verified.contains(&key));
    }

    #[test]
    fn the_number_of_remembered_credentials_is_bounded() {
        let verified = Verified::default();
        for number in 0..2 * MOST {
            verified.insert(verified.key(&[&number.to_string()]));
        }
        assert_eq!(verified.known.lock().len(), MOST);
    }

    #[test]
    fn digests_differ_for_other_parts_and_other_processes() {
        let verified = Verified::default();
        assert_ne!(verified.key(&["ab", "c"]), verified.key(&["a", "bc"]));
        assert_ne!(verified.key(&["a"]), Verified::default().key(&["a"]));
    }
}
