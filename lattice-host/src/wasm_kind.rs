//! The kind of a WebAssembly binary, found without compiling it.

use wasmparser::{ComponentExternalKind, Parser, Payload};

const MAGIC: &[u8] = b"\0asm";
/// Version and layer, which follow the magic number in a component.
const COMPONENT: &[u8] = &[0x0d, 0x00, 0x01, 0x00];

/// The description of a WIT package, in words that can follow "is".
pub(crate) const WIT_PACKAGE: &str = "a WIT package, which has interfaces and no code";

/// The kind of a binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WasmKind {
    /// A component, which can be an actor.
    Component,
    /// A core module, which can be turned into a component.
    Module,
}

impl WasmKind {
    /// Returns the kind of these bytes, by their first bytes, and in a component by its outermost
    /// sections.
    ///
    /// # Errors
    /// Fails with a description of the bytes, in words that can follow "is". A WIT package is also
    /// refused, although it has the header of a component.
    pub fn of(bytes: &[u8]) -> Result<Self, &'static str> {
        match bytes.strip_prefix(MAGIC) {
            Some(_) if is_wit_package(bytes) => Err(WIT_PACKAGE),
            Some(rest) if rest.starts_with(COMPONENT) => Ok(Self::Component),
            Some(_) => Ok(Self::Module),
            None if bytes.is_empty() => Err("nothing at all"),
            None if bytes.starts_with(&[0x1f, 0x8b]) => Err("something packed with gzip"),
            None if bytes.trim_ascii_start().starts_with(b"(") => {
                Err("its text, which `wasm-tools parse` makes binary")
            }
            None => Err("something else"),
        }
    }
}

/// Returns whether the bytes are a component that exports types and contains nothing else. That is
/// how tools encode a WIT package.
pub(crate) fn is_wit_package(bytes: &[u8]) -> bool {
    let is_component = bytes
        .strip_prefix(MAGIC)
        .is_some_and(|rest| rest.starts_with(COMPONENT));
    if !is_component {
        return false;
    }
    let mut exports_types = false;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(Payload::ComponentExportSection(exports)) => {
                for export in exports {
                    if !export.is_ok_and(|export| export.kind == ComponentExternalKind::Type) {
                        return false;
                    }
                    exports_types = true;
                }
            }
            Ok(
                Payload::Version { .. }
                | Payload::CustomSection(_)
                | Payload::ComponentTypeSection(_)
                | Payload::ComponentAliasSection(_)
                | Payload::End(_),
            ) => {}
            // Code, instances or imports, or bytes that are cut off.
            _ => return false,
        }
    }
    exports_types
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_wit_package_is_not_a_component() {
        for wit in [
            "package a:b@0.2.0; interface i { f: func(); }",
            "package a:b; interface i { f: func(); } world one { export i; } world two { import i; }",
        ] {
            let mut resolve = wit_parser::Resolve::new();
            let package = resolve.push_str("a.wit", wit).unwrap();
            let bytes = wit_component::encode(&resolve, package).unwrap();
            assert_eq!(WasmKind::of(&bytes), Err(WIT_PACKAGE), "{wit}");
            assert_eq!(
                WasmKind::of(&bytes[..bytes.len() / 2]),
                Ok(WasmKind::Component)
            );
        }
        for text in [
            "(component)",
            "(component (import \"a:b/c\" (instance)))",
            "(component (type $t u8) (export \"t\" (type $t)) (core module))",
        ] {
            let bytes = wat::parse_str(text).unwrap();
            assert_eq!(WasmKind::of(&bytes), Ok(WasmKind::Component), "{text}");
        }
    }
}
