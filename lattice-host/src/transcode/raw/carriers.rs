//! The types that wasmtime moves: wire bytes and handles that implement lifting and lowering.
//!
//! | carrier           | is                | moved by | core values `N`                                            |
//! | ----------------- | ----------------- | -------- | ---------------------------------------------------------- |
//! | [`FlatParams`]    | import parameters | lift     | as many as the type has flat; 0 when they spill to memory  |
//! | [`FlatResult`]    | import result     | lower    | 0 without a result, else 1; memory when that isn't enough  |
//! | [`FlatArguments`] | export parameters | lower    | always 16, the ones not used are zero                      |
//! | [`FlatReturn`]    | export result     | lift     | as many as the type has flat; [`SPILLED`] when in memory   |
//!
//! Wasmtime decides by `N` and by the type whether values are flat or in memory. It provides
//! exactly that many slots where they come from the guest, so `N` can't be rounded up there.
//! Parameters and results that are in memory declare a size of 0, because the real size is known
//! only at run time. The slice that wasmtime then passes is empty, but it starts where the values
//! do.
#![expect(
    unsafe_code,
    reason = "with `elements`, the only module that implements wasmtime's lifting and lowering"
)]

use std::mem::MaybeUninit;

use lattice_core::call::Part;
use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};
use wasmtime::{Result, ValRaw, bail};

use super::handles::{Lifted, RawHandle};
use super::lift;
use super::lift_error::{LiftError, Refusal, unless_refused};
use super::lower;
use super::types::{MAX_FLAT, MAX_FLAT_RESULTS};

/// `N` of a [`FlatReturn`] whose values are in memory.
pub(crate) const SPILLED: usize = MAX_FLAT + 1;

/// The layout that a carrier declares for its place in memory.
pub(super) const UNSIZED: CanonicalAbiInfo = CanonicalAbiInfo {
    size32: 0,
    align32: 1,
    size64: 0,
    align64: 1,
    flat_count: None,
};

/// Parameters that a guest passed to an import, unless they were refused.
pub(crate) struct FlatParams<const N: usize>(pub(crate) std::result::Result<Lifted, Refusal>);

/// The result that an import returns to a guest.
pub(crate) struct FlatResult<const N: usize>(pub(crate) Lifted);

/// Parameters for an export of a guest.
pub(crate) struct FlatArguments(pub(crate) Lifted);

/// The result that an export of a guest returned.
pub(crate) struct FlatReturn<const N: usize>(pub(crate) Lifted);

// SAFETY: `Lower` is exactly `N` core values. `typecheck` compares `N` with the number that
// wasmtime computes for the type, so the storage that it hands to the impls below has exactly that
// many.
unsafe impl<const N: usize> ComponentType for FlatParams<N> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = UNSIZED;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        match flat_count(*ty, types)? {
            Some(flat) if flat == N => Ok(()),
            None if N == 0 => Ok(()),
            flat => mismatch("parameters", N, flat),
        }
    }
}

// SAFETY: as above, with `N` at most the one core value that a lowered function returns flat. A
// type that needs more is returned in memory and never in `Lower`.
unsafe impl<const N: usize> ComponentType for FlatResult<N> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = UNSIZED;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        match flat_count(*ty, types)? {
            Some(0) if N == 0 => Ok(()),
            Some(1..) | None if N == MAX_FLAT_RESULTS => Ok(()),
            flat => mismatch("a result", N, flat),
        }
    }
}

// SAFETY: `Lower` consists only of core values, as many as a function can take at most. The callee
// reads those that its type has; the rest are zeroed, so none is uninitialised.
unsafe impl ComponentType for FlatArguments {
    type Lower = [ValRaw; MAX_FLAT];
    const ABI: CanonicalAbiInfo = UNSIZED;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        flat_count(*ty, types).map(drop)
    }
}

// SAFETY: `Lower` is exactly `N` core values. For a type with `N` flat values wasmtime passes
// that many, or a pointer to them when the function is lifted so that only one value is flat; it
// distinguishes the two by `N` alone. `SPILLED` makes it read a pointer in any case: the impl below
// checks everything that it reads through that pointer.
unsafe impl<const N: usize> ComponentType for FlatReturn<N> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = UNSIZED;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        match flat_count(*ty, types)? {
            Some(flat) if flat == N => Ok(()),
            Some(flat) if flat > MAX_FLAT_RESULTS && N == SPILLED => Ok(()),
            None if N == SPILLED => Ok(()),
            flat => mismatch("a result", N, flat),
        }
    }
}

// SAFETY: `typecheck` accepts only the tuple of all parameters or results.
unsafe impl<const N: usize> ComponentNamedList for FlatParams<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> ComponentNamedList for FlatResult<N> {}
// SAFETY: as above.
unsafe impl ComponentNamedList for FlatArguments {}
// SAFETY: as above.
unsafe impl<const N: usize> ComponentNamedList for FlatReturn<N> {}

// SAFETY: reads only `values` and checked ranges of the guest's memory.
unsafe impl<const N: usize> Lift for FlatParams<N> {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        values: &[ValRaw; N],
    ) -> Result<Self> {
        let lifted = lift::from_flat(cx, Part::Arguments, ty, values);
        Ok(Self(unless_refused(lifted)?))
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        place: &[u8],
    ) -> Result<Self> {
        let at = offset(cx, place);
        let lifted = lift::from_memory(cx, Part::Arguments, ty, at);
        Ok(Self(unless_refused(lifted)?))
    }
}

