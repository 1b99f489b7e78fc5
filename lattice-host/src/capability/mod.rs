//! What every actor may import without a link: WASI, and three small interfaces of Lattice's own world.
//!
//! | interface | gives |
//! | --- | --- |
//! | `wasi:cli`, `wasi:clocks`, `wasi:io`, `wasi:random` 0.2 | clocks, random numbers, configured environment and arguments, exit; output goes to `tracing` |
//! | `wasi:filesystem`, `wasi:sockets` 0.2 | nothing: no directory is open, every network use is denied. They are there because a language's standard library imports them |
//! | `wasi:logging/logging` | messages, to `tracing` |
//! | `wasi:config/store` | the settings that the actor was given |
//! | `lattice:rpc/links` | choosing among links for the call being served |

mod function;
mod wasi;

pub(crate) use function::function;
pub(crate) use wasi::{Wasi, linker};

use lattice_core::name::InterfaceName;

/// Who answers what an actor imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Import {
    /// Its host does, without a link.
    BuiltIn,
    /// The target of a link does.
    Linked,
    /// Nobody does: only a host could, and this build of it does not.
    Missing {
        /// What to do about it.
        advice: &'static str,
    },
}

impl Import {
    /// Of the interface with this name, `ns:pkg/iface@version`.
    pub fn of(interface: &str) -> Self {
        match missing(interface) {
            Some(advice) => Self::Missing { advice },
            None if serves(interface) => Self::BuiltIn,
            None => Self::Linked,
        }
    }
}

/// Packages that are served by the WASI implementation.
const WASI: [&str; 6] = [
    "wasi:cli",
    "wasi:clocks",
    "wasi:filesystem",
    "wasi:io",
    "wasi:random",
    "wasi:sockets",
];

/// Whether WASI 0.3 is built in.
const P3: bool = cfg!(feature = "p3");

/// Whether an import is served by the WASI implementation.
pub(crate) fn is_wasi(import: &str) -> bool {
    split(import)
        .is_some_and(|(package, version)| WASI.contains(&package) && is_supported(version, P3))
}

fn is_supported(version: &str, p3: bool) -> bool {
    version.starts_with("0.2.") || (p3 && version.starts_with("0.3."))
}

/// Whether the host serves an import itself, without a link.
pub(crate) fn serves(import: &str) -> bool {
    is_wasi(import) || InterfaceName::new(import).is_ok_and(|name| function::serves(&name))
}

/// What to do about an import that only a host could serve, but this one doesn't.
pub(crate) fn missing(import: &str) -> Option<&'static str> {
    missing_with(import, P3)
}

fn missing_with(import: &str, p3: bool) -> Option<&'static str> {
    let (package, version) = split(import)?;
    if !WASI.contains(&package) || is_supported(version, p3) {
        return None;
    }
    Some(if version.starts_with("0.3.") {
        "build the host with the feature `p3`, or the component for `wasm32-wasip2`"
    } else {
        "build the component for `wasm32-wasip2`"
    })
}

/// Package and version.
fn split(import: &str) -> Option<(&str, &str)> {
    let (package, interface) = import.split_once('/')?;
    Some((package, interface.split_once('@')?.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_is_known_by_name_and_version() {
        for (import, wasi) in [
            ("wasi:cli/environment@0.2.6", true),
            ("wasi:sockets/tcp@0.2.0", true),
            ("wasi:keyvalue/store@0.2.0", false),
            ("wasi:cli/environment", false),
            ("wasi:clocks/wall-clock@0.1.0", false),
            ("acme:cli/environment@0.2.0", false),
        ] {
            assert_eq!(is_wasi(import), wasi, "{import}");
        }
        assert!(missing("wasi:clocks/wall-clock@0.1.0").is_some());
        assert!(missing("wasi:keyvalue/store@0.2.0").is_none());
        let newer = "wasi:clocks/monotonic-clock@0.3.0";
        assert_eq!(missing(newer).is_some(), cfg!(not(feature = "p3")));
        assert_eq!(missing_with(newer, true), None);
        let advice = missing_with(newer, false).expect("it is not built in");
        assert!(advice.contains("feature `p3`"), "{advice}");
        assert!(serves("wasi:logging/logging@0.1.0-draft"));
        assert!(serves("lattice:rpc/links@0.1.3"));
        assert!(serves("wasi:cli/environment@0.2.6"));
        assert!(!serves("lattice:keyvalue/store@0.1.0"));
        assert!(!serves("no interface"));
        for (import, answered) in [
            ("wasi:cli/environment@0.2.6", Import::BuiltIn),
            ("lattice:keyvalue/store@0.1.0", Import::Linked),
        ] {
            assert_eq!(Import::of(import), answered, "{import}");
        }
        let old = Import::of("wasi:clocks/wall-clock@0.1.0");
        assert!(matches!(old, Import::Missing { .. }), "{old:?}");
    }
}
