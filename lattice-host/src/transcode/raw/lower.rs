//! Converts wire bytes to guest memory.
//!
//! A plan has validated the bytes. They are checked again as they are read, because the type that
//! is walked here is the component's own. If the two ever differ, the only effect is that the call
//! traps.

use std::mem::MaybeUninit;
use std::slice as slices;

use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
use wasmtime::component::__internal::{ComponentTypes, InterfaceType, LowerContext};
use wasmtime::{Result, ValRaw};

use super::super::scalar::flags_size;
use super::super::wire::Reader;
use super::carriers::{lower_handle, lower_text};
use super::handles::{Lifted, RawHandle};
use super::types::{Cases, Kind, Places};

/// Why validated bytes can't be lowered: a component doesn't match its plan, or has a broken
/// allocator. Each error is a trap in that guest.
#[derive(Debug, thiserror::Error)]
pub(super) enum LowerError {
    #[error("the guest's allocator returned memory that the value doesn't fit in")]
    OutOfBounds,
    #[error("the function takes another number of core values than its type has")]
    FlatCount,
    #[error("the value has too few handles, or one of another kind than its type")]
    Handle,
    #[error("the function takes a value of a type that isn't supported")]
    Unsupported,
}

/// Lowers a parameter or result tuple to core values. Slots that the type doesn't use are zeroed.
pub(super) fn to_flat<T>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    value: &Lifted,
    slots: &mut [MaybeUninit<ValRaw>],
) -> Result<()> {
    let mut lowerer = Lowerer::new(cx.types, cx, value);
    let mut slots = Slots { slots, used: 0 };
    lowerer.flat(ty, &mut slots)?;
    slots.fill_to(slots.slots.len())?;
    Ok(lowerer.reader.finish()?)
}

/// Lowers a parameter or result tuple to memory at `at`, which the guest has reserved for it.
pub(super) fn to_memory<T>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    value: &Lifted,
    at: usize,
) -> Result<()> {
    let mut lowerer = Lowerer::new(cx.types, cx, value);
    lowerer.memory(ty, at)?;
    Ok(lowerer.reader.finish()?)
}

/// Lowers `count` elements of a stream or future to memory at `at`, one after the other.
pub(super) fn elements<T>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    value: &Lifted,
    (at, count): (usize, usize),
) -> Result<()> {
    let abi = cx.types.canonical_abi(&ty);
    if !at.is_multiple_of(abi.align32 as usize) {
        return Err(LowerError::OutOfBounds.into());
    }
    let mut lowerer = Lowerer::new(cx.types, cx, value);
    if Kind::of(lowerer.types, ty).number().is_some() {
        let bytes = lowerer.reader.take(size_of_all(count, abi.size32)?)?;
        lowerer.block(at, bytes.len())?.copy_from_slice(bytes);
    } else {
        lowerer.elements(ty, at, count)?;
    }
    Ok(lowerer.reader.finish()?)
}

/// Lowers a parameter tuple to memory from the guest's allocator, and returns its address.
pub(super) fn to_heap<T>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    value: &Lifted,
) -> Result<usize> {
    let abi = cx.types.canonical_abi(&ty);
    let at = cx.realloc(0, 0, abi.align32, abi.size32 as usize)?;
    to_memory(cx, ty, value, at)?;
    Ok(at)
}

/// The guest to lower into, without the type of its store, so that the walk is compiled once.
trait Guest {
    fn utf8(&self) -> bool;
    fn memory(&mut self) -> &mut [u8];
    fn allocate(&mut self, align: u32, size: usize) -> Result<usize>;
    /// Allocates and writes text in the guest's encoding. Returns its pointer and length.
    fn text(&mut self, text: &str) -> Result<(u32, u32)>;
    /// Puts a handle into the guest's table and returns its index there.
    fn handle(&mut self, ty: InterfaceType, handle: &RawHandle) -> Result<u32>;
}

impl<T> Guest for LowerContext<'_, T> {
    fn utf8(&self) -> bool {
        self.options().string_encoding == StringEncoding::Utf8
    }

    fn memory(&mut self) -> &mut [u8] {
        self.as_slice_mut()
    }

    fn allocate(&mut self, align: u32, size: usize) -> Result<usize> {
        self.realloc(0, 0, align, size)
    }

    fn text(&mut self, text: &str) -> Result<(u32, u32)> {
        lower_text(self, text)
    }

    fn handle(&mut self, ty: InterfaceType, handle: &RawHandle) -> Result<u32> {
        lower_handle(self, ty, handle)
    }
}

