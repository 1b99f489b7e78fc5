//! Types of arguments and results, read from a function's published signature.
//!
//! The caller and the callee compare the text of the signature, so these types are exactly those
//! that the callee checks.

use crate::signature::{self, SignatureError, Type as WitType};
use wasm_wave::value::Type as WaveType;

/// The most labels that flags may have on the wire.
const MAX_FLAGS: usize = 32;

/// A function's type.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Signature {
    /// Its parameters, in order.
    pub params: Vec<Param>,
    /// The type of its result, if there is one.
    pub result: Option<Type>,
}

/// A parameter of a function.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
}

/// A type and its text form.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Type {
    /// The type as WIT has it.
    pub wit: WitType,
    /// The type as [WAVE](https://docs.rs/wasm-wave), the text form of values, has it.
    pub wave: WaveType,
}

/// Why a function can't be called with values that are only known at run time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TypesError {
    /// The type has no text form.
    #[error("its type contains `{0}`, which has no text form; call it from a program")]
    Unsupported(String),
    /// Its signature can't be parsed.
    #[error(
        "its published type can't be read at byte {}; update this program, or the host that serves it", .0.at()
    )]
    Malformed(#[from] SignatureError),
}

impl Signature {
    /// Parses the signature that a component has published.
    ///
    /// # Errors
    /// Fails with [`TypesError::Malformed`] unless it is a canonical signature, and with
    /// [`TypesError::Unsupported`] if it has a type whose values have no text form: handles,
    /// streams, futures, and types without members.
    pub fn parse(text: &str) -> Result<Self, TypesError> {
        // It makes no difference to a caller whether the function is async.
        let function: signature::Function = text.parse()?;
        let params = function.params.into_iter().map(|field| {
            let ty = Type::new(field.ty)?;
            let name = field.name;
            Ok(Param { name, ty })
        });
        Ok(Self {
            params: params.collect::<Result<_, TypesError>>()?,
            result: function.result.map(Type::new).transpose()?,
        })
    }
}

impl Type {
    fn new(wit: WitType) -> Result<Self, TypesError> {
        let wave = wave_type(&wit)?;
        Ok(Self { wit, wave })
    }
}

/// Returns the text form of values of this type.
fn wave_type(ty: &WitType) -> Result<WaveType, TypesError> {
    let (made, what) = match ty {
        WitType::Bool => return Ok(WaveType::BOOL),
        WitType::S8 => return Ok(WaveType::S8),
        WitType::U8 => return Ok(WaveType::U8),
        WitType::S16 => return Ok(WaveType::S16),
        WitType::U16 => return Ok(WaveType::U16),
        WitType::S32 => return Ok(WaveType::S32),
        WitType::U32 => return Ok(WaveType::U32),
        WitType::S64 => return Ok(WaveType::S64),
        WitType::U64 => return Ok(WaveType::U64),
        WitType::F32 => return Ok(WaveType::F32),
        WitType::F64 => return Ok(WaveType::F64),
        WitType::Char => return Ok(WaveType::CHAR),
        WitType::String => return Ok(WaveType::STRING),
        WitType::Record(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|field| Ok((field.name.as_str(), wave_type(&field.ty)?)));
            (WaveType::record(all(fields)?), "record {}")
        }
        WitType::Variant(cases) => {
            let cases = cases.iter();
            let cases = cases.map(|case| Ok((case.name.as_str(), optional(case.ty.as_ref())?)));
            (WaveType::variant(all(cases)?), "variant {}")
        }
        WitType::Enum(names) => (
            WaveType::enum_ty(names.iter().map(String::as_str)),
            "enum {}",
        ),
        WitType::Flags(names) if names.len() > MAX_FLAGS => {
            return Err(unsupported("flags with more than 32 labels"));
        }
        WitType::Flags(names) => (
            WaveType::flags(names.iter().map(String::as_str)),
            "flags {}",
        ),
        WitType::Tuple(types) => {
            let types = all(types.iter().map(wave_type))?;
            (WaveType::tuple(types), "tuple<>")
        }
        WitType::FixedList(_, 0) => return Err(unsupported("list of length 0")),
        // A list of fixed length is written like any other list.
        WitType::List(element) | WitType::FixedList(element, _) => {
            return Ok(WaveType::list(wave_type(element)?));
        }
        WitType::Option(some) => return Ok(WaveType::option(wave_type(some)?)),
        WitType::Result { ok, err } => {
            return Ok(WaveType::result(
                optional(ok.as_deref())?,
                optional(err.as_deref())?,
            ));
        }
        WitType::Map(key, value) => {
            let map = WaveType::map(wave_type(key)?, wave_type(value)?);
            (map, "map of such keys")
        }
        WitType::Own(_) | WitType::Borrow(_) => return Err(unsupported(&ty.to_string())),
        WitType::Stream(_) => return Err(unsupported("stream")),
        WitType::Future(_) => return Err(unsupported("future")),
        WitType::ErrorContext => return Err(unsupported("error-context")),
    };
    made.ok_or_else(|| unsupported(what))
}

