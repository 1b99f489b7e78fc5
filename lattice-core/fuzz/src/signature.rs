//! Canonical signatures.

use crate::allocation::bounded_as;
use lattice_wit::signature::{Field, Function};

/// Parses any text as the signature of a function, as a component publishes it.
pub fn signature(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match bounded_as(size_of::<Field>(), text.len(), || text.parse::<Function>()) {
        // The type of a function has one text.
        Ok(function) => assert_eq!(function.to_string(), text),
        Err(error) => assert!(error.at() <= text.len()),
    }
}
