//! What outlives this process of what the store said.

use super::{Entry, Incarnation, StoreKey, WatchEvent};
use bytes::Bytes;
use std::{fmt, time::SystemTime};

/// A copy of the store, for when it is away. Holds only what was authentic.
pub(crate) trait LastKnown: fmt::Debug + Send + Sync {
    /// When it was taken, and what it says, as a snapshot; `None` when there is none.
    fn snapshot(&self) -> Option<(SystemTime, WatchEvent)>;

    /// Which life of the store it is a copy of.
    fn incarnation(&self) -> Option<Incarnation>;

    /// One entry of it.
    fn entry(&self, key: &StoreKey) -> Option<Entry>;

    /// Takes in what the store says.
    fn note(&self, event: &WatchEvent);

    /// The hosts that there were, as whoever noted them wrote it down.
    fn hosts(&self) -> Option<Bytes>;

    /// Takes in which hosts there are.
    fn note_hosts(&self, hosts: Bytes);
}
