//! All providers of this crate, by their names.

use crate::Builtin;

/// Returns every provider that this crate is built with, in the order of their names.
///
/// A host adds them to those that manifests can name; see the feature `providers` of
/// `lattice-mesh-host`.
pub fn builtins() -> Vec<Builtin> {
    // One line for each module, behind its feature.
    let all: [Vec<Builtin>; _] = [
        #[cfg(feature = "blobstore")]
        crate::blobstore::builtins(),
        #[cfg(feature = "messaging")]
        crate::messaging::builtins(),
        #[cfg(feature = "schedule")]
        crate::schedule::builtins(),
        #[cfg(feature = "keyvalue")]
        crate::keyvalue::builtins(),
        #[cfg(feature = "secrets")]
        crate::secrets::builtins(),
        #[cfg(feature = "sql")]
        crate::sql::builtins(),
    ];
    let mut all = all.concat();
    all.sort_by_key(|builtin| builtin.name);
    all
}
