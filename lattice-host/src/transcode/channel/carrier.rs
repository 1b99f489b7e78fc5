//! The Rust types that move elements, apart from bytes.

use wasmtime::component::{ComponentType, Lift, Lower, ReadBuffer, Source, WriteBuffer};
use wasmtime::{Result, StoreContextMut};

use crate::transcode::raw::{Batch, Element, Lifted, read_batch};

/// A Rust type that moves elements.
pub(super) trait Carrier:
    Lift + Lower + ComponentType + Send + Sync + Sized + 'static
{
    /// Takes up to `room` elements that were written. `None` when there are none.
    fn read<T>(
        source: &mut Source<'_, Self>,
        store: StoreContextMut<'_, T>,
        room: usize,
    ) -> Result<Option<Batch>>;

    /// Returns as many items as the batch has elements, or the one that carries them for a reader
    /// that is this host.
    fn items(batch: Batch, is_for_host: bool) -> Vec<Self>;
}

impl Carrier for Element {
    fn read<T>(
        source: &mut Source<'_, Self>,
        store: StoreContextMut<'_, T>,
        room: usize,
    ) -> Result<Option<Batch>> {
        read_batch(source, store, room)
    }

    fn items(batch: Batch, is_for_host: bool) -> Vec<Self> {
        let count = if is_for_host { 1 } else { batch.count };
        let mut items = Vec::with_capacity(count);
        items.push(Self(Some(Box::new(batch))));
        items.resize_with(count, || Self(None));
        items
    }
}

impl Carrier for () {
    fn read<T>(
        source: &mut Source<'_, Self>,
        mut store: StoreContextMut<'_, T>,
        room: usize,
    ) -> Result<Option<Batch>> {
        let count = source.remaining(&mut store).min(room);
        source.read(store, &mut Units(count))?;
        let batch = Batch {
            value: Lifted::default(),
            count,
        };
        Ok(Some(batch).filter(|batch| batch.count > 0))
    }

    fn items(batch: Batch, _: bool) -> Vec<Self> {
        vec![(); batch.count]
    }
}

/// Room for so many items that are nothing.
struct Units(usize);

impl ReadBuffer<()> for Units {
    fn extend<Items: IntoIterator<Item = ()>>(&mut self, items: Items) {
        self.0 = self.0.saturating_sub(items.into_iter().count());
    }

    fn remaining_capacity(&self) -> usize {
        self.0
    }

    fn move_from(&mut self, input: &mut dyn WriteBuffer<()>, count: usize) {
        input.skip(count);
        self.0 = self.0.saturating_sub(count);
    }
}
