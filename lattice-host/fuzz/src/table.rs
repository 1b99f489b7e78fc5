//! The types of the values: each kind of type, and the nestings that matter.

use crate::{
    guests::Strings,
    types::{Ty, list, option},
};
use std::sync::LazyLock;

/// The types, each with every encoding of strings if it contains strings.
pub(crate) static KINDS: LazyLock<Vec<(Ty, Strings)>> = LazyLock::new(|| {
    let encodings = [Strings::Utf8, Strings::Utf16, Strings::Latin1OrUtf16];
    let of = |ty: Ty| {
        let count = if has_strings(&ty) { 3 } else { 1 };
        encodings
            .map(|strings| (ty.clone(), strings))
            .into_iter()
            .take(count)
    };
    all().into_iter().flat_map(of).collect()
});

/// Returns the kind that a byte selects.
pub(crate) fn kind(byte: u8) -> usize {
    usize::from(byte) % KINDS.len()
}

fn all() -> Vec<Ty> {
    use Ty::{Bool, Char, Enum, F32, F64, Flags, S8, S16, S32, S64, String, U8, U16, U32, U64};
    let scalars = vec![Bool, S8, U8, S16, U16, S32, U32, S64, U64, F32, F64, Char];
    let record = Ty::Record(vec![U8, String, U64]);
    let joined = [
        None,
        Some(U8),
        Some(U64),
        Some(String),
        Some(F32),
        Some(F64),
    ];
    let joined = Ty::Variant(joined.into());
    let nested = Ty::Variant(vec![
        Some(joined.clone()),
        Some(Ty::Tuple(vec![F32, U8, F64])),
        None,
    ]);
    let seldom_large = Ty::Variant(vec![None, Some(fixed(U64, 100))]);
    vec![
        Ty::Tuple(scalars),
        String,
        list(U8),
        list(Bool),
        list(U16),
        list(S32),
        list(U64),
        list(F32),
        list(F64),
        list(Char),
        list(String),
        list(list(U8)),
        list(list(list(S16))),
        option(U32),
        option(option(option(U8))),
        list(option(String)),
        result(Some(U64), Some(String)),
        result(None, Some(Char)),
        result(None, None),
        record.clone(),
        list(record.clone()),
        joined.clone(),
        list(joined),
        nested,
        list(seldom_large),
        Enum(3),
        list(Enum(300)),
        Ty::Tuple(vec![
            Flags(1),
            Flags(8),
            Flags(9),
            Flags(16),
            Flags(17),
            Flags(32),
        ]),
        list(Flags(12)),
        map(U8, U8),
        map(String, list(U16)),
        map(U32, option(String)),
        list(map(Char, Bool)),
        fixed(U16, 3),
        fixed(String, 2),
        list(fixed(record, 2)),
        Ty::Tuple(vec![U32; 17]),
        Ty::Tuple(vec![String; 5]),
        Ty::Tuple(vec![list(U8), option(S64), Char]),
    ]
}

fn fixed(element: Ty, length: u32) -> Ty {
    Ty::FixedList(Box::new(element), length)
}

fn map(key: Ty, value: Ty) -> Ty {
    Ty::Map(Box::new(key), Box::new(value))
}

fn result(ok: Option<Ty>, err: Option<Ty>) -> Ty {
    Ty::Result(ok.map(Box::new), err.map(Box::new))
}

fn has_strings(ty: &Ty) -> bool {
    let any = |types: &[Ty]| types.iter().any(has_strings);
    match ty {
        Ty::String => true,
        Ty::List(inner) | Ty::FixedList(inner, _) | Ty::Option(inner) => has_strings(inner),
        Ty::Map(key, value) => has_strings(key) || has_strings(value),
        Ty::Record(fields) | Ty::Tuple(fields) => any(fields),
        Ty::Variant(cases) => cases.iter().flatten().any(has_strings),
        Ty::Result(ok, err) => [ok, err].into_iter().flatten().any(|ty| has_strings(ty)),
        _ => false,
    }
}
