//! Parses the canonical text, which may be untrusted.

use super::{Case, Field, Function, MAX_BYTES, MAX_DEPTH, Type};
use std::{fmt, str::FromStr};

/// Why a text isn't a canonical signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The text differs from the grammar.
    #[error("expected {expected} at byte {at}")]
    Unexpected {
        /// The position, in bytes from the start.
        at: usize,
        /// The item that the grammar requires there.
        expected: Expected,
    },
    /// Types nest more than [`MAX_DEPTH`] deep.
    #[error("types nest more than {MAX_DEPTH} deep at byte {at}")]
    TooDeep {
        /// The start of the first type that is too deep, in bytes from the start of the text.
        at: usize,
    },
    /// The text is longer than [`MAX_BYTES`].
    #[error("the signature has {bytes} bytes and the limit is {MAX_BYTES}")]
    TooLong {
        /// The length of the text.
        bytes: usize,
    },
}

/// An item of the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// This text.
    Text(&'static str),
    /// One of two texts.
    Either(&'static str, &'static str),
    /// A WIT identifier.
    Name,
    /// A type.
    Type,
    /// The length of a list: decimal, without leading zeros, less than 2³².
    Length,
    /// The end of the text.
    End,
}

impl SignatureError {
    /// Returns the position of the first byte that isn't accepted.
    pub fn at(&self) -> usize {
        match self {
            Self::Unexpected { at, .. } | Self::TooDeep { at } => *at,
            Self::TooLong { .. } => MAX_BYTES,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "`{text}`"),
            Self::Either(one, other) => write!(f, "`{one}` or `{other}`"),
            Self::Name => f.write_str("a name"),
            Self::Type => f.write_str("a type"),
            Self::Length => f.write_str("a length"),
            Self::End => f.write_str("the end"),
        }
    }
}

impl FromStr for Function {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        whole(text, Parser::function)
    }
}

impl FromStr for Type {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        whole(text, |parser| parser.ty(0))
    }
}

