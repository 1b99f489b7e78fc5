//! Errors of components that can't be run.

use crate::{
    guest::Unserved,
    limits::ByteSize,
    wasm_kind::{WIT_PACKAGE, is_wit_package},
};
use std::{fmt, io, path::PathBuf};

/// Why a component can't be an actor. This is detected when it is started, before it can be called.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActorError {
    /// The file can't be read.
    #[error("the component `{}` can't be read; check the path", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The bytes aren't a component.
    #[error("this is {found}, not a WebAssembly component; {}", found.advice())]
    NotAComponent {
        /// The content that was found instead.
        found: Found,
    },
    /// It looks like a component, but it isn't valid, or needs a feature that isn't enabled.
    #[error("the component is not valid: {reason}; {}", remedy(reason))]
    Invalid {
        /// The compiler's message.
        reason: String,
    },
    /// It imports something without which it can't be instantiated.
    #[error(
        "the component imports {what} `{import}`, which no host or link can serve; import functions of a WIT interface instead"
    )]
    UnsupportedImport {
        /// The import's name.
        import: String,
        /// The kind of the import.
        what: &'static str,
    },
    /// None of its exports can be called.
    #[error("nothing of the component can be served: {}", list(unserved))]
    NothingToCall {
        /// What can't be served, and why.
        unserved: Vec<Unserved>,
    },
    /// Two of its exports are the same function for callers, and neither is a newer version.
    #[error(
        "the component exports `{function}` of both `{one}` and `{other}`, which callers can't tell apart: export only one of them"
    )]
    SameFunction {
        /// The function.
        function: String,
        /// The interface of the first one.
        one: String,
        /// The interface of the second one.
        other: String,
    },
    /// It imports an interface that this build of the host does not have.
    #[error("the component imports `{import}`, which this host does not have; {advice}")]
    Missing {
        /// The import's name.
        import: String,
        /// The remedy, as the end of the message.
        advice: &'static str,
        /// The feature of this crate with which hosts have the interface.
        feature: Option<&'static str>,
    },
    /// A function has a type that isn't supported between components yet.
    #[error("{reason}")]
    UnsupportedType {
        /// The interface.
        interface: String,
        /// The function.
        function: String,
        /// The unsupported type, and its place in the function.
        reason: String,
    },
    /// It was built against another version of an interface that the host serves itself.
    #[error(
        "the component expects `{interface}#{function}` to be `{expected}`, but the host has `{found}`; build it against the WIT of this version"
    )]
    BuiltinMismatch {
        /// The interface.
        interface: String,
        /// The function.
        function: String,
        /// The component's signature.
        expected: String,
        /// The host's signature.
        found: String,
    },
    /// Its initial memory is over the limit.
    #[error(
        "each instance starts with {needs} of memory, in all memories together, and the limit is {limit}; raise it with `{}` in the manifest, or with `Limits::memory`",
        memory_in_manifest(*needs)
    )]
    TooMuchMemory {
        /// Its initial memory.
        needs: ByteSize,
        /// The limit.
        limit: ByteSize,
    },
    /// Its tables are over the limit.
    #[error(
        "each instance starts with {needs} table elements, in all tables together, and the limit is {limit}; raise it with `limits = {{ table-elements = {needs} }}` in the manifest, or with `Limits::table_elements`"
    )]
    TooManyTableElements {
        /// The initial size of its tables.
        needs: u64,
        /// The limit.
        limit: u64,
    },
    /// It is composed of too many parts.
    #[error(
        "each instance has {needs} {what}, and the most is {limit}; compose it of fewer components, and link them instead"
    )]
    TooManyParts {
        /// The kind of the parts.
        what: &'static str,
        /// How many there are.
        needs: u32,
        /// The most that there may be.
        limit: u32,
    },
    /// No instance of it ever gets enough of the memory that its host has for guests.
    #[error(
        "each instance starts with {needs} of memory and state, and one actor may use {limit} here, which is half of the memory for all guests; raise that with `lattice up --guest-memory`, or with `EngineBuilder::guest_memory`"
    )]
    OverGuestMemory {
        /// What an instance starts with.
        needs: ByteSize,
        /// The memory for one actor.
        limit: ByteSize,
    },
}

/// Returns what to do about a component that is not valid.
fn remedy(reason: &str) -> &'static str {
    if reason.contains("error-context") {
        "error contexts are not supported between components yet: pass a `string`, or another type made of plain values"
    } else if reason.contains("stream<char>") {
        "pass a `stream<u8>` with UTF-8, or a `stream<string>`"
    } else {
        "build it again with a current toolchain"
    }
}

/// Returns a limit on memory as a manifest has it, in whole MiB.
fn memory_in_manifest(needs: ByteSize) -> String {
    let mib = needs.as_u64().div_ceil(1 << 20);
    format!("limits = {{ memory = \"{mib}MiB\" }}")
}

/// Returns the first few of what can't be served.
fn list(unserved: &[Unserved]) -> String {
    const SHOWN: usize = 3;
    let mut text: Vec<String> = unserved
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect();
    if let Some(more) = unserved.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text.push(format!("and {more} more"));
    }
    text.join("; ")
}

/// What bytes that aren't a component contain instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// Nothing at all.
    Nothing,
    /// A core module, which has no WIT interfaces.
    CoreModule,
    /// A WIT package, which has interfaces and no code.
    WitPackage,
    /// WebAssembly text.
    Text,
    /// Something else.
    Unknown,
}

impl Found {
    fn advice(self) -> &'static str {
        match self {
            Self::CoreModule => {
                "build for the target `wasm32-wasip2`, or turn it into a component with `wasm-tools component new`"
            }
            Self::WitPackage => "name the component that implements its interfaces",
            Self::Text => "turn it into a binary with `wasm-tools parse`",
            Self::Nothing | Self::Unknown => "check that it is the `.wasm` file of an actor",
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "empty",
            Self::CoreModule => "a WebAssembly core module",
            Self::WitPackage => WIT_PACKAGE,
            Self::Text => "WebAssembly text",
            Self::Unknown => "something else",
        })
    }
}

impl ActorError {
    /// Returns the error for a component that wasmtime refuses.
    pub(crate) fn invalid(error: &wasmtime::Error) -> Self {
        Self::Invalid {
            reason: format!("{error:#}"),
        }
    }
}

/// Returns what the bytes are if they aren't a component.
pub(super) fn not_a_component(bytes: &[u8]) -> Option<Found> {
    match bytes {
        _ if is_wit_package(bytes) => Some(Found::WitPackage),
        [] => Some(Found::Nothing),
        // Magic, version and layer. The layer is 0 for modules and 1 for components.
        [b'\0', b'a', b's', b'm', _, _, 1, 0, ..] => None,
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => Some(Found::CoreModule),
        _ if bytes.trim_ascii_start().starts_with(b"(") => Some(Found::Text),
        _ => Some(Found::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_a_component_are_classified() {
        assert_eq!(not_a_component(b""), Some(Found::Nothing));
        assert_eq!(not_a_component(b"\0asm\x01\0\0\0"), Some(Found::CoreModule));
        assert_eq!(not_a_component(b" \n(component)"), Some(Found::Text));
        assert_eq!(not_a_component(b"\x7fELF"), Some(Found::Unknown));
        assert_eq!(not_a_component(b"\0asm\x0d\0\x01\0"), None);
    }
}
