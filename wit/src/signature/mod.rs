//! The canonical signature of a function: its text, a parser for the text, and the key that is
//! hashed from it.
//!
//! Hosts derive a signature from a component's types, providers from WIT. Caller and callee compare
//! the texts by hash, so there is exactly one text for each type:
//!
//! ```text
//! signature = [ "async " ] "func(" [ param { ", " param } ] ")" [ " -> " type ]
//! param     = name ": " type
//! type      = "bool" | "s8" | "u8" | "s16" | "u16" | "s32" | "u32" | "s64" | "u64"
//!           | "f32" | "f64" | "char" | "string"
//!           | "record { " field { ", " field } " }"          field = name ": " type
//!           | "variant { " case { ", " case } " }"           case  = name [ "(" type ")" ]
//!           | "enum { " name { ", " name } " }"
//!           | "flags { " name { ", " name } " }"
//!           | "tuple<" type { ", " type } ">"
//!           | "list<" type ">" | "list<" type ", " length ">"
//!           | "option<" type ">"
//!           | "result" | "result<" type ">" | "result<_, " type ">"
//!           | "result<" type ", " type ">"
//!           | "map<" type ", " type ">"
//!           | "own<" resource ">" | "borrow<" resource ">"
//!           | "stream" | "stream<" type ">" | "future" | "future<" type ">" | "error-context"
//! resource  = namespace ":" package "/" interface "/" name
//! ```
//!
//! * Structure only: names of types aren't part of it, aliases are followed to their definition.
//! * `name` is the WIT identifier without a `%` escape. Order is declaration order.
//! * A length is decimal without leading zeros. A resource has no version, and
//!   the name under which it is defined, whatever an interface that uses it calls it.
//! * Without members: `record {}`, `variant {}`, `enum {}`, `flags {}`, `tuple<>`.
//! * Error contexts have a text so that it is fixed before functions with them can be called. Hosts
//!   and providers refuse such functions for now.
//!
//! Two functions with the same text are the same to a caller. Names of fields, cases and labels are
//! part of it, because the bytes of a call don't show when one of them changes its meaning.
//!
//! ```
//! use lattice_wit::signature::{Function, Type};
//!
//! let get: Function = "func(key: string) -> option<list<u8>>".parse()?;
//! assert_eq!(get.params[0].ty, Type::String);
//! assert_eq!(get.to_string(), "func(key: string) -> option<list<u8>>");
//! assert_eq!(get.key("wasi:keyvalue/store@0.2", "get"), 0x3778_9016_f4d5_72cc);
//!
//! let error = "func(key: text)".parse::<Function>().unwrap_err();
//! assert_eq!(error.to_string(), "expected a type at byte 10");
//! # Ok::<_, lattice_wit::signature::SignatureError>(())
//! ```

mod parse;
mod print;
#[cfg(test)]
mod tests;

pub use parse::{Expected, SignatureError};

/// Limit for the nesting of types in a signature that is parsed. A plain type such as `u8` is one
/// level. No known interface comes close to it.
pub const MAX_DEPTH: usize = 64;

/// Size limit of a signature that is parsed. It is the size limit of a value in a lattice's store,
/// so every published signature can be parsed.
pub const MAX_BYTES: usize = 512 * 1024;

/// The type of a function.
///
/// [`Display`](std::fmt::Display) writes the canonical text, and [`FromStr`](std::str::FromStr)
/// parses only canonical texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Function {
    /// Whether it is an `async func` in WIT.
    pub is_async: bool,
    /// Its parameters, in order.
    pub params: Vec<Field>,
    /// The result's type, if there is one.
    pub result: Option<Type>,
}

