//! The changes that a reader has not been sent yet.

use super::{
    items::{Item as _, ReplicaKey},
    view::Delta,
};
use crate::{
    link::LinkKey,
    name::{AppName, ComponentId, HostId, WormholeId},
    store::StoreKey,
};
use std::collections::BTreeMap;

/// Changes for a reader that isn't sent every one: of each item, the last change. So there are
/// never more than the lattice has had items, however long the reader takes.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::{FutureExt as _, StreamExt as _};
/// use lattice_core::{Lattice, constellation::{CoalescedDeltas, View}};
///
/// let lattice = Lattice::in_memory("dev").await?;
/// let mut changes = lattice.constellation().watch();
/// let mut unsent = CoalescedDeltas::default();
/// while let Some(Some(delta)) = changes.next().now_or_never() {
///     unsent.push(delta);
/// }
/// let mut seen = View::default();
/// unsent.take().into_iter().for_each(|delta| seen.apply(delta));
/// assert_eq!(seen, *lattice.constellation().snapshot());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct CoalescedDeltas(BTreeMap<Key, Delta>);

/// The item that a change is about. A snapshot is about all of them, and sorts first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Snapshot,
    Store,
    Host(HostId),
    Component(ComponentId),
    Link(LinkKey),
    Wormhole(WormholeId),
    App(AppName),
    Unreadable(StoreKey),
    Replica(ReplicaKey),
    LostHost(HostId),
}

impl CoalescedDeltas {
    /// Adds a change, in place of an earlier one of the same item. A snapshot replaces all.
    pub fn push(&mut self, delta: Delta) {
        let key = Key::of(&delta);
        if key == Key::Snapshot {
            self.0.clear();
        }
        self.0.insert(key, delta);
    }

    /// Returns whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the changes and forgets them. A snapshot comes first. An item that has come and gone
    /// meanwhile is among them as gone.
    pub fn take(&mut self) -> Vec<Delta> {
        std::mem::take(&mut self.0).into_values().collect()
    }
}

impl Key {
    fn of(delta: &Delta) -> Self {
        match delta {
            Delta::Snapshot(_) => Self::Snapshot,
            Delta::Store(_) => Self::Store,
            Delta::Host(change) => Self::Host(change.thing().key()),
            Delta::Component(change) => Self::Component(change.thing().key()),
            Delta::Link(change) => Self::Link(change.thing().key()),
            Delta::Wormhole(change) => Self::Wormhole(change.thing().key()),
            Delta::App(change) => Self::App(change.thing().key()),
            Delta::Unreadable(change) => Self::Unreadable(change.thing().key()),
            Delta::Replica(change) => Self::Replica(change.thing().key()),
            Delta::LostHost(change) => Self::LostHost(change.thing().key()),
        }
    }
}
