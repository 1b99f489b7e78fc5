//! A key's last write as it stands in the file.
//!
//! ```text
//!  0      1          9         17        25
//! ┌──────┬──────────┬─────────┬─────────┬───────┐
//! │ kind │ revision │ ends    │ term    │ value │      integers little endian
//! │ u8   │ u64      │ ms 1970 │ ms      │       │
//! └──────┴──────────┴─────────┴─────────┴───────┘
//! kind: 0 a value (ends and term are 0) · 1 a value with a term
//!       · 2 a marker of what was deleted or has expired (no value)
//! ```
//! A write that ends by itself ends by the wall clock across a restart: `ends` is that time. A
//! clock that was set back meanwhile can't make it last longer than its whole `term` from now on.

use crate::store::{Revision, state::Slot};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

const HEAD: usize = 1 + 3 * 8;

/// One moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) wall: SystemTime,
    pub(super) instant: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Value = 0,
    Lease = 1,
    Marker = 2,
}

/// When a write ends, and its whole length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Term {
    ends: u64,
    length: u64,
}

impl Now {
    pub(super) fn read() -> Self {
        Self {
            wall: SystemTime::now(),
            instant: Instant::now(),
        }
    }

    /// Returns a term of this length that starts now.
    pub(super) fn term(self, length: Duration) -> Term {
        Term {
            ends: millis(self.since_1970() + length),
            length: millis(length),
        }
    }

    /// Returns the time left until `ends`, as a term.
    pub(super) fn until(self, ends: Instant) -> Term {
        self.term(ends.saturating_duration_since(self.instant))
    }

    fn since_1970(self) -> Duration {
        let since = self.wall.duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap_or_default()
    }

    fn end_of(self, term: Term) -> Option<Instant> {
        let left = term.ends.saturating_sub(millis(self.since_1970()));
        let left = Duration::from_millis(left.min(term.length));
        self.instant.checked_add(left)
    }
}

/// Encodes a write.
pub(super) fn encode(revision: Revision, value: Option<&Bytes>, term: Option<Term>) -> Bytes {
    let kind = match (value, term) {
        (Some(_), None) => Kind::Value,
        (Some(_), Some(_)) => Kind::Lease,
        (None, _) => Kind::Marker,
    };
    let term = term.unwrap_or(Term { ends: 0, length: 0 });
    let value = value.map_or(&[][..], |value| value);
    let mut out = BytesMut::with_capacity(HEAD + value.len());
    out.put_u8(kind as u8);
    out.put_u64_le(revision.0);
    out.put_u64_le(term.ends);
    out.put_u64_le(term.length);
    out.put_slice(value);
    out.freeze()
}

/// Decodes a write. Returns `None` when the bytes are malformed.
pub(super) fn decode(mut bytes: &[u8], now: Now) -> Option<Slot> {
    if bytes.len() < HEAD {
        return None;
    }
    let kind = match bytes.get_u8() {
        0 => Kind::Value,
        1 => Kind::Lease,
        2 => Kind::Marker,
        _ => return None,
    };
    let revision = Revision(bytes.get_u64_le());
    let term = Term {
        ends: bytes.get_u64_le(),
        length: bytes.get_u64_le(),
    };
    let plain = match kind {
        Kind::Value => term == Term { ends: 0, length: 0 },
        Kind::Lease => true,
        Kind::Marker => bytes.is_empty(),
    };
    if !plain || revision == Revision(0) {
        return None;
    }
    Some(Slot {
        revision,
        value: (kind != Kind::Marker).then(|| Bytes::copy_from_slice(bytes)),
        ends: match kind {
            Kind::Value => None,
            Kind::Lease | Kind::Marker => Some(now.end_of(term)?),
        },
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TERM: Duration = Duration::from_secs(10);

    fn at(seconds: u64, instant: Instant) -> Now {
        Now {
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            instant,
        }
    }

    fn value() -> Bytes {
        Bytes::from_static(b"ab")
    }

    #[test]
    fn golden_bytes() {
        let now = at(1, Instant::now());
        let of = |value: Option<&Bytes>, term| hex::encode(encode(Revision(300), value, term));
        let zeros = "00".repeat(16);
        assert_eq!(
            of(Some(&value()), None),
            format!("002c01000000000000{zeros}6162")
        );
        assert_eq!(
            of(Some(&value()), Some(now.term(TERM))),
            "012c01000000000000f82a00000000000010270000000000006162"
        );
        assert_eq!(
            of(None, Some(now.term(TERM))),
            "022c01000000000000f82a0000000000001027000000000000"
        );
    }

    #[test]
    fn a_lease_ends_by_the_wall_clock_and_never_outlasts_its_term() {
        let instant = Instant::now();
        let lease = encode(
            Revision(1),
            Some(&value()),
            Some(at(100, instant).term(TERM)),
        );
        for (opened, left) in [(100, 10), (104, 6), (110, 0), (500, 0), (50, 10), (0, 10)] {
            let slot = decode(&lease, at(opened, instant)).expect("a lease");
            let ends = instant + Duration::from_secs(left);
            assert_eq!(slot.ends, Some(ends), "opened at {opened}");
        }
    }

    #[test]
    fn malformed_bytes_are_rejected() {
        let now = at(1, Instant::now());
        let good = encode(Revision(7), Some(&value()), None);
        assert!(decode(&good, now).is_some_and(|slot| slot.value == Some(value())));
        for length in 0..HEAD {
            assert!(decode(&good[..length], now).is_none(), "{length}");
        }
        let with = |at: usize, byte: u8| {
            let mut bytes = good.to_vec();
            bytes[at] = byte;
            bytes
        };
        for (at, byte) in [(0, 3), (0, 2), (1, 0), (9, 1), (17, 1)] {
            assert!(decode(&with(at, byte), now).is_none(), "{at}={byte}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_rejected(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let now = at(1, Instant::now());
            if let Some(slot) = decode(&bytes, now) {
                prop_assert!(slot.revision > Revision(0));
            }
        }

        #[test]
        fn round_trips(revision in 1_u64.., value: Vec<u8>, seconds in proptest::option::of(0_u64..100_000)) {
            let (now, value) = (at(9, Instant::now()), Bytes::from(value));
            let term = seconds.map(Duration::from_secs);
            let bytes = encode(Revision(revision), Some(&value), term.map(|term| now.term(term)));
            let slot = decode(&bytes, now).expect("a write");
            prop_assert_eq!((slot.revision, slot.value), (Revision(revision), Some(value)));
            prop_assert_eq!(slot.ends, term.map(|term| now.instant + term));
        }
    }
}
