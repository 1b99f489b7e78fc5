//! Canonical signatures and function keys of functions in WIT.
//!
//! Both ends of a link must write the same text for the same type, so both use the grammar and the
//! hash of [`lattice_wit::signature`]. This module converts types of WIT to the types of that
//! module: aliases are followed, and names are those of the WIT, without a `%`.

use crate::world::{Interface, World, owner};
use lattice_wit::signature::{self, Case, Field, Type};
use wit_parser::{Function, Handle, Type as WitType, TypeDefKind, TypeId};

/// Returns the canonical text of a function's type.
pub(crate) fn text(world: &World<'_>, function: &Function) -> String {
    function_type(world, function).to_string()
}

/// Returns the key that identifies the function on the wire, as `lattice_core::wire::FunctionKey`.
pub(crate) fn key(world: &World<'_>, interface: &Interface<'_>, function: &Function) -> u64 {
    let compatible = world
        .resolve
        .canonicalized_id_of(interface.id)
        .unwrap_or_default();
    function_type(world, function).key(&compatible, &function.name)
}

fn function_type(world: &World<'_>, function: &Function) -> signature::Function {
    let params = function.params.iter();
    signature::Function {
        is_async: function.kind.is_async(),
        params: params
            .map(|param| field(world, &param.name, &param.ty))
            .collect(),
        result: optional(world, function.result.as_ref()),
    }
}

fn value_type(world: &World<'_>, ty: &WitType) -> Type {
    match world.resolved(ty) {
        WitType::Bool => Type::Bool,
        WitType::U8 => Type::U8,
        WitType::U16 => Type::U16,
        WitType::U32 => Type::U32,
        WitType::U64 => Type::U64,
        WitType::S8 => Type::S8,
        WitType::S16 => Type::S16,
        WitType::S32 => Type::S32,
        WitType::S64 => Type::S64,
        WitType::F32 => Type::F32,
        WitType::F64 => Type::F64,
        WitType::Char => Type::Char,
        WitType::String => Type::String,
        WitType::ErrorContext => Type::ErrorContext,
        WitType::Id(id) => defined_type(world, id),
    }
}

fn defined_type(world: &World<'_>, id: TypeId) -> Type {
    match &world.resolve.types[id].kind {
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter();
            Type::Record(fields.map(|of| field(world, &of.name, &of.ty)).collect())
        }
        TypeDefKind::Variant(variant) => {
            let case = |case: &wit_parser::Case| Case {
                name: case.name.clone(),
                ty: optional(world, case.ty.as_ref()),
            };
            Type::Variant(variant.cases.iter().map(case).collect())
        }
        TypeDefKind::Enum(labels) => {
            Type::Enum(labels.cases.iter().map(|case| case.name.clone()).collect())
        }
        TypeDefKind::Flags(labels) => {
            Type::Flags(labels.flags.iter().map(|flag| flag.name.clone()).collect())
        }
        TypeDefKind::Tuple(tuple) => {
            Type::Tuple(tuple.types.iter().map(|ty| value_type(world, ty)).collect())
        }
        TypeDefKind::Option(some) => Type::Option(boxed(world, some)),
        TypeDefKind::List(element) => Type::List(boxed(world, element)),
        TypeDefKind::FixedLengthList(element, length) => {
            Type::FixedList(boxed(world, element), *length)
        }
        TypeDefKind::Map(key, value) => Type::Map(boxed(world, key), boxed(world, value)),
        TypeDefKind::Result(result) => Type::Result {
            ok: result.ok.as_ref().map(|ty| boxed(world, ty)),
            err: result.err.as_ref().map(|ty| boxed(world, ty)),
        },
        TypeDefKind::Type(target) => value_type(world, target),
        TypeDefKind::Stream(element) => Type::Stream(element.as_ref().map(|ty| boxed(world, ty))),
        TypeDefKind::Future(value) => Type::Future(value.as_ref().map(|ty| boxed(world, ty))),
        TypeDefKind::Handle(Handle::Borrow(resource)) => {
            Type::Borrow(resource_name(world, *resource))
        }
        TypeDefKind::Handle(Handle::Own(resource)) => Type::Own(resource_name(world, *resource)),
        // `World` has refused these types already.
        TypeDefKind::Resource | TypeDefKind::Unknown => Type::Own(resource_name(world, id)),
    }
}

/// Returns `namespace:package/interface/name` of a resource, or only its name when it has no
/// package or interface.
pub(crate) fn resource_name(world: &World<'_>, id: TypeId) -> String {
    // The name is the one under which the resource is defined.
    let resource = &world.resolve.types[world.resource(id)];
    let interface = owner(resource).map(|id| &world.resolve.interfaces[id]);
    let package = interface.and_then(|interface| interface.package);
    let package = package.map(|id| &world.resolve.packages[id].name);
    match (
        package,
        interface.and_then(|of| of.name.as_deref()),
        &resource.name,
    ) {
        (Some(package), Some(interface), Some(name)) => {
            format!("{}:{}/{interface}/{name}", package.namespace, package.name)
        }
        (.., name) => name.clone().unwrap_or_default(),
    }
}

fn field(world: &World<'_>, name: &str, ty: &WitType) -> Field {
    Field {
        name: name.to_owned(),
        ty: value_type(world, ty),
    }
}

fn optional(world: &World<'_>, ty: Option<&WitType>) -> Option<Type> {
    ty.map(|ty| value_type(world, ty))
}

fn boxed(world: &World<'_>, ty: &WitType) -> Box<Type> {
    Box::new(value_type(world, ty))
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
