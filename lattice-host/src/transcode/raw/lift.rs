//! Converts guest memory to wire bytes.
//!
//! Everything from a guest is checked here, because wasmtime knows nothing about the type:
//! pointers, lengths, alignment, discriminants, characters and text.
//!
//! Each written byte costs one unit of the store's hostcall fuel, paid before it is written, so
//! that a guest can't make the host hold more than a few times its limit. The buffer may reserve up
//! to twice its length, and is copied when it grows. In addition, 4 bytes are kept for each entry
//! of a map, to record where its key begins. An entry pays for at least 2 bytes. A large value also
//! takes its bytes from the guest's [`Meter`](super::super::meter::Meter), before they are written.

use std::{slice, str};

use lattice_core::call::Part;
use wasmtime::ValRaw;
use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
use wasmtime::component::__internal::{ComponentTypes, InterfaceType, LiftContext};

use super::super::meter::{Charge, charged};
use super::super::scalar::{InvalidChar, Scalar, flags_size};
use super::super::wire::{put_flags, put_str, put_uint};
use super::handles::{Lifted, RawHandle};
use super::lift_error::LiftError;
use super::types::{Cases, Kind, Places};

/// Set in the length of a latin1+utf16 string that is in UTF-16.
const UTF16_TAG: u32 = 1 << 31;

/// Bytes that small values may accumulate before they are paid for.
const UNPAID: usize = 1024;

/// Lifts a parameter or result tuple from core values.
pub(super) fn from_flat(
    cx: &mut LiftContext<'_>,
    part: Part,
    ty: InterfaceType,
    values: &[ValRaw],
) -> Result<Lifted, LiftError> {
    let mut lifter = Lifter::new(cx, part);
    let lifted = lifter.flat(ty, &mut values.iter());
    lifter.refused(lifted)?;
    lifter.finish()
}

/// Lifts a parameter or result tuple from the guest's memory, starting at `at`.
pub(super) fn from_memory(
    cx: &mut LiftContext<'_>,
    part: Part,
    ty: InterfaceType,
    at: usize,
) -> Result<Lifted, LiftError> {
    let mut lifter = Lifter::new(cx, part);
    let abi = lifter.types.canonical_abi(&ty);
    lifter.block(at, abi.size32 as usize, abi.align32)?;
    let lifted = lifter.memory(ty, at);
    lifter.refused(lifted)?;
    lifter.finish()
}

/// Lifts `count` elements of a stream or future that lie one after the other at `at`.
pub(super) fn elements(
    cx: &mut LiftContext<'_>,
    ty: InterfaceType,
    at: usize,
    count: usize,
) -> Result<Lifted, LiftError> {
    let mut lifter = Lifter::new(cx, Part::Result);
    let abi = lifter.types.canonical_abi(&ty);
    let size = size_of_all(count, abi.size32 as usize)?;
    let block = lifter.block(at, size, abi.align32)?;
    if Kind::of(lifter.types, ty).number().is_some() {
        lifter.pay_for(block.len())?;
        lifter.wire.extend_from_slice(block);
    } else {
        lifter.elements(ty, at, count)?;
    }
    lifter.finish()
}

struct Lifter<'c, 'a> {
    cx: &'c mut LiftContext<'a>,
    types: &'a ComponentTypes,
    memory: &'a [u8],
    encoding: StringEncoding,
    wire: Vec<u8>,
    handles: Vec<RawHandle>,
    /// Wire bytes paid for, never more than the whole value has.
    paid: usize,
    charge: Charge,
}

