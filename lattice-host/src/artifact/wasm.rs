//! Information about a WebAssembly binary, without compiling it.

pub use crate::wasm_kind::WasmKind;
use std::collections::{BTreeMap, BTreeSet};
use wasmparser::{Encoding, KnownCustom, Parser, Payload};

/// Interfaces and functions that a component names; empty for a core module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Names {
    /// Names of its imports.
    pub imports: Vec<String>,
    /// Names of its exports.
    pub exports: Vec<String>,
}

impl Names {
    /// Returns the names in the component. `None` if the bytes can't be read to the end.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let mut names = Self::default();
        // Components and modules nest. Only the names at the outermost level are the component's
        // own.
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.ok()? {
                Payload::Version {
                    encoding: Encoding::Module,
                    ..
                } if depth == 0 => return Some(names),
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    for import in imports {
                        names.imports.push(import.ok()?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    for export in exports {
                        names.exports.push(export.ok()?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Some(names)
    }
}

/// Longest name or version of a tool in bytes, and the most tools, because a binary may contain
/// anything there.
const MAX_TOOL: usize = 128;
const MAX_TOOLS: usize = 64;

/// Returns the tools and languages that produced a binary and everything in it, with their
/// versions, by field (`language`, `processed-by`, …). Empty when the binary has no such section,
/// or can't be read to the end.
pub fn producers(bytes: &[u8]) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(Payload::CustomSection(section)) = payload else {
            continue;
        };
        let KnownCustom::Producers(fields) = section.as_known() else {
            continue;
        };
        for field in fields.into_iter().flatten() {
            for tool in field.values.into_iter().flatten() {
                let text = format!("{} {}", tool.name, tool.version);
                let tools: usize = found.values().map(BTreeSet::len).sum();
                if tools < MAX_TOOLS && text.len() + field.name.len() <= MAX_TOOL {
                    let field = found.entry(field.name.to_owned()).or_default();
                    field.insert(text.trim_end().to_owned());
                }
            }
        }
    }
    found
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_component_are_read() {
        let bytes = wat::parse_str(
            r#"(component
                (import "example:clock/now@1.0.0" (instance))
                (component (import "inner" (func)) (export "inner-too" (func 0)))
                (core module (func (export "deep")))
                (instance (export "example:math/sums@1.0.0"))
                (instance (export "example:math/more")))"#,
        )
        .unwrap();
        assert_eq!(WasmKind::of(&bytes), Ok(WasmKind::Component));
        let names = Names::of(&bytes).unwrap();
        assert_eq!(names.imports, ["example:clock/now@1.0.0"]);
        assert_eq!(
            names.exports,
            ["example:math/sums@1.0.0", "example:math/more"]
        );
    }

    #[test]
    fn a_module_is_recognized() {
        let bytes = wat::parse_str(r#"(module (func (export "f")))"#).unwrap();
        assert_eq!(WasmKind::of(&bytes), Ok(WasmKind::Module));
        assert_eq!(Names::of(&bytes), Some(Names::default()));
    }

    #[test]
    fn the_producers_are_read() {
        let bytes = wat::parse_str(
            r#"(component (core module (@producers (language "Rust" "2024") (processed-by "rustc" "1.95.0"))))"#,
        );
        let made = producers(&bytes.unwrap());
        assert!(made["language"].contains("Rust 2024"), "{made:?}");
        assert!(made["processed-by"].contains("rustc 1.95.0"), "{made:?}");
        assert!(producers(b"\0asm\x01").is_empty());
        let garbage = wat::parse_str(r#"(module (@custom "producers" "\ff\ff\ff\ff\0f"))"#);
        assert!(producers(&garbage.unwrap()).is_empty());
    }

    #[test]
    fn other_bytes_are_refused() {
        for (bytes, found) in [
            (&b""[..], "nothing at all"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"\n (component)", "its text"),
            (b"ELF", "something else"),
        ] {
            assert!(WasmKind::of(bytes).unwrap_err().contains(found));
            assert_eq!(Names::of(bytes), None);
        }
        let cut = &wat::parse_str("(component (instance (export \"a\")))").unwrap()[..12];
        assert_eq!(WasmKind::of(cut), Ok(WasmKind::Component));
        assert_eq!(Names::of(cut), None);
    }
}
