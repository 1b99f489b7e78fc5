//! Arguments and results of many types, among them those of the requests about handles.

use crate::allocation::{bounded_as, entry};
use bytes::Bytes;
use lattice_core::{
    call::CallError,
    value::{from_bytes, to_bytes},
    wire::{HandleAnswer, HandleRequest},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
};

#[derive(Debug, Serialize, Deserialize)]
struct Everything {
    id: u32,
    tags: Vec<String>,
    raw: Bytes,
    shape: Option<Shape>,
    pair: (i16, char),
    fixed: [u8; 3],
    marker: Marker,
    wide: (u128, i128, i32, u64),
    floats: (f32, f64),
    outcome: Result<bool, i8>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Marker;

#[derive(Debug, Serialize, Deserialize)]
enum Shape {
    Empty,
    Circle(u8),
    Box(u8, u16),
    Named { name: String },
}

#[derive(Debug, Serialize, Deserialize)]
struct Tree(Vec<Tree>);

#[derive(Debug, Serialize, Deserialize)]
enum Chain {
    End,
    Next(Box<Chain>),
}

/// Decodes any bytes as a value. The first byte selects the type.
pub fn value(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    let bytes = Bytes::copy_from_slice(rest);
    let of_string = size_of::<String>();
    // The sizes are what one byte of each type may become in memory. The smallest entry of these
    // maps has two bytes, and so has a char.
    match first % 22 {
        0 => like_postcard::<(u8, i8, bool, u16, i16)>(1, &bytes),
        1 => like_postcard::<(u32, i32, u64, i64)>(1, &bytes),
        2 => like_postcard::<(u128, i128)>(1, &bytes),
        3 => like_postcard::<(f32, f64, char, ())>(1, &bytes),
        4 => like_postcard::<String>(1, &bytes),
        5 => like_postcard::<(Bytes, Vec<u8>)>(1, &bytes),
        6 => like_postcard::<Vec<u64>>(size_of::<u64>(), &bytes),
        7 => like_postcard::<Vec<String>>(of_string, &bytes),
        8 => like_postcard::<Vec<Shape>>(size_of::<Shape>(), &bytes),
        9 => like_postcard::<Vec<Vec<Bytes>>>(size_of::<Bytes>(), &bytes),
        10 => like_postcard::<Option<Result<Vec<char>, String>>>(2, &bytes),
        11 => map::<BTreeMap<u16, Option<bool>>>(entry::<u16, Option<bool>>() / 2, &bytes),
        12 => map::<BTreeMap<String, Vec<i64>>>(entry::<String, Vec<i64>>() / 2, &bytes),
        // Its field `tags` takes the most.
        13 => like_postcard::<Everything>(of_string, &bytes),
        14 => like_postcard::<Vec<Everything>>(of_string, &bytes),
        15 => error(&bytes),
        16 => map::<HashMap<String, u8>>(entry::<String, u64>() / 2, &bytes),
        // Postcard doesn't bound the depth of nested values.
        17 => written::<Tree>(size_of::<Tree>(), &bytes),
        18 => written::<Chain>(1, &bytes),
        19 => written::<Vec<Marker>>(1, &bytes),
        // Their lists of numbers take the most.
        20 => like_postcard::<HandleRequest>(size_of::<u64>(), &bytes),
        _ => like_postcard::<HandleAnswer>(size_of::<u64>(), &bytes),
    }
}

fn decoded<T: DeserializeOwned>(size: usize, bytes: &Bytes) -> Option<T> {
    bounded_as(size, bytes.len(), || from_bytes::<T>(bytes)).ok()
}

/// Checks that a value that is read would be written as the same bytes.
fn written<T: Serialize + DeserializeOwned>(size: usize, bytes: &Bytes) {
    if let Some(value) = decoded::<T>(size, bytes) {
        assert_eq!(to_bytes(&value).expect("it was read"), bytes);
    }
}

/// Checks that a map that is read is the one that `postcard` reads. Its entries are accepted in any
/// order, so it has several encodings.
fn map<T>(size: usize, bytes: &Bytes)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    if let Some(map) = decoded::<T>(size, bytes) {
        assert_eq!(postcard::from_bytes(bytes).as_ref(), Ok(&map));
        let again = to_bytes(&map).expect("it was read");
        assert_eq!(again.len(), bytes.len());
        assert_eq!(from_bytes(&again), Ok(map));
    }
}

/// Checks that an error that is read is the one that `postcard` reads. A duration with more than a
/// second of nanoseconds is normalised, so it has several encodings.
fn error(bytes: &Bytes) {
    if let Some(error) = decoded::<CallError>(1, bytes) {
        assert_eq!(postcard::from_bytes(bytes).as_ref(), Ok(&error));
        let again = to_bytes(&error).expect("it was read");
        assert_eq!(from_bytes(&again), Ok(error));
    }
}

/// Checks that bytes are read exactly if `postcard` reads them too and would write the same.
fn like_postcard<T: Serialize + DeserializeOwned>(size: usize, bytes: &Bytes) {
    written::<T>(size, bytes);
    let ours = decoded::<T>(size, bytes).is_some();
    let theirs = postcard::take_from_bytes::<T>(bytes)
        .ok()
        .filter(|(_, rest)| rest.is_empty())
        .and_then(|(value, _)| postcard::to_stdvec(&value).ok())
        .is_some_and(|again| again == *bytes);
    assert_eq!(ours, theirs, "ours and postcard's");
}