/// A type of a value.
///
/// It is exhaustive on purpose: code that maps types to something else stops compiling when one is
/// added. Names are written as they are; WIT identifiers consist of ASCII letters, digits and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Type {
    /// `bool`
    Bool,
    /// `s8`
    S8,
    /// `u8`
    U8,
    /// `s16`
    S16,
    /// `u16`
    U16,
    /// `s32`
    S32,
    /// `u32`
    U32,
    /// `s64`
    S64,
    /// `u64`
    U64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `record { x: s32, y: s32 }`
    Record(Vec<Field>),
    /// `variant { none, circle(f64) }`
    Variant(Vec<Case>),
    /// `enum { low, high }`
    Enum(Vec<String>),
    /// `flags { read, write }`
    Flags(Vec<String>),
    /// `tuple<u8, string>`
    Tuple(Vec<Type>),
    /// `list<u8>`
    List(Box<Type>),
    /// `list<u8, 4>`
    FixedList(Box<Type>, u32),
    /// `option<u8>`
    Option(Box<Type>),
    /// `result<u8, string>`
    Result {
        /// Payload of `ok`.
        ok: Option<Box<Type>>,
        /// Payload of `err`.
        err: Option<Box<Type>>,
    },
    /// `map<string, u8>`
    Map(Box<Type>, Box<Type>),
    /// `own<wasi:io/streams/input-stream>`
    Own(String),
    /// `borrow<wasi:io/streams/input-stream>`
    Borrow(String),
    /// `stream<u8>`
    Stream(Option<Box<Type>>),
    /// `future<u8>`
    Future(Option<Box<Type>>),
    /// `error-context`
    ErrorContext,
}

/// A field of a record, or a parameter of a function.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
}

/// A case of a variant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The payload's type, if there is one.
    pub ty: Option<Type>,
}

impl Function {
    /// Returns the key of this function under the name `function` in `interface`; see [`key`].
    pub fn key(&self, interface: &str, function: &str) -> u64 {
        key(interface, function, &self.to_string())
    }

    /// Returns whether its parameters have places for [handles](Type::has_handles).
    pub fn takes_handles(&self) -> bool {
        self.params.iter().any(|param| param.ty.has_handles())
    }

    /// Returns whether its result has places for [handles](Type::has_handles).
    pub fn returns_handles(&self) -> bool {
        self.result.as_ref().is_some_and(Type::has_handles)
    }
}

impl Type {
    /// Returns whether a value of this type has places for handles: resources, streams and futures.
    pub fn has_handles(&self) -> bool {
        match self {
            Self::Own(_) | Self::Borrow(_) | Self::Stream(_) | Self::Future(_) => true,
            Self::Record(fields) => fields.iter().any(|field| field.ty.has_handles()),
            Self::Variant(cases) => {
                let mut types = cases.iter().filter_map(|case| case.ty.as_ref());
                types.any(Self::has_handles)
            }
            Self::Tuple(types) => types.iter().any(Self::has_handles),
            Self::List(element) | Self::FixedList(element, _) | Self::Option(element) => {
                element.has_handles()
            }
            Self::Result { ok, err } => {
                let mut types = ok.iter().chain(err);
                types.any(|ty| ty.has_handles())
            }
            Self::Map(key, value) => key.has_handles() || value.has_handles(),
            Self::Bool
            | Self::S8
            | Self::U8
            | Self::S16
            | Self::U16
            | Self::S32
            | Self::U32
            | Self::S64
            | Self::U64
            | Self::F32
            | Self::F64
            | Self::Char
            | Self::String
            | Self::Enum(_)
            | Self::Flags(_)
            | Self::ErrorContext => false,
        }
    }
}

/// Returns the key that identifies a function on the wire: the first 8 bytes, little endian, of
///
/// ```text
/// BLAKE3(interface with compatible version · 0x00 · function · 0x00 · canonical signature)
/// ```
///
/// The compatible version of `0.2.7` is `0.2`, and that of `1.4.2` is `1`. Neither name can contain
/// a zero byte.
pub fn key(interface: &str, function: &str, signature: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(interface.as_bytes());
    hasher.update(&[0]);
    hasher.update(function.as_bytes());
    hasher.update(&[0]);
    hasher.update(signature.as_bytes());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}