impl<'c, 'a> Lifter<'c, 'a> {
    fn new(cx: &'c mut LiftContext<'a>, part: Part) -> Self {
        let encoding = cx.options().string_encoding;
        let (types, memory): (&'a ComponentTypes, _) = (cx.types, cx.memory());
        Self {
            cx,
            types,
            memory,
            encoding,
            wire: Vec::with_capacity(64),
            handles: Vec::new(),
            paid: 0,
            charge: Charge::new(part),
        }
    }

    fn finish(mut self) -> Result<Lifted, LiftError> {
        let paid = self.pay_for(0);
        self.refused(paid)?;
        Ok(Lifted {
            wire: charged(self.wire, self.charge),
            handles: self.handles,
        })
    }

    /// Returns another error for a value that is refused when handles of it were taken already: the
    /// guest can't go on without them.
    fn refused(&self, lifted: Result<(), LiftError>) -> Result<(), LiftError> {
        match lifted {
            Err(LiftError::TooLarge | LiftError::NoRoom) if !self.handles.is_empty() => {
                Err(LiftError::HandlesRefused)
            }
            lifted => lifted,
        }
    }

    fn handle(&mut self, ty: InterfaceType, index: u32) -> Result<(), LiftError> {
        self.wire.push(0);
        let handle = match Kind::of(self.types, ty) {
            Kind::Resource => RawHandle::lift_resource(self.cx, ty, index),
            Kind::Stream(payload) => RawHandle::lift_stream(self.cx, (ty, payload), index),
            Kind::Future(payload) => RawHandle::lift_future(self.cx, (ty, payload), index),
            _ => Err(LiftError::Unsupported),
        };
        self.handles.push(handle?);
        Ok(())
    }

    /// Pays for everything written so far, and for `more` bytes that certainly will be written.
    fn pay_for(&mut self, more: usize) -> Result<(), LiftError> {
        let due = (self.wire.len() + more).saturating_sub(self.paid);
        self.cx.consume_fuel(due).map_err(|_| LiftError::TooLarge)?;
        self.paid += due;
        if self.charge.reach(self.paid) {
            Ok(())
        } else {
            Err(LiftError::NoRoom)
        }
    }

    fn pay_in_steps(&mut self) -> Result<(), LiftError> {
        if self.wire.len() > self.paid.saturating_add(UNPAID) {
            self.pay_for(0)
        } else {
            Ok(())
        }
    }

    fn flat(
        &mut self,
        ty: InterfaceType,
        values: &mut slice::Iter<'_, ValRaw>,
    ) -> Result<(), LiftError> {
        match Kind::of(self.types, ty) {
            Kind::Scalar(scalar) => {
                let value = next(values)?;
                // Narrow values leave the rest of their slot undefined.
                let bits = match scalar.size() {
                    8 => value.get_u64(),
                    _ => value.get_u32().into(),
                };
                self.scalar(scalar, bits)
            }
            Kind::String => {
                let (at, length) = (next(values)?.get_u32(), next(values)?.get_u32());
                self.string(at, length)
            }
            Kind::List(element) => {
                let (at, length) = (next(values)?.get_u32(), next(values)?.get_u32());
                self.list(element, at, length)
            }
            Kind::Map(_) => {
                let (at, length) = (next(values)?.get_u32(), next(values)?.get_u32());
                self.map(ty, at, length)
            }
            Kind::FixedList { element, length } => {
                (0..length).try_for_each(|_| self.flat(element, values))
            }
            Kind::Fields(fields) => fields.iter().try_for_each(|field| self.flat(field, values)),
            Kind::Cases(cases) => self.flat_case(cases, values),
            Kind::Flags { labels } => {
                let bits = next(values)?.get_u32();
                put_flags(&mut self.wire, labels, bits);
                Ok(())
            }
            Kind::Resource | Kind::Stream(_) | Kind::Future(_) => {
                let index = next(values)?.get_u32();
                self.handle(ty, index)
            }
            Kind::Unsupported => Err(LiftError::Unsupported),
        }
    }

    /// Lifts a discriminant, then as many values as the largest case has. Cases that share a slot
    /// need no conversion, because a narrower value is in the low bits of a wider slot.
    fn flat_case(
        &mut self,
        cases: Cases<'_>,
        values: &mut slice::Iter<'_, ValRaw>,
    ) -> Result<(), LiftError> {
        let flat = cases.flat().ok_or(LiftError::Unsupported)?;
        let after = values
            .len()
            .checked_sub(flat)
            .ok_or(LiftError::Unsupported)?;
        let case = self.case(cases, next(values)?.get_u32())?;
        if let Some(payload) = cases.payload(case) {
            self.flat(payload, values)?;
        }
        while values.len() > after {
            next(values)?;
        }
        Ok(())
    }

    fn memory(&mut self, ty: InterfaceType, at: usize) -> Result<(), LiftError> {
        match Kind::of(self.types, ty) {
            Kind::Scalar(scalar) => {
                let bits = self.load(at, scalar.size())?;
                self.scalar(scalar, bits)
            }
            Kind::String => {
                let (at, length) = self.load_pair(at)?;
                self.string(at, length)
            }
            Kind::List(element) => {
                let (at, length) = self.load_pair(at)?;
                self.list(element, at, length)
            }
            Kind::Map(_) => {
                let (at, length) = self.load_pair(at)?;
                self.map(ty, at, length)
            }
            Kind::FixedList { element, length } => self.elements(element, at, length),
            Kind::Fields(fields) => {
                let mut places = Places::new(self.types, at);
                fields
                    .iter()
                    .try_for_each(|field| self.memory(field, places.place(field)))
            }
            Kind::Cases(cases) => {
                let discriminant = self.load(at, cases.discriminant_size())?;
                let case = self.case(cases, discriminant as u32)?;
                let payload = cases.payload(case);
                payload.map_or(Ok(()), |ty| self.memory(ty, at + cases.payload_offset()))
            }
            Kind::Flags { labels } => {
                let bits = self.load(at, flags_size(labels))?;
                put_flags(&mut self.wire, labels, bits as u32);
                Ok(())
            }
            Kind::Resource | Kind::Stream(_) | Kind::Future(_) => {
                let index = self.load(at, 4)?;
                self.handle(ty, index as u32)
            }
            Kind::Unsupported => Err(LiftError::Unsupported),
        }
    }

    #[inline]
    fn scalar(&mut self, scalar: Scalar, bits: u64) -> Result<(), LiftError> {
        scalar
            .write(bits, &mut self.wire)
            .map_err(|InvalidChar(code)| LiftError::Char(code))
    }

    fn case(&mut self, cases: Cases<'_>, case: u32) -> Result<u32, LiftError> {
        let count = cases.count();
        if case >= count {
            return Err(LiftError::Case { case, cases: count });
        }
        put_uint(&mut self.wire, case.into());
        Ok(case)
    }

    fn list(&mut self, element: InterfaceType, at: u32, length: u32) -> Result<(), LiftError> {
        let abi = self.types.canonical_abi(&element);
        let (at, length, size) = (at as usize, length as usize, abi.size32 as usize);
        self.block(at, size_of_all(length, size)?, abi.align32)?;
        put_uint(&mut self.wire, length as u64);
        self.elements(element, at, length)
    }

    fn elements(
        &mut self,
        element: InterfaceType,
        at: usize,
        length: usize,
    ) -> Result<(), LiftError> {
        let size = self.types.canonical_abi(&element).size32 as usize;
        let block = self.range(at, size_of_all(length, size)?)?;
        // No value takes less than a byte on the wire.
        self.pay_for(length)?;
        self.wire.reserve(length);
        match Kind::of(self.types, element) {
            Kind::Scalar(scalar) if scalar.is_plain() => {
                self.pay_for(block.len())?;
                self.wire.extend_from_slice(block);
            }
            Kind::Scalar(scalar) => {
                for bytes in block.chunks_exact(size) {
                    self.scalar(scalar, little_endian(bytes))?;
                    self.pay_in_steps()?;
                }
            }
            _ => {
                for index in 0..length {
                    self.memory(element, at + index * size)?;
                    self.pay_in_steps()?;
                }
            }
        }
        Ok(())
    }

    fn map(&mut self, ty: InterfaceType, at: u32, length: u32) -> Result<(), LiftError> {
        let Kind::Map(map) = Kind::of(self.types, ty) else {
            return Err(LiftError::Unsupported);
        };
        let keys = Kind::of(self.types, map.key).as_keys();
        let keys = keys.ok_or(LiftError::Unsupported)?;
        let (at, length, size) = (at as usize, length as usize, map.entry_abi.size32 as usize);
        self.block(at, size_of_all(length, size)?, map.entry_abi.align32)?;
        put_uint(&mut self.wire, length as u64);
        // A key and a value take at least a byte each on the wire.
        self.pay_for(length.saturating_mul(2))?;
        let mut places = Vec::with_capacity(length);
        for index in 0..length {
            let entry = at + index * size;
            places.push(u32::try_from(self.wire.len()).map_err(|_| LiftError::TooLarge)?);
            self.memory(map.key, entry)?;
            self.memory(map.value, entry + map.value_offset32 as usize)?;
            self.pay_in_steps()?;
        }
        if keys.differ(&self.wire, &mut places) {
            return Ok(());
        }
        Err(LiftError::DuplicateKey)
    }

    fn string(&mut self, at: u32, length: u32) -> Result<(), LiftError> {
        let at = at as usize;
        match self.encoding {
            StringEncoding::Utf8 => {
                let text = self.block(at, length as usize, 1)?;
                self.pay_for(text.len())?;
                put_str(
                    &mut self.wire,
                    str::from_utf8(text).map_err(|_| LiftError::Text)?,
                );
                Ok(())
            }
            StringEncoding::Utf16 => self.utf16(at, length),
            StringEncoding::CompactUtf16 if length & UTF16_TAG != 0 => {
                self.utf16(at, length ^ UTF16_TAG)
            }
            StringEncoding::CompactUtf16 => {
                let text = self.block(at, length as usize, 2)?;
                self.decoded(text.iter().map(|byte| Some(char::from(*byte))))
            }
        }
    }

    fn utf16(&mut self, at: usize, units: u32) -> Result<(), LiftError> {
        let text = self.block(at, size_of_all(units as usize, 2)?, 2)?;
        let units = text.chunks_exact(2).map(|unit| little_endian(unit) as u16);
        self.decoded(char::decode_utf16(units).map(Result::ok))
    }

    /// Writes decoded text. It is decoded twice: once to get its length, which comes first, and
    /// once to write it.
    fn decoded(
        &mut self,
        chars: impl Iterator<Item = Option<char>> + Clone,
    ) -> Result<(), LiftError> {
        let mut length = 0;
        for char in chars.clone() {
            length += char.ok_or(LiftError::Text)?.len_utf8();
        }
        self.pay_for(length)?;
        put_uint(&mut self.wire, length as u64);
        self.wire.reserve(length);
        for char in chars.flatten() {
            self.wire
                .extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Ok(())
    }

    /// Returns the memory that a guest's pointer and length refer to.
    fn block(&self, at: usize, size: usize, align: u32) -> Result<&'a [u8], LiftError> {
        let align = align as usize;
        if !at.is_multiple_of(align) {
            return Err(LiftError::Misaligned { align });
        }
        self.range(at, size)
    }

    fn range(&self, at: usize, size: usize) -> Result<&'a [u8], LiftError> {
        let end = at.checked_add(size).ok_or(LiftError::OutOfBounds)?;
        self.memory.get(at..end).ok_or(LiftError::OutOfBounds)
    }

    fn load(&self, at: usize, size: usize) -> Result<u64, LiftError> {
        Ok(little_endian(self.range(at, size)?))
    }

    fn load_pair(&self, at: usize) -> Result<(u32, u32), LiftError> {
        let pair = self.load(at, 8)?;
        Ok((pair as u32, (pair >> 32) as u32))
    }
}

fn next<'v>(values: &mut slice::Iter<'v, ValRaw>) -> Result<&'v ValRaw, LiftError> {
    // No walk requests more values than the type has. If one does, the type isn't the planned one.
    values.next().ok_or(LiftError::Unsupported)
}

fn size_of_all(length: usize, size: usize) -> Result<usize, LiftError> {
    length.checked_mul(size).ok_or(LiftError::OutOfBounds)
}

/// Returns up to 8 bytes as a number.
#[inline]
fn little_endian(bytes: &[u8]) -> u64 {
    match *bytes {
        [a] => a.into(),
        [a, b] => u16::from_le_bytes([a, b]).into(),
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]).into(),
        _ => {
            let mut all = [0; 8];
            let count = bytes.len().min(8);
            all[..count].copy_from_slice(&bytes[..count]);
            u64::from_le_bytes(all)
        }
    }
}
