//! The bounds of a commit, checked before anything is written.

use super::{MAX_OPS, MAX_VALUE, Op, StoreKey};
use bytes::Bytes;
use std::{collections::HashSet, time::Duration};

/// A commit that breaks a bound of every store; nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCommit {
    /// The commit has no operations.
    #[error("a commit needs at least one operation")]
    Empty,
    /// The commit has more operations than one commit takes.
    #[error("{count} operations are more than the {MAX_OPS} that one commit takes; split it")]
    TooManyOps {
        /// How many there were.
        count: usize,
    },
    /// A key occurs twice in one commit.
    #[error("key `{key}` occurs twice; a commit writes each key once")]
    DuplicateKey {
        /// The key.
        key: StoreKey,
    },
    /// A value is too large.
    #[error("the value of `{key}` has {size} bytes and the limit is {limit}; store less")]
    ValueTooLarge {
        /// The key.
        key: StoreKey,
        /// The value's size in bytes.
        size: usize,
        /// The limit in bytes: [`MAX_VALUE`], or less where a server's `max_payload` is lower.
        limit: usize,
    },
    /// The text isn't a valid key.
    #[error(
        "`{key}` isn't a valid key: use parts of visible ASCII without `*` and `>`, joined by `.`"
    )]
    Key {
        /// The key.
        key: StoreKey,
    },
    /// The term of a lease or of another value is zero, is not in whole seconds, or is over a year.
    #[error("a term takes whole seconds from 1 s to a year, and was given {ttl:?}")]
    LeaseTtl {
        /// The refused term.
        ttl: Duration,
    },
}

/// Checks the bounds of a commit.
pub fn check_ops(ops: &[Op]) -> Result<(), InvalidCommit> {
    if ops.is_empty() {
        return Err(InvalidCommit::Empty);
    }
    if ops.len() > MAX_OPS {
        return Err(InvalidCommit::TooManyOps { count: ops.len() });
    }
    let mut seen = HashSet::with_capacity(ops.len());
    for op in ops {
        check_key(&op.key)?;
        check_value(&op.key, op.value.as_ref(), MAX_VALUE)?;
        op.ttl.map_or(Ok(0), check_ttl)?;
        if !seen.insert(&op.key) {
            return Err(InvalidCommit::DuplicateKey {
                key: op.key.clone(),
            });
        }
    }
    Ok(())
}

const LONGEST_LEASE: Duration = Duration::from_hours(365 * 24);

/// Checks the term of a lease, and returns it in seconds.
pub fn check_ttl(ttl: Duration) -> Result<u64, InvalidCommit> {
    if ttl.as_secs() == 0 || ttl.subsec_nanos() != 0 || ttl > LONGEST_LEASE {
        return Err(InvalidCommit::LeaseTtl { ttl });
    }
    Ok(ttl.as_secs())
}

pub(crate) fn check_value(
    key: &StoreKey,
    value: Option<&Bytes>,
    limit: usize,
) -> Result<(), InvalidCommit> {
    match value {
        Some(value) if value.len() > limit => Err(InvalidCommit::ValueTooLarge {
            key: key.clone(),
            size: value.len(),
            limit,
        }),
        _ => Ok(()),
    }
}

fn check_key(key: &StoreKey) -> Result<(), InvalidCommit> {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b'*' && b != b'>')
    };
    if key.as_str().split('.').all(part) {
        Ok(())
    } else {
        Err(InvalidCommit::Key { key: key.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Expect;

    #[test]
    fn a_term_has_whole_seconds() {
        assert_eq!(check_ttl(Duration::from_secs(3)), Ok(3));
        for bad in [0, 1, 999, 1_500, u64::MAX, 366 * 24 * 60 * 60 * 1_000] {
            assert!(check_ttl(Duration::from_millis(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_that_is_not_a_valid_subject_is_rejected() {
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a\n", "a.*", "a.>", "é"] {
            let op = Op::delete(StoreKey::from_store(bad), Expect::Any);
            assert!(
                matches!(check_ops(&[op]), Err(InvalidCommit::Key { .. })),
                "{bad}"
            );
        }
        let op = Op::delete(StoreKey::from_store("a_b.c=2e"), Expect::Any);
        assert_eq!(check_ops(&[op]), Ok(()));
    }
}
