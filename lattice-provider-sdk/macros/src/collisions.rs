//! Detects WIT names that become the same Rust name.

use crate::name;
use proc_macro2::Ident;
use std::collections::HashMap;
use wit_parser::{Function, FunctionKind, Interface, Resolve, TypeDefKind, TypeId};

/// Fails when two names of one scope become the same Rust name: `v12` and `v1-2` are both `V12`.
pub(crate) fn check(resolve: &Resolve, place: &str, interface: &Interface) -> Result<(), String> {
    let types = interface.types.keys();
    distinct(&format!("types of `{place}`"), types, name::camel)?;
    let mut scopes: HashMap<Option<TypeId>, Vec<&String>> = HashMap::new();
    for function in interface.functions.values() {
        let of = function.kind.resource().filter(|_| is_method(function));
        scopes.entry(of).or_default().push(&function.name);
    }
    for names in scopes.into_values() {
        distinct(
            &format!("functions of `{place}`"),
            names.into_iter(),
            function_name,
        )?;
    }
    let resources = interface
        .types
        .iter()
        .filter(|(_, id)| matches!(resolve.types[**id].kind, TypeDefKind::Resource));
    for (resource, _) in resources {
        for generated in ["client", "ref"].map(|suffix| format!("{resource}-{suffix}")) {
            if interface.types.contains_key(&generated) {
                return Err(format!(
                    "the type `{generated}` of `{place}` has the Rust name of a handle to resource `{resource}`; rename one of them"
                ));
            }
        }
    }
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

/// Returns whether a function is a method of a resource.
pub(crate) fn is_method(function: &Function) -> bool {
    matches!(
        function.kind,
        FunctionKind::Method(_) | FunctionKind::AsyncMethod(_)
    )
}

/// Returns the Rust name of `get`, `[method]bucket.get`, `[static]bucket.open` or
/// `[constructor]bucket`: the names of handlers' functions.
pub(crate) fn function_name(wit: &str) -> Ident {
    let Some((kind, name)) = wit.split_once(']') else {
        return name::snake(wit);
    };
    match (kind, name.split_once('.')) {
        ("[constructor", _) => name::snake(&format!("new-{name}")),
        ("[method", Some((_, method))) => name::snake(method),
        (_, Some((resource, function))) => name::snake(&format!("{resource}-{function}")),
        _ => name::snake(name),
    }
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