struct Lowerer<'c, 't, 'w> {
    types: &'t ComponentTypes,
    guest: &'c mut dyn Guest,
    utf8: bool,
    reader: Reader<'w>,
    handles: slices::Iter<'w, RawHandle>,
}

impl<'c, 't, 'w> Lowerer<'c, 't, 'w> {
    fn new(types: &'t ComponentTypes, guest: &'c mut dyn Guest, value: &'w Lifted) -> Self {
        let utf8 = guest.utf8();
        Self {
            types,
            guest,
            utf8,
            reader: Reader::new(&value.wire),
            handles: value.handles.iter(),
        }
    }

    fn handle(&mut self, ty: InterfaceType) -> Result<u32> {
        self.reader.byte()?;
        let handle = self.handles.next().ok_or(LowerError::Handle)?;
        self.guest.handle(ty, handle)
    }

    fn flat(&mut self, ty: InterfaceType, slots: &mut Slots<'_>) -> Result<()> {
        match Kind::of(self.types, ty) {
            Kind::Scalar(scalar) => {
                let bits = scalar.read(&mut self.reader)?;
                slots.put(ValRaw::u64(bits))
            }
            Kind::String => {
                let pair = self.string()?;
                slots.put_pair(pair)
            }
            Kind::List(element) => {
                let pair = self.list(element)?;
                slots.put_pair(pair)
            }
            Kind::Map(_) => {
                let pair = self.map(ty)?;
                slots.put_pair(pair)
            }
            Kind::FixedList { element, length } => {
                (0..length).try_for_each(|_| self.flat(element, slots))
            }
            Kind::Fields(fields) => fields.iter().try_for_each(|field| self.flat(field, slots)),
            Kind::Cases(cases) => self.flat_case(cases, slots),
            Kind::Flags { labels } => {
                let bits = self.reader.flags(labels)?;
                slots.put(ValRaw::u32(bits))
            }
            Kind::Resource | Kind::Stream(_) | Kind::Future(_) => {
                let index = self.handle(ty)?;
                slots.put(ValRaw::u32(index))
            }
            Kind::Unsupported => Err(LowerError::Unsupported.into()),
        }
    }

    /// Lowers a discriminant, then as many values as the largest case has. A narrower value in a
    /// wider slot is zero-extended, as every `ValRaw` here is.
    fn flat_case(&mut self, cases: Cases<'_>, slots: &mut Slots<'_>) -> Result<()> {
        let end = slots.used + cases.flat().ok_or(LowerError::FlatCount)?;
        let case = self.reader.case(cases.count())?;
        slots.put(ValRaw::u32(case))?;
        if let Some(payload) = cases.payload(case) {
            self.flat(payload, slots)?;
        }
        slots.fill_to(end)
    }

    fn memory(&mut self, ty: InterfaceType, at: usize) -> Result<()> {
        match Kind::of(self.types, ty) {
            Kind::Scalar(scalar) => {
                let bits = scalar.read(&mut self.reader)?;
                self.store(at, bits, scalar.size())
            }
            Kind::String => {
                let pair = self.string()?;
                self.store_pair(at, pair)
            }
            Kind::List(element) => {
                let pair = self.list(element)?;
                self.store_pair(at, pair)
            }
            Kind::Map(_) => {
                let pair = self.map(ty)?;
                self.store_pair(at, pair)
            }
            Kind::FixedList { element, length } => self.elements(element, at, length),
            Kind::Fields(fields) => {
                let mut places = Places::new(self.types, at);
                fields
                    .iter()
                    .try_for_each(|field| self.memory(field, places.place(field)))
            }
            Kind::Cases(cases) => {
                let case = self.reader.case(cases.count())?;
                self.store(at, case.into(), cases.discriminant_size())?;
                let payload = cases.payload(case);
                payload.map_or(Ok(()), |ty| self.memory(ty, at + cases.payload_offset()))
            }
            Kind::Flags { labels } => {
                let bits = self.reader.flags(labels)?;
                self.store(at, bits.into(), flags_size(labels))
            }
            Kind::Resource | Kind::Stream(_) | Kind::Future(_) => {
                let index = self.handle(ty)?;
                self.store(at, index.into(), 4)
            }
            Kind::Unsupported => Err(LowerError::Unsupported.into()),
        }
    }

    fn string(&mut self) -> Result<(u32, u32)> {
        let text = self.reader.str()?;
        if !self.utf8 {
            return self.guest.text(text);
        }
        let at = self.guest.allocate(1, text.len())?;
        self.block(at, text.len())?.copy_from_slice(text.as_bytes());
        pointer_pair(at, text.len())
    }

