//! The expansion of `#[http]`: the handler as it was written, and the component's export, which
//! calls it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{FnArg, ItemFn, ReturnType, Signature, Type};

/// Generates the export for a handler.
pub(crate) fn expand(options: TokenStream, handler: ItemFn) -> syn::Result<TokenStream> {
    if !options.is_empty() {
        return Err(syn::Error::new_spanned(
            options,
            "`#[lattice_actor_sdk::http]` has no options",
        ));
    }
    check(&handler.sig)?;
    let name = &handler.sig.ident;
    let call = if handler.sig.asyncness.is_some() {
        quote!(#name)
    } else {
        quote!(|request| ::core::future::ready(#name(request)))
    };
    let rt = quote!(::lattice_actor_sdk::http::rt);
    let types = quote!(#rt::wasip2::http::types);
    Ok(quote! {
        #handler

        const _: () = {
            struct Handler;

            impl #rt::wasip2::exports::http::incoming_handler::Guest for Handler {
                fn handle(request: #types::IncomingRequest, out: #types::ResponseOutparam) {
                    #rt::serve(request, out, #call)
                }
            }

            // Elsewhere it would be a symbol of the program.
            #[cfg(target_family = "wasm")]
            #rt::wasip2::http::proxy::export!(Handler with_types_in #rt::wasip2);
        };
    })
}

/// Fails when a function can't be a handler. The compiler checks its types.
fn check(handler: &Signature) -> syn::Result<()> {
    let wrong = |tokens: &dyn quote::ToTokens, message| {
        let tokens = tokens.to_token_stream();
        Err(syn::Error::new_spanned(tokens, message))
    };
    if !handler.generics.params.is_empty() {
        return wrong(
            &handler.generics,
            "a handler can't be generic; name the types of its body",
        );
    }
    if let ReturnType::Default = handler.output {
        return wrong(
            handler,
            "a handler returns a `Response`, or a `Result` of one",
        );
    }
    let mut inputs = handler.inputs.iter();
    match (inputs.next(), inputs.next()) {
        (Some(FnArg::Typed(input)), None) if !matches!(*input.ty, Type::Reference(_)) => Ok(()),
        _ => wrong(
            handler,
            "a handler has one argument, `Request<Body>`, or a `Request` of `Vec<u8>` or `String`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(handler: &str) -> Result<String, String> {
        let handler = syn::parse_str(handler).map_err(|error| error.to_string())?;
        expand(TokenStream::new(), handler)
            .map(|code| code.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_handler_stays_callable() {
        for keyword in ["", "async "] {
            let handler =
                format!("pub {keyword}fn hello(r: Request<Body>) -> Response<Body> {{ f(r) }}");
            let code = expanded(&handler).expect("expands");
            let written: TokenStream = handler.parse().expect("tokens");
            assert!(code.starts_with(&written.to_string()), "{code}");
            assert_eq!(code.contains("future :: ready"), keyword.is_empty());
        }
    }

    #[test]
    fn what_can_not_be_a_handler_is_refused_with_what_it_needs() {
        for (handler, advice) in [
            ("fn h() -> R {}", "one argument"),
            ("fn h(a: A, b: B) -> R {}", "one argument"),
            ("fn h(&self) -> R {}", "one argument"),
            ("fn h(a: &A) -> R {}", "one argument"),
            ("fn h(a: A) {}", "returns a `Response`"),
            ("fn h<B>(a: Request<B>) -> R {}", "can't be generic"),
        ] {
            let error = expanded(handler).expect_err("refused");
            assert!(error.contains(advice), "{handler}: {error}");
        }
        let handler = syn::parse_str("fn h(a: A) -> R { r }").expect("a function");
        let error = expand(quote!(path = "/"), handler).expect_err("refused");
        assert!(error.to_string().contains("no options"));
    }
}
