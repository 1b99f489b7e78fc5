//! Detects WIT names that aren't valid Rust names, or become the same Rust name. The generator of
//! the bindings doesn't detect them, and the compiler's errors don't mention the WIT.

use std::collections::HashMap;

use wit_bindgen_core::wit_parser::{InterfaceId, Resolve, TypeDefKind, WorldId, WorldItem};

/// Fails when a type or a case of the world's interfaces has no Rust name of its own.
pub(crate) fn check(resolve: &Resolve, world: WorldId) -> Result<(), String> {
    let world = &resolve.worlds[world];
    for item in world.imports.values().chain(world.exports.values()) {
        if let WorldItem::Interface { id, .. } = item {
            check_interface(resolve, *id)?;
        }
    }
    Ok(())
}

fn check_interface(resolve: &Resolve, id: InterfaceId) -> Result<(), String> {
    let interface = &resolve.interfaces[id];
    let place = resolve
        .id_of(id)
        .unwrap_or_else(|| "an interface".to_owned());
    distinct(&format!("types of `{place}`"), interface.types.keys())?;
    for (name, id) in &interface.types {
        let place = format!("cases of type `{name}` of `{place}`");
        match &resolve.types[*id].kind {
            TypeDefKind::Variant(variant) => {
                distinct(&place, variant.cases.iter().map(|case| &case.name))?;
            }
            TypeDefKind::Enum(labels) => {
                distinct(&place, labels.cases.iter().map(|case| &case.name))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn distinct<'n>(place: &str, names: impl Iterator<Item = &'n String>) -> Result<(), String> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for wit in names {
        let rust = camel(wit);
        if rust == "Self" {
            return Err(format!(
                "the {place} have `{wit}`, which would be the keyword `Self` in Rust; rename it"
            ));
        }
        if let Some(first) = seen.insert(rust.clone(), wit) {
            return Err(format!(
                "the {place} `{first}` and `{wit}` are both `{rust}` in Rust; rename one of them"
            ));
        }
    }
    Ok(())
}

/// Returns the name that the generator gives to a type or case: `key-page` becomes `KeyPage`.
fn camel(wit: &str) -> String {
    let mut text = String::new();
    for word in wit.split('-') {
        let mut chars = word.chars();
        text.extend(chars.next().map(|char| char.to_ascii_uppercase()));
        text.extend(chars.map(|char| char.to_ascii_lowercase()));
    }
    text
}
