//! The canonical text of a function's signature, which every party hashes alike: a host from a component's types, a
//! provider from WIT.
//!
//! ```text
//! signature = [ "async " ] "func(" [ param { ", " param } ] ")" [ " -> " type ]
//! param     = name ": " type
//! type      = "bool" | "s8" | "u8" | "s16" | "u16" | "s32" | "u32" | "s64" | "u64" | "f32" | "f64" | "char" | "string"
//!           | "record { " field { ", " field } " }"          field = name ": " type
//!           | "variant { " case { ", " case } " }"           case  = name [ "(" type ")" ]
//!           | "enum { " name { ", " name } " }"
//!           | "flags { " name { ", " name } " }"
//!           | "tuple<" type { ", " type } ">"
//!           | "list<" type ">" | "list<" type ", " length ">"
//!           | "option<" type ">"
//!           | "result" | "result<" type ">" | "result<_, " type ">" | "result<" type ", " type ">"
//!           | "map<" type ", " type ">"
//!           | "own<" resource ">" | "borrow<" resource ">"   resource = namespace ":" package "/" interface "/" name
//!           | "stream" | "stream<" type ">" | "future" | "future<" type ">" | "error-context"
//! ```
//!
//! * Structure only: names of types aren't part of it, aliases are followed to their definition.
//! * `name` is the WIT identifier without a `%` escape. Order is declaration order.
//! * A length is decimal. A resource has no version.
//! * Without members: `record {}`, `variant {}`, `enum {}`, `flags {}`, `tuple<>`.
//! * The last two lines are fixed now so that such functions have a signature, though plans still refuse them.
//!
//! Two functions with the same text are the same to a caller: field, case and label names are in it because a change of
//! any of them is a change of meaning that the wire bytes would not show.

use std::fmt::{Display, Write as _};

use super::plan::Asyncness;

/// The text while it is written, with its separators put where they belong.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    names: usize,
}

impl Text {
    pub(super) fn finish(self) -> Box<str> {
        self.text.into()
    }

    /// How many members have been named, a measure of the work done.
    pub(super) fn names_written(&self) -> usize {
        self.names
    }

    pub(super) fn open_function(&mut self, asyncness: Asyncness) {
        self.text.push_str(match asyncness {
            Asyncness::Sync => "func(",
            Asyncness::Async => "async func(",
        });
    }

    pub(super) fn close_function(&mut self) {
        self.text.push(')');
    }

    pub(super) fn result(&mut self) {
        self.text.push_str(" -> ");
    }

    pub(super) fn word(&mut self, word: &str) {
        self.text.push_str(word);
    }

    pub(super) fn open(&mut self, opening: &str) {
        self.text.push_str(opening);
    }

    pub(super) fn close(&mut self, closing: &str) {
        self.text.push_str(closing);
    }

    pub(super) fn close_braces(&mut self) {
        self.text
            .push_str(if self.text.ends_with('{') { "}" } else { " }" });
    }

    /// A name that a type follows.
    pub(super) fn member(&mut self, name: &str) {
        self.item(name);
        self.text.push_str(": ");
    }

    /// A name that stands alone.
    pub(super) fn item(&mut self, name: &str) {
        self.separate();
        self.text.push_str(name);
        self.names += 1;
    }

    /// Writes all of an enum or of flags, and tells how many names there were.
    pub(super) fn names<'t>(&mut self, keyword: &str, names: impl Iterator<Item = &'t str>) -> u32 {
        self.text.push_str(keyword);
        self.text.push_str(" {");
        let mut count = 0;
        for name in names {
            self.item(name);
            count += 1;
        }
        self.close_braces();
        count
    }

    /// Ends a fixed-length list.
    pub(super) fn length(&mut self, length: impl Display) {
        // Writing to a string never fails.
        let _ = write!(self.text, ", {length}>");
    }

    /// Puts what goes between the last thing written and the next.
    pub(super) fn separate(&mut self) {
        match self.text.as_bytes().last() {
            Some(b'{') => self.text.push(' '),
            None | Some(b'(' | b'<') => {}
            Some(_) => self.text.push_str(", "),
        }
    }
}
