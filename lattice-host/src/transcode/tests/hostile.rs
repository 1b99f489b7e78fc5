//! Malicious guests: core code passes values that no toolchain would, as an argument of an import
//! and as a result of an export, flat and in memory, by the sync and the async ABI. All of these
//! must be refused in the same way, as wasmtime itself does.

use bytes::Bytes;
use wasmtime::component::Val;
use wasmtime::{Error, Result};

use super::super::LiftError;
use super::guests::{Function, Lowered, Strings, give, give_async, pass};
use super::types::{Ty, list, option};
use super::{Guest, Import, When, block_on, func, seen};

/// The initial memory of every guest here: text that is neither UTF-8 nor UTF-16, then a map with
/// the key 1 twice.
const DATA: [u8; 8] = [0xff, 0xdf, 0xfd, 0xdc, 1, 5, 1, 6];

/// Where a result in memory is.
const PLACE: u32 = 8;

/// One past the memory of every guest.
const END: u32 = 64 * 65536;

struct Case {
    ty: Ty,
    strings: Strings,
    /// The flat form.
    flat: Vec<u32>,
    /// The form in memory, for types that aren't returned flat.
    memory: Vec<u8>,
    /// The expected wire bytes or error.
    expected: Result<Vec<u8>, LiftError>,
}

fn scalar(ty: Ty, value: u32, expected: Result<Vec<u8>, LiftError>) -> Case {
    Case {
        ty,
        strings: Strings::Utf8,
        flat: vec![value],
        memory: vec![],
        expected,
    }
}

fn pointer(ty: Ty, strings: Strings, at: u32, length: u32, error: LiftError) -> Case {
    let memory = [at.to_le_bytes(), length.to_le_bytes()].concat();
    Case {
        ty,
        strings,
        flat: vec![at, length],
        memory,
        expected: Err(error),
    }
}

fn tagged(ty: Ty, memory: [u8; 2], flat: [u32; 2], expected: Result<Vec<u8>, LiftError>) -> Case {
    Case {
        ty,
        strings: Strings::Utf8,
        flat: flat.into(),
        memory: memory.into(),
        expected,
    }
}

fn cases() -> Vec<Case> {
    use LiftError::{Misaligned, OutOfBounds, Text};
    use Strings::{Latin1OrUtf16, Utf8, Utf16};
    let case = |case, cases| Err(LiftError::Case { case, cases });
    let misaligned = |align| Misaligned { align };
    let variant = Ty::Variant(vec![None, None, None]);
    vec![
        scalar(Ty::Char, 0x11_0000, Err(LiftError::Char(0x11_0000))),
        scalar(Ty::Char, 0xd800, Err(LiftError::Char(0xd800))),
        scalar(Ty::Char, u32::MAX, Err(LiftError::Char(u32::MAX))),
        scalar(Ty::Enum(2), 2, case(2, 2)),
        scalar(variant, 3, case(3, 3)),
        scalar(Ty::Result(None, None), 0xff, case(0xff, 2)),
        tagged(option(Ty::U8), [2, 0], [2, 0], case(2, 2)),
        tagged(Ty::Variant(vec![Some(Ty::U8)]), [1, 0], [1, 0], case(1, 1)),
        // Memory for strings.
        pointer(Ty::String, Utf8, END - 4, 100, OutOfBounds),
        pointer(Ty::String, Utf8, END + 1, 0, OutOfBounds),
        pointer(Ty::String, Utf8, 8, u32::MAX, OutOfBounds),
        pointer(Ty::String, Utf8, u32::MAX, u32::MAX, OutOfBounds),
        pointer(Ty::String, Utf8, 0, 4, Text),
        pointer(Ty::String, Utf16, 0, 1, Text),
        pointer(Ty::String, Utf16, 2, 1, Text),
        pointer(Ty::String, Utf16, 1, 1, misaligned(2)),
        pointer(Ty::String, Utf16, END - 2, 2, OutOfBounds),
        pointer(Ty::String, Utf16, 0, 0x8000_0000, OutOfBounds),
        pointer(Ty::String, Latin1OrUtf16, 0, 0x8000_0001, Text),
        pointer(Ty::String, Latin1OrUtf16, 1, 1, misaligned(2)),
        pointer(Ty::String, Latin1OrUtf16, END - 2, 3, OutOfBounds),
        pointer(Ty::String, Latin1OrUtf16, END - 2, 0x8000_0002, OutOfBounds),
        // Memory for lists and maps.
        pointer(list(Ty::U32), Utf8, 2, 1, misaligned(4)),
        pointer(list(Ty::U32), Utf8, 2, 0, misaligned(4)),
        pointer(list(Ty::U64), Utf8, 8, 0x2000_0001, OutOfBounds),
        pointer(list(Ty::U8), Utf8, END - 1, 2, OutOfBounds),
        pointer(
            list(Ty::Tuple(vec![Ty::U8, Ty::U64])),
            Utf8,
            0,
            u32::MAX,
            OutOfBounds,
        ),
        pointer(list(Ty::Char), Utf8, 0, 1, LiftError::Char(0xdcfd_dfff)),
        pointer(list(Ty::String), Utf8, 0, 1, OutOfBounds),
        pointer(
            list(Ty::Enum(3)),
            Utf8,
            4,
            2,
            LiftError::Case { case: 5, cases: 3 },
        ),
        pointer(
            Ty::Map(Box::new(Ty::U32), Box::new(Ty::U8)),
            Utf8,
            2,
            1,
            misaligned(4),
        ),
        pointer(
            Ty::Map(Box::new(Ty::U8), Box::new(Ty::U8)),
            Utf8,
            END - 3,
            2,
            OutOfBounds,
        ),
        // Unused bits are ignored.
        tagged(
            Ty::Tuple(vec![Ty::Bool, Ty::U8]),
            [2, 0xff],
            [2, 0x1ff],
            Ok(vec![1, 0xff]),
        ),
        scalar(Ty::Flags(2), 0xff, Ok(vec![3])),
        scalar(Ty::U16, 0x1_ffff, Ok(vec![0xff, 0xff, 3])),
        scalar(Ty::S8, 0xffff_ff80, Ok(vec![0x80])),
    ]
}

