//! Rust names for WIT names.

use proc_macro2::{Ident, Span};

/// Names a function, field or module: `list-keys` becomes `list_keys`.
pub(crate) fn snake(wit: &str) -> Ident {
    ident(&wit.to_ascii_lowercase().replace('-', "_"))
}

/// Names a type or case: `key-page` becomes `KeyPage`.
pub(crate) fn camel(wit: &str) -> Ident {
    camel_with(wit, "")
}

/// Names a type with a suffix: `key-page` becomes `KeyPageClient`.
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

/// Names a constant: `read-only` becomes `READ_ONLY`.
pub(crate) fn shout(wit: &str) -> Ident {
    ident(&wit.to_ascii_uppercase().replace('-', "_"))
}

/// Turns `text` into an identifier. A keyword becomes a raw identifier, or gets an underscore where
/// Rust doesn't allow a raw one.
fn ident(text: &str) -> Ident {
    if matches!(text, "self" | "Self" | "super" | "crate") {
        return Ident::new(&format!("{text}_"), Span::call_site());
    }
    // `gen` is a keyword only since edition 2024, but a raw identifier is valid in all editions.
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
    fn names_follow_rusts_conventions_and_escape_keywords() {
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
