//! One boot of a host.

use crate::name::HostId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One boot of a host, as the sender or the target of a frame. Every boot has a higher epoch than
/// those before it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The host.
    pub host: HostId,
    /// The boot epoch.
    pub epoch: u64,
}

impl Origin {
    /// Returns the boot of `host` with this epoch.
    pub fn new(host: HostId, epoch: u64) -> Self {
        Self { host, epoch }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:016x}", self.host, self.epoch)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
