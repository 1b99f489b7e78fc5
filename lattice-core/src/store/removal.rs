//! Deletions: values that say that a record was deleted.
//!
//! A store lets each of its clients delete a key, so a deletion without a tag proves nothing. What
//! holders of the lattice key delete they write over, with a value that has a tag and a generation.
//! Readers take such a value for the deletion, and refuse what they see of earlier generations, so
//! a recording of the deleted record brings it back nowhere where the deletion was seen.
//!
//! A deletion takes 26 bytes beside its key, and stays for [`REMEMBERED`] or until the key is
//! written again. There is one for each record that was deleted within that time. Each process that
//! follows the store holds about 200 bytes for it, its key included: 20 MB for 100,000 of them.
//! Their number isn't bounded, because a process that forgot one would accept a replayed record.

use super::{Expect, Incarnation, Op, StoreKey, record::Records};
#[cfg(feature = "apps")]
use bytes::Bytes;
use std::time::Duration;

/// How long a deletion is remembered: as long as a store keeps any value with a term.
pub(crate) const REMEMBERED: Duration = Duration::from_hours(365 * 24);

impl Records {
    /// Returns the operation that deletes the record of `key`. Its generation is higher than that
    /// of the record, like that of any later write.
    pub fn deletion(
        &self,
        incarnation: Incarnation,
        key: StoreKey,
        generation: u64,
        expect: Expect,
    ) -> Op {
        let value = self.encode_removal(incarnation, &key, generation);
        Op::put(key, value, expect).lasting(REMEMBERED)
    }

    /// Returns the value that gives a lease back. It is written with a term of its own.
    #[cfg(feature = "apps")]
    pub(crate) fn release(
        &self,
        incarnation: Incarnation,
        key: &StoreKey,
        generation: u64,
    ) -> Bytes {
        self.encode_removal(incarnation, key, generation)
    }
}
