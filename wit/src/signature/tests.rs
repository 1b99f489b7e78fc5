use super::*;
use proptest::prelude::*;

/// One text for each production of the grammar.
const TYPES: [&str; 43] = [
    "bool",
    "s8",
    "u8",
    "s16",
    "u16",
    "s32",
    "u32",
    "s64",
    "u64",
    "f32",
    "f64",
    "char",
    "string",
    "record { id: u64, LONG-name: list<string> }",
    "record { list: string }",
    "record {}",
    "variant { none, circle(f64), rect(tuple<u32, u64>) }",
    "variant {}",
    "enum { low, HIGH-er }",
    "enum {}",
    "flags { read, write }",
    "flags {}",
    "tuple<u8, f32>",
    "tuple<>",
    "list<u8>",
    "list<option<s16>>",
    "list<u16, 4>",
    "list<u16, 0>",
    "list<u16, 4294967295>",
    "option<result>",
    "result",
    "result<u8>",
    "result<_, string>",
    "result<u8, enum { a }>",
    "map<string, list<u8>>",
    "own<wasi:io/streams/input-stream>",
    "borrow<wasi:io/streams/input-stream>",
    "stream",
    "stream<u8>",
    "future",
    "future<result<_, error-context>>",
    "error-context",
    "record { a: record { b: variant { c(flags { d }), e } }, f: map<u8, u8> }",
];

#[test]
fn every_type_is_parsed_and_printed_unchanged() {
    for text in TYPES {
        let ty: Type = text
            .parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(ty.to_string(), text);
        let function = format!("async func(first: {text}, second-ONE: {text}) -> {text}");
        let parsed: Function = function
            .parse()
            .unwrap_or_else(|error| panic!("{function}: {error}"));
        assert_eq!(parsed.to_string(), function);
        assert!(parsed.is_async);
        assert_eq!(parsed.params[1].name, "second-ONE");
        assert_eq!(
            (&parsed.params[0].ty, &parsed.result),
            (&ty, &Some(ty.clone()))
        );
    }
}

#[test]
fn a_function_without_parameters_and_result_has_a_signature() {
    let nothing: Function = "func()".parse().expect("a signature");
    let expected = Function {
        is_async: false,
        params: Vec::new(),
        result: None,
    };
    assert_eq!(nothing, expected);
    assert_eq!(expected.to_string(), "func()");
}

#[test]
fn handles_are_found_in_every_place() {
    let inner = ["own<a:b/c/r>", "borrow<a:b/c/r>", "stream", "future<u8>"];
    let outer = [
        "X",
        "record { a: u8, b: X }",
        "variant { a, b(u8), c(X) }",
        "tuple<u8, X>",
        "list<X>",
        "list<X, 4>",
        "option<X>",
        "result<X>",
        "result<_, X>",
        "result<u8, X>",
        "map<string, X>",
        "option<list<tuple<X>>>",
    ];
    let function = |text: &str| text.parse::<Function>().expect("a signature");
    for outer in outer {
        for inner in inner {
            let ty = outer.replace('X', inner);
            let taken = function(&format!("func(a: u8, b: {ty}) -> string"));
            let found = (taken.takes_handles(), taken.returns_handles());
            assert_eq!(found, (true, false), "{ty}");
            let returned = function(&format!("async func(own: u8) -> {ty}"));
            let found = (returned.takes_handles(), returned.returns_handles());
            assert_eq!(found, (false, true), "{ty}");
        }
        let plain = outer.replace('X', "enum { own, stream }");
        let plain = function(&format!("func(a: {plain}) -> {plain}"));
        assert!(
            !plain.takes_handles() && !plain.returns_handles(),
            "{outer}"
        );
    }
}

/// The first bytes of the plain hash of a text.
#[test]
fn golden_texts() {
    for (text, hash) in [
        ("func()", 0x4b2e_737e_44fe_f2d6),
        ("async func()", 0x4ebf_f82d_e9ea_cfe9),
        ("func(a: u32, b: string) -> u64", 0x6a07_789c_5ac6_af95_u64),
        (
            "async func(name: string, n: u32) -> result<record { id: u64, tags: list<string> }, \
             variant { not-found, other(string) }>",
            0xe6e8_b60d_274a_76ef,
        ),
        (
            "func(p: flags { read, write }, l: enum { low, high }, t: tuple<u8, f32>, \
             o: option<char>, m: map<string, list<u8>>, x: list<u16, 4>) -> result<_, string>",
            0x703d_7bd5_3773_5f7a,
        ),
    ] {
        let function: Function = text.parse().expect("a signature");
        let hashed = blake3::hash(function.to_string().as_bytes());
        assert_eq!(hashed.as_bytes()[..8], u64::to_be_bytes(hash), "{text}");
    }
}

