//! Artifacts from one host to another, for when the place that an image names is out of reach.
//!
//! ```text
//! host that takes                                    host that gives
//!   "map of D for component C" ────────────────────►  is C, made of D, assigned to whoever asks?  has it D?
//!   checks the map, asks several hosts  ◄───────────  digests of D's ranges
//!   "range n of D for C" ──────────────────────────►  the same questions
//!   checks the range; at last the whole ◄───────────  256 KiB
//! ```
//! What is asked for is always the digest that desired state has: nobody can be given anything else. Of an image in a registry
//! that is its manifest, which names the component's bytes by a digest of their own.

mod get;
mod give;

pub(crate) use get::{Exchange, GetError};
pub(crate) use give::Giver;

use super::{ImageDigest, oci};
use lattice_core::{
    call::FunctionRef,
    name::{ComponentId, FunctionName, InterfaceName, NameError},
};
use serde::{Deserialize, Serialize};

/// Documents between the digest of an image and its component: an index, and a manifest.
const DOCUMENTS: usize = 2;

/// What one host asks another for.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ask {
    /// What it is assigned.
    component: ComponentId,
    /// What of it.
    digest: ImageDigest,
    /// Which range of its map; none for the map.
    range: Option<u32>,
}

/// The functions of hosts.
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
            Ok(FunctionRef::new(interface.clone(), name, signature))
        };
        // These texts are not in the grammar of `lattice_wit::signature`, which knows no names of types.
        // Calls between hosts carry their hash, so hosts of different releases have to keep them.
        Ok(Self {
            map: function("map", "func(ask: ask) -> option<range-map>")?,
            range: function("range", "func(ask: ask) -> option<list<u8>>")?,
        })
    }
}

/// What a document of a registry names: the component's bytes, or a further document.
fn named_by(document: &[u8]) -> Option<ImageDigest> {
    oci::named_by(document)
}
