//! The clients: types that call an interface.

use crate::{
    collisions::is_method,
    docs::docs,
    handler::parameters,
    handles,
    reference::{Role, Scope},
    world::{Interface, World},
};
use proc_macro2::{Literal, TokenStream};
use quote::quote;
use wit_parser::Function;

/// Generates the client of `interface`.
pub(crate) fn client(world: &World<'_>, interface: &Interface<'_>) -> TokenStream {
    let scope = Scope {
        world,
        interface,
        role: Role::Client,
    };
    let name = interface.client();
    let docs = docs(None, || format!("Calls `{}`.", interface.full_name));
    let new_docs = docs_of_new();
    let methods = interface
        .wit
        .functions
        .values()
        .enumerate()
        .filter(|(_, function)| !is_method(function))
        .map(|(index, function)| method(&scope, index, function));
    quote! {
        #docs
        #[derive(Debug, Clone, Copy)]
        pub struct #name<Caller__> {
            caller: Caller__,
        }

        impl<Caller__: ::lattice_provider_sdk::Invoke> #name<Caller__> {
            #new_docs
            pub fn new(caller: Caller__) -> Self {
                Self { caller }
            }

            #(#methods)*
        }
    }
}

fn docs_of_new() -> TokenStream {
    docs(None, || {
        "Creates a client that makes its calls with `caller`.".to_owned()
    })
}

/// Generates the method that calls a function. That of a resource is a method of its handle.
pub(crate) fn method(scope: &Scope<'_, '_>, index: usize, function: &Function) -> TokenStream {
    let docs = docs(function.docs.contents.as_deref(), || {
        format!("Calls `{}`.", function.name)
    });
    let name = handles::function_name(function);
    let own = usize::from(is_method(function));
    let names = parameters(function, &[]);
    let parameters = function.params.iter().zip(&names).skip(own);
    let declared = parameters.clone().map(|(param, name)| {
        let ty = scope.argument(&param.ty);
        quote!(#name: #ty)
    });
    let encoded = parameters.map(|(param, name)| scope.encoded_argument(&param.ty, &quote!(#name)));
    let this = (own > 0).then(|| quote!(self));
    let arguments = tuple(this.into_iter().chain(encoded).collect());
    let result = scope.owned_or_unit(function.result.as_ref());
    let index = Literal::usize_unsuffixed(index);
    let (caller, caller_type) = if own > 0 {
        (
            quote!(self.0.caller()),
            quote!(::lattice_provider_sdk::Attached),
        )
    } else {
        (quote!(&self.caller), quote!(Caller__))
    };
    let (call, bounds) = if scope.world.passes(function) {
        let call = quote! {
            ::lattice_provider_sdk::__private::passing_call(#caller, &INTERFACE, #index, #arguments)
        };
        let bounds = (own == 0).then(|| quote!(where Caller__: ::core::clone::Clone + 'static));
        (call, bounds)
    } else {
        let call = quote! {
            ::lattice_provider_sdk::__private::call(
                #caller,
                &INTERFACE,
                #index,
                ::lattice_provider_sdk::__private::encoded(&#arguments),
            )
        };
        (call, None)
    };
    quote! {
        #docs
        ///
        /// # Errors
        /// Fails when the call does. The function's own errors are part of its result.
        pub fn #name(
            &self,
            #(#declared,)*
        ) -> ::lattice_provider_sdk::ClientCall<'_, #result, #caller_type> #bounds {
            #call
        }
    }
}

/// The longest tuple that serde supports. Nested tuples have the encoding of a flat one.
const LONGEST: usize = 16;

/// Writes `items` as a tuple, or as nested tuples when there are too many for one.
pub(crate) fn tuple(items: Vec<TokenStream>) -> TokenStream {
    if items.len() <= LONGEST {
        return quote!((#(#items,)*));
    }
    tuple(
        items
            .chunks(LONGEST)
            .map(|chunk| quote!((#(#chunk,)*)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_tuples_are_nested() {
        let items = |count: usize| {
            (0..count)
                .map(Literal::usize_unsuffixed)
                .map(|n| quote!(#n))
                .collect::<Vec<_>>()
        };
        assert_eq!(tuple(items(0)).to_string(), quote!(()).to_string());
        assert_eq!(tuple(items(1)).to_string(), quote!((0,)).to_string());
        assert_eq!(
            tuple(items(18)).to_string(),
            quote!((
                (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,),
                (16, 17,),
            ))
            .to_string()
        );
    }
}
