//! Prints the canonical text.

use super::{Case, Field, Function, Type};
use std::fmt::{Display, Formatter, Result};

impl Display for Function {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(if self.is_async {
            "async func("
        } else {
            "func("
        })?;
        separated(f, &self.params)?;
        f.write_str(")")?;
        match &self.result {
            Some(result) => write!(f, " -> {result}"),
            None => Ok(()),
        }
    }
}

impl Display for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::S8 => f.write_str("s8"),
            Self::U8 => f.write_str("u8"),
            Self::S16 => f.write_str("s16"),
            Self::U16 => f.write_str("u16"),
            Self::S32 => f.write_str("s32"),
            Self::U32 => f.write_str("u32"),
            Self::S64 => f.write_str("s64"),
            Self::U64 => f.write_str("u64"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Char => f.write_str("char"),
            Self::String => f.write_str("string"),
            Self::Record(fields) => members(f, "record", fields),
            Self::Variant(cases) => members(f, "variant", cases),
            Self::Enum(names) => members(f, "enum", names),
            Self::Flags(names) => members(f, "flags", names),
            Self::Tuple(types) => {
                f.write_str("tuple<")?;
                separated(f, types)?;
                f.write_str(">")
            }
            Self::List(element) => write!(f, "list<{element}>"),
            Self::FixedList(element, length) => write!(f, "list<{element}, {length}>"),
            Self::Option(some) => write!(f, "option<{some}>"),
            Self::Result { ok, err } => match (ok, err) {
                (None, None) => f.write_str("result"),
                (Some(ok), None) => write!(f, "result<{ok}>"),
                (None, Some(err)) => write!(f, "result<_, {err}>"),
                (Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
            },
            Self::Map(key, value) => write!(f, "map<{key}, {value}>"),
            Self::Own(resource) => write!(f, "own<{resource}>"),
            Self::Borrow(resource) => write!(f, "borrow<{resource}>"),
            Self::Stream(None) => f.write_str("stream"),
            Self::Stream(Some(element)) => write!(f, "stream<{element}>"),
            Self::Future(None) => f.write_str("future"),
            Self::Future(Some(value)) => write!(f, "future<{value}>"),
            Self::ErrorContext => f.write_str("error-context"),
        }
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}: {}", self.name, self.ty)
    }
}

impl Display for Case {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.ty {
            Some(ty) => write!(f, "{}({ty})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

fn members(f: &mut Formatter<'_>, keyword: &str, members: &[impl Display]) -> Result {
    if members.is_empty() {
        return write!(f, "{keyword} {{}}");
    }
    write!(f, "{keyword} {{ ")?;
    separated(f, members)?;
    f.write_str(" }")
}

fn separated(f: &mut Formatter<'_>, items: &[impl Display]) -> Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}
