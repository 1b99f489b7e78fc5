//! Values: the encoding, and the inputs that decoding rejects.

use bytes::Bytes;
use lattice_core::value::{ValueError, from_bytes, to_bytes};
use proptest::prelude::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    id: u32,
    tags: Vec<String>,
    raw: Bytes,
    shape: Option<Shape>,
    pair: (i16, char),
    table: BTreeMap<u16, i64>,
    fixed: [u8; 3],
    marker: Marker,
    wide: (u128, i128, i32, u64),
    outcome: Result<bool, i8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Marker;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Name(String);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    Circle(u8),
    Box(u8, u8),
    Named { name: Name },
}

fn any_shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Empty),
        any::<u8>().prop_map(Shape::Circle),
        any::<(u8, u8)>().prop_map(|(w, h)| Shape::Box(w, h)),
        any::<String>().prop_map(|name| Shape::Named { name: Name(name) }),
    ]
}

fn any_record() -> impl Strategy<Value = Record> {
    let lists = (
        prop::collection::vec(any::<String>(), 0..4),
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::btree_map(any::<u16>(), any::<i64>(), 0..5),
    );
    let scalars = any::<(u32, i16, char, [u8; 3], u128, i128, i32, u64)>();
    let outcome = any::<Result<bool, i8>>();
    (lists, scalars, prop::option::of(any_shape()), outcome).prop_map(
        |((tags, raw, table), n, shape, outcome)| Record {
            id: n.0,
            tags,
            raw: raw.into(),
            shape,
            pair: (n.1, n.2),
            table,
            fixed: n.3,
            marker: Marker,
            wide: (n.4, n.5, n.6, n.7),
            outcome,
        },
    )
}

fn golden<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, hex: &str) {
    let bytes = to_bytes(value).expect("encodes");
    assert_eq!(hex::encode(&bytes), hex, "{value:?}");
    assert_eq!(from_bytes::<T>(&bytes).as_ref(), Ok(value));
}

#[test]
fn golden_values() {
    golden(&(), "");
    golden(&(7_u8,), "07");
    golden(&(-1_i8, true, 300_u16, -300_i32), "ff01ac02d704");
    golden(
        &(u64::MAX, i64::MIN),
        "ffffffffffffffffff01ffffffffffffffffff01",
    );
    golden(&u128::MAX, "ffffffffffffffffffffffffffffffffffff03");
    golden(&(1.5_f32, -2.0_f64), "0000c03f00000000000000c0");
    golden(&('a', '€'), "016103e282ac");
    golden(
        &("é".to_owned(), Bytes::from_static(b"\0\xff")),
        "02c3a90200ff",
    );
    golden(&(None::<u8>, Some(5_u8)), "000105");
    golden(
        &(Ok::<u8, String>(1), Err::<u8, _>("no".to_owned())),
        "000101026e6f",
    );
    golden(&vec![1_u32, 128], "02018001");
    golden(&[1_u32, 128], "018001");
    golden(&BTreeMap::from([(1_u8, true), (2, false)]), "0201010200");
    golden(&(Shape::Empty, Shape::Box(1, 2)), "00020102");
    golden(
        &Shape::Named {
            name: Name("n".to_owned()),
        },
        "03016e",
    );
}

#[test]
fn the_bits_of_a_nan_are_preserved() {
    for bits in [0x7fc0_0001, 0xffc0_1234, 0x7f80_0001_u32] {
        let bytes = to_bytes(&f32::from_bits(bits)).expect("encodes");
        assert_eq!(from_bytes::<f32>(&bytes).expect("a float").to_bits(), bits);
    }
}

fn refused<T: DeserializeOwned + Debug>(hex: &str) -> ValueError {
    let bytes = Bytes::from(hex::decode(hex).expect("hex"));
    from_bytes::<T>(&bytes).expect_err(hex)
}

