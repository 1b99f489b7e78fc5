//! Canonical signatures and function keys.
//!
//! Both ends of a link must write the same text for the same type, so the grammar is fixed, structure only:
//!
//! ```text
//! signature = [ "async " ] "func(" [ param { ", " param } ] ")" [ " -> " type ]
//! param     = name ": " type
//! type      = "bool" | "s8" | "u8" | … | "f32" | "f64" | "char" | "string"
//!           | "record { " field { ", " field } " }"        field = name ": " type
//!           | "variant { " case { ", " case } " }"         case  = name [ "(" type ")" ]
//!           | "enum { " name { ", " name } " }"            | "flags { " name { ", " name } " }"
//!           | "tuple<" type { ", " type } ">"              | "option<" type ">"
//!           | "list<" type ">"                             | "list<" type ", " length ">"
//!           | "result" | "result<" type ">" | "result<_, " type ">" | "result<" type ", " type ">"
//!           | "map<" type ", " type ">"
//! ```
//!
//! Names of types are not part of it and aliases are followed; other names are as the WIT says, without a `%`.

use crate::world::{Interface, World};
use wit_parser::{Function, Result_, Type, TypeDefKind};

/// The canonical text of a function's type.
pub(crate) fn text(world: &World<'_>, function: &Function) -> String {
    let mut text = String::new();
    if function.kind.is_async() {
        text.push_str("async ");
    }
    text.push_str("func(");
    separated(&mut text, &function.params, |text, param| {
        named(text, world, &param.name, &param.ty);
    });
    text.push(')');
    if let Some(result) = &function.result {
        text.push_str(" -> ");
        type_text(&mut text, world, result);
    }
    text
}

/// What names the function on the wire: the first 8 bytes, little endian, of
/// `BLAKE3(interface with compatible version · 0x00 · function · 0x00 · signature)`.
///
/// `lattice_core::wire::FunctionKey` has the same rule; the SDK's tests hold one against the other.
pub(crate) fn key(world: &World<'_>, interface: &Interface<'_>, function: &Function) -> u64 {
    let compatible = world
        .resolve
        .canonicalized_id_of(interface.id)
        .unwrap_or_default();
    let text = text(world, function);
    let mut hasher = blake3::Hasher::new();
    for part in [
        compatible.as_bytes(),
        &[0],
        function.name.as_bytes(),
        &[0],
        text.as_bytes(),
    ] {
        hasher.update(part);
    }
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}

fn type_text(text: &mut String, world: &World<'_>, ty: &Type) {
    let builtin = match world.resolved(ty) {
        Type::Bool => "bool",
        Type::U8 => "u8",
        Type::U16 => "u16",
        Type::U32 => "u32",
        Type::U64 => "u64",
        Type::S8 => "s8",
        Type::S16 => "s16",
        Type::S32 => "s32",
        Type::S64 => "s64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::ErrorContext => "error-context",
        Type::Id(id) => return kind_text(text, world, &world.resolve.types[id].kind),
    };
    text.push_str(builtin);
}

fn kind_text(text: &mut String, world: &World<'_>, kind: &TypeDefKind) {
    let one = |text: &mut String, ty: &Type| type_text(text, world, ty);
    match kind {
        TypeDefKind::Record(record) => members(text, "record", &record.fields, |text, field| {
            named(text, world, &field.name, &field.ty);
        }),
        TypeDefKind::Variant(variant) => members(text, "variant", &variant.cases, |text, case| {
            text.push_str(&case.name);
            if let Some(ty) = &case.ty {
                text.push('(');
                one(text, ty);
                text.push(')');
            }
        }),
        TypeDefKind::Enum(labels) => members(text, "enum", &labels.cases, |text, case| {
            text.push_str(&case.name);
        }),
        TypeDefKind::Flags(labels) => members(text, "flags", &labels.flags, |text, flag| {
            text.push_str(&flag.name);
        }),
        TypeDefKind::Tuple(tuple) => {
            generic(text, "tuple", &tuple.types.iter().collect::<Vec<_>>(), one);
        }
        TypeDefKind::Option(ty) => generic(text, "option", &[ty], one),
        TypeDefKind::List(ty) => generic(text, "list", &[ty], one),
        TypeDefKind::FixedLengthList(ty, length) => {
            text.push_str("list<");
            one(text, ty);
            text.push_str(", ");
            text.push_str(&length.to_string());
            text.push('>');
        }
        TypeDefKind::Map(key, value) => generic(text, "map", &[key, value], one),
        TypeDefKind::Result(result) => result_text(text, result, one),
        TypeDefKind::Type(ty) => one(text, ty),
        // Refused before anything asks for its text.
        TypeDefKind::Resource
        | TypeDefKind::Handle(_)
        | TypeDefKind::Future(_)
        | TypeDefKind::Stream(_)
        | TypeDefKind::Unknown => {
            text.push_str(kind.as_str());
        }
    }
}

