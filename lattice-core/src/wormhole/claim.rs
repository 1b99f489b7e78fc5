//! Claims: which wormhole has a host name.

use crate::{name::WormholeId, record_format::Extra};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which wormholes have a host name: `wormhole-host.<name>`. That of a generated name stays when
/// they are gone, so that the name isn't generated again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HostClaim {
    /// The wormholes, by their paths. A wormhole that no longer has this host name and path, or
    /// that was deleted, counts no more.
    #[serde(default)]
    pub paths: BTreeMap<String, WormholeId>,
    /// Fields that newer versions wrote.
    #[serde(flatten)]
    pub extra: Extra,
}