#[test]
fn a_value_has_one_encoding() {
    use ValueError::*;
    for hex in ["8000", "808000", "ffff04", "80808000", "ff7f00ff"] {
        let error = refused::<u16>(hex);
        assert!(
            matches!(error, BadInteger | TrailingBytes { .. }),
            "{hex} {error}"
        );
    }
    assert_eq!(refused::<u16>("8000"), BadInteger);
    assert_eq!(refused::<u16>("808004"), BadInteger);
    assert_eq!(refused::<u32>("8080808010"), BadInteger);
    assert_eq!(refused::<u64>("80808080808080808002"), BadInteger);
    assert_eq!(refused::<i64>("8100"), BadInteger);
    assert_eq!(
        refused::<u128>("80808080808080808080808080808080808004"),
        BadInteger
    );
    assert_eq!(refused::<u128>("8000"), BadInteger);
    assert_eq!(refused::<String>("810061"), BadInteger);
    assert_eq!(refused::<Shape>("8000"), BadInteger);
    assert_eq!(refused::<bool>("02"), BadBool { found: 2 });
    assert_eq!(refused::<Option<u8>>("0205"), BadBool { found: 2 });
    assert_eq!(refused::<char>("026162"), BadChar);
    assert_eq!(refused::<char>("00"), BadChar);
    assert_eq!(refused::<char>("03eda080"), BadChar);
    assert_eq!(refused::<String>("01ff"), BadText);
    assert_eq!(refused::<()>("00"), TrailingBytes { count: 1 });
    assert_eq!(refused::<u8>("0102"), TrailingBytes { count: 1 });
    assert!(matches!(refused::<Shape>("04"), Invalid { .. }));
}

#[test]
fn truncated_values_return_an_error() {
    use ValueError::*;
    assert_eq!(refused::<u8>(""), Truncated);
    assert_eq!(refused::<u32>("80"), Truncated);
    assert_eq!(refused::<f64>("00000000000000"), Truncated);
    assert_eq!(refused::<String>("0561"), Truncated);
    assert_eq!(refused::<Bytes>("ffffffffffffffffff0100"), Truncated);
    assert_eq!(refused::<Vec<u8>>("0201"), BadCount { count: 2 });
    assert_eq!(refused::<(u8, u8)>("01"), Truncated);
}

#[test]
fn counts_are_bounded_by_the_bytes() {
    let count = u64::MAX;
    assert_eq!(
        refused::<Vec<String>>("ffffffffffffffffff01"),
        ValueError::BadCount { count }
    );
    let error = refused::<BTreeMap<u8, u8>>("ffffffffffffffffff0101");
    assert_eq!(error, ValueError::BadCount { count });
    // A list of units has no bytes that would bound its count.
    assert_eq!(
        refused::<Vec<()>>("0a00000000000000000000"),
        ValueError::Weightless
    );
    assert!(matches!(
        refused::<Vec<Marker>>("05"),
        ValueError::BadCount { .. }
    ));
    golden(&Vec::<()>::new(), "00");
}

/// The capacity of a list grows step by step, and little of it is unused at the end.
#[test]
fn a_decoded_list_has_no_spare_capacity() {
    for length in [0, 1, 5, 256, 257, 1_000, 65_537, 1_200_000_usize] {
        let bytes = to_bytes(&vec![7_u8; length]).expect("encodes");
        let list = from_bytes::<Vec<u8>>(&bytes).expect("decodes");
        assert_eq!(list.len(), length);
        let spare = list.capacity() - length;
        assert!(spare <= 8 + length / 128, "{spare} for {length}");
    }
}

