//! Definitions of types: records, variants, enums, flags and aliases.
//!
//! serde's derives give structs and enums the encoding that calls use. Flags implement it
//! themselves.

use crate::{
    docs::docs,
    handles::HandleUse,
    name,
    reference::{Role, Scope},
    world::{Interface, World},
};
use proc_macro2::{Literal, TokenStream};
use quote::quote;
use std::collections::HashSet;
use wit_parser::{Enum, Flags, FlagsRepr, Record, Type, TypeDef, TypeDefKind, TypeId, Variant};

/// Generates all types of `interface`.
pub(crate) fn definitions(world: &World<'_>, interface: &Interface<'_>) -> TokenStream {
    let errors = error_types(world);
    let role = Role::Definition;
    let scope = Scope {
        world,
        interface,
        role,
    };
    let types = interface
        .types(world.resolve)
        // Resources have no values: there are only handles to them.
        .filter(|(_, id, _)| !is_resource(world, *id))
        .map(|(wit_name, id, definition)| {
            let item = item(&scope, wit_name, id, definition);
            let error = errors.contains(&id).then(|| error_impls(wit_name));
            quote!(#item #error)
        });
    quote!(#(#types)*)
}

fn item(scope: &Scope<'_, '_>, wit_name: &str, id: TypeId, definition: &TypeDef) -> TokenStream {
    let docs = docs(definition.docs.contents.as_deref(), || {
        format!("The type `{wit_name}`.")
    });
    match &definition.kind {
        TypeDefKind::Record(record) => self::record(scope, wit_name, &docs, id, record),
        TypeDefKind::Variant(variant) => self::variant(scope, wit_name, &docs, id, variant),
        TypeDefKind::Enum(labels) => enumeration(wit_name, &docs, labels),
        TypeDefKind::Flags(labels) => flags(wit_name, &docs, labels),
        _ => {
            let (name, target) = (name::camel(wit_name), scope.structure(id));
            let generics = scope.generics(id);
            quote!(#docs pub type #name #generics = #target;)
        }
    }
}

fn record(
    scope: &Scope<'_, '_>,
    wit_name: &str,
    docs: &TokenStream,
    id: TypeId,
    record: &Record,
) -> TokenStream {
    let (name, derives) = (name::camel(wit_name), derives(scope.world, id));
    let fields = record.fields.iter().map(|field| {
        let docs = self::docs(field.docs.contents.as_deref(), || {
            format!("The field `{}`.", field.name)
        });
        let (name, ty) = (name::snake(&field.name), scope.owned(&field.ty));
        quote!(#docs pub #name: #ty)
    });
    let generics = scope.generics(id);
    quote!(#docs #derives pub struct #name #generics { #(#fields,)* })
}

fn variant(
    scope: &Scope<'_, '_>,
    wit_name: &str,
    docs: &TokenStream,
    id: TypeId,
    variant: &Variant,
) -> TokenStream {
    let (name, derives) = (name::camel(wit_name), derives(scope.world, id));
    let cases = variant.cases.iter().map(|case| {
        let docs = self::docs(case.docs.contents.as_deref(), || {
            format!("The case `{}`.", case.name)
        });
        let name = name::camel(&case.name);
        let payload = case
            .ty
            .as_ref()
            .map(|ty| scope.owned(ty))
            .map(|ty| quote!((#ty)));
        quote!(#docs #name #payload)
    });
    let generics = scope.generics(id);
    quote!(#docs #derives pub enum #name #generics { #(#cases,)* })
}

fn enumeration(wit_name: &str, docs: &TokenStream, labels: &Enum) -> TokenStream {
    let name = name::camel(wit_name);
    let serde = serde();
    let cases = labels.cases.iter().map(|case| {
        let docs = self::docs(case.docs.contents.as_deref(), || {
            format!("The case `{}`.", case.name)
        });
        let name = name::camel(&case.name);
        quote!(#docs #name)
    });
    quote! {
        #docs
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #serde
        pub enum #name { #(#cases,)* }
    }
}

fn flags(wit_name: &str, docs: &TokenStream, labels: &Flags) -> TokenStream {
    let name = name::camel(wit_name);
    let storage = match labels.repr() {
        FlagsRepr::U8 => quote!(u8),
        FlagsRepr::U16 => quote!(u16),
        FlagsRepr::U32(0 | 1) => quote!(u32),
        FlagsRepr::U32(words) => {
            let words = Literal::usize_unsuffixed(words);
            quote!([u32; #words])
        }
    };
    let bits = |set: &dyn Fn(usize) -> bool| bits(labels, set);
    let all = bits(&|_| true);
    let constants = labels.flags.iter().enumerate().map(|(index, flag)| {
        let docs = self::docs(flag.docs.contents.as_deref(), || {
            format!("The label `{}`.", flag.name)
        });
        let (constant, label) = (name::shout(&flag.name), &flag.name);
        let value = bits(&|bit| bit == index);
        quote!(#docs #constant = #label, #value;)
    });
    quote! {
        ::lattice_provider_sdk::__flags! {
            #docs
            #name: #storage = #all, {
                #(#constants)*
            }
        }
    }
}

/// Writes the bits of the labels for which `set` holds, as a literal of the flags' storage type.
fn bits(labels: &Flags, set: impl Fn(usize) -> bool) -> TokenStream {
    let word = |word: usize| {
        let bits = (word * 32..labels.flags.len().min(word * 32 + 32)).filter(|bit| set(*bit));
        Literal::u32_unsuffixed(bits.fold(0, |all, bit| all | 1 << (bit % 32)))
    };
    match labels.repr() {
        FlagsRepr::U32(words) if words > 1 => {
            let words = (0..words).map(word);
            quote!([#(#words),*])
        }
        _ => {
            let word = word(0);
            quote!(#word)
        }
    }
}

/// Returns the derives of a record or variant. `Eq` and `Hash` are left out for types with floats.
/// Handles can be neither cloned nor compared.
fn derives(world: &World<'_>, id: TypeId) -> TokenStream {
    let serde = serde();
    if world.has_handles(&Type::Id(id)) {
        let bounds = bounds(world, id);
        return quote!(#[derive(Debug)] #serde #bounds);
    }
    let exact = if has_float(world, &Type::Id(id)) {
        quote!()
    } else {
        quote!(, Eq, Hash)
    };
    quote! {
        #[derive(Debug, Clone, PartialEq #exact)]
        #serde
    }
}

/// Returns what the type parameters have to be so that a type can be passed.
fn bounds(world: &World<'_>, id: TypeId) -> Option<TokenStream> {
    let uses = world.uses(&Type::Id(id));
    let bound = |borrowed: &str| {
        let bounds = uses.iter().map(|of| {
            let name = world.parameter(*of);
            match of {
                HandleUse::Own(_) => format!("{name}: ::lattice_provider_sdk::Element"),
                HandleUse::Borrow(_) => {
                    format!("{name}: ::lattice_provider_sdk::__private::serde::{borrowed}")
                }
            }
        });
        bounds.collect::<Vec<_>>().join(", ")
    };
    let (serialize, deserialize) = (bound("Serialize"), bound("Deserialize<'de>"));
    let attribute = quote!(#[serde(bound(serialize = #serialize, deserialize = #deserialize))]);
    (!uses.is_empty()).then_some(attribute)
}

fn is_resource(world: &World<'_>, id: TypeId) -> bool {
    let definition = world.definition(&Type::Id(id));
    definition.is_some_and(|(_, definition)| matches!(definition.kind, TypeDefKind::Resource))
}

fn serde() -> TokenStream {
    quote! {
        #[derive(::lattice_provider_sdk::__private::serde::Serialize, ::lattice_provider_sdk::__private::serde::Deserialize)]
        #[serde(crate = "::lattice_provider_sdk::__private::serde")]
    }
}

fn has_float(world: &World<'_>, ty: &Type) -> bool {
    let any = |tys: &[&Type]| tys.iter().any(|ty| has_float(world, ty));
    let Some((_, definition)) = world.definition(ty) else {
        return matches!(world.resolved(ty), Type::F32 | Type::F64);
    };
    match &definition.kind {
        TypeDefKind::Record(record) => record
            .fields
            .iter()
            .any(|field| has_float(world, &field.ty)),
        TypeDefKind::Variant(variant) => variant
            .cases
            .iter()
            .filter_map(|case| case.ty.as_ref())
            .any(|ty| has_float(world, ty)),
        TypeDefKind::Tuple(tuple) => tuple.types.iter().any(|ty| has_float(world, ty)),
        TypeDefKind::Result(result) => result
            .ok
            .iter()
            .chain(&result.err)
            .any(|ty| has_float(world, ty)),
        TypeDefKind::Map(key, value) => any(&[key, value]),
        TypeDefKind::Option(ty) | TypeDefKind::List(ty) | TypeDefKind::FixedLengthList(ty, _) => {
            any(&[ty])
        }
        _ => false,
    }
}

/// Returns the error types of all functions of the world.
fn error_types(world: &World<'_>) -> HashSet<TypeId> {
    let functions = world
        .interfaces
        .iter()
        .flat_map(|interface| interface.wit.functions.values());
    let results = functions.filter_map(|function| world.definition(function.result.as_ref()?));
    results
        .filter_map(|(_, definition)| match &definition.kind {
            TypeDefKind::Result(result) => world.definition(result.err.as_ref()?),
            _ => None,
        })
        .filter(|(_, definition)| {
            matches!(
                definition.kind,
                TypeDefKind::Record(_) | TypeDefKind::Variant(_) | TypeDefKind::Enum(_)
            )
        })
        .map(|(id, _)| id)
        .filter(|id| world.uses(&Type::Id(*id)).is_empty())
        .collect()
}

/// Implements `Error`, so that `?` and error reports accept the type.
fn error_impls(wit_name: &str) -> TokenStream {
    let name = name::camel(wit_name);
    quote! {
        impl ::core::fmt::Display for #name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Debug::fmt(self, f)
            }
        }
        impl ::core::error::Error for #name {}
    }
}