#[test]
fn golden_keys() {
    let text = "func(key: string) -> option<list<u8>>";
    let get: Function = text.parse().expect("a signature");
    let key = get.key("wasi:keyvalue/store@0.2", "get");
    assert_eq!(key.to_le_bytes(), *b"\xcc\x72\xd5\xf4\x16\x90\x78\x37");
    assert_eq!(key, super::key("wasi:keyvalue/store@0.2", "get", text));
    assert_ne!(
        super::key("a:b/c", "get", ""),
        super::key("a:b/c", "ge", "t")
    );
}

#[test]
fn a_malformed_text_is_refused_with_the_position_of_the_fault() {
    use Expected::{Either, End, Length, Name, Text, Type};
    for (text, at, expected) in [
        ("", 0, Text("func(")),
        ("asyncfunc()", 0, Text("func(")),
        ("func (a: u8)", 0, Text("func(")),
        ("func(", 5, Name),
        ("func(a: u8, )", 12, Name),
        ("func(ä: u8)", 5, Name),
        ("func(a:u8)", 6, Text(": ")),
        ("func(a: u9)", 8, Type),
        ("func(a: )", 8, Type),
        ("func(a: u8,b: u8)", 10, Either(", ", ")")),
        ("func() ", 6, End),
        ("func() -> u8 ", 12, End),
        ("func() -> ", 10, Type),
        ("func(a: list<u8, 4294967296>)", 17, Length),
        ("func(a: list<u8, 04>)", 17, Length),
        ("func(a: list<u8, >)", 17, Length),
        ("func(a: list<u8, -1>)", 17, Length),
        ("func(a: list)", 12, Text("<")),
        ("func(a: list<>)", 13, Type),
        ("func(a: list<u8)", 15, Either(", ", ">")),
        ("func(a: option<u8, u8>)", 17, Text(">")),
        ("func(a: enum { a b })", 16, Either(", ", " }")),
        ("func(a: enum {  })", 15, Name),
        ("func(a: record { a })", 18, Text(": ")),
        ("func(a: record { a: u8, })", 24, Name),
        ("func(a: variant { a() })", 20, Type),
        ("func(a: variant { a(u8 })", 22, Text(")")),
        ("func(a: result<_>)", 15, Type),
        ("func(a: result<>)", 15, Type),
        ("func(a: result<_, _>)", 18, Type),
        ("func(a: map<u8>)", 14, Text(", ")),
        ("func(a: own<r>)", 13, Text(":")),
        ("func(a: own<a:b/c/d@1.0.0>)", 19, Text(">")),
        ("func(ask: ask) -> option<range-map>", 10, Type),
    ] {
        let error = text.parse::<Function>().expect_err(text);
        assert_eq!(error, SignatureError::Unexpected { at, expected }, "{text}");
        assert_eq!(error.at(), at);
    }
}

#[test]
fn errors_include_the_expected_item_and_the_position() {
    for (text, message) in [
        ("fn()", "expected `func(` at byte 0"),
        ("func(a: u9)", "expected a type at byte 8"),
        ("func(a: enum { a b })", "expected `, ` or ` }` at byte 16"),
        ("func(1)", "expected `: ` at byte 6"),
    ] {
        let error = text.parse::<Function>().expect_err(text);
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth| format!("{}u8{}", "list<".repeat(depth), ">".repeat(depth));
    let deepest = nested(MAX_DEPTH - 1);
    let ty: Type = deepest.parse().expect("a type");
    assert_eq!(ty.to_string(), deepest);
    let at = 5 * MAX_DEPTH;
    let too_deep = Err(SignatureError::TooDeep { at });
    assert_eq!(nested(MAX_DEPTH).parse::<Type>(), too_deep);
    assert_eq!("list<".repeat(100_000).parse::<Type>(), too_deep);
    let at = 10 + at;
    let endless = format!("func() -> {}", "list<".repeat(100_000));
    assert_eq!(
        endless.parse::<Function>(),
        Err(SignatureError::TooDeep { at })
    );
}

#[test]
fn length_is_bounded() {
    let name = |length| format!("func({}: u8)", "a".repeat(length - "func(: u8)".len()));
    assert!(name(MAX_BYTES).parse::<Function>().is_ok());
    let bytes = MAX_BYTES + 1;
    assert_eq!(
        name(bytes).parse::<Function>(),
        Err(SignatureError::TooLong { bytes })
    );
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z][a-zA-Z0-9-]{0,12}",
        prop::sample::select(vec!["list", "u8", "result", "async", "func", "record"])
            .prop_map(str::to_owned),
    ]
}