#[test]
fn duplicate_map_keys_are_rejected() {
    assert_eq!(
        refused::<BTreeMap<u8, u8>>("0201010102"),
        ValueError::DuplicateKey
    );
    let error = refused::<HashMap<String, u8>>("03016101016202016103");
    assert_eq!(error, ValueError::DuplicateKey);
    // Among many keys in any order, and next to a nested map with the same keys.
    let of = |keys: Vec<u16>| {
        let entries: Vec<_> = keys.iter().map(|key| (key, [(key, key)])).collect();
        let entries = entries
            .iter()
            .map(|(key, inner)| (key, &inner[..]))
            .collect::<Vec<_>>();
        let bytes = to_bytes(&entries).expect("encodes");
        let map = from_bytes::<BTreeMap<u16, BTreeMap<u16, u16>>>(&bytes);
        map.map(|map| map.len())
    };
    assert_eq!(of((0..5_000).rev().collect()), Ok(5_000));
    assert_eq!(
        of((0..5_000).chain([3]).collect()),
        Err(ValueError::DuplicateKey)
    );
    assert_eq!(
        refused::<BTreeMap<u8, BTreeMap<u8, u8>>>("020102010101020200"),
        ValueError::DuplicateKey
    );
    // Keys without bytes are all equal, and no count would bound them.
    assert_eq!(
        refused::<BTreeMap<(), u8>>("020000"),
        ValueError::DuplicateKey
    );
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Tree(Vec<Tree>);

#[derive(Debug, Serialize, Deserialize)]
enum Chain {
    End,
    Next(Box<Chain>),
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only ever decoded")]
struct Endless(Box<Endless>);

#[test]
fn nesting_is_bounded() {
    let deep = Bytes::from(vec![1; 1 << 20]);
    let limit = 128;
    assert_eq!(
        from_bytes::<Tree>(&deep),
        Err(ValueError::TooDeep { limit })
    );
    let chain = from_bytes::<Chain>(&deep).expect_err("too deep");
    assert_eq!(chain, ValueError::TooDeep { limit });
    let endless = from_bytes::<Endless>(&Bytes::new()).expect_err("no end");
    assert_eq!(endless, ValueError::TooDeep { limit });
    let mut tree = Tree(vec![]);
    for _ in 0..60 {
        tree = Tree(vec![tree]);
    }
    assert_eq!(from_bytes(&to_bytes(&tree).expect("encodes")), Ok(tree));
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
#[expect(dead_code, reason = "only ever decoded")]
enum Untagged {
    Number(u8),
}

#[test]
fn self_describing_types_are_rejected() {
    assert_eq!(refused::<Untagged>("01"), ValueError::NeedsTypes);
    assert_eq!(refused::<serde_json::Value>("01"), ValueError::NeedsTypes);
}

#[test]
fn unencodable_values_return_an_error() {
    let unsized_list = std::iter::repeat_n(1_u8, 3).filter(|n| *n > 0);
    struct Lazy<I>(std::cell::RefCell<I>);
    impl<I: Iterator<Item = u8>> Serialize for Lazy<I> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(&mut *self.0.borrow_mut())
        }
    }
    let error = to_bytes(&Lazy(unsized_list.into())).expect_err("no length");
    assert!(matches!(error, ValueError::Unencodable { .. }), "{error}");
}

/// Checks that both decode the bytes, or that ours rejects them: ours is postcard without
/// alternative encodings of a value.
fn compare<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let ours = from_bytes::<T>(&Bytes::copy_from_slice(bytes));
    if let Ok(value) = &ours {
        let theirs = postcard::from_bytes::<T>(bytes).expect("postcard reads it too");
        assert_eq!(value, &theirs);
        // A value has one encoding, so the decoded value encodes to the same bytes.
        assert_eq!(to_bytes(value).expect("encodes"), bytes);
    }
}

proptest! {
    #[test]
    fn values_have_the_encoding_of_postcard(record in any_record()) {
        let bytes = to_bytes(&record).expect("encodes");
        prop_assert_eq!(&bytes, &postcard::to_stdvec(&record).expect("encodes"));
        prop_assert_eq!(from_bytes::<Record>(&bytes), Ok(record));
    }

    #[test]
    fn a_truncated_value_is_rejected(record in any_record(), at in any::<prop::sample::Index>()) {
        let bytes = to_bytes(&record).expect("encodes");
        let cut = bytes.slice(..at.index(bytes.len()));
        prop_assert!(from_bytes::<Record>(&cut).is_err());
    }

    #[test]
    fn a_damaged_value_is_rejected_or_decodes_to_another_value(
        record in any_record(),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let mut bytes = to_bytes(&record).expect("encodes").to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        if let Ok(other) = from_bytes::<Record>(&bytes.clone().into()) {
            prop_assert_ne!(other, record);
        }
    }

    #[test]
    fn any_bytes_decode_as_by_postcard_or_are_rejected(
        bytes in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>(), 0x7e..0x82_u8], 0..24),
    ) {
        compare::<u16>(&bytes);
        compare::<i32>(&bytes);
        compare::<u64>(&bytes);
        compare::<i128>(&bytes);
        compare::<char>(&bytes);
        compare::<String>(&bytes);
        compare::<Vec<u16>>(&bytes);
        compare::<Vec<Shape>>(&bytes);
        compare::<(bool, Option<u8>, Vec<String>)>(&bytes);
        compare::<Result<Vec<i64>, Bytes>>(&bytes);
        compare::<Record>(&bytes);
    }
}
