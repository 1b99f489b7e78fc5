//! The oracle for valid wire bytes: those that `postcard` reads and would write in the same way.

use crate::{engine::encoded, types::Ty, values::decode};
use serde::de::DeserializeOwned;
use wasmtime::component::Val;

/// Returns the value of type `ty` that takes all of `wire`.
pub(crate) fn read(ty: &Ty, wire: &[u8]) -> Option<Val> {
    let mut rest = wire;
    pass(ty, &mut rest)?;
    if !rest.is_empty() {
        return None;
    }
    // Bytes that are long enough and in range can be decoded. They are valid only if the value
    // would be written as the same bytes.
    let value = decode(ty, &mut &*wire);
    (encoded(ty, &value) == wire).then_some(value)
}

/// Skips one value, if there is one.
fn pass(ty: &Ty, wire: &mut &[u8]) -> Option<()> {
    match ty {
        Ty::Bool => take::<bool>(wire).map(drop),
        Ty::S8 | Ty::U8 => take::<u8>(wire).map(drop),
        Ty::S16 => take::<i16>(wire).map(drop),
        Ty::U16 => take::<u16>(wire).map(drop),
        Ty::S32 => take::<i32>(wire).map(drop),
        Ty::U32 => take::<u32>(wire).map(drop),
        Ty::S64 => take::<i64>(wire).map(drop),
        Ty::U64 => take::<u64>(wire).map(drop),
        Ty::F32 => take::<f32>(wire).map(drop),
        Ty::F64 => take::<f64>(wire).map(drop),
        Ty::Char => take::<char>(wire).map(drop),
        Ty::String => take::<String>(wire).map(drop),
        Ty::List(element) => {
            let length = take::<u64>(wire)?;
            (0..length).try_for_each(|_| pass(element, wire))
        }
        Ty::FixedList(element, length) => (0..*length).try_for_each(|_| pass(element, wire)),
        Ty::Map(key, value) => map(key, value, wire),
        Ty::Record(fields) | Ty::Tuple(fields) => {
            fields.iter().try_for_each(|field| pass(field, wire))
        }
        Ty::Variant(cases) => {
            let case = take::<u32>(wire)?;
            payload(cases.get(case as usize)?.as_ref(), wire)
        }
        Ty::Enum(cases) => (take::<u32>(wire)? < *cases).then_some(()),
        Ty::Option(some) => {
            let is_some = take::<bool>(wire)?;
            payload(is_some.then_some(&**some), wire)
        }
        Ty::Result(ok, err) => {
            let is_err = take::<bool>(wire)?;
            payload(if is_err { err } else { ok }.as_deref(), wire)
        }
        Ty::Flags(labels) => match labels {
            0..=8 => take::<u8>(wire).map(drop),
            9..=16 => take::<u16>(wire).map(drop),
            _ => take::<u32>(wire).map(drop),
        },
    }
}

/// Skips a map, if there is one without repeated keys. Each key has only one encoding.
fn map(key: &Ty, value: &Ty, wire: &mut &[u8]) -> Option<()> {
    let length = take::<u64>(wire)?;
    let mut keys = Vec::new();
    for _ in 0..length {
        let before = *wire;
        pass(key, wire)?;
        let spelling = &before[..before.len() - wire.len()];
        if keys.contains(&spelling) {
            return None;
        }
        keys.push(spelling);
        pass(value, wire)?;
    }
    Some(())
}

fn payload(ty: Option<&Ty>, wire: &mut &[u8]) -> Option<()> {
    ty.map_or(Some(()), |ty| pass(ty, wire))
}

fn take<V: DeserializeOwned>(wire: &mut &[u8]) -> Option<V> {
    let (value, rest) = postcard::take_from_bytes(wire).ok()?;
    *wire = rest;
    Some(value)
}
