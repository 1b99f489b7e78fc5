//! Detects WIT names that become the same Rust name.

use crate::name;
use proc_macro2::Ident;
use std::collections::HashMap;
use wit_parser::{Interface, Resolve, TypeDefKind};

/// Fails when two names of one scope become the same Rust name: `v12` and `v1-2` are both `V12`.
pub(crate) fn check(resolve: &Resolve, place: &str, interface: &Interface) -> Result<(), String> {
    let types = interface.types.keys();
    distinct(&format!("types of `{place}`"), types, name::camel)?;
    let functions = interface.functions.keys();
    distinct(&format!("functions of `{place}`"), functions, name::snake)?;
    for function in interface.functions.values() {
        let place = format!("parameters of function `{}` of `{place}`", function.name);
        let names = function.params.iter().map(|param| &param.name);
        distinct(&place, names, name::snake)?;
    }
    for (type_name, id) in &interface.types {
        let of = |what: &str| format!("{what} of type `{type_name}` of `{place}`");
        match &resolve.types[*id].kind {
            TypeDefKind::Record(record) => {
                let names = record.fields.iter().map(|field| &field.name);
                distinct(&of("fields"), names, name::snake)?;
            }
            TypeDefKind::Variant(variant) => {
                let names = variant.cases.iter().map(|case| &case.name);
                distinct(&of("cases"), names, name::camel)?;
            }
            TypeDefKind::Enum(labels) => {
                let names = labels.cases.iter().map(|case| &case.name);
                distinct(&of("cases"), names, name::camel)?;
            }
            TypeDefKind::Flags(labels) => {
                let names = labels.flags.iter().map(|flag| &flag.name);
                distinct(&of("labels"), names, name::shout)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn distinct<'n>(
    place: &str,
    names: impl Iterator<Item = &'n String>,
    rust: fn(&str) -> Ident,
) -> Result<(), String> {
    let mut seen: HashMap<Ident, &str> = HashMap::new();
    for wit in names {
        let ident = rust(wit);
        if let Some(first) = seen.insert(ident.clone(), wit) {
            return Err(format!(
                "the {place} `{first}` and `{wit}` are both `{ident}` in Rust; rename one of them"
            ));
        }
    }
    Ok(())
}
