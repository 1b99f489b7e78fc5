//! Reading fields off the front of an envelope.

use super::{EnvelopeError, Names};
use crate::name::{ComponentId, NameError};
use bytes::{Buf, Bytes};

/// The first `length` bytes, shared.
pub(super) fn take(rest: &mut Bytes, length: usize) -> Result<Bytes, EnvelopeError> {
    if rest.len() < length {
        return Err(EnvelopeError::Truncated);
    }
    Ok(rest.split_to(length))
}

/// The first `N` bytes, copied.
pub(super) fn head<const N: usize>(rest: &mut Bytes) -> Result<[u8; N], EnvelopeError> {
    let head = *rest.first_chunk().ok_or(EnvelopeError::Truncated)?;
    rest.advance(N);
    Ok(head)
}

/// A name of `length` bytes.
pub(super) fn name<T>(
    rest: &mut Bytes,
    length: u8,
    parse: impl FnOnce(&str) -> Result<T, NameError>,
) -> Result<T, EnvelopeError> {
    let length = usize::from(length);
    let text = rest.get(..length).ok_or(EnvelopeError::Truncated)?;
    // A replacement character is in no name, so bytes that are no text break the rule like any other.
    let parsed = parse(&String::from_utf8_lossy(text))?;
    rest.advance(length);
    Ok(parsed)
}

/// A component's id of `length` bytes, shared with the last envelope that held it.
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