fn whole<'t, T>(
    text: &'t str,
    parse: impl FnOnce(&mut Parser<'t>) -> Result<T, SignatureError>,
) -> Result<T, SignatureError> {
    if text.len() > MAX_BYTES {
        return Err(SignatureError::TooLong { bytes: text.len() });
    }
    let mut parser = Parser { text, at: 0 };
    let parsed = parse(&mut parser)?;
    if parser.rest().is_empty() {
        Ok(parsed)
    } else {
        Err(parser.unexpected(Expected::End))
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn function(&mut self) -> Result<Function, SignatureError> {
        let is_async = self.eat("async ");
        self.expect("func(")?;
        let params = self.list_until(")", |parser| parser.field(0))?;
        let result = if self.eat(" -> ") {
            Some(self.ty(0)?)
        } else {
            None
        };
        Ok(Function {
            is_async,
            params,
            result,
        })
    }

    /// Parses a type that `depth` others contain.
    fn ty(&mut self, depth: usize) -> Result<Type, SignatureError> {
        let at = self.at;
        if depth == MAX_DEPTH {
            return Err(SignatureError::TooDeep { at });
        }
        let unknown = SignatureError::Unexpected {
            at,
            expected: Expected::Type,
        };
        let word = self.name().map_err(|_| unknown.clone())?;
        let depth = depth + 1;
        Ok(match word {
            "bool" => Type::Bool,
            "s8" => Type::S8,
            "u8" => Type::U8,
            "s16" => Type::S16,
            "u16" => Type::U16,
            "s32" => Type::S32,
            "u32" => Type::U32,
            "s64" => Type::S64,
            "u64" => Type::U64,
            "f32" => Type::F32,
            "f64" => Type::F64,
            "char" => Type::Char,
            "string" => Type::String,
            "record" => Type::Record(self.members(|parser| parser.field(depth))?),
            "variant" => Type::Variant(self.members(|parser| parser.case(depth))?),
            "enum" => Type::Enum(self.members(Self::owned_name)?),
            "flags" => Type::Flags(self.members(Self::owned_name)?),
            "tuple" => {
                self.expect("<")?;
                Type::Tuple(self.list_until(">", |parser| parser.ty(depth))?)
            }
            "list" => self.list(depth)?,
            "option" => Type::Option(self.argument(depth)?),
            "result" => self.result(depth)?,
            "map" => {
                self.expect("<")?;
                let key = self.boxed(depth)?;
                self.expect(", ")?;
                let value = self.boxed(depth)?;
                self.expect(">")?;
                Type::Map(key, value)
            }
            "own" => Type::Own(self.resource()?),
            "borrow" => Type::Borrow(self.resource()?),
            "stream" => Type::Stream(self.maybe_argument(depth)?),
            "future" => Type::Future(self.maybe_argument(depth)?),
            "error-context" => Type::ErrorContext,
            _ => return Err(unknown),
        })
    }

    fn field(&mut self, depth: usize) -> Result<Field, SignatureError> {
        let name = self.owned_name()?;
        self.expect(": ")?;
        let ty = self.ty(depth)?;
        Ok(Field { name, ty })
    }

    fn case(&mut self, depth: usize) -> Result<Case, SignatureError> {
        let name = self.owned_name()?;
        let mut ty = None;
        if self.eat("(") {
            ty = Some(self.ty(depth)?);
            self.expect(")")?;
        }
        Ok(Case { name, ty })
    }

    /// Parses `<type>` or `<type, length>`.
    fn list(&mut self, depth: usize) -> Result<Type, SignatureError> {
        self.expect("<")?;
        let element = self.boxed(depth)?;
        if self.eat(">") {
            return Ok(Type::List(element));
        }
        self.separator(">")?;
        let length = self.length()?;
        self.expect(">")?;
        Ok(Type::FixedList(element, length))
    }

    /// Parses `<type>`, `<_, type>`, `<type, type>`, or nothing.
    fn result(&mut self, depth: usize) -> Result<Type, SignatureError> {
        let (mut ok, mut err) = (None, None);
        if self.eat("<_, ") {
            err = Some(self.boxed(depth)?);
            self.expect(">")?;
        } else if self.eat("<") {
            ok = Some(self.boxed(depth)?);
            if !self.eat(">") {
                self.separator(">")?;
                err = Some(self.boxed(depth)?);
                self.expect(">")?;
            }
        }
        Ok(Type::Result { ok, err })
    }

    /// Parses `<type>`.
    fn argument(&mut self, depth: usize) -> Result<Box<Type>, SignatureError> {
        self.expect("<")?;
        let ty = self.boxed(depth)?;
        self.expect(">")?;
        Ok(ty)
    }

    /// Parses `<type>`, or nothing.
    fn maybe_argument(&mut self, depth: usize) -> Result<Option<Box<Type>>, SignatureError> {
        if self.rest().starts_with('<') {
            self.argument(depth).map(Some)
        } else {
            Ok(None)
        }
    }

    fn boxed(&mut self, depth: usize) -> Result<Box<Type>, SignatureError> {
        self.ty(depth).map(Box::new)
    }

    /// Parses `<namespace:package/interface/name>`.
    fn resource(&mut self) -> Result<String, SignatureError> {
        self.expect("<")?;
        let begin = self.at;
        self.name()?;
        for separator in [":", "/", "/"] {
            self.expect(separator)?;
            self.name()?;
        }
        let resource = self.text[begin..self.at].to_owned();
        self.expect(">")?;
        Ok(resource)
    }

    /// Parses items in braces.
    fn members<T>(
        &mut self,
        one: impl FnMut(&mut Self) -> Result<T, SignatureError>,
    ) -> Result<Vec<T>, SignatureError> {
        if self.eat(" {}") {
            return Ok(Vec::new());
        }
        self.expect(" { ")?;
        self.items_until(" }", one)
    }

    /// Parses any number of items, and `close`.
    fn list_until<T>(
        &mut self,
        close: &'static str,
        one: impl FnMut(&mut Self) -> Result<T, SignatureError>,
    ) -> Result<Vec<T>, SignatureError> {
        if self.eat(close) {
            return Ok(Vec::new());
        }
        self.items_until(close, one)
    }

    /// Parses one or more items, and `close`.
    fn items_until<T>(
        &mut self,
        close: &'static str,
        mut one: impl FnMut(&mut Self) -> Result<T, SignatureError>,
    ) -> Result<Vec<T>, SignatureError> {
        let mut items = vec![one(self)?];
        while !self.eat(close) {
            self.separator(close)?;
            items.push(one(self)?);
        }
        Ok(items)
    }

    /// Parses a comma, in a place where `close` would be valid too.
    fn separator(&mut self, close: &'static str) -> Result<(), SignatureError> {
        if self.eat(", ") {
            Ok(())
        } else {
            Err(self.unexpected(Expected::Either(", ", close)))
        }
    }

    fn owned_name(&mut self) -> Result<String, SignatureError> {
        self.name().map(str::to_owned)
    }

    /// Parses a name or a keyword.
    fn name(&mut self) -> Result<&'t str, SignatureError> {
        match self.run(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            "" => Err(self.unexpected(Expected::Name)),
            name => Ok(name),
        }
    }

    fn length(&mut self) -> Result<u32, SignatureError> {
        let wrong = self.unexpected(Expected::Length);
        let digits = self.run(|byte| byte.is_ascii_digit());
        if digits.len() > 1 && digits.starts_with('0') {
            return Err(wrong);
        }
        digits.parse().map_err(|_| wrong)
    }

    /// Consumes the bytes for which `is` returns true. They must be ASCII.
    fn run(&mut self, is: impl Fn(u8) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.bytes().position(|byte| !is(byte));
        let end = end.unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn eat(&mut self, text: &str) -> bool {
        let is_there = self.rest().starts_with(text);
        if is_there {
            self.at += text.len();
        }
        is_there
    }

    fn expect(&mut self, text: &'static str) -> Result<(), SignatureError> {
        if self.eat(text) {
            Ok(())
        } else {
            Err(self.unexpected(Expected::Text(text)))
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn unexpected(&self, expected: Expected) -> SignatureError {
        let at = self.at;
        SignatureError::Unexpected { at, expected }
    }
}
