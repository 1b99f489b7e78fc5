//! Cursors that are numbers: positions in lists of keys, which the provider remembers.

use lattice_core::sync::Mutex;
use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, RandomState},
};

/// Most cursors that are remembered. With the longest keys they take some 4 MiB.
const MOST: usize = 4_096;

/// The latest cursors of a provider. The oldest is forgotten when there are too many.
#[derive(Debug)]
pub(super) struct Cursors(Mutex<State>);

#[derive(Debug)]
struct State {
    next: u64,
    /// By number.
    known: VecDeque<Cursor>,
}

#[derive(Debug)]
struct Cursor {
    number: u64,
    bucket: Box<str>,
    /// The last key before it.
    key: Box<str>,
}

impl Cursors {
    pub(super) fn new() -> Self {
        // A number of an earlier start, or of another replica, is never taken for one of this. The
        // highest bit is left to count.
        let first = RandomState::new().hash_one("first") >> 1;
        Self(Mutex::new(State {
            next: first,
            known: VecDeque::new(),
        }))
    }

    /// Returns a cursor behind a key of a bucket.
    pub(super) fn behind(&self, bucket: &str, key: &str) -> u64 {
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        if state.known.len() >= MOST {
            state.known.pop_front();
        }
        state.known.push_back(Cursor {
            number,
            bucket: bucket.into(),
            key: key.into(),
        });
        number
    }

    /// Returns the key before a cursor of a bucket, if it is known.
    pub(super) fn key(&self, bucket: &str, number: u64) -> Option<String> {
        let state = self.0.lock();
        let known = &state.known;
        let at = known.binary_search_by_key(&number, |cursor| cursor.number);
        let cursor = known.get(at.ok()?)?;
        (&*cursor.bucket == bucket).then(|| cursor.key.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_cursors_are_known_in_their_bucket() {
        let cursors = Cursors::new();
        let first = cursors.behind("a", "key");
        let of_another = Cursors::new().behind("a", "key");
        assert_eq!(cursors.key("a", of_another), None, "of another replica");
        let second = cursors.behind("b", "");
        assert_eq!(cursors.key("a", first).as_deref(), Some("key"));
        assert_eq!(cursors.key("a", first).as_deref(), Some("key"), "again");
        assert_eq!(cursors.key("b", second).as_deref(), Some(""));
        assert_eq!(cursors.key("b", first), None, "of another bucket");
        assert_eq!(cursors.key("a", second + 1), None, "unknown");
        for _ in 1..MOST {
            cursors.behind("c", "x");
        }
        assert_eq!(cursors.key("a", first), None, "too many have come since");
        assert_eq!(cursors.key("b", second).as_deref(), Some(""));
    }
}
