//! The code that `provider!` generates from a world with every type: encodings, canonical texts,
//! function keys, names.

use lattice_core::{
    name::{FunctionName, InterfaceName},
    value::{ValueError, from_bytes, to_bytes},
    wire::FunctionKey,
};
use lattice_provider_sdk::{
    Bytes,
    value::Fixed,
    world::{Interface, WitWorld},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

lattice_provider_sdk::provider!({ path: "tests/wit", world: "every" });

use test::every::{
    types::{Level, Point},
    values::{
        Extra, Failure, Grade, INTERFACE, Nested, Nine, Reals, Rights, Scalars, Seventeen, Shape,
        Wide,
    },
};

/// Returns the encoding, and checks that it is postcard's and decodes to the same value.
fn hex<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> String {
    let bytes = to_bytes(value).expect("encodes");
    assert_eq!(
        &bytes[..],
        postcard::to_stdvec(value).expect("postcard"),
        "{value:?}"
    );
    assert_eq!(&from_bytes::<T>(&bytes).expect("decodes"), value);
    hex::encode(bytes)
}

#[test]
fn records_are_encoded_as_their_fields_in_order() {
    let scalars = Scalars {
        yes: true,
        a: 255,
        b: 300,
        c: 1 << 20,
        d: u64::MAX,
        e: -1,
        f: -300,
        g: i32::MIN,
        h: i64::MIN,
        letter: 'é',
        word: "Ada".to_owned(),
    };
    assert_eq!(
        hex(&scalars),
        "01ffac02808040ffffffffffffffffff01ffd704ffffffff0fffffffffffffffffff0102c3a903416461"
    );
    let bits = |value: &Reals| (value.single.to_bits(), value.double.to_bits());
    let nan = Reals {
        single: f32::from_bits(0x7fc0_1234),
        double: -0.0,
    };
    let bytes = to_bytes(&nan).expect("encodes");
    assert_eq!(
        &bytes[..],
        [0x34, 0x12, 0xc0, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0x80]
    );
    assert_eq!(bits(&from_bytes(&bytes).expect("decodes")), bits(&nan));
}

#[test]
fn containers_are_encoded_with_a_count_unless_the_type_fixes_it() {
    let nested = Nested {
        at: Point { x: 1, y: -1 },
        r#type: vec!["a".to_owned(), String::new()],
        self_: Some(None),
        bytes: Bytes::from_static(b"\0\xff"),
        entries: BTreeMap::from([("k".to_owned(), 128)]),
        short: [1, 2, 300],
        long: Fixed([7; 40]),
        pair: (9, "z".to_owned()),
    };
    let long = "07".repeat(40);
    assert_eq!(
        hex(&nested),
        format!(
            "0201{}{}{}{}{}{long}{}",
            "02016100", "0100", "0200ff", "01016b8001", "0102ac02", "09017a"
        )
    );
}

#[test]
fn variants_and_enums_start_with_their_index() {
    for (shape, expected) in [
        (Shape::None, "00".to_owned()),
        (Shape::Circle(1.0), "01000000000000f03f".to_owned()),
        (
            Shape::Poly(vec![Point { x: 0, y: 2 }]),
            "02010004".to_owned(),
        ),
        (Shape::Pair((5, 6)), "030506".to_owned()),
    ] {
        assert_eq!(hex(&shape), expected);
    }
    assert_eq!(hex(&Level::HighEr), "01");
    assert!(
        from_bytes::<Level>(&Bytes::from_static(&[2])).is_err(),
        "no such case"
    );
    let result: Result<(), Failure> = Err(Failure::Other("no".to_owned()));
    assert_eq!(hex(&result), "0101026e6f");
    assert_eq!(hex(&Ok::<(), Failure>(())), "00");
}

#[test]
fn flags_take_the_smallest_words_and_refuse_unknown_bits() {
    assert_eq!(hex(&(Rights::READ | Rights::WRITE)), "03");
    assert_eq!(hex(&Nine::F8), "8002");
    assert_eq!(hex(&Nine::all()), "ff03");
    assert_eq!(hex(&Seventeen::F16), "808004");
    assert_eq!(hex(&(Wide::F0 | Wide::F32)), "0101");
    assert_eq!(hex(&Wide::all()), "ffffffff0f01");
    for (what, refused) in [
        (
            "rights",
            from_bytes::<Rights>(&Bytes::from_static(&[4])).map(drop),
        ),
        (
            "nine",
            from_bytes::<Nine>(&Bytes::from_static(&[0x80, 4])).map(drop),
        ),
        (
            "wide",
            from_bytes::<Wide>(&Bytes::from_static(&[0, 2])).map(drop),
        ),
    ] {
        let error: ValueError = refused.expect_err(what);
        assert!(
            error.to_string().contains("a flag without a label"),
            "{what}: {error}"
        );
    }
}

#[test]
fn flags_are_a_set() {
    let mut rights = Rights::default();
    assert!(rights.is_empty() && rights == Rights::empty());
    rights.insert(Rights::WRITE);
    assert!(rights.contains(Rights::WRITE) && !rights.contains(Rights::READ));
    assert_eq!(
        (rights.bits(), format!("{rights:?}")),
        (2, r#"Rights{"write"}"#.to_owned())
    );
    rights.insert(Rights::READ);
    assert_eq!(rights, Rights::all());
    rights.remove(Rights::WRITE);
    assert_eq!(rights, Rights::READ);
    assert_eq!(Wide::F32.bits(), [0, 1]);
}

#[test]
fn types_have_the_traits_that_their_fields_allow() {
    fn exact<T: Eq + std::hash::Hash + Clone + Send + Sync>() {}
    fn error<T: std::error::Error>() {}
    exact::<Nested>();
    exact::<Failure>();
    exact::<Rights>();
    error::<Failure>();
    assert_eq!(Failure::Other("x".to_owned()).to_string(), r#"Other("x")"#);
    // An alias is the type itself.
    let grade: Grade = Level::Low;
    assert!(grade < Level::HighEr);
}

#[test]
fn canonical_texts_match_those_written_by_hand() {
    let point = "record { x: s32, y: s32 }";
    let nested = format!(
        "record {{ at: {point}, type: list<string>, self: option<option<u8>>, bytes: list<u8>, entries: map<string, u32>, \
         short: list<u16, 3>, long: list<u16, 40>, pair: tuple<u8, string> }}"
    );
    let shape =
        format!("variant {{ none, circle(f64), poly(list<{point}>), pair(tuple<u8, u8>) }}");
    let scalars = "record { yes: bool, a: u8, b: u16, c: u32, d: u64, e: s8, f: s16, g: s32, h: s64, letter: char, word: string }";
    let expected = [
        ("nothing", "func()".to_owned()),
        ("ints", "func(a: u8, b: u16, c: u32, d: u64, e: s8, f: s16, g: s32, h: s64) -> bool".to_owned()),
        ("floats", "func(x: f32) -> f64".to_owned()),
        ("texts", "func(c: char) -> string".to_owned()),
        (
            "named",
            format!(
                "func(n: {nested}, s: {shape}, g: enum {{ low, HIGH-er }}, r: flags {{ read, write }}, e: record {{ n: u64 }}) -> {scalars}"
            ),
        ),
        (
            "containers",
            "async func(t: tuple<u8, f32>, o: option<option<char>>, m: map<string, list<u8>>, x: list<u16, 4>)".to_owned(),
        ),
        ("r0", "func(fail: bool) -> result".to_owned()),
        ("r1", "func() -> result<u8>".to_owned()),
        ("r2", "func(fail: bool) -> result<_, string>".to_owned()),
        ("r3", format!("async func(p: {point}) -> result<{point}, variant {{ not-found, other(string) }}>")),
        ("bytes", "func(data: list<u8>, more: option<list<u8>>) -> list<u8>".to_owned()),
        ("clashes", "func(call: u8, context: u8, provider: u8, args: u8, error: u8, self: u8, async: u8) -> u8".to_owned()),
        ("new", "func(new: u8) -> u8".to_owned()),
        ("loop", "func() -> record { single: f32, double: f64 }".to_owned()),
    ];
    for (name, text) in expected {
        let function = INTERFACE
            .functions()
            .iter()
            .find(|function| function.name == name)
            .expect(name);
        assert_eq!(function.signature, text, "{name}");
    }
}

#[test]
fn function_keys_are_those_of_lattice_core() {
    let mut count = 0;
    let interfaces: Vec<&Interface> = World::EXPORTS
        .iter()
        .chain(World::IMPORTS)
        .copied()
        .collect();
    for interface in interfaces {
        let name = InterfaceName::new(interface.name()).expect("valid");
        for function in interface.functions() {
            let key = FunctionKey::new(
                &name,
                &FunctionName::new(function.name).expect("valid"),
                function.signature,
            );
            assert_eq!(FunctionKey(function.key), key, "{name} {}", function.name);
            count += 1;
        }
    }
    assert_eq!(count, 2 * (INTERFACE.functions().len() + 1));
}

#[test]
fn interfaces_used_only_for_their_types_are_neither_exported_nor_imported() {
    let names = |interfaces: &[&Interface]| {
        interfaces
            .iter()
            .map(|i| i.name().to_owned())
            .collect::<BTreeSet<_>>()
    };
    let expected = ["test:every/mod@0.2.3", "test:every/values@0.2.3"].map(str::to_owned);
    assert_eq!(names(World::EXPORTS), BTreeSet::from(expected.clone()));
    assert_eq!(names(World::IMPORTS), BTreeSet::from(expected));
    let extra: Extra = test::extra::more::Extra { n: 1 };
    assert_eq!(extra.n, 1);
}
