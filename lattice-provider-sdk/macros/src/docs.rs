//! The documentation of generated items.

use proc_macro2::TokenStream;
use quote::quote;

/// Generates a doc attribute from the documentation in the WIT, or else from a sentence.
///
/// Code blocks in WIT documentation aren't Rust tests, so the attribute is hidden from
/// `rustdoc --test`.
pub(crate) fn docs(wit: Option<&str>, otherwise: impl FnOnce() -> String) -> TokenStream {
    if let Some(text) = wit {
        return quote!(#[cfg_attr(not(doctest), doc = #text)]);
    }
    let text = otherwise();
    quote!(#[doc = #text])
}
