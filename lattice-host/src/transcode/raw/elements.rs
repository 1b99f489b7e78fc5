//! The type that wasmtime moves for the elements of streams and futures, whatever their type is.
//!
//! Wasmtime takes the element type of a stream at compile time, but uses of it only its size, its
//! alignment, `typecheck` and the two batch methods of `Lift` and `Lower`. [`Element`] declares a
//! size of 0, so that all elements of a guest's buffer seem to be where the first one is. The first
//! one that is asked for moves the whole batch, by the real size, and the others are empty.
#![expect(
    unsafe_code,
    reason = "implements wasmtime's lifting and lowering, as `carriers` does"
)]

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::slice;

use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use wasmtime::component::{ComponentType, Lift, Lower, ReadBuffer, Source, WriteBuffer};
use wasmtime::{AsContextMut, Result, ValRaw, bail, ensure};

use super::carriers::{UNSIZED, offset};
use super::handles::Lifted;
use super::{lift, lower};

/// One of a batch of elements: the first carries all of them, and the others nothing.
pub(crate) struct Element(pub(crate) Option<Box<Batch>>);

/// Elements that are moved together.
pub(crate) struct Batch {
    pub(crate) value: Lifted,
    pub(crate) count: usize,
}

// SAFETY: an element is never flat, so `Lower` is never used: both conversions to and from core
// values fail. In memory, wasmtime's own checks by this size check nothing. It has checked the
// guest's buffer by the real type, and the walks check alignment and bounds by the real type too.
unsafe impl ComponentType for Element {
    type Lower = [ValRaw; 0];
    const ABI: CanonicalAbiInfo = UNSIZED;

    fn typecheck(_: &InterfaceType, _: &InstanceType<'_>) -> Result<()> {
        Ok(())
    }
}

thread_local! {
    /// How many elements the batch has that is being lifted on this thread, because `Lift` has no
    /// other argument to say it by. A wrong number is refused by the check of bounds.
    static BATCH: Cell<usize> = const { Cell::new(1) };
}

// SAFETY: reads only checked ranges of the guest's memory.
unsafe impl Lift for Element {
    fn linear_lift_from_flat(
        _: &mut LiftContext<'_>,
        _: InterfaceType,
        _: &[ValRaw; 0],
    ) -> Result<Self> {
        bail!("an element of a stream is never flat")
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        place: &[u8],
    ) -> Result<Self> {
        let count = BATCH.replace(0);
        if count == 0 {
            return Ok(Self(None));
        }
        let at = offset(cx, place);
        let value = lift::elements(cx, ty, at, count)?;
        Ok(Self(Some(Box::new(Batch { value, count }))))
    }
}

// SAFETY: writes only checked ranges of the guest's memory.
unsafe impl Lower for Element {
    fn linear_lower_to_flat<T>(
        &self,
        _: &mut LowerContext<'_, T>,
        _: InterfaceType,
        _: &mut MaybeUninit<[ValRaw; 0]>,
    ) -> Result<()> {
        bail!("an element of a stream is never flat")
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        at: usize,
    ) -> Result<()> {
        Self::linear_store_list_to_memory(cx, ty, at, slice::from_ref(self))
    }

    fn linear_store_list_to_memory<T>(
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        at: usize,
        items: &[Self],
    ) -> Result<()> {
        let [Self(Some(batch)), ..] = items else {
            bail!("a batch without its elements")
        };
        let count = batch.count;
        ensure!(
            count == items.len(),
            "{count} elements in a batch of {}",
            items.len()
        );
        lower::elements(cx, ty, &batch.value, (at, count))
    }
}

/// Takes up to `room` elements that a guest, or this host, has written. `None` when there are none.
pub(crate) fn read_batch(
    source: &mut Source<'_, Element>,
    mut store: impl AsContextMut,
    room: usize,
) -> Result<Option<Batch>> {
    let mut taken = Taken {
        room: source.remaining(&mut store).min(room),
        batch: None,
    };
    if taken.room > 0 {
        BATCH.set(taken.room);
        let read = source.read(store, &mut taken);
        BATCH.set(1);
        read?;
    }
    Ok(taken.batch)
}

struct Taken {
    room: usize,
    batch: Option<Batch>,
}

impl ReadBuffer<Element> for Taken {
    fn extend<Items: IntoIterator<Item = Element>>(&mut self, items: Items) {
        for Element(batch) in items {
            self.room = self.room.saturating_sub(1);
            if let Some(batch) = batch {
                self.batch = Some(*batch);
            }
        }
    }

    fn remaining_capacity(&self) -> usize {
        self.room
    }

    /// Takes what a producer of this host has put there as one item.
    fn move_from(&mut self, input: &mut dyn WriteBuffer<Element>, count: usize) {
        input.take(count, &mut |items| {
            // SAFETY: `take` hands over items that are initialised and that it forgets.
            self.extend(items.iter().map(|item| unsafe { item.assume_init_read() }));
        });
    }
}
