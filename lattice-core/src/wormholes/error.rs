//! Why a wormhole could not be read or changed.

use crate::{
    desired::Unreadable,
    links::WriteError,
    name::{AppName, NameError, WormholeId},
    wormhole::WormholeRuleError,
};

/// Why a wormhole could not be read, created, changed or deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WormholeError {
    /// An id breaks its rule. Nothing was written.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A host name, a path or a user breaks its rule. Nothing was written.
    #[error(transparent)]
    Rule(#[from] WormholeRuleError),
    /// There is no wormhole with this id.
    #[error("there is no wormhole `{id}`; `list` shows the existing ones, `create` makes one")]
    NotFound {
        /// The id.
        id: WormholeId,
    },
    /// There is a wormhole with this id already. Nothing was written.
    #[error("there is a wormhole `{id}` already; change it with `update`, or choose another id")]
    Exists {
        /// The id.
        id: WormholeId,
    },
    /// Another wormhole has this host name and path. Nothing was written.
    #[error(
        "`{host}` with the path `{path}` leads to wormhole `{by}`; choose another name or path, or rename or delete that one first"
    )]
    HostTaken {
        /// The host name.
        host: String,
        /// The path.
        path: String,
        /// The wormhole that has them.
        by: WormholeId,
    },
    /// An app declares the wormhole, so only the app deletes it. Nothing was written.
    #[error(
        "wormhole `{id}` belongs to app `{app}`; remove it from the app's manifest and apply that, or close it"
    )]
    Owned {
        /// The wormhole.
        id: WormholeId,
        /// The app.
        app: AppName,
    },
    /// The record of the wormhole can't be read, so nothing is let through.
    #[error("the record of wormhole `{id}` can't be used: {reason}")]
    Unreadable {
        /// The wormhole.
        id: WormholeId,
        /// What is wrong with it, and what to do about it.
        reason: String,
    },
    /// The claim to a host name was written by a newer version of Lattice. Nothing was written.
    #[error("the claim to the host name `{host}` can't be changed from here: {reason}")]
    NewerClaim {
        /// The host name.
        host: String,
        /// Why this version can't change it.
        reason: String,
    },
    /// No unused name was found. Nothing was written.
    #[error("no unused name was found; try again, or choose a host name and an id")]
    NoFreeName,
    /// The store did not accept the write, or can't be read.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl WormholeError {
    pub(super) fn unreadable(id: &WormholeId, unreadable: &Unreadable) -> Self {
        Self::Unreadable {
            id: id.clone(),
            reason: unreadable.reason.clone(),
        }
    }
}