fn resource() -> impl Strategy<Value = String> {
    (name(), name(), name(), name())
        .prop_map(|(ns, package, interface, name)| format!("{ns}:{package}/{interface}/{name}"))
}

fn plain() -> impl Strategy<Value = Type> {
    use Type::{Bool, Char, F32, F64, S8, S16, S32, S64, U8, U16, U32, U64};
    let words = vec![
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
        Type::String,
    ];
    let names = || prop::collection::vec(name(), 0..5);
    prop_oneof![
        6 => prop::sample::select(words),
        1 => names().prop_map(Type::Enum),
        1 => names().prop_map(Type::Flags),
        1 => resource().prop_map(Type::Own),
        1 => resource().prop_map(Type::Borrow),
        1 => Just(Type::ErrorContext),
    ]
}

fn any_type() -> impl Strategy<Value = Type> {
    plain().prop_recursive(5, 32, 5, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let maybe = prop::option::of(boxed.clone());
        let case = (name(), prop::option::of(inner.clone()));
        let case = case.prop_map(|(name, ty)| Case { name, ty });
        prop_oneof![
            prop::collection::vec(field(inner.clone()), 0..5).prop_map(Type::Record),
            prop::collection::vec(case, 0..5).prop_map(Type::Variant),
            prop::collection::vec(inner, 0..5).prop_map(Type::Tuple),
            boxed.clone().prop_map(Type::List),
            (boxed.clone(), any::<u32>()).prop_map(|(ty, length)| Type::FixedList(ty, length)),
            boxed.clone().prop_map(Type::Option),
            (maybe.clone(), maybe.clone()).prop_map(|(ok, err)| Type::Result { ok, err }),
            (boxed.clone(), boxed).prop_map(|(key, value)| Type::Map(key, value)),
            maybe.clone().prop_map(Type::Stream),
            maybe.prop_map(Type::Future),
        ]
    })
}

fn field(ty: impl Strategy<Value = Type>) -> impl Strategy<Value = Field> {
    (name(), ty).prop_map(|(name, ty)| Field { name, ty })
}

fn any_function() -> impl Strategy<Value = Function> {
    let params = prop::collection::vec(field(any_type()), 0..4);
    (any::<bool>(), params, prop::option::of(any_type())).prop_map(|(is_async, params, result)| {
        Function {
            is_async,
            params,
            result,
        }
    })
}

/// Checks that a text that parses is the canonical text of its function.
fn check(text: &str) -> Result<(), TestCaseError> {
    match text.parse::<Function>() {
        Ok(function) => prop_assert_eq!(function.to_string(), text),
        Err(error) => prop_assert!(error.at() <= text.len(), "{}: {}", text, error),
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_printed_function_parses_as_the_same_function(function in any_function()) {
        let text = function.to_string();
        prop_assert_eq!(text.parse(), Ok(function));
    }

    #[test]
    fn a_truncated_text_is_refused_or_canonical(function in any_function(), cut: usize) {
        let text = function.to_string();
        check(&text[..cut % text.len()])?;
    }

    #[test]
    fn a_changed_text_is_refused_or_canonical(
        function in any_function(),
        at: usize,
        with in "[ -~]{0,3}",
        removed in 0..4_usize,
    ) {
        let mut text = function.to_string();
        let begin = at % text.len();
        let end = (begin + removed).min(text.len());
        text.replace_range(begin..end, &with);
        check(&text)?;
    }

    #[test]
    fn any_text_is_refused_or_canonical(text in "(async )?func\\(.{0,64}") {
        check(&text)?;
    }
}
