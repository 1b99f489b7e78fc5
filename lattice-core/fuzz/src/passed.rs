//! Values with handles, and the chunks of streams, as hosts exchange them.

use crate::allocation::bounded;
use bytes::{Buf as _, Bytes};
use lattice_core::{
    __private::{Assembly, Step},
    wire::{Fault, MAX_HANDLES, Parcel, Passed},
};

/// A name of two bytes becomes a value of up to so many.
const IN_MEMORY: usize = 128;

/// Decodes any bytes as a value with handles.
pub fn passed(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    let length = input.len().saturating_mul(IN_MEMORY);
    let Ok(passed) = bounded(length, || Passed::decode(bytes.clone())) else {
        return;
    };
    assert!(passed.names.len() <= MAX_HANDLES);
    let again = passed.encode().expect("encodes");
    assert_eq!(Passed::decode(again), Ok(passed));
}

/// Takes any bytes as the chunks of a stream.
///
/// Each chunk begins with its length, in one byte, and its count of elements.
pub fn stream(input: &[u8]) {
    let mut assembly = Assembly::default();
    let mut rest = Bytes::copy_from_slice(input);
    let mut taken = 0;
    while rest.len() >= 5 {
        let length = usize::from(rest.get_u8()).min(rest.len() - 4);
        let count = rest.get_u32_le();
        let bytes = rest.split_to(length);
        taken += length;
        assert!(assembly.size_with(length, count) <= taken);
        assert_eq!(Parcel::of(count).count(), count);
        match assembly.take(bytes, count) {
            Ok(Step::Partial) => continue,
            Ok(Step::Elements { count, bytes, .. }) => {
                assert!(count > 0 && bytes.len() <= taken);
            }
            Ok(Step::Broken(fault)) => {
                let again = fault.encode();
                assert_eq!(Fault::decode(&again).encode(), again);
            }
            Err(_) => return,
        }
        assert!(assembly.end().is_ok());
        taken = 0;
    }
}
