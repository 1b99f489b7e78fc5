//! The type `World`: the exports and imports of the world, and the handler for each function key.

use crate::{
    client::tuple,
    docs::docs,
    handler::parameters,
    name, signature,
    world::{Interface, World},
};
use proc_macro2::{Literal, TokenStream};
use quote::quote;
use wit_parser::Function;

/// Generates the static description of an interface, for the interface's module.
pub(crate) fn description(world: &World<'_>, interface: &Interface<'_>) -> TokenStream {
    let name = &interface.full_name;
    let functions = interface.wit.functions.values().map(|function| {
        let (name, text) = (&function.name, signature::text(world, function));
        let key = Literal::u64_suffixed(signature::key(world, interface, function));
        quote! {
            ::lattice_provider_sdk::world::Function { name: #name, signature: #text, key: #key }
        }
    });
    let docs = docs(None, || format!("`{name}`, its functions and their types."));
    quote! {
        #docs
        pub static INTERFACE: ::lattice_provider_sdk::world::Interface =
            ::lattice_provider_sdk::world::Interface::new(#name, &[#(#functions),*]);
    }
}

/// Generates the type `World` and its implementations. `wit` is the encoded world, unless it is too
/// large to be published.
pub(crate) fn world(world: &World<'_>, wit: Option<&[u8]>) -> TokenStream {
    let docs = docs(world.docs, || format!("The WIT world `{}`.", world.name));
    let wit = if let Some(bytes) = wit.map(Literal::byte_string) {
        quote!(::core::option::Option::Some(#bytes))
    } else {
        quote!(::core::option::Option::None)
    };
    let served: Vec<_> = world
        .interfaces
        .iter()
        .filter(|interface| interface.exported)
        .collect();
    // An import without functions only provides types: there is nothing to link.
    let called = world
        .interfaces
        .iter()
        .filter(|interface| interface.imported && interface.has_functions());
    let (exports, imports) = (
        served.iter().copied().map(description_path),
        called.map(description_path),
    );
    let handlers = served.iter().map(|interface| {
        let (path, handler) = (interface.path_from_root(), interface.handler());
        quote!(+ #path::#handler)
    });
    let arms = served.iter().flat_map(|interface| {
        interface
            .wit
            .functions
            .values()
            .map(|function| arm(world, interface, function))
    });
    quote! {
        #docs
        #[derive(Debug)]
        pub enum World {}

        impl ::lattice_provider_sdk::world::WitWorld for World {
            const EXPORTS: &'static [&'static ::lattice_provider_sdk::world::Interface] = &[#(#exports),*];
            const IMPORTS: &'static [&'static ::lattice_provider_sdk::world::Interface] = &[#(#imports),*];
            const WIT: ::core::option::Option<&'static [u8]> = #wit;
        }

        impl<Provider__: ::lattice_provider_sdk::Provider #(#handlers)*>
            ::lattice_provider_sdk::Dispatch<Provider__> for World
        {
            fn dispatch(
                provider: ::std::sync::Arc<Provider__>,
                call: ::lattice_provider_sdk::Call<Provider__>,
                args: ::lattice_provider_sdk::Bytes,
            ) -> ::lattice_provider_sdk::__private::Answer {
                match call.function().0 {
                    #(#arms)*
                    _ => ::lattice_provider_sdk::__private::unknown(&call),
                }
            }
        }
    }
}

fn description_path(interface: &Interface<'_>) -> TokenStream {
    let path = interface.path_from_root();
    quote!(&#path::INTERFACE)
}

fn arm(world: &World<'_>, interface: &Interface<'_>, function: &Function) -> TokenStream {
    let key = Literal::u64_suffixed(signature::key(world, interface, function));
    let (path, handler, method) = (
        interface.path_from_root(),
        interface.handler(),
        name::snake(&function.name),
    );
    let names = parameters(function, &["provider", "call", "args", "error"]);
    let pattern = tuple(names.iter().map(|name| quote!(#name)).collect());
    quote! {
        #key => match ::lattice_provider_sdk::__private::arguments(&args) {
            ::core::result::Result::Ok(#pattern) => ::lattice_provider_sdk::__private::answer(async move {
                <Provider__ as #path::#handler>::#method(&*provider, &call, #(#names),*).await
            }),
            ::core::result::Result::Err(error) => error,
        },
    }
}
