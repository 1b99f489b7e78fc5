//! Wire bytes that aren't a value of their type. Each is refused for its own reason, before a guest
//! sees it.

use super::super::{GuestBytes, ValueError};
use super::Guest;
use super::guests::{Function, Strings, forward};
use super::types::{Ty, list, option};

fn guest(params: Vec<Ty>) -> Guest {
    Guest::new(&forward(
        &Function {
            async_type: false,
            params,
            result: None,
        },
        Strings::Utf8,
    ))
}

fn validate(ty: &Ty, wire: &[u8]) -> Result<GuestBytes, ValueError> {
    guest(vec![ty.clone()]).export.validate_params(wire)
}

fn map(key: Ty, value: Ty) -> Ty {
    Ty::Map(Box::new(key), Box::new(value))
}

fn assert_refused(rows: &[(Ty, &[u8], ValueError)]) {
    for (ty, wire, error) in rows {
        assert_eq!(validate(ty, wire), Err(error.clone()), "{ty:?} {wire:?}");
    }
}

#[test]
fn malformed_numbers_and_texts_are_refused() {
    use ValueError::*;
    let cut = |at| Truncated { at };
    let length = |at, length, left| Length { at, length, left };
    assert_refused(&[
        (Ty::Bool, &[2], Bool { at: 1, byte: 2 }),
        (Ty::Bool, &[], cut(0)),
        (Ty::U8, &[], cut(0)),
        (Ty::U8, &[1, 2, 3], Trailing { at: 1, left: 2 }),
        // Integers: too long, too large, cut short.
        (Ty::U16, &[0x80, 0], Overlong { at: 2 }),
        (Ty::U16, &[0xff, 0x80, 0], Overlong { at: 3 }),
        (Ty::U16, &[0xff, 0xff, 4], Integer { at: 3, bits: 16 }),
        (Ty::U16, &[0xff, 0xff, 0x83, 0], Integer { at: 4, bits: 16 }),
        (Ty::U16, &[0x80], cut(1)),
        (Ty::S16, &[0xff, 0xff, 4], Integer { at: 3, bits: 16 }),
        (
            Ty::U32,
            &[0xff, 0xff, 0xff, 0xff, 0x10],
            Integer { at: 5, bits: 32 },
        ),
        (
            Ty::S32,
            &[0xff, 0xff, 0xff, 0xff, 0x1f],
            Integer { at: 5, bits: 32 },
        ),
        (Ty::U32, &[0x80, 0x80, 0x80, 0x80, 0], Overlong { at: 5 }),
        (Ty::U64, &[0xff; 9], cut(9)),
        (Ty::U64, &[0xff; 10], Integer { at: 10, bits: 64 }),
        (
            Ty::U64,
            &[255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
            Integer { at: 10, bits: 64 },
        ),
        (
            Ty::S64,
            &[128, 128, 128, 128, 128, 128, 128, 128, 128, 0],
            Overlong { at: 10 },
        ),
        (Ty::F32, &[0; 3], cut(3)),
        (Ty::F64, &[0; 9], Trailing { at: 8, left: 1 }),
        // Text.
        (Ty::Char, &[0], Char { at: 1 }),
        (Ty::Char, &[2, b'a', b'b'], Char { at: 3 }),
        (Ty::Char, &[3, 0xed, 0xa0, 0x80], Utf8 { at: 4 }),
        (Ty::Char, &[4, 0xf4, 0x90, 0x80, 0x80], Utf8 { at: 5 }),
        (Ty::Char, &[1], length(1, 1, 0)),
        (Ty::String, &[5, b'a'], length(1, 5, 1)),
        (Ty::String, &[2, 0xc3, 0x28], Utf8 { at: 3 }),
        (Ty::String, &[2, 0xc0, 0x80], Utf8 { at: 3 }),
        (Ty::String, &[0x80, 0], Overlong { at: 2 }),
    ]);
}

#[test]
fn malformed_cases_and_flags_are_refused() {
    use ValueError::*;
    let cut = |at| Truncated { at };
    assert_refused(&[
        // Cases.
        (
            Ty::Enum(3),
            &[3],
            Case {
                at: 1,
                case: 3,
                cases: 3,
            },
        ),
        (
            Ty::Enum(300),
            &[0xac, 2],
            Case {
                at: 2,
                case: 300,
                cases: 300,
            },
        ),
        (Ty::Enum(300), &[0x81, 0], Overlong { at: 2 }),
        (Ty::Variant(vec![None, Some(Ty::U8)]), &[1], cut(1)),
        (
            Ty::Variant(vec![None, Some(Ty::U8)]),
            &[9],
            Case {
                at: 1,
                case: 9,
                cases: 2,
            },
        ),
        (
            option(Ty::U32),
            &[2, 0],
            Case {
                at: 1,
                case: 2,
                cases: 2,
            },
        ),
        (
            Ty::Result(None, None),
            &[7],
            Case {
                at: 1,
                case: 7,
                cases: 2,
            },
        ),
        // Flags.
        (Ty::Flags(3), &[8], Flags { at: 1, labels: 3 }),
        (Ty::Flags(9), &[0x80, 4], Flags { at: 2, labels: 9 }),
        (Ty::Flags(16), &[0xff, 0xff, 4], Integer { at: 3, bits: 16 }),
        (Ty::Flags(17), &[0x80, 0x80, 8], Flags { at: 3, labels: 17 }),
        (Ty::Flags(8), &[0xff, 1], Trailing { at: 1, left: 1 }),
    ]);
}

#[test]
fn malformed_lists_and_maps_are_refused() {
    use ValueError::*;
    let cut = |at| Truncated { at };
    let length = |at, length, left| Length { at, length, left };
    let pair = Ty::Record(vec![Ty::U8, Ty::String]);
    assert_refused(&[
        // Lists and maps.
        (list(Ty::U8), &[3, 1, 2], length(1, 3, 2)),
        (list(Ty::F64), &[2, 0, 0, 0, 0, 0, 0, 0, 0], length(1, 2, 8)),
        (list(pair.clone()), &[2, 1, 0, 1], length(1, 2, 3)),
        (list(list(Ty::Bool)), &[2, 1, 2, 0], Bool { at: 3, byte: 2 }),
        (
            list(Ty::String),
            &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            length(10, u64::MAX, 0),
        ),
        (Ty::FixedList(Box::new(Ty::U16), 3), &[1, 2], cut(2)),
        (map(Ty::U8, Ty::U8), &[2, 1, 5], length(1, 2, 2)),
        (
            map(Ty::String, Ty::Bool),
            &[2, 1, b'k', 0, 1, b'k', 1],
            DuplicateKey { at: 7 },
        ),
        // The remaining entries of the outer map leave no room for that many in the inner one.
        (
            map(Ty::U8, map(Ty::U8, Ty::U8)),
            &[3, 1, 2, 9, 9, 8, 8, 2],
            length(3, 2, 5),
        ),
        (
            map(Ty::U8, map(Ty::U8, Ty::U8)),
            &[2, 1, 2, 9, 9, 9, 8, 2, 0],
            DuplicateKey { at: 7 },
        ),
        (pair, &[1, 1], length(2, 1, 0)),
    ]);
}

/// Checks many keys of every form, in any order: when all are different, and when one repeats.
#[test]
fn a_repeated_key_is_refused_for_keys_of_every_form() {
    let keys: Vec<u8> = (0..=255).rev().collect();
    let numbers = (0..3_000_u32).map(|n| n.wrapping_mul(7_919) % 3_001);
    let texts = (0..3_000_u32).map(|n| (n % 1_000 * 3 + n / 1_000).to_string());
    let chars = ('a'..='z').rev().chain('α'..='ω').chain('0'..='9');
    for (ty, keys) in [
        (Ty::U8, encoded_keys(keys.iter())),
        (Ty::Bool, encoded_keys([true, false].iter())),
        (Ty::U32, encoded_keys(numbers.clone())),
        (Ty::S64, encoded_keys(numbers.map(|n| 1_500 - i64::from(n)))),
        (Ty::String, encoded_keys(texts)),
        (Ty::Char, encoded_keys(chars)),
    ] {
        let guest = guest(vec![map(ty.clone(), Ty::Bool)]);
        let wire = |keys: &[Vec<u8>]| {
            let entries: Vec<u8> = keys
                .iter()
                .flat_map(|key| [&key[..], &[1]].concat())
                .collect();
            [postcard::to_stdvec(&keys.len()).expect("encodes"), entries].concat()
        };
        let valid = guest.export.validate_params(&wire(&keys));
        assert!(valid.is_ok(), "{ty:?}: {valid:?}");
        for again in [0, keys.len() / 2, keys.len() - 1] {
            let twice = wire(&[&keys[..], &keys[again..=again]].concat());
            assert_eq!(
                guest.export.validate_params(&twice),
                Err(ValueError::DuplicateKey { at: twice.len() }),
                "{ty:?}"
            );
        }
    }
}

fn encoded_keys<T: serde::Serialize>(keys: impl Iterator<Item = T>) -> Vec<Vec<u8>> {
    keys.map(|key| postcard::to_stdvec(&key).expect("encodes"))
        .collect()
}

#[test]
fn results_are_checked_like_parameters() {
    let function = Function {
        async_type: true,
        params: vec![],
        result: Some(Ty::U16),
    };
    let plan = Guest::new(&forward(&function, Strings::Utf8)).export;
    assert_eq!(plan.validate_results(&[0xff, 1]), Ok(GuestBytes(0)));
    assert_eq!(
        plan.validate_results(&[0xff]),
        Err(ValueError::Truncated { at: 1 })
    );
    assert_eq!(
        plan.validate_params(&[1]),
        Err(ValueError::Trailing { at: 0, left: 1 })
    );
    let nothing = Function {
        async_type: false,
        params: vec![],
        result: None,
    };
    let plan = Guest::new(&forward(&nothing, Strings::Utf8)).export;
    assert_eq!(plan.validate_results(&[]), Ok(GuestBytes(0)));
    assert_eq!(
        plan.validate_results(&[0]),
        Err(ValueError::Trailing { at: 0, left: 1 })
    );
}

#[test]
fn the_memory_that_a_value_takes_is_computed_from_its_bytes() {
    let big = Ty::FixedList(Box::new(Ty::U64), 1000);
    let rarely_big = Ty::Variant(vec![None, Some(big)]);
    let wire = [&[0xe8, 7][..], &[0; 1000]].concat();
    assert_eq!(
        validate(&list(rarely_big), &wire),
        Ok(GuestBytes(1000 * 8008))
    );
    assert_eq!(validate(&Ty::String, &[2, b'h', b'i']), Ok(GuestBytes(2)));
    let words = [2, 1, b'a', 2, b'b', b'c'];
    assert_eq!(
        validate(&list(Ty::String), &words),
        Ok(GuestBytes(2 * 8 + 3))
    );
    // A map's entries are tuples. The reported size is never less than they take.
    let entries = validate(&map(Ty::U8, Ty::U64), &[2, 1, 0, 2, 0]);
    assert!(entries.is_ok_and(|bytes| bytes >= GuestBytes(2 * 16)));
}

/// The deepest type that a plan takes, with a value of every depth.
#[test]
fn nesting_is_bounded_by_the_type() {
    let deep = (0..60).fold(Ty::U8, |inner, _| option(inner));
    let guest = guest(vec![deep]);
    for depth in 0..60 {
        let wire = [vec![1; depth], vec![0]].concat();
        assert_eq!(
            guest.export.validate_params(&wire),
            Ok(GuestBytes(0)),
            "{depth}"
        );
    }
    assert!(guest.export.validate_params(&[1; 60]).is_err());
    assert!(guest.export.validate_params(&[1; 61]).is_ok());
}
