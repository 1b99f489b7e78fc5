//! The health of a replica.

use crate::store::{Incarnation, Revision};
use std::time::SystemTime;

/// The health of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ReplicaHealth {
    /// Whether it follows the store.
    pub state: ReplicaState,
    /// The incarnation of the store that it last saw.
    pub incarnation: Incarnation,
    /// The last revision that it has seen.
    pub revision: Revision,
    /// Values refused so far: forged, malformed, of a newer version, or played again.
    pub refused: u64,
    /// How many times the store was found re-created.
    pub recreated: u64,
    /// How many times the store's revisions were found to have gone back.
    pub rewound: u64,
    /// Links that the store lost and that this process holds.
    pub held: usize,
    /// Values in the store now that were written with another key; 0 once a value written with this
    /// key was seen.
    pub other_key: usize,
}

/// Everything in the store was written with another key, so this process most likely has the wrong
/// one. It reads such a store as if it were empty, and overwrites nothing in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process has another key than the lattice: none of the values in the store was written with it, and {values} with another one; check the key, or empty the store to start over"
)]
pub struct OtherKey {
    /// How many values there are.
    pub values: usize,
}

/// Whether a replica follows the store.
///
/// | state | left by |
/// | --- | --- |
/// | [`Following`](ReplicaState::Following): the copy follows the store within moments | the store out of reach: `Lost`; closed: `Closed` |
/// | [`Lost`](ReplicaState::Lost): the copy stays as it was | the store's next snapshot: `Following` |
/// | [`Closed`](ReplicaState::Closed): the copy stays as it was, for good | nothing |
/// | [`Snapshot`](ReplicaState::Snapshot): the copy is an earlier process's; the store was not reached yet | the store's first snapshot |
/// | [`StoreReplaced`](ReplicaState::StoreReplaced), [`StoreWentBack`](ReplicaState::StoreWentBack): follows a store that lost links held here | [`accept`](super::Replica::accept), or a put or delete of each such link: `Following` |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReplicaState {
    /// The store is out of reach; the copy stays as it was.
    #[default]
    Lost,
    /// It follows the store within moments.
    Following,
    /// The store was closed; the copy no longer changes.
    Closed,
    /// The copy is one that an earlier process made; the store was not reached yet.
    Snapshot {
        /// When it last changed.
        taken: SystemTime,
    },
    /// It follows the store, and holds links of another store that was there before.
    StoreReplaced,
    /// It follows the store, and holds links that the store had before it went back.
    StoreWentBack,
}

impl ReplicaState {
    /// Returns whether it follows the store within moments.
    pub fn is_live(self) -> bool {
        matches!(
            self,
            Self::Following | Self::StoreReplaced | Self::StoreWentBack
        )
    }
}
