//! The ends at which elements leave a guest.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lattice_core::call::Part;
use lattice_core::stream::{Chunk, Handle, Handles, Holder, Writer};
use wasmtime::component::{
    Accessor, AccessorTask, FutureAny, FutureConsumer, Source as Written, StreamConsumer,
    StreamResult,
};
use wasmtime::{AsContextMut, Error, Result, StoreContextMut};

use super::carrier::Carrier;
use super::{MOST_BYTES, MOST_NUMBERS, MOST_VALUES};
use crate::transcode::handles::{ChannelGuard, HandleStore, take_out};
use crate::transcode::meter::{Charge, charged};
use crate::transcode::raw::{Batch, LiftError, Payload};

/// The writing end of a channel, in a store. Dropping it ends the channel when the guest has closed
/// its stream, and breaks it when the guest itself has ended.
struct Outlet {
    writer: Option<Writer>,
    guard: Box<dyn ChannelGuard>,
}

impl Outlet {
    /// Returns how many elements may be sent; `None` when the reader is gone.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        match &mut self.writer {
            Some(writer) => writer.poll_room(cx),
            None => Poll::Ready(None),
        }
    }

    /// Returns how a write goes on that waits for a reader.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        finish: bool,
    ) -> Poll<Result<usize, StreamResult>> {
        match self.poll_room(cx) {
            Poll::Ready(Some(room)) => Poll::Ready(Ok(room)),
            Poll::Ready(None) => Poll::Ready(Err(StreamResult::Dropped)),
            Poll::Pending if finish => Poll::Ready(Err(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn send(&mut self, chunk: Chunk) {
        self.guard.has_moved(chunk.bytes.len());
        if let Some(writer) = &mut self.writer {
            // A reader that has just gone is noticed with the next write.
            let _ = writer.send(chunk);
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let Some(writer) = self.writer.take() else {
            return;
        };
        match self.guard.end() {
            Ok(()) => writer.end(),
            Err(broken) => writer.fail(broken),
        }
    }
}

/// Takes elements out of a guest.
pub(super) struct Out<C> {
    outlet: Outlet,
    most: usize,
    carrier: PhantomData<fn(C)>,
}

impl<C: Carrier> Out<C> {
    pub(super) fn new(writer: Writer, guard: Box<dyn ChannelGuard>, payload: Payload) -> Self {
        let writer = Some(writer);
        Self {
            outlet: Outlet { writer, guard },
            most: match payload {
                Payload::Values => MOST_VALUES,
                _ => MOST_NUMBERS,
            },
            carrier: PhantomData,
        }
    }

    fn send<T: HandleStore>(&mut self, store: StoreContextMut<'_, T>, batch: Batch) -> Result<()> {
        let Batch { value, count } = batch;
        let mut handles = Handles::new();
        if !value.handles.is_empty() {
            let from = Holder::Local(store.data().source());
            handles = take_out(store, value.handles)?;
            sent(&handles, &from)?;
        }
        self.outlet.send(Chunk {
            count,
            bytes: value.wire,
            handles,
        });
        Ok(())
    }
}

/// Records that handles are on their way in a stream.
fn sent(handles: &Handles, from: &Holder) -> Result<()> {
    for handle in handles {
        if let Handle::Own(owned) = handle {
            let resource = owned.resource();
            let sent = resource
                .owner()
                .hand_over(resource.id(), from, &Holder::OnTheWay);
            sent.map_err(Error::new)?;
        }
    }
    Ok(())
}

impl<T: HandleStore, C: Carrier> StreamConsumer<T> for Out<C> {
    type Item = C;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, T>,
        mut source: Written<'_, C>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let room = match ready!(self.outlet.poll_write(cx, finish)) {
            Ok(room) => room.min(self.most),
            Err(result) => return Poll::Ready(Ok(result)),
        };
        // A write of nothing asks whether there is room.
        if let Some(batch) = C::read(&mut source, store.as_context_mut(), room)? {
            self.send(store, batch)?;
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl<T: HandleStore, C: Carrier> FutureConsumer<T> for Out<C> {
    type Item = C;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'_, T>,
        mut source: Written<'_, C>,
        _: bool,
    ) -> Poll<Result<()>> {
        if let Some(batch) = C::read(&mut source, store.as_context_mut(), 1)? {
            self.send(store, batch)?;
        }
        Poll::Ready(Ok(()))
    }
}

/// Takes bytes out of a guest: one copy, and no other work for each of them.
pub(super) struct BytesOut(Outlet);

impl BytesOut {
    pub(super) fn new(writer: Writer, guard: Box<dyn ChannelGuard>) -> Self {
        let writer = Some(writer);
        Self(Outlet { writer, guard })
    }
}

impl<T: HandleStore> StreamConsumer<T> for BytesOut {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, T>,
        source: Written<'_, u8>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let room = match ready!(self.0.poll_write(cx, finish)) {
            Ok(room) => room.min(MOST_BYTES),
            Err(result) => return Poll::Ready(Ok(result)),
        };
        let mut source = source.as_direct(store);
        let written = source.remaining();
        let count = written.len().min(room);
        if count > 0 {
            let mut charge = Charge::new(Part::Result);
            if !charge.reach(count) {
                return Poll::Ready(Err(LiftError::NoRoom.into()));
            }
            let bytes = charged(written[..count].to_vec(), charge);
            source.mark_read(count);
            self.0.send(Chunk {
                count,
                bytes,
                handles: Handles::new(),
            });
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// Takes the value of a future out of a guest once it is asked for. Until then the future is left
/// alone, so that the guest's write stays pending, and fails when the reader goes.
pub(super) struct Later<C> {
    pub(super) future: FutureAny,
    pub(super) out: Out<C>,
}

impl<T: HandleStore, C: Carrier> AccessorTask<T> for Later<C> {
    async fn run(self, accessor: &Accessor<T>) -> Result<()> {
        let Self {
            mut future,
            mut out,
        } = self;
        let room = poll_fn(|cx| out.outlet.poll_room(cx)).await;
        accessor.with(|store| match room {
            None => future.close(store),
            Some(_) => future.try_into_future_reader::<C>()?.pipe(store, out),
        })
    }
}
