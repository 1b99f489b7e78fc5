//! Reading fields from the front of an envelope.

use super::{EnvelopeError, Names};
use crate::name::{ComponentId, NameError};
use bytes::{Buf, Bytes};

/// Takes the first `length` bytes, without a copy.
pub(super) fn take(rest: &mut Bytes, length: usize) -> Result<Bytes, EnvelopeError> {
    if rest.len() < length {
        return Err(EnvelopeError::Truncated);
    }
    Ok(rest.split_to(length))
}

/// Takes the first `N` bytes, copied.
pub(super) fn head<const N: usize>(rest: &mut Bytes) -> Result<[u8; N], EnvelopeError> {
    let head = *rest.first_chunk().ok_or(EnvelopeError::Truncated)?;
    rest.advance(N);
    Ok(head)
}

/// Takes a name of `length` bytes.
pub(super) fn name<T>(
    rest: &mut Bytes,
    length: u8,
    parse: impl FnOnce(&str) -> Result<T, NameError>,
) -> Result<T, EnvelopeError> {
    let length = usize::from(length);
    let text = rest.get(..length).ok_or(EnvelopeError::Truncated)?;
    // No name may have a replacement character, so bytes that aren't UTF-8 break the rule too.
    let parsed = parse(&String::from_utf8_lossy(text))?;
    rest.advance(length);
    Ok(parsed)
}

/// Takes a component id of `length` bytes, shared with the last envelope that had it.
pub(super) fn component(
    rest: &mut Bytes,
    length: u8,
    names: &mut Names,
) -> Result<ComponentId, EnvelopeError> {
    let text = rest
        .get(..usize::from(length))
        .ok_or(EnvelopeError::Truncated)?;
    match names.find(text) {
        Ok(known) => {
            rest.advance(usize::from(length));
            Ok(known)
        }
        Err(place) => {
            let new = name(rest, length, ComponentId::new)?;
            *place = Some(new.clone());
            Ok(new)
        }
    }
}
