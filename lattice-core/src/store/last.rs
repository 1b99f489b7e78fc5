//! The last state of the store that this process knew, kept for the next process.

use super::{Entry, Incarnation, StoreKey, WatchEvent};
use bytes::Bytes;
use std::{fmt, time::SystemTime};

/// A copy of the store for when it is away. Holds authentic values only.
pub(crate) trait LastKnown: fmt::Debug + Send + Sync {
    /// Returns when the copy was taken, and its content as a snapshot; `None` when there is no
    /// copy.
    fn snapshot(&self) -> Option<(SystemTime, WatchEvent)>;

    /// Returns the incarnation of the store that it is a copy of.
    fn incarnation(&self) -> Option<Incarnation>;

    /// Returns one entry of the copy.
    fn entry(&self, key: &StoreKey) -> Option<Entry>;

    /// Applies an event of the store to the copy.
    fn note(&self, event: &WatchEvent);

    /// Returns the hosts that were live, in the encoding that [`note_hosts`](Self::note_hosts) was
    /// given.
    fn hosts(&self) -> Option<Bytes>;

    /// Records which hosts are live.
    fn note_hosts(&self, hosts: Bytes);
}
