//! Types of arguments and results, read from a function's published signature.
//!
//! The signature is a text with a fixed grammar, the one that caller and callee compare: so what is read here is exactly
//! what the callee checks.

use std::fmt;
use wasm_wave::value::Type as WaveType;

/// Deepest nesting that is read. Hosts refuse deeper types when an actor is linked.
const MAX_DEPTH: usize = 64;
/// Most labels of flags that travel.
const MAX_FLAGS: usize = 32;

/// A function's type.
#[derive(Debug)]
pub(crate) struct Signature {
    pub(crate) params: Vec<Param>,
    pub(crate) result: Option<Type>,
}

#[derive(Debug)]
pub(crate) struct Param {
    pub(crate) name: String,
    pub(crate) ty: Type,
    /// The type as the signature has it.
    pub(crate) text: String,
}

/// A type, and what text of it looks like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Type {
    pub(crate) shape: Shape,
    pub(crate) wave: WaveType,
}

/// How a value travels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    F32,
    F64,
    Char,
    String,
    List(Box<Type>),
    FixedList(Box<Type>, u32),
    Map(Box<Type>, Box<Type>),
    /// Without names for a tuple.
    Fields(Vec<(Option<String>, Type)>),
    Variant(Vec<(String, Option<Type>)>),
    Enum(Vec<String>),
    Flags(Vec<String>),
    Option(Box<Type>),
    Result(Option<Box<Type>>, Option<Box<Type>>),
}

/// Why a signature can't be called with text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    /// Text has no form for it.
    #[error("it has `{0}` in its type, of which there is no text; call it from a program")]
    Unsupported(String),
    /// It is none.
    #[error(
        "its published type can't be read at byte {at}; update this program, or the host that serves it"
    )]
    Malformed { at: usize },
}