// SAFETY: as above.
unsafe impl<const N: usize> Lift for FlatReturn<N> {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        values: &[ValRaw; N],
    ) -> Result<Self> {
        let lifted = lift::from_flat(cx, Part::Result, ty, values);
        Ok(Self(lifted.map_err(LiftError::of_result)?))
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        place: &[u8],
    ) -> Result<Self> {
        let at = offset(cx, place);
        let lifted = lift::from_memory(cx, Part::Result, ty, at);
        Ok(Self(lifted.map_err(LiftError::of_result)?))
    }
}

// SAFETY: writes all slots when it returns `Ok`, or checked ranges of the guest's memory.
unsafe impl<const N: usize> Lower for FlatResult<N> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        slots: &mut MaybeUninit<[ValRaw; N]>,
    ) -> Result<()> {
        lower::to_flat(cx, ty, &self.0, as_slots(slots))
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        at: usize,
    ) -> Result<()> {
        // This is also called for an import that is lowered async and returns nothing. Then nothing
        // is written.
        lower::to_memory(cx, ty, &self.0, at)
    }
}

// SAFETY: writes all slots when it returns `Ok`, and checked ranges of the guest's memory.
unsafe impl Lower for FlatArguments {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        slots: &mut MaybeUninit<[ValRaw; MAX_FLAT]>,
    ) -> Result<()> {
        let slots = as_slots(slots);
        if cx.types.canonical_abi(&ty).flat_count(MAX_FLAT).is_some() {
            return lower::to_flat(cx, ty, &self.0, slots);
        }
        // Wasmtime would allocate the size that the carrier declares. The carrier therefore stays
        // flat for wasmtime, allocates the real size itself, which is also the size that the guest
        // will free, and passes the pointer as the first value.
        slots.fill(MaybeUninit::new(ValRaw::u64(0)));
        let at = lower::to_heap(cx, ty, &self.0)?;
        slots[0].write(ValRaw::u64(at as u64));
        Ok(())
    }

    fn linear_lower_to_memory<T>(
        &self,
        _: &mut LowerContext<'_, T>,
        _: InterfaceType,
        _: usize,
    ) -> Result<()> {
        bail!("arguments of 16 core values are never lowered to memory")
    }
}

/// Writes text to a guest whose strings aren't UTF-8, using wasmtime's conversion.
pub(super) fn lower_text<T>(cx: &mut LowerContext<'_, T>, text: &str) -> Result<(u32, u32)> {
    let mut pair = MaybeUninit::uninit();
    <str as Lower>::linear_lower_to_flat(text, cx, InterfaceType::String, &mut pair)?;
    // SAFETY: `Lower` initialises all of its storage when it returns `Ok`.
    let [pointer, length]: [ValRaw; 2] = unsafe { pair.assume_init() };
    Ok((pointer.get_u32(), length.get_u32()))
}

/// Puts a handle into the guest's table of its type, and returns its index there.
pub(super) fn lower_handle<T>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    handle: &RawHandle,
) -> Result<u32> {
    use InterfaceType::{Borrow, Future, Own, Stream};
    match (ty, handle) {
        (Own(_) | Borrow(_), RawHandle::Resource(resource)) => index(cx, ty, resource),
        (Own(_) | Borrow(_), RawHandle::Foreign(resource)) => index(cx, ty, resource),
        (Stream(_), RawHandle::Stream(stream, _)) => index(cx, ty, stream),
        (Future(_), RawHandle::Future(future, _)) => index(cx, ty, future),
        _ => Err(lower::LowerError::Handle.into()),
    }
}

fn index<T, H>(cx: &mut LowerContext<'_, T>, ty: InterfaceType, handle: &H) -> Result<u32>
where
    H: Lower + ComponentType<Lower = ValRaw>,
{
    let mut slot = MaybeUninit::uninit();
    handle.linear_lower_to_flat(cx, ty, &mut slot)?;
    // SAFETY: `Lower` initialises all of its storage when it returns `Ok`.
    Ok(unsafe { slot.assume_init() }.get_u32())
}

fn as_slots<const N: usize>(slots: &mut MaybeUninit<[ValRaw; N]>) -> &mut [MaybeUninit<ValRaw>] {
    // SAFETY: an array of values that may be uninitialised has the same layout as an array that may
    // be uninitialised, and permits no other values.
    unsafe { &mut *std::ptr::from_mut(slots).cast::<[MaybeUninit<ValRaw>; N]>() }
}

/// Returns the offset of `place`, which is a part of the guest's memory.
pub(super) fn offset(cx: &LiftContext<'_>, place: &[u8]) -> usize {
    place
        .as_ptr()
        .addr()
        .saturating_sub(cx.memory().as_ptr().addr())
}

/// Returns the number of core values of the tuple `ty`, or `None` if there are more than 16.
fn flat_count(ty: InterfaceType, types: &InstanceType<'_>) -> Result<Option<usize>> {
    let InterfaceType::Tuple(tuple) = ty else {
        bail!("expected the tuple of all parameters or results")
    };
    Ok(types.types[tuple].abi.flat_count(MAX_FLAT))
}

fn mismatch(what: &str, carried: usize, flat: Option<usize>) -> Result<()> {
    bail!("planned for {what} of {carried} core values, but the component has {flat:?}")
}
