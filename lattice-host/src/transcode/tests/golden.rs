//! The wire format is that of `postcard` for serde types: serde writes it, a guest reads it, and it
//! is the same on its way back.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wasmtime::Result;

use super::guests::{Function, Strings, forward};
use super::types::{Ty, list, option};
use super::{Guest, Import, When, block_on, seen};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Circle(f32),
    Rect(u32, u64),
    Label(String),
    Letter(char),
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Level {
    Low,
    High,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    name: String,
    bytes: Vec<u8>,
    small: (u8, i8, bool),
    wide: (u16, i16, u32, i32, u64, i64),
    floats: (f32, f64),
    shapes: Vec<Shape>,
    level: Level,
    maybe: Option<Vec<String>>,
    outcome: Result<u64, String>,
    flags: (u8, u16, u32),
    fixed: [u16; 3],
    map: BTreeMap<String, i32>,
}

fn everything() -> Ty {
    use Ty::{Bool, Char, F32, F64, Flags, S8, S16, S32, S64, U8, U16, U32, U64};
    let rect = Ty::Tuple(vec![U32, U64]);
    let shape = Ty::Variant(vec![
        Some(F32),
        Some(rect),
        Some(Ty::String),
        Some(Char),
        None,
    ]);
    Ty::Record(vec![
        Ty::String,
        list(U8),
        Ty::Tuple(vec![U8, S8, Bool]),
        Ty::Tuple(vec![U16, S16, U32, S32, U64, S64]),
        Ty::Tuple(vec![F32, F64]),
        list(shape),
        Ty::Enum(2),
        option(list(Ty::String)),
        Ty::Result(Some(Box::new(U64)), Some(Box::new(Ty::String))),
        Ty::Tuple(vec![Flags(3), Flags(12), Flags(20)]),
        Ty::FixedList(Box::new(U16), 3),
        Ty::Map(Box::new(Ty::String), Box::new(S32)),
    ])
}

fn sample() -> Everything {
    Everything {
        name: "käse".into(),
        bytes: vec![0, 127, 128, 255],
        small: (200, -2, true),
        wide: (300, -300, 70_000, i32::MIN, u64::MAX, i64::MIN),
        floats: (f32::from_bits(0x7fa0_0001), -0.0),
        shapes: vec![
            Shape::Circle(1.5),
            Shape::Rect(1, 2),
            Shape::Label(String::new()),
            Shape::Letter('🦀'),
            Shape::Nothing,
        ],
        level: Level::High,
        maybe: Some(vec!["a".into(), "bc".into()]),
        outcome: Err("no".into()),
        flags: (0b101, 0b1000_0000_0001, 1 << 19),
        fixed: [1, 256, 65_535],
        map: BTreeMap::from([("x".into(), -1), ("y".into(), 64)]),
    }
}

#[test]
fn serde_types_cross_a_guest_unchanged() {
    let wire = postcard::to_stdvec(&sample()).unwrap();
    for async_type in [false, true] {
        let params = vec![everything(), Ty::Char];
        let function = Function {
            async_type,
            params,
            result: Some(everything()),
        };
        let guest = Guest::new(&forward(&function, Strings::Utf8));
        let sent = postcard::to_stdvec(&(sample(), 'é')).unwrap();
        let (received, returned) = block_on(cross(&guest, &sent, &wire)).unwrap();
        assert_eq!(received, [sent]);
        assert_eq!(returned, wire);
        let back: Everything = postcard::from_bytes(&returned).unwrap();
        assert_eq!(back.floats.0.to_bits(), 0x7fa0_0001);
        assert_eq!(
            Everything {
                floats: (0.0, 0.0),
                ..back
            },
            Everything {
                floats: (0.0, 0.0),
                ..sample()
            }
        );
    }
}

#[test]
fn the_encoding_has_not_changed() {
    let wire = postcard::to_stdvec(&sample()).unwrap();
    let expected: &[&[u8]] = &[
        b"\x05k\xc3\xa4se",
        b"\x04\x00\x7f\x80\xff",
        b"\xc8\xfe\x01",
        b"\xac\x02\xd7\x04\xf0\xa2\x04\xff\xff\xff\xff\x0f",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x01\x00\xa0\x7f\x00\x00\x00\x00\x00\x00\x00\x80",
        b"\x05\x00\x00\x00\xc0\x3f\x01\x01\x02\x02\x00\x03\x04\xf0\x9f\xa6\x80\x04",
        b"\x01\x01\x02\x01a\x02bc\x01\x02no",
        b"\x05\x81\x10\x80\x80\x20",
        b"\x01\x80\x02\xff\xff\x03",
        b"\x02\x01x\x01\x01y\x80\x01",
    ];
    assert_eq!(wire, expected.concat());
    let function = Function {
        async_type: false,
        params: vec![everything()],
        result: None,
    };
    let guest = Guest::new(&forward(&function, Strings::Utf8));
    guest.export.validate_params(&wire).unwrap();
}

async fn cross(guest: &Guest, sent: &[u8], reply: &[u8]) -> Result<(Vec<Vec<u8>>, Vec<u8>)> {
    let reply = Bytes::copy_from_slice(reply);
    let (mut store, instance) = guest.instance(Import::Raw, reply, When::Later).await?;
    let returned = guest.call(&mut store, &instance, sent).await?;
    Ok((seen(&store), returned))
}
