//! `wasi:blobstore`: objects that an actor reads and writes, over links.

use super::{HostCapability, Support};
use crate::{
    engine::CallMode,
    guest::{Guest, add_blobstore_to_linker, blobstore_types},
};
use lattice_core::{name::InterfaceName, types::InterfaceTypes};
use wasmtime::{Result, component::Linker};

/// The draft of version 0.2.
pub(super) struct Blobstore;

impl HostCapability for Blobstore {
    fn support(&self, import: &str) -> Option<Support> {
        let interface = import.strip_prefix("wasi:blobstore/")?;
        match interface.strip_suffix("@0.2.0-draft")? {
            "types" | "container" => Some(Support::Native),
            "blobstore" => Some(Support::Linked),
            _ => None,
        }
    }

    fn add_to_linker(&self, linker: &mut Linker<Guest>, _: CallMode) -> Result<()> {
        add_blobstore_to_linker(linker)
    }

    fn linked(&self, _: &InterfaceName) -> InterfaceTypes {
        blobstore_types()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_draft_is_served() {
        for (import, expected) in [
            ("wasi:blobstore/types@0.2.0-draft", Some(Support::Native)),
            (
                "wasi:blobstore/container@0.2.0-draft",
                Some(Support::Native),
            ),
            (
                "wasi:blobstore/blobstore@0.2.0-draft",
                Some(Support::Linked),
            ),
            ("wasi:blobstore/other@0.2.0-draft", None),
            ("wasi:blobstore/blobstore@0.2.0", None),
            ("wasi:blobstore/blobstore", None),
            ("acme:blobstore/blobstore@0.2.0-draft", None),
        ] {
            assert_eq!(Blobstore.support(import), expected, "{import}");
        }
    }
}
