//! Transfers artifacts from one host to another when the source of an image can't be reached.
//!
//! ```text
//! client (a host that needs it)                      server (a host that may have it)
//!   "map of D for component C" ────────────────────►  is C, made of D, assigned to that host?  does this one have D?
//!   checks the map, uses several hosts  ◄───────────  digests of D's ranges
//!   "range n of D for C" ──────────────────────────►  the same checks
//!   checks ranges, and then the whole  ◄────────────  256 KiB
//! ```
//! A request is always for the digest that desired state has, so nothing else can be delivered. For
//! an image in a registry, this is the digest of its manifest, which names the component's bytes by
//! their digest.

mod client;
mod server;

pub(crate) use client::{ExchangeClient, ExchangeError};
pub(crate) use server::ArtifactServer;

use super::{ImageDigest, oci};
use lattice_core::{
    call::FunctionRef,
    name::{ComponentId, FunctionName, InterfaceName, NameError},
};
use serde::{Deserialize, Serialize};

/// Documents between the digest of an image and its component: an index, and a manifest.
const MAX_DOCUMENTS: usize = 2;

/// A request of one host to another.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ExchangeRequest {
    /// The component that is assigned to the requesting host.
    component: ComponentId,
    /// The part of that component.
    digest: ImageDigest,
    /// Number of a range of its map; `None` for the map.
    range: Option<u32>,
}

/// The functions that hosts serve to each other.
#[derive(Debug)]
struct Functions {
    map: FunctionRef,
    range: FunctionRef,
}

impl Functions {
    fn new() -> Result<Self, NameError> {
        let interface = InterfaceName::new("lattice:host/artifacts@0.1.0")?;
        let function = |name, signature| {
            let name = FunctionName::new(name)?;
            Ok::<_, NameError>(FunctionRef::new(interface.clone(), name, signature))
        };
        // These texts are not in the grammar of `lattice_wit::signature`, which has no names of
        // types. Calls between hosts carry the hash of these texts, so they must stay the same in
        // all releases.
        Ok(Self {
            map: function("map", "func(ask: ask) -> option<range-map>")?,
            range: function("range", "func(ask: ask) -> option<list<u8>>")?,
        })
    }
}

/// Returns the digest that a registry's document names: that of the component's bytes, or of
/// another document.
fn named_by(document: &[u8]) -> Option<ImageDigest> {
    oci::named_by(document)
}
