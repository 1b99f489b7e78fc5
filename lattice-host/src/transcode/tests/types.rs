//! A model of WIT types that can be generated, written as WAT, and flattened by the rules of the
//! canonical ABI.

use std::fmt::Write as _;

use proptest::prelude::*;

/// A WIT type. Names are given by position: fields `f0`, cases `c0`, enum cases `e0`, flags `g0`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ty {
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
    List(Box<Ty>),
    FixedList(Box<Ty>, u32),
    Map(Box<Ty>, Box<Ty>),
    Record(Vec<Ty>),
    Tuple(Vec<Ty>),
    Variant(Vec<Option<Ty>>),
    Enum(u32),
    Option(Box<Ty>),
    Result(Option<Box<Ty>>, Option<Box<Ty>>),
    Flags(u32),
}

/// A core WebAssembly type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Core {
    I32,
    I64,
    F32,
    F64,
}

pub(super) fn list(element: Ty) -> Ty {
    Ty::List(Box::new(element))
}

pub(super) fn option(some: Ty) -> Ty {
    Ty::Option(Box::new(some))
}

fn key() -> impl Strategy<Value = Ty> {
    use Ty::{Bool, Char, S8, S16, S32, S64, U8, U16, U32, U64};
    prop::sample::select(vec![
        Bool,
        S8,
        U8,
        S16,
        U16,
        S32,
        U32,
        S64,
        U64,
        Char,
        Ty::String,
    ])
}

fn leaf() -> impl Strategy<Value = Ty> {
    prop_oneof![
        6 => key(),
        1 => Just(Ty::F32),
        1 => Just(Ty::F64),
        1 => prop::sample::select(vec![1, 3, 256, 257]).prop_map(Ty::Enum),
        1 => prop::sample::select(vec![1, 7, 8, 9, 16, 17, 32]).prop_map(Ty::Flags),
    ]
}

/// Any type that a plan accepts.
pub(super) fn any_type() -> impl Strategy<Value = Ty> {
    leaf().prop_recursive(4, 24, 5, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let maybe = prop::option::of(boxed.clone());
        prop_oneof![
            boxed.clone().prop_map(Ty::List),
            (boxed.clone(), 1..5_u32).prop_map(|(ty, length)| Ty::FixedList(ty, length)),
            (key().prop_map(Box::new), boxed.clone()).prop_map(|(key, ty)| Ty::Map(key, ty)),
            prop::collection::vec(inner.clone(), 1..6).prop_map(Ty::Record),
            prop::collection::vec(inner.clone(), 1..6).prop_map(Ty::Tuple),
            prop::collection::vec(prop::option::of(inner), 1..6).prop_map(Ty::Variant),
            boxed.prop_map(Ty::Option),
            (maybe.clone(), maybe).prop_map(|(ok, err)| Ty::Result(ok, err)),
        ]
    })
}

/// Types as they are written in a component. Those that must have a name get one in an imported
/// instance.
#[derive(Debug, Default)]
pub(super) struct Names {
    definitions: String,
    aliases: String,
    count: usize,
}

impl Names {
    /// Returns the definitions, for use inside the imported instance.
    pub(super) fn definitions(&self) -> &str {
        &self.definitions
    }

    /// Returns the aliases of the definitions, for use after the import.
    pub(super) fn aliases(&self) -> &str {
        &self.aliases
    }

