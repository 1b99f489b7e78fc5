//! The handlers: traits that serve an interface, and traits of its resources.

use crate::{
    collisions::{self, is_method},
    docs::docs,
    name,
    reference::{Role, Scope},
    world::{Interface, World},
};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use wit_parser::{Function, TypeId};

/// Generates the trait of `interface`, and one for each of its resources.
pub(crate) fn handler(world: &World<'_>, interface: &Interface<'_>) -> TokenStream {
    let scope = Scope {
        world,
        interface,
        role: Role::Interface,
    };
    let name = interface.handler();
    let docs = docs(interface.wit.docs.contents.as_deref(), || {
        format!("Serves `{}`.", interface.full_name)
    });
    let functions = interface.wit.functions.values();
    let methods = functions
        .filter(|function| !is_method(function))
        .map(|function| method(&scope, function));
    let associated = interface.resources(world.resolve).map(|(wit_name, ..)| {
        let name = name::camel(wit_name);
        let docs = self::docs(None, || format!("What stands for a resource `{wit_name}`."));
        quote!(#docs type #name: #name<Self>;)
    });
    let homes = homes(world, interface);
    let resources = interface.resources(world.resolve);
    let resources = resources.map(|(wit_name, id, definition)| {
        let docs = definition.docs.contents.as_deref();
        resource(world, interface, (wit_name, id), docs)
    });
    quote! {
        #docs
        pub trait #name: ::lattice_provider_sdk::Provider #(+ #homes)* {
            #(#associated)*
            #(#methods)*
        }
        #(#resources)*
    }
}

/// Generates the trait of a resource.
fn resource(
    world: &World<'_>,
    interface: &Interface<'_>,
    (wit_name, id): (&str, TypeId),
    wit_docs: Option<&str>,
) -> TokenStream {
    let scope = Scope {
        world,
        interface,
        role: Role::Resource,
    };
    let (name, handler) = (name::camel(wit_name), interface.handler());
    let docs = docs(wit_docs, || {
        format!(
            "A resource `{wit_name}` of `{}`. It is dropped when its holder drops the handle.",
            interface.full_name
        )
    });
    let functions = interface.wit.functions.values();
    let methods = functions
        .filter(|function| is_method(function) && function.kind.resource() == Some(id))
        .map(|function| method(&scope, function));
    quote! {
        #docs
        pub trait #name<Provider__: #handler>:
            ::core::marker::Sized + ::core::marker::Send + ::core::marker::Sync + 'static
        {
            #(#methods)*
        }
    }
}

/// Returns the traits of the other interfaces whose resources the functions of `interface` pass.
fn homes(world: &World<'_>, interface: &Interface<'_>) -> Vec<TokenStream> {
    let functions = interface.wit.functions.values();
    let types = functions.flat_map(|function| {
        let params = function.params.iter().map(|param| param.ty);
        params.chain(function.result)
    });
    let mut homes: Vec<&Interface<'_>> = Vec::new();
    for of in types.flat_map(|ty| world.uses(&ty)) {
        if let Some(home) = world.resource_interface(of.resource())
            && home.id != interface.id
            && world.is_home(home)
            && homes.iter().all(|known| known.id != home.id)
        {
            homes.push(home);
        }
    }
    let homes = homes.iter().map(|home| {
        let (path, handler) = (home.path_from(interface), home.handler());
        quote!(#path::#handler)
    });
    homes.collect()
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
        collisions::function_name(&function.name),
        Ident::new(CALL, Span::call_site()),
    );
    // A method's first parameter is the resource itself.
    let own = usize::from(is_method(function));
    let names = parameters(function, &[CALL]);
    let parameters = function.params.iter().zip(&names).skip(own);
    let parameters = parameters.map(|(param, name)| {
        let ty = scope.parameter(&param.ty);
        quote!(#name: #ty)
    });
    let (result, _) = scope.returned(function.result.as_ref());
    let provider = scope.provider();
    quote! {
        #docs
        fn #name(
            &self,
            #call: &::lattice_provider_sdk::Call<#provider>,
            #(#parameters,)*
        ) -> impl ::core::future::Future<Output = #result> + ::core::marker::Send;
    }
}
