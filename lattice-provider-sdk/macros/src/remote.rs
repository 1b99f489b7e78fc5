//! The handles to resources of other components: what calls their methods.

use crate::{
    client,
    collisions::is_method,
    docs::docs,
    name,
    reference::{Role, Scope},
    signature,
    world::{Interface, World},
};
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use wit_parser::TypeId;

/// Generates the handles to the resources that `interface` defines: for `bucket`, the types
/// `BucketClient` and `BucketRef`.
pub(crate) fn handles(world: &World<'_>, interface: &Interface<'_>) -> TokenStream {
    let resources = interface.resources(world.resolve);
    let handles = resources.map(|(wit_name, id, definition)| {
        let wit_docs = definition.docs.contents.as_deref();
        let names = (
            name::camel_with(wit_name, "Client"),
            name::camel_with(wit_name, "Ref"),
        );
        let owned = owned(world, id, &names, wit_name);
        let lent = lent(world, interface, id, &names.1, (wit_name, wit_docs));
        quote!(#owned #lent)
    });
    quote!(#(#handles)*)
}

/// Generates the handle that its holder owns.
fn owned(
    world: &World<'_>,
    id: TypeId,
    (name, lent): &(Ident, Ident),
    wit_name: &str,
) -> TokenStream {
    let resource = signature::resource_name(world, id);
    let docs = docs(None, || {
        format!(
            "The right to a resource `{wit_name}`. Dropping it drops the resource. Its methods are those of [`{lent}`]."
        )
    });
    quote! {
        #docs
        #[derive(Debug)]
        pub struct #name {
            owned: ::lattice_provider_sdk::__private::RemoteOwned,
            lent: #lent,
        }

        impl #name {
            /// Makes the calls of its methods with `caller`. A client's results call with the
            /// caller of the client; a handle that a handler was given has none yet.
            pub fn via(mut self, caller: impl ::lattice_provider_sdk::Invoke + 'static) -> Self {
                self.lent = self.lent.via(caller);
                self
            }
        }

        impl ::core::ops::Deref for #name {
            type Target = #lent;
            fn deref(&self) -> &#lent {
                &self.lent
            }
        }

        impl ::lattice_provider_sdk::__private::serde::Serialize for #name {
            fn serialize<S: ::lattice_provider_sdk::__private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                self.owned.serialize(serializer)
            }
        }

        impl<'de> ::lattice_provider_sdk::__private::serde::Deserialize<'de> for #name {
            fn deserialize<D: ::lattice_provider_sdk::__private::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                let (owned, lent) = ::lattice_provider_sdk::__private::RemoteOwned::deserialize(
                    deserializer,
                    #resource,
                )?;
                ::core::result::Result::Ok(Self { owned, lent: #lent(lent) })
            }
        }
    }
}

/// Generates the handle that calls the methods.
fn lent(
    world: &World<'_>,
    interface: &Interface<'_>,
    id: TypeId,
    name: &Ident,
    (wit_name, wit_docs): (&str, Option<&str>),
) -> TokenStream {
    let resource = signature::resource_name(world, id);
    let scope = Scope {
        world,
        interface,
        role: Role::Client,
    };
    let docs = docs(wit_docs, || {
        format!("Calls the methods of a resource `{wit_name}`.")
    });
    let functions = interface.wit.functions.values().enumerate();
    let methods = functions
        .filter(|(_, function)| is_method(function) && function.kind.resource() == Some(id))
        .map(|(index, function)| client::method(&scope, index, function));
    quote! {
        #docs
        #[derive(Debug)]
        pub struct #name(::lattice_provider_sdk::__private::RemoteRef);

        impl #name {
            /// Returns a reference to the same resource, whose methods call with `caller`.
            pub fn via(&self, caller: impl ::lattice_provider_sdk::Invoke + 'static) -> Self {
                Self(self.0.via(caller))
            }

            #(#methods)*
        }

        impl ::lattice_provider_sdk::__private::serde::Serialize for #name {
            fn serialize<S: ::lattice_provider_sdk::__private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> ::lattice_provider_sdk::__private::serde::Deserialize<'de> for #name {
            fn deserialize<D: ::lattice_provider_sdk::__private::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                ::lattice_provider_sdk::__private::RemoteRef::deserialize(deserializer, #resource)
                    .map(Self)
            }
        }
    }
}
