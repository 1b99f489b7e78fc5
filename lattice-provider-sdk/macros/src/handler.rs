//! The handlers: traits that serve an interface.

use crate::{
    docs::docs,
    name,
    reference::Scope,
    world::{Interface, World},
};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use wit_parser::Function;

/// Generates the trait of `interface`.
pub(crate) fn handler(world: &World<'_>, interface: &Interface<'_>) -> TokenStream {
    let scope = Scope { world, interface };
    let name = interface.handler();
    let docs = docs(interface.wit.docs.contents.as_deref(), || {
        format!("Serves `{}`.", interface.full_name)
    });
    let methods = interface
        .wit
        .functions
        .values()
        .map(|function| method(&scope, function));
    quote! {
        #docs
        pub trait #name: ::lattice_provider_sdk::Provider {
            #(#methods)*
        }
    }
}

/// Returns the Rust names of a function's parameters, none of which is in `taken`.
pub(crate) fn parameters(function: &Function, taken: &[&str]) -> Vec<Ident> {
    let names = function.params.iter().map(|param| {
        let name = name::snake(&param.name);
        if taken.contains(&name.to_string().as_str()) {
            format_ident!("{name}_")
        } else {
            name
        }
    });
    names.collect()
}

/// The name of a handler's own parameter.
pub(crate) const CALL: &str = "call";

fn method(scope: &Scope<'_, '_>, function: &Function) -> TokenStream {
    let docs = docs(function.docs.contents.as_deref(), || {
        format!("The function `{}`.", function.name)
    });
    let (name, call) = (
        name::snake(&function.name),
        Ident::new(CALL, Span::call_site()),
    );
    let names = parameters(function, &[CALL]);
    let types = function.params.iter().map(|param| scope.owned(&param.ty));
    let result = scope.owned_or_unit(function.result.as_ref());
    quote! {
        #docs
        fn #name(
            &self,
            #call: &::lattice_provider_sdk::Call<Self>,
            #(#names: #types,)*
        ) -> impl ::core::future::Future<Output = #result> + ::core::marker::Send;
    }
}