    fn list(&mut self, element: InterfaceType) -> Result<(u32, u32)> {
        let abi = self.types.canonical_abi(&element);
        let length = self.reader.length(1)?;
        let at = self
            .guest
            .allocate(abi.align32, size_of_all(length, abi.size32)?)?;
        self.elements(element, at, length)?;
        pointer_pair(at, length)
    }

    fn elements(&mut self, element: InterfaceType, at: usize, length: usize) -> Result<()> {
        let size = self.types.canonical_abi(&element).size32;
        match Kind::of(self.types, element) {
            Kind::Scalar(scalar) if scalar.is_plain() => {
                let bytes = self.reader.take(size_of_all(length, size)?)?;
                self.block(at, bytes.len())?.copy_from_slice(bytes);
            }
            Kind::Scalar(scalar) => {
                let (reader, guest) = (&mut self.reader, &mut *self.guest);
                let block = slice(guest.memory(), at, size_of_all(length, size)?)?;
                for place in block.chunks_exact_mut(size as usize) {
                    put_little_endian(place, scalar.read(reader)?);
                }
            }
            _ => {
                for index in 0..length {
                    self.memory(element, at + index * size as usize)?;
                }
            }
        }
        Ok(())
    }

    fn map(&mut self, ty: InterfaceType) -> Result<(u32, u32)> {
        let Kind::Map(map) = Kind::of(self.types, ty) else {
            return Err(LowerError::Unsupported.into());
        };
        let length = self.reader.length(2)?;
        let size = map.entry_abi.size32;
        let at = self
            .guest
            .allocate(map.entry_abi.align32, size_of_all(length, size)?)?;
        for index in 0..length {
            let entry = at + index * size as usize;
            self.memory(map.key, entry)?;
            self.memory(map.value, entry + map.value_offset32 as usize)?;
        }
        pointer_pair(at, length)
    }

    fn store(&mut self, at: usize, bits: u64, size: usize) -> Result<()> {
        put_little_endian(self.block(at, size)?, bits);
        Ok(())
    }

    fn store_pair(&mut self, at: usize, (pointer, length): (u32, u32)) -> Result<()> {
        self.store(at, u64::from(pointer) | u64::from(length) << 32, 8)
    }

    fn block(&mut self, at: usize, size: usize) -> Result<&mut [u8]> {
        slice(self.guest.memory(), at, size)
    }
}

/// The core values to pass to a function.
struct Slots<'s> {
    slots: &'s mut [MaybeUninit<ValRaw>],
    used: usize,
}

impl Slots<'_> {
    fn put(&mut self, value: ValRaw) -> Result<()> {
        self.slots
            .get_mut(self.used)
            .ok_or(LowerError::FlatCount)?
            .write(value);
        self.used += 1;
        Ok(())
    }

    fn put_pair(&mut self, (pointer, length): (u32, u32)) -> Result<()> {
        self.put(ValRaw::u64(pointer.into()))?;
        self.put(ValRaw::u64(length.into()))
    }

    fn fill_to(&mut self, end: usize) -> Result<()> {
        while self.used < end {
            self.put(ValRaw::u64(0))?;
        }
        Ok(())
    }
}

fn pointer_pair(at: usize, length: usize) -> Result<(u32, u32)> {
    Ok((u32::try_from(at)?, u32::try_from(length)?))
}

fn size_of_all(length: usize, size: u32) -> Result<usize> {
    Ok(length
        .checked_mul(size as usize)
        .ok_or(LowerError::OutOfBounds)?)
}

fn slice(memory: &mut [u8], at: usize, size: usize) -> Result<&mut [u8]> {
    let end = at.checked_add(size).ok_or(LowerError::OutOfBounds)?;
    Ok(memory.get_mut(at..end).ok_or(LowerError::OutOfBounds)?)
}

/// Writes the low bytes of a number to a place of 1, 2, 4 or 8 bytes.
#[inline]
fn put_little_endian(place: &mut [u8], bits: u64) {
    match place {
        [a] => *a = bits as u8,
        [_, _] => place.copy_from_slice(&(bits as u16).to_le_bytes()),
        [_, _, _, _] => place.copy_from_slice(&(bits as u32).to_le_bytes()),
        _ => {
            let count = place.len().min(8);
            place[..count].copy_from_slice(&bits.to_le_bytes()[..count]);
        }
    }
}
