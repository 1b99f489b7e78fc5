//! Finds how the instances of a component can take calls, before the component is compiled.
//!
//! Its sections are validated, and its functions aren't. So this takes a fraction of the time that
//! compiling takes, or loading the compiled code.

use super::link::stay_in_instance;
use crate::{
    capability::Capabilities,
    engine::{CallMode, Engine},
};
use wasmparser::{
    Parser, Payload, ValidPayload, Validator,
    component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentItem, ResourceId},
    types::Types,
};

/// Returns how the instances of a component take calls. What isn't valid is left to the compiler.
///
/// A plain function holds its instance until it returns, so that calls gain nothing from being able
/// to overlap. But the parts of a composed component are entered one by one: while one of them
/// waits for another component, that one may call the others. So if such a component passes
/// resources, and its instances are kept for that, calls overlap in them.
pub(super) fn of(component: &[u8], capabilities: &Capabilities) -> CallMode {
    match Outside::of_exclusive(component) {
        Some(outside) if !outside.needs_concurrency(capabilities) => CallMode::Exclusive,
        _ => CallMode::Concurrent,
    }
}

/// What a component imports and exports.
struct Outside<'c> {
    imports: Vec<&'c str>,
    exports: Vec<&'c str>,
    types: Types,
    /// Whether some of its code is that of components in it.
    is_composed: bool,
}

impl<'c> Outside<'c> {
    /// Returns that of a component that is valid without async functions, streams and futures.
    fn of_exclusive(component: &'c [u8]) -> Option<Self> {
        let features = Engine::features_of(CallMode::Exclusive);
        let mut validator = Validator::new_with_features(features);
        let mut parser = Parser::new(0);
        parser.set_features(features);
        let (mut imports, mut exports, mut types) = (Vec::new(), Vec::new(), None);
        let (mut depth, mut is_composed) = (0_usize, false);
        for payload in parser.parse_all(component) {
            let payload = payload.ok()?;
            match &payload {
                Payload::ModuleSection { .. } => {
                    is_composed |= depth > 0;
                    depth += 1;
                }
                Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section.clone() {
                        imports.push(import.ok()?.name.name);
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section.clone() {
                        exports.push(export.ok()?.name.name);
                    }
                }
                _ => {}
            }
            // The last one is that of the component itself.
            if let ValidPayload::End(found) = validator.payload(&payload).ok()? {
                types = Some(found);
            }
        }
        Some(Self {
            imports,
            exports,
            types: types?,
            is_composed,
        })
    }

    fn needs_concurrency(&self, capabilities: &Capabilities) -> bool {
        let mut imports = self.imports.iter();
        imports.any(|import| capabilities.need_concurrency(import))
            || (self.is_composed && self.passes_resources(capabilities))
    }

    /// Returns whether the component knows resources that others may hold, whether or not a
    /// function passes them.
    fn passes_resources(&self, capabilities: &Capabilities) -> bool {
        let mut of_host: Vec<ResourceId> = Vec::new();
        // An import comes before what it uses of others.
        for name in &self.imports {
            let resources = self.resources(self.types.component_item_for_import(name));
            if stay_in_instance(name, capabilities) {
                of_host.extend(resources);
            } else if resources.iter().any(|found| !of_host.contains(found)) {
                return true;
            }
        }
        let mut exports = self.exports.iter();
        exports.any(|name| {
            let exported = self.resources(self.types.component_item_for_export(name));
            exported.iter().any(|found| !of_host.contains(found))
        })
    }

    /// Returns the resources of an interface.
    fn resources(&self, interface: Option<&ComponentItem>) -> Vec<ResourceId> {
        let Some(ComponentItem {
            ty: ComponentEntityType::Instance(interface),
            ..
        }) = interface
        else {
            return Vec::new();
        };
        let items = self.types[*interface].exports.values();
        let resources = items.filter_map(|item| match item.ty {
            ComponentEntityType::Type {
                created: ComponentAnyTypeId::Resource(resource),
                ..
            } => Some(resource.resource()),
            _ => None,
        });
        resources.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(component: &str) -> CallMode {
        let bytes = wat::parse_str(format!("(component {component})")).expect(component);
        of(&bytes, &Capabilities::standard())
    }

    const BUCKET: &str = r#"(instance (export "bucket" (type (sub resource))))"#;
    const OWN: &str = r#"(type $own (resource (rep i32)))
        (instance $i (export "thing" (type $own)))
        (export "a:b/c" (instance $i))"#;

    /// Passes a resource of the host to another component.
    const OF_HOST: &str = r#"
        (import "wasi:http/types@0.2.0" (instance $types
            (export "request" (type (sub resource)))))
        (alias export $types "request" (type $request))
        (import "a:b/c" (instance
            (alias outer 1 $request (type $outer))
            (export "request" (type (eq $outer)))
            (export "f" (func (param "x" (own $outer))))))"#;

    #[test]
    fn plain_functions_and_resources_need_no_tasks() {
        for component in [
            "",
            r#"(import "a:b/c" (instance (export "f" (func (param "x" string) (result u32)))))"#,
            &format!(r#"(import "wasi:io/streams@0.2.0" {BUCKET})"#),
            OF_HOST,
            &format!("{OF_HOST} (component (core module))"),
            &format!(
                r#"{OF_HOST}
                (instance $i (export "request" (type $request)))
                (export "a:b/d" (instance $i))
                (component (core module))"#
            ),
            &format!(r#"(import "wasi:keyvalue/store@0.2.0-draft" {BUCKET})"#),
            OWN,
            &format!("(core module) (component) {OWN}"),
            "(component (core module))",
        ] {
            assert_eq!(mode(component), CallMode::Exclusive, "{component}");
        }
    }

    #[test]
    fn async_functions_streams_resources_of_parts_and_wasi_0_3_need_tasks() {
        for component in [
            r#"(import "a:b/c" (instance (export "f" (func async (result u32)))))"#,
            r#"(import "a:b/c" (instance (export "f" (func (result (stream u8))))))"#,
            r#"(import "wasi:random/random@0.3.0" (instance
                    (export "get-random-u64" (func (result u64)))))"#,
            &format!("(component (core module)) {OWN}"),
            &format!(
                r#"(import "wasi:keyvalue/store@0.2.0-draft" {BUCKET})
                (component (core module))"#
            ),
            r#"(component (import "a:b/c" (instance (export "f" (func async)))))"#,
        ] {
            assert_eq!(mode(component), CallMode::Concurrent, "{component}");
        }
    }

    #[test]
    fn what_is_not_valid_is_left_to_the_compiler() {
        let capabilities = Capabilities::standard();
        assert_eq!(of(b"no component", &capabilities), CallMode::Concurrent);
        assert_eq!(of(b"", &capabilities), CallMode::Concurrent);
    }
}
