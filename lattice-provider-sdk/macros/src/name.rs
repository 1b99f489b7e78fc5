//! Rust names for WIT names.

use proc_macro2::{Ident, Span};

/// `list-keys` as a function, field or module: `list_keys`.
pub(crate) fn snake(wit: &str) -> Ident {
    ident(&wit.to_ascii_lowercase().replace('-', "_"))
}

/// `key-page` as a type or case: `KeyPage`.
pub(crate) fn camel(wit: &str) -> Ident {
    camel_with(wit, "")
}

/// `key-page` and a suffix as a type: `KeyPageClient`.
pub(crate) fn camel_with(wit: &str, suffix: &str) -> Ident {
    let mut text = String::new();
    for word in wit.split('-') {
        let mut chars = word.chars();
        text.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        text.extend(chars.map(|c| c.to_ascii_lowercase()));
    }
    text.push_str(suffix);
    ident(&text)
}

/// `read-only` as a constant: `READ_ONLY`.
pub(crate) fn shout(wit: &str) -> Ident {
    ident(&wit.to_ascii_uppercase().replace('-', "_"))
}

/// `text` as an identifier: raw when it is a keyword, with an underscore when even that is not allowed.
fn ident(text: &str) -> Ident {
    if matches!(text, "self" | "Self" | "super" | "crate") {
        return Ident::new(&format!("{text}_"), Span::call_site());
    }
    // A keyword since edition 2024 only; raw is fine in all of them.
    let keyword = text == "gen" || syn::parse_str::<Ident>(text).is_err();
    if keyword {
        Ident::new_raw(text, Span::call_site())
    } else {
        Ident::new(text, Span::call_site())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_rust_and_escape_keywords() {
        for (wit, expected) in [
            ("list-keys", "list_keys"),
            ("HTTP-get", "http_get"),
            ("type", "r#type"),
            ("gen", "r#gen"),
            ("async", "r#async"),
            ("self", "self_"),
            ("crate", "crate_"),
            ("a1-b2", "a1_b2"),
        ] {
            assert_eq!(snake(wit).to_string(), expected);
        }
        for (wit, expected) in [
            ("key-page", "KeyPage"),
            ("HTTP-get", "HttpGet"),
            ("self", "Self_"),
            ("a-1b", "A1b"),
        ] {
            assert_eq!(camel(wit).to_string(), expected);
        }
        assert_eq!(camel_with("store", "Client").to_string(), "StoreClient");
        assert_eq!(shout("read-only").to_string(), "READ_ONLY");
    }
}
