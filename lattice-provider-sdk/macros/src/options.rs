//! The options of a macro, and the macro that is expanded.

use proc_macro2::{Span, TokenStream};
use syn::{
    LitStr, Token, braced, bracketed,
    parse::{Parse, ParseStream, Parser},
    punctuated::Punctuated,
};

/// Which macro is being expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Macro {
    /// `provider!`: traits for the exports, clients for the imports, and the type `World`.
    Provider,
    /// `client!`: clients for all interfaces of the world, and nothing else.
    Client,
}

/// The macro's options. Defaults are applied where an option is read.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) world: Option<LitStr>,
    pub(crate) path: Option<LitStr>,
    pub(crate) inline: Option<LitStr>,
    pub(crate) features: Vec<LitStr>,
}

impl Options {
    /// Parses `{ name: value, … }`, with or without the braces.
    pub(crate) fn parse(input: TokenStream) -> syn::Result<Self> {
        Parser::parse2(
            |input: ParseStream<'_>| {
                if input.peek(syn::token::Brace) {
                    let content;
                    braced!(content in input);
                    Self::fields(&content)
                } else {
                    Self::fields(input)
                }
            },
            input,
        )
    }

    /// Returns the span for errors in the WIT text.
    pub(crate) fn text_span(&self) -> Span {
        let literal = self.inline.as_ref().or(self.path.as_ref());
        literal.map_or_else(Span::call_site, LitStr::span)
    }

    /// Returns the span for errors in the chosen world.
    pub(crate) fn world_span(&self) -> Span {
        let literal = self.world.as_ref();
        literal.map_or_else(|| self.text_span(), LitStr::span)
    }

    fn fields(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut options = Self::default();
        for field in Punctuated::<Field, Token![,]>::parse_terminated(input)? {
            options.set(field)?;
        }
        Ok(options)
    }

    fn set(&mut self, field: Field) -> syn::Result<()> {
        let slot = match field.name.to_string().as_str() {
            "world" => &mut self.world,
            "path" => &mut self.path,
            "inline" => &mut self.inline,
            "features" if self.features.is_empty() => {
                self.features = field.values;
                return Ok(());
            }
            "features" => return Err(twice(&field.name)),
            other => {
                return Err(syn::Error::new(
                    field.name.span(),
                    format!(
                        "no option `{other}`; the options are `world`, `path`, `inline` and `features`"
                    ),
                ));
            }
        };
        if slot.is_some() {
            return Err(twice(&field.name));
        }
        *slot = field.values.into_iter().next();
        Ok(())
    }
}

fn twice(name: &syn::Ident) -> syn::Error {
    syn::Error::new(name.span(), format!("option `{name}` is given twice"))
}

struct Field {
    name: syn::Ident,
    values: Vec<LitStr>,
}

impl Parse for Field {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name: syn::Ident = input.parse()?;
        input.parse::<Token![:]>()?;
        let values = if name == "features" {
            let list;
            bracketed!(list in input);
            Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?
                .into_iter()
                .collect()
        } else {
            vec![input.parse()?]
        };
        Ok(Self { name, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    fn refusal(input: TokenStream) -> String {
        let Err(error) = Options::parse(input) else {
            panic!("accepted")
        };
        error.to_string()
    }

    #[test]
    fn braces_are_optional() {
        for input in [
            quote!({ world: "w", path: "p" }),
            quote!(world: "w", path: "p",),
        ] {
            let options = Options::parse(input).expect("valid");
            assert_eq!(options.world.expect("given").value(), "w");
            assert_eq!(options.path.expect("given").value(), "p");
            assert!(options.inline.is_none() && options.features.is_empty());
        }
    }

    #[test]
    fn invalid_options_are_refused_by_name() {
        assert!(refusal(quote!({ word: "w" })).contains("no option `word`"));
        assert!(refusal(quote!({ world: "w", world: "w" })).contains("`world` is given twice"));
        assert!(refusal(quote!({ world: 1 })).contains("expected string literal"));
        assert!(refusal(quote!({ world: "w" } extra)).contains("unexpected token"));
    }
}