fn all<T>(types: impl Iterator<Item = Result<T, TypesError>>) -> Result<Vec<T>, TypesError> {
    types.collect()
}

fn optional(ty: Option<&WitType>) -> Result<Option<WaveType>, TypesError> {
    ty.map(wave_type).transpose()
}

fn unsupported(what: &str) -> TypesError {
    TypesError::Unsupported(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_the_grammar_is_parsed() {
        for ty in [
            "bool",
            "string",
            "record { name: string, id: u64 }",
            "variant { circle(f32), rect(tuple<u32, u64>), nothing }",
            "enum { low, mid }",
            "flags { read, write }",
            "tuple<u8, list<u8>>",
            "list<option<s16>>",
            "list<char, 4>",
            "option<result>",
            "result<u8>",
            "result<_, string>",
            "result<u8, enum { a }>",
            "map<string, f64>",
        ] {
            let text = format!("func(first: u8, URL-of: {ty}) -> {ty}");
            let signature = Signature::parse(&text).unwrap_or_else(|error| panic!("{ty}: {error}"));
            assert_eq!(signature.params[1].name, "URL-of");
            assert_eq!(signature.params[1].ty.wit.to_string(), ty);
            assert_eq!(signature.result, Some(signature.params[1].ty.clone()));
            assert!(Signature::parse(&text[..text.len() - 1]).is_err(), "{ty}");
        }
        let nothing = Signature::parse("async func()").expect("a signature");
        assert!(nothing.params.is_empty() && nothing.result.is_none());
    }

    #[test]
    fn a_type_without_a_text_form_is_named_in_the_error() {
        for ty in ["own<a:b/c/d>", "stream<u8>", "error-context", "record {}"] {
            let text = format!("func(a: {ty})");
            let error = Signature::parse(&text).expect_err(ty);
            assert!(matches!(error, TypesError::Unsupported(_)), "{error}");
            let kind = ty.split(['<', ' ']).next().expect("a word");
            assert!(error.to_string().contains(kind), "{error}");
        }
    }

    #[test]
    fn invalid_text_is_refused_with_its_position() {
        let nested = format!("func() -> {}u8", "list<".repeat(100_000));
        for (text, at) in [
            ("", 0),
            ("func(", 5),
            ("func(a: u9)", 8),
            ("func(a: u8,b: u8)", 10),
            ("func() -> u8 ", 12),
            ("func(a: list<u8, 4294967296>)", 17),
            ("func(a: enum { a b })", 16),
            ("func(ä: u8)", 5),
            (&nested, 10 + signature::MAX_DEPTH * 5),
        ] {
            let error = Signature::parse(text).expect_err(text);
            let TypesError::Malformed(error) = error else {
                panic!("{text:.40}: {error}")
            };
            assert_eq!(error.at(), at, "{text:.40}");
        }
    }
}