impl Signature {
    pub(crate) fn parse(text: &str) -> Result<Self, SignatureError> {
        let mut reader = Reader { text, at: 0 };
        // How it is implemented makes no difference to a caller.
        reader.eat("async ");
        reader.expect("func(")?;
        let mut params = Vec::new();
        while !reader.eat(")") {
            reader.separator(params.is_empty())?;
            let name = reader.word()?.to_owned();
            reader.expect(": ")?;
            let begin = reader.at;
            let ty = reader.ty(0)?;
            let text = text[begin..reader.at].to_owned();
            params.push(Param { name, ty, text });
        }
        let result = if reader.eat(" -> ") {
            Some(reader.ty(0)?)
        } else {
            None
        };
        if reader.rest().is_empty() {
            Ok(Self { params, result })
        } else {
            Err(reader.malformed())
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn ty(&mut self, depth: usize) -> Result<Type, SignatureError> {
        if depth == MAX_DEPTH {
            return Err(self.malformed());
        }
        let begin = self.at;
        let word = self.word()?;
        let simple = |shape, wave| Ok(Type { shape, wave });
        match word {
            "bool" => simple(Shape::Bool, WaveType::BOOL),
            "s8" => simple(Shape::S8, WaveType::S8),
            "u8" => simple(Shape::U8, WaveType::U8),
            "s16" => simple(Shape::S16, WaveType::S16),
            "u16" => simple(Shape::U16, WaveType::U16),
            "s32" => simple(Shape::S32, WaveType::S32),
            "u32" => simple(Shape::U32, WaveType::U32),
            "s64" => simple(Shape::S64, WaveType::S64),
            "u64" => simple(Shape::U64, WaveType::U64),
            "f32" => simple(Shape::F32, WaveType::F32),
            "f64" => simple(Shape::F64, WaveType::F64),
            "char" => simple(Shape::Char, WaveType::CHAR),
            "string" => simple(Shape::String, WaveType::STRING),
            "record" => self.record(depth),
            "variant" => self.variant(depth),
            "enum" => self.enumeration(),
            "flags" => self.flags(),
            "tuple" => self.tuple(depth),
            "list" => self.list(depth),
            "option" => self.option(depth),
            "result" => self.result(depth),
            "map" => self.map(depth),
            "own" | "borrow" | "stream" | "future" | "error-context" => {
                Err(SignatureError::Unsupported(word.to_owned()))
            }
            _ => Err(SignatureError::Malformed { at: begin }),
        }
    }

    fn record(&mut self, depth: usize) -> Result<Type, SignatureError> {
        let fields = self.members(|reader| {
            let name = reader.word()?.to_owned();
            reader.expect(": ")?;
            Ok((Some(name), reader.ty(depth + 1)?))
        })?;
        let named = fields
            .iter()
            .map(|(name, ty)| (name.clone().unwrap_or_default(), ty.wave.clone()));
        let wave = WaveType::record(named).ok_or_else(|| unsupported("record {}"))?;
        Ok(Type {
            shape: Shape::Fields(fields),
            wave,
        })
    }

    fn variant(&mut self, depth: usize) -> Result<Type, SignatureError> {
        let cases = self.members(|reader| {
            let name = reader.word()?.to_owned();
            let payload = if reader.eat("(") {
                let ty = reader.ty(depth + 1)?;
                reader.expect(")")?;
                Some(ty)
            } else {
                None
            };
            Ok((name, payload))
        })?;
        let waves = cases
            .iter()
            .map(|(name, ty)| (name.clone(), ty.as_ref().map(|ty| ty.wave.clone())));
        let wave = WaveType::variant(waves).ok_or_else(|| unsupported("variant {}"))?;
        Ok(Type {
            shape: Shape::Variant(cases),
            wave,
        })
    }

    fn enumeration(&mut self) -> Result<Type, SignatureError> {
        let cases = self.members(|reader| Ok(reader.word()?.to_owned()))?;
        let wave = WaveType::enum_ty(cases.clone()).ok_or_else(|| unsupported("enum {}"))?;
        Ok(Type {
            shape: Shape::Enum(cases),
            wave,
        })
    }

    fn flags(&mut self) -> Result<Type, SignatureError> {
        let labels = self.members(|reader| Ok(reader.word()?.to_owned()))?;
        if labels.len() > MAX_FLAGS {
            return Err(unsupported("flags with more than 32 labels"));
        }
        let wave = WaveType::flags(labels.clone()).ok_or_else(|| unsupported("flags {}"))?;
        Ok(Type {
            shape: Shape::Flags(labels),
            wave,
        })
    }

    fn tuple(&mut self, depth: usize) -> Result<Type, SignatureError> {
        self.expect("<")?;
        let mut fields = Vec::new();
        while !self.eat(">") {
            self.separator(fields.is_empty())?;
            fields.push((None, self.ty(depth + 1)?));
        }
        let waves: Vec<WaveType> = fields.iter().map(|(_, ty)| ty.wave.clone()).collect();
        let wave = WaveType::tuple(waves).ok_or_else(|| unsupported("tuple<>"))?;
        Ok(Type {
            shape: Shape::Fields(fields),
            wave,
        })
    }

    fn list(&mut self, depth: usize) -> Result<Type, SignatureError> {
        self.expect("<")?;
        let element = Box::new(self.ty(depth + 1)?);
        let wave = WaveType::list(element.wave.clone());
        let shape = if self.eat(", ") {
            match self.number()? {
                0 => return Err(unsupported("list of length 0")),
                length => Shape::FixedList(element, length),
            }
        } else {
            Shape::List(element)
        };
        self.expect(">")?;
        Ok(Type { shape, wave })
    }

    fn option(&mut self, depth: usize) -> Result<Type, SignatureError> {
        self.expect("<")?;
        let some = Box::new(self.ty(depth + 1)?);
        self.expect(">")?;
        let wave = WaveType::option(some.wave.clone());
        Ok(Type {
            shape: Shape::Option(some),
            wave,
        })
    }

    fn result(&mut self, depth: usize) -> Result<Type, SignatureError> {
        let (mut ok, mut err) = (None, None);
        if self.eat("<") {
            if !self.eat("_") {
                ok = Some(Box::new(self.ty(depth + 1)?));
            }
            if self.eat(", ") {
                err = Some(Box::new(self.ty(depth + 1)?));
            }
            self.expect(">")?;
        }
        let wave = |ty: &Option<Box<Type>>| ty.as_ref().map(|ty| ty.wave.clone());
        let wave = WaveType::result(wave(&ok), wave(&err));
        Ok(Type {
            shape: Shape::Result(ok, err),
            wave,
        })
    }

    fn map(&mut self, depth: usize) -> Result<Type, SignatureError> {
        self.expect("<")?;
        let key = Box::new(self.ty(depth + 1)?);
        self.expect(", ")?;
        let value = Box::new(self.ty(depth + 1)?);
        self.expect(">")?;
        let wave = WaveType::map(key.wave.clone(), value.wave.clone())
            .ok_or_else(|| unsupported("map of such keys"))?;
        Ok(Type {
            shape: Shape::Map(key, value),
            wave,
        })
    }

    /// What stands between braces.
    fn members<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, SignatureError>,
    ) -> Result<Vec<T>, SignatureError> {
        let mut members = Vec::new();
        if self.eat(" {}") {
            return Ok(members);
        }
        self.expect(" { ")?;
        while !self.eat(" }") {
            self.separator(members.is_empty())?;
            members.push(one(self)?);
        }
        Ok(members)
    }

    fn separator(&mut self, is_first: bool) -> Result<(), SignatureError> {
        if is_first {
            return Ok(());
        }
        self.expect(", ")
    }

    /// A name or a keyword.
    fn word(&mut self) -> Result<&'t str, SignatureError> {
        self.run(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    }

    fn number(&mut self) -> Result<u32, SignatureError> {
        let at = self.at;
        let digits = self.run(|byte| byte.is_ascii_digit())?;
        digits.parse().map_err(|_| SignatureError::Malformed { at })
    }

    /// The bytes from here for which `is` holds: one at least.
    fn run(&mut self, is: impl Fn(u8) -> bool) -> Result<&'t str, SignatureError> {
        let rest = self.rest();
        let length = rest
            .bytes()
            .position(|byte| !is(byte))
            .unwrap_or(rest.len());
        if length == 0 {
            return Err(self.malformed());
        }
        self.at += length;
        Ok(&rest[..length])
    }