    pub(super) fn write(&mut self, ty: &Ty) -> String {
        match ty {
            Ty::Bool => "bool".into(),
            Ty::S8 => "s8".into(),
            Ty::U8 => "u8".into(),
            Ty::S16 => "s16".into(),
            Ty::U16 => "u16".into(),
            Ty::S32 => "s32".into(),
            Ty::U32 => "u32".into(),
            Ty::S64 => "s64".into(),
            Ty::U64 => "u64".into(),
            Ty::F32 => "f32".into(),
            Ty::F64 => "f64".into(),
            Ty::Char => "char".into(),
            Ty::String => "string".into(),
            Ty::List(element) => format!("(list {})", self.write(element)),
            Ty::FixedList(element, length) => format!("(list {} {length})", self.write(element)),
            Ty::Map(key, value) => format!("(map {} {})", self.write(key), self.write(value)),
            Ty::Option(some) => format!("(option {})", self.write(some)),
            Ty::Result(ok, err) => {
                let ok = ok.as_ref().map(|ty| format!(" {}", self.write(ty)));
                let err = err
                    .as_ref()
                    .map(|ty| format!(" (error {})", self.write(ty)));
                format!(
                    "(result{}{})",
                    ok.unwrap_or_default(),
                    err.unwrap_or_default()
                )
            }
            Ty::Tuple(fields) => {
                let fields: Vec<_> = fields.iter().map(|ty| self.write(ty)).collect();
                format!("(tuple {})", fields.join(" "))
            }
            Ty::Record(fields) => {
                let fields = fields.iter().enumerate();
                let fields: Vec<_> = fields
                    .map(|(index, ty)| format!(r#"(field "f{index}" {})"#, self.write(ty)))
                    .collect();
                self.name(&format!("(record {})", fields.join(" ")))
            }
            Ty::Variant(cases) => {
                let cases = cases.iter().enumerate();
                let cases: Vec<_> = cases
                    .map(|(index, ty)| {
                        let payload = ty.as_ref().map(|ty| self.write(ty)).unwrap_or_default();
                        format!(r#"(case "c{index}" {payload})"#)
                    })
                    .collect();
                self.name(&format!("(variant {})", cases.join(" ")))
            }
            Ty::Enum(cases) => self.name(&format!("(enum {})", quoted('e', *cases))),
            Ty::Flags(labels) => self.name(&format!("(flags {})", quoted('g', *labels))),
        }
    }

    fn name(&mut self, definition: &str) -> String {
        let name = format!("$n{}", self.count);
        let export = format!("n{}", self.count);
        self.count += 1;
        let _ = write!(
            self.definitions,
            r#"(type {name}_ {definition}) (export "{export}" (type {name} (eq {name}_)))"#
        );
        let _ = write!(
            self.aliases,
            r#"(alias export $i "{export}" (type {name}))"#
        );
        name
    }
}

fn quoted(letter: char, count: u32) -> String {
    (0..count)
        .map(|index| format!(r#""{letter}{index}" "#))
        .collect()
}

impl Ty {
    /// Returns the core types of the flat form.
    pub(super) fn flat(&self) -> Vec<Core> {
        match self {
            Self::S64 | Self::U64 => vec![Core::I64],
            Self::F32 => vec![Core::F32],
            Self::F64 => vec![Core::F64],
            Self::String | Self::List(_) | Self::Map(..) => vec![Core::I32; 2],
            Self::FixedList(element, length) => element.flat().repeat(*length as usize),
            Self::Record(fields) | Self::Tuple(fields) => flat_all(fields),
            Self::Variant(cases) => flat_cases(cases.iter().map(Option::as_ref)),
            Self::Option(some) => flat_cases([None, Some(&**some)].into_iter()),
            Self::Result(ok, err) => flat_cases([ok.as_deref(), err.as_deref()].into_iter()),
            _ => vec![Core::I32],
        }
    }
}

pub(super) fn flat_all(types: &[Ty]) -> Vec<Core> {
    types.iter().flat_map(Ty::flat).collect()
}

fn flat_cases<'t>(payloads: impl Iterator<Item = Option<&'t Ty>>) -> Vec<Core> {
    let mut joined: Vec<Core> = vec![];
    for payload in payloads.flatten() {
        for (index, core) in payload.flat().into_iter().enumerate() {
            match joined.get_mut(index) {
                Some(slot) => *slot = join(*slot, core),
                None => joined.push(core),
            }
        }
    }
    joined.insert(0, Core::I32);
    joined
}

fn join(a: Core, b: Core) -> Core {
    match (a, b) {
        _ if a == b => a,
        (Core::I32, Core::F32) | (Core::F32, Core::I32) => Core::I32,
        _ => Core::I64,
    }
}

/// Returns core types in the form of a parameter or result list.
pub(super) fn core_list(types: &[Core]) -> String {
    let words = types.iter().map(|core| match core {
        Core::I32 => "i32",
        Core::I64 => "i64",
        Core::F32 => "f32",
        Core::F64 => "f64",
    });
    words.collect::<Vec<_>>().join(" ")
}