#[test]
fn arguments_of_imports_are_checked() {
    for case in cases() {
        for by in [Lowered::Sync, Lowered::Async] {
            let values: Vec<_> = case.flat.iter().copied().map(i32_const).collect();
            let text = pass(&case.ty, case.strings, &escape(&DATA), &values, by);
            let what = format!("{:?} {:x?} {by:?}", case.ty, case.flat);
            let raw = block_on(pass_raw(&Guest::new(&text)));
            assert_eq!(lifted(raw), case.expected, "{what}");
            let params = vec![case.ty.clone()];
            let function = Function {
                async_type: by == Lowered::Async,
                params,
                result: None,
            };
            let val = block_on(pass_val(&Guest::new(&text), function));
            assert_eq!(
                val.is_ok(),
                case.expected.is_ok(),
                "wasmtime itself: {what}"
            );
        }
    }
}

#[test]
fn results_of_sync_exports_are_checked() {
    for case in cases() {
        let data = escape(&[&DATA[..], &case.memory].concat());
        let value = if case.memory.is_empty() {
            case.flat[0]
        } else {
            PLACE
        };
        let text = give(&case.ty, case.strings, &data, &i32_const(value));
        check_result(&case, &text);
    }
}

#[test]
fn results_of_async_exports_are_checked() {
    for case in cases() {
        let values: Vec<_> = case.flat.iter().copied().map(i32_const).collect();
        let text = give_async(&case.ty, case.strings, &escape(&DATA), &values);
        check_result(&case, &text);
    }
}

#[test]
fn pointers_to_results_are_checked() {
    let pair = Ty::Tuple(vec![Ty::U32, Ty::String]);
    let many = Ty::Tuple(vec![Ty::U32; 17]);
    for (at, error) in [
        (2, LiftError::Misaligned { align: 4 }),
        (END - 8, LiftError::OutOfBounds),
        (END, LiftError::OutOfBounds),
        (u32::MAX - 3, LiftError::OutOfBounds),
    ] {
        let sync_lift = give(&pair, Strings::Utf8, "", &i32_const(at));
        let async_lift = give_async(&many, Strings::Utf8, "", &[i32_const(at)]);
        for text in [sync_lift, async_lift] {
            let raw = block_on(give_raw(&Guest::new(&text)));
            // Wasmtime refuses the end of memory before it calls this module.
            let refused = raw.map(drop).expect_err("a bad pointer");
            if at < END {
                assert_eq!(refused.downcast_ref(), Some(&error), "{at:#x}: {refused:?}");
            }
        }
    }
}

/// Wasmtime's dynamic values keep both entries. The wire format has no map with the same key twice.
#[test]
fn maps_that_repeat_a_key_are_refused() {
    let map = Ty::Map(Box::new(Ty::U8), Box::new(Ty::U8));
    let values = [i32_const(4), i32_const(2)];
    let text = pass(&map, Strings::Utf8, &escape(&DATA), &values, Lowered::Sync);
    assert_eq!(
        lifted(block_on(pass_raw(&Guest::new(&text)))),
        Err(LiftError::DuplicateKey)
    );
}

fn check_result(case: &Case, text: &str) {
    let what = format!("{:?} {:x?}", case.ty, case.flat);
    let raw = block_on(give_raw(&Guest::new(text)));
    assert_eq!(lifted(raw), case.expected, "{what}");
    let val = block_on(give_val(&Guest::new(text)));
    assert_eq!(
        val.is_ok(),
        case.expected.is_ok(),
        "wasmtime itself: {what}"
    );
}

/// Returns what the guest's import received.
async fn pass_raw(guest: &Guest) -> Result<Vec<u8>> {
    let (mut store, instance) = guest
        .instance(Import::Raw, Bytes::new(), When::AtOnce)
        .await?;
    guest.call(&mut store, &instance, &[]).await?;
    Ok(seen(&store).concat())
}

async fn pass_val(guest: &Guest, function: Function) -> Result<Vec<u8>> {
    let by = Import::Val(function);
    let (mut store, instance) = guest.instance(by, Bytes::new(), When::AtOnce).await?;
    guest.call(&mut store, &instance, &[]).await?;
    Ok(seen(&store).concat())
}

async fn give_raw(guest: &Guest) -> Result<Vec<u8>> {
    let (mut store, instance) = guest
        .instance(Import::Raw, Bytes::new(), When::AtOnce)
        .await?;
    guest.call(&mut store, &instance, &[]).await
}

async fn give_val(guest: &Guest) -> Result<Vec<Val>> {
    let (mut store, instance) = guest
        .instance(Import::Raw, Bytes::new(), When::AtOnce)
        .await?;
    let mut results = vec![Val::Bool(false)];
    func(&mut store, &instance)
        .call_async(&mut store, &[], &mut results)
        .await?;
    Ok(results)
}

fn lifted(result: Result<Vec<u8>, Error>) -> Result<Vec<u8>, LiftError> {
    result.map_err(|error| match error.downcast_ref::<LiftError>() {
        Some(lift) => lift.clone(),
        None => panic!("not refused by this module: {error:?}"),
    })
}

fn i32_const(value: u32) -> String {
    format!("i32.const {value:#x}")
}

fn escape(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}