    fn eat(&mut self, text: &str) -> bool {
        let is_there = self.rest().starts_with(text);
        if is_there {
            self.at += text.len();
        }
        is_there
    }

    fn expect(&mut self, text: &str) -> Result<(), SignatureError> {
        if self.eat(text) {
            Ok(())
        } else {
            Err(self.malformed())
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn malformed(&self) -> SignatureError {
        SignatureError::Malformed { at: self.at }
    }
}

fn unsupported(what: impl fmt::Display) -> SignatureError {
    SignatureError::Unsupported(what.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_the_grammar_is_read() {
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
            assert_eq!(signature.params[1].text, ty);
            assert_eq!(signature.result, Some(signature.params[1].ty.clone()));
            assert!(Signature::parse(&text[..text.len() - 1]).is_err(), "{ty}");
        }
        let nothing = Signature::parse("async func()").expect("a signature");
        assert!(nothing.params.is_empty() && nothing.result.is_none());
    }

    #[test]
    fn what_has_no_text_is_named() {
        for ty in ["own<a:b/c/d>", "stream<u8>", "error-context", "record {}"] {
            let text = format!("func(a: {ty})");
            let error = Signature::parse(&text).expect_err(ty);
            assert!(matches!(error, SignatureError::Unsupported(_)), "{error}");
        }
    }

    #[test]
    fn garbage_is_refused_where_it_begins() {
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
            (&nested, 10 + MAX_DEPTH * 5),
        ] {
            let error = Signature::parse(text).expect_err(text);
            assert_eq!(error, SignatureError::Malformed { at }, "{text:.40}");
        }
    }
}
