//! The type `World`: the exports and imports of the world, and the handler for each function key.

use crate::{
    client::tuple,
    collisions::{self, is_method},
    docs::docs,
    handler::parameters,
    name,
    reference::{Role, Scope},
    signature,
    world::{Interface, World},
};
use proc_macro2::{Ident, Literal, TokenStream};
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
    let resources = resources(world);
    // A provider that only calls others is itself called for nothing.
    let answer = if served.is_empty() {
        quote! {
            ::core::mem::drop((provider, args));
            ::lattice_provider_sdk::__private::unknown(&call)
        }
    } else {
        quote! {
            match call.function().0 {
                #(#arms)*
                _ => ::lattice_provider_sdk::__private::unknown(&call),
            }
        }
    };
    quote! {
        #docs
        #[derive(Debug)]
        pub enum World {}

        impl ::lattice_provider_sdk::world::WitWorld for World {
            const EXPORTS: &'static [&'static ::lattice_provider_sdk::world::Interface] = &[#(#exports),*];
            const IMPORTS: &'static [&'static ::lattice_provider_sdk::world::Interface] = &[#(#imports),*];
            const WIT: ::core::option::Option<&'static [u8]> = #wit;
        }

        // A handler may return a future, which isn't awaited here.
        #[allow(clippy::async_yields_async)]
        impl<Provider__: ::lattice_provider_sdk::Provider #(#handlers)*>
            ::lattice_provider_sdk::Dispatch<Provider__> for World
        {
            fn dispatch(
                provider: ::std::sync::Arc<Provider__>,
                call: ::lattice_provider_sdk::Call<Provider__>,
                args: ::lattice_provider_sdk::__private::Arguments,
            ) -> ::lattice_provider_sdk::__private::Answer {
                #answer
            }

            #resources
        }
    }
}

fn description_path(interface: &Interface<'_>) -> TokenStream {
    let path = interface.path_from_root();
    quote!(&#path::INTERFACE)
}

fn arm(world: &World<'_>, interface: &Interface<'_>, function: &Function) -> TokenStream {
    let key = Literal::u64_suffixed(signature::key(world, interface, function));
    let (path, handler) = (interface.path_from_root(), interface.handler());
    let method = collisions::function_name(&function.name);
    let names = parameters(function, &["provider", "call", "args", "error"]);
    let pattern = tuple(names.iter().map(|name| quote!(#name)).collect());
    if world.passes(function) {
        return passing_arm(world, interface, function, (&names, &pattern));
    }
    quote! {
        #key => match ::lattice_provider_sdk::__private::arguments(&args) {
            ::core::result::Result::Ok(#pattern) => ::lattice_provider_sdk::__private::answer(async move {
                <Provider__ as #path::#handler>::#method(&*provider, &call, #(#names),*).await
            }),
            ::core::result::Result::Err(error) => error,
        },
    }
}

/// Generates the arm of a function that passes handles. What is lent to it lives as long as its
/// future.
fn passing_arm(
    world: &World<'_>,
    interface: &Interface<'_>,
    function: &Function,
    (names, pattern): (&[Ident], &TokenStream),
) -> TokenStream {
    let scope = Scope {
        world,
        interface,
        role: Role::Dispatch,
    };
    let key = Literal::u64_suffixed(signature::key(world, interface, function));
    let (path, handler) = (interface.path_from_root(), interface.handler());
    let method = collisions::function_name(&function.name);
    let decoded = function.params.iter().zip(names);
    let decoded = decoded.map(|(param, name)| scope.decoded(&param.ty, &quote!(#name)));
    let (types, values): (Vec<_>, Vec<_>) = decoded.unzip();
    let types = tuple(types);
    let resource = function.kind.resource().filter(|_| is_method(function));
    let call = if let Some(resource) = resource {
        let name = name::camel(world.resource_name(world.resource(resource)));
        let this = &values[0];
        let values = &values[1..];
        quote! {
            <<Provider__ as #path::#handler>::#name as #path::#name<Provider__>>::#method(
                #this, &call, #(#values),*
            )
        }
    } else {
        quote!(<Provider__ as #path::#handler>::#method(&*provider, &call, #(#values),*))
    };
    let (_, wrap) = scope.returned(function.result.as_ref());
    let mut result = quote!(#call.await);
    if let Some(wrap) = wrap {
        result = quote!(#wrap(#result));
    }
    quote! {
        #key => match ::lattice_provider_sdk::__private::passing_arguments::<Provider__, #types>(args, &call) {
            ::core::result::Result::Ok((#pattern, env__)) => {
                ::lattice_provider_sdk::__private::passing_answer(env__, async move {
                    let _ = &provider;
                    #result
                })
            }
            ::core::result::Result::Err(error) => error,
        },
    }
}

/// Generates the list of the provider's resources, with the types that stand for them.
fn resources(world: &World<'_>) -> TokenStream {
    let served = world
        .interfaces
        .iter()
        .filter(|interface| interface.exported);
    let resources = served.flat_map(|interface| {
        let (path, handler) = (interface.path_from_root(), interface.handler());
        interface.resources(world.resolve).map(move |(wit_name, id, _)| {
            let (name, text) = (name::camel(wit_name), signature::resource_name(world, id));
            quote! {
                ::lattice_provider_sdk::__private::ResourceType::of::<<Provider__ as #path::#handler>::#name>(#text)
            }
        })
    });
    quote! {
        fn resources() -> ::std::vec::Vec<::lattice_provider_sdk::__private::ResourceType> {
            ::std::vec![#(#resources),*]
        }
    }
}
