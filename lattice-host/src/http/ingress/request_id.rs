//! Ids of requests, which connect an answer with the lines of the log.

use http::HeaderValue;
use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Longest id that is taken over from a proxy.
const LONGEST: usize = 128;

/// The random part of this process's ids, with a counter.
static NEXT: LazyLock<(RandomState, AtomicU64)> =
    LazyLock::new(|| (RandomState::new(), AtomicU64::new(0)));

/// Creates an id: 32 hexadecimal digits. It is unique, and shows nothing of how many requests there
/// were.
pub(super) fn create() -> HeaderValue {
    let (random, counter) = &*NEXT;
    let number = counter.fetch_add(1, Ordering::Relaxed);
    let (high, low) = (random.hash_one((number, 0)), random.hash_one((number, 1)));
    let mut text = [0; 32];
    let digits = (0..16)
        .map(|at| high >> (60 - 4 * at) & 15)
        .chain((0..16).map(|at| low >> (60 - 4 * at) & 15));
    for (digit, at) in digits.zip(&mut text) {
        *at = b"0123456789abcdef"[digit as usize];
    }
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from(number))
}

/// Returns whether the id of a proxy can be taken over: short, and of visible characters.
pub(super) fn is_plain(id: &HeaderValue) -> bool {
    let id = id.as_bytes();
    (1..=LONGEST).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_differ_and_have_one_form() {
        let ids: HashSet<HeaderValue> = (0..1_000).map(|_| create()).collect();
        assert_eq!(ids.len(), 1_000);
        for id in &ids {
            let text = id.to_str().expect("ASCII");
            assert!(text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit()));
        }
    }

    #[test]
    fn only_plain_ids_are_taken_over() {
        for (id, plain) in [("0af7-65", true), ("", false), ("a b", false)] {
            assert_eq!(is_plain(&HeaderValue::from_static(id)), plain, "{id}");
        }
        let long = HeaderValue::from_str(&"a".repeat(129)).expect("a value");
        assert!(!is_plain(&long));
    }
}
