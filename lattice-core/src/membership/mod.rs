//! Which hosts are live.

pub(crate) mod epoch;
pub(crate) mod presence;
pub(crate) mod watcher;

pub use presence::{Peer, Peers};