fn result_text(text: &mut String, result: &Result_, one: impl Fn(&mut String, &Type)) {
    match (&result.ok, &result.err) {
        (None, None) => text.push_str("result"),
        (Some(ok), None) => generic(text, "result", &[ok], one),
        (Some(ok), Some(err)) => generic(text, "result", &[ok, err], one),
        (None, Some(err)) => {
            text.push_str("result<_, ");
            one(text, err);
            text.push('>');
        }
    }
}

fn named(text: &mut String, world: &World<'_>, name: &str, ty: &Type) {
    text.push_str(name);
    text.push_str(": ");
    type_text(text, world, ty);
}

fn generic(text: &mut String, word: &str, tys: &[&Type], write: impl Fn(&mut String, &Type)) {
    text.push_str(word);
    text.push('<');
    separated(text, tys, |text, ty| write(text, ty));
    text.push('>');
}

fn members<T>(text: &mut String, word: &str, members: &[T], write: impl Fn(&mut String, &T)) {
    text.push_str(word);
    text.push_str(if members.is_empty() { " {" } else { " { " });
    separated(text, members, write);
    text.push_str(if members.is_empty() { "}" } else { " }" });
}

fn separated<T>(text: &mut String, items: &[T], write: impl Fn(&mut String, &T)) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        write(text, item);
    }
}

#[cfg(test)]
mod tests {
    use crate::expand::tests::with_world;

    /// One function for each production of the grammar.
    const EVERY_TYPE: &str = "
        package t:every@0.2.3;
        interface types {
            type name = string;
            record point { x: s32, y: s32 }
            enum level { low, HIGH-er }
        }
        interface all {
            use types.{name, point, level as grade};
            record nested { at: point, %list: list<name> }
            variant shape { none, circle(f64), poly(list<point>) }
            flags rights { read, write }
            nothing: func();
            ints: func(a: u8, b: u16, c: u32, d: u64, e: s8, f: s16, g: s32, h: s64) -> bool;
            reals: func(x: f32) -> f64;
            texts: func(c: char) -> name;
            named: func(n: nested, s: shape, g: grade, r: rights);
            containers: async func(t: tuple<u8, f32>, o: option<option<char>>, m: map<string, list<u8>>, x: list<u16, 4>);
            r0: func() -> result;
            r1: func() -> result<u8>;
            r2: func() -> result<_, string>;
            r3: async func() -> result<point, shape>;
        }
        world w { export all; }
    ";

    #[test]
    fn every_type_has_its_canonical_text() {
        let point = "record { x: s32, y: s32 }";
        let shape = format!("variant {{ none, circle(f64), poly(list<{point}>) }}");
        with_world(EVERY_TYPE, |world| {
            let interface = world
                .interfaces
                .iter()
                .find(|i| i.name == "all")
                .expect("exported");
            let expected = [
                ("nothing", "func()".to_owned()),
                ("ints", "func(a: u8, b: u16, c: u32, d: u64, e: s8, f: s16, g: s32, h: s64) -> bool".to_owned()),
                ("reals", "func(x: f32) -> f64".to_owned()),
                ("texts", "func(c: char) -> string".to_owned()),
                (
                    "named",
                    format!(
                        "func(n: record {{ at: {point}, list: list<string> }}, s: {shape}, g: enum {{ low, HIGH-er }}, \
                         r: flags {{ read, write }})"
                    ),
                ),
                (
                    "containers",
                    "async func(t: tuple<u8, f32>, o: option<option<char>>, m: map<string, list<u8>>, x: list<u16, 4>)".to_owned(),
                ),
                ("r0", "func() -> result".to_owned()),
                ("r1", "func() -> result<u8>".to_owned()),
                ("r2", "func() -> result<_, string>".to_owned()),
                ("r3", format!("async func() -> result<{point}, {shape}>")),
            ];
            for (name, text) in expected {
                assert_eq!(super::text(world, &interface.wit.functions[name]), text);
            }
        });
    }

    #[test]
    fn a_key_hashes_names_and_text() {
        with_world(EVERY_TYPE, |world| {
            let interface = world
                .interfaces
                .iter()
                .find(|i| i.name == "all")
                .expect("exported");
            let hash = blake3::hash(b"t:every/all@0.2\0nothing\0func()");
            let mut first = [0; 8];
            first.copy_from_slice(&hash.as_bytes()[..8]);
            assert_eq!(
                super::key(world, interface, &interface.wit.functions["nothing"]),
                u64::from_le_bytes(first)
            );
        });
    }
}
