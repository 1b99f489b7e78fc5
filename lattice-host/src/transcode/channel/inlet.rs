//! The ends at which elements reach a guest.

use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use lattice_core::stream::{Broken, Chunk, Handle, Handles, Holder, Reader, channel};
use lattice_core::sync::Mutex;
use wasmtime::component::{Destination, FutureProducer, StreamProducer, StreamResult, VecBuffer};
use wasmtime::{Error, Result, StoreContextMut};

use super::carrier::Carrier;
use super::unread::HandOn;
use super::{Ahead, ElementType, MOST_BYTES, MOST_NUMBERS, MOST_VALUES, payload};
use crate::transcode::handles::{ChannelGuard, HandleStore, put_in};
use crate::transcode::raw::{Batch, Lifted, Payload};
use crate::transcode::shape::{NodeId, Tree};
use crate::transcode::validate::{Places, measure, validate_chunk};

/// Whether elements have come.
enum Come {
    Some,
    /// There won't be any more.
    Ended,
    /// The guest no longer waits for them.
    Cancelled,
}

/// The reading end of a channel, in a store.
struct Inlet {
    reader: Reader,
    guard: Box<dyn ChannelGuard>,
    /// Elements that have come and were checked.
    rest: Chunk,
    /// The places of their handles.
    places: Places,
    ahead: Ahead,
}

impl Inlet {
    fn new(reader: Reader, guard: Box<dyn ChannelGuard>) -> Self {
        Self {
            reader,
            guard,
            rest: Chunk::default(),
            places: Places::new(),
            ahead: Ahead::default(),
        }
    }

    /// Waits until there are elements, for a guest that has room for `room`.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        (room, finish): (usize, bool),
        check: impl FnOnce(&Chunk) -> Result<Places, Broken>,
    ) -> Poll<Result<Come, Broken>> {
        if self.rest.count > 0 {
            return Poll::Ready(Ok(Come::Some));
        }
        let (room, ahead) = (room.max(1), self.ahead.bytes());
        self.reader.ask_below(room.max(ahead / 2), room + ahead);
        let next = match self.reader.poll_chunk(cx) {
            Poll::Pending if finish => return Poll::Ready(Ok(Come::Cancelled)),
            next => ready!(next),
        };
        self.guard.has_moved(match &next {
            Ok(Some(chunk)) => chunk.bytes.len(),
            _ => 0,
        });
        let Some(chunk) = next? else {
            return Poll::Ready(Ok(Come::Ended));
        };
        self.places = check(&chunk)?;
        self.rest = chunk;
        Poll::Ready(Ok(Come::Some))
    }

    /// Takes the front of the elements: so many of them, with so many bytes and handles.
    fn split(&mut self, count: usize, (bytes, handles): (usize, usize)) -> (Chunk, Places) {
        if count >= self.rest.count {
            return (mem::take(&mut self.rest), mem::take(&mut self.places));
        }
        self.rest.count -= count;
        let bytes = self.rest.bytes.split_to(bytes);
        let later = self.rest.handles.split_off(handles);
        let handles = mem::replace(&mut self.rest.handles, later);
        let later = self.places.split_off(handles.len());
        let places = mem::replace(&mut self.places, later);
        let chunk = Chunk {
            count,
            bytes,
            handles,
        };
        (chunk, places)
    }

    /// Returns the channel, to be read by another store.
    fn pass_on(mut self) -> Reader {
        self.reader.put_back(self.rest);
        self.reader
    }
}

/// Gives elements to a guest.
pub(super) struct In<C> {
    inlet: Inlet,
    tree: Arc<Tree>,
    element: Option<NodeId>,
    /// Most elements that are asked for at once.
    most: usize,
    /// It broke, and its last element says so.
    has_failed: bool,
    carrier: PhantomData<fn(C)>,
}

impl<C: Carrier> In<C> {
    pub(super) fn new(
        reader: Reader,
        guard: Box<dyn ChannelGuard>,
        (tree, element): ElementType<'_>,
    ) -> Self {
        Self {
            inlet: Inlet::new(reader, guard),
            tree: tree.clone(),
            element,
            most: match payload(tree, element) {
                Payload::Values => MOST_VALUES,
                _ => MOST_NUMBERS,
            },
            has_failed: false,
            carrier: PhantomData,
        }
    }

    /// Waits until there are elements. What breaks gets an element that says so, if its type can
    /// hold that. A guest that reads on fails, so that it can't take what it has read for all.
    fn poll(&mut self, cx: &mut Context<'_>, (room, finish): (usize, bool)) -> Poll<Result<Come>> {
        let (tree, element) = (&self.tree, self.element);
        let room = (room.min(self.most), finish);
        let come = ready!(self.inlet.poll(cx, room, |chunk| {
            let checked = match element {
                None if chunk.bytes.is_empty() && chunk.handles.is_empty() => Ok(Places::new()),
                None => Err("elements where there are none".into()),
                Some(element) => {
                    let value = (&*chunk.bytes, &*chunk.handles);
                    let checked = validate_chunk(tree, element, chunk.count, value);
                    checked.map_err(|error| error.to_string().into())
                }
            };
            checked.map_err(|reason| Broken::Invalid { reason })
        }));
        Poll::Ready(come.or_else(|broken| self.fail(broken)))
    }

    /// Makes an element of the reason for which there won't be any more.
    ///
    /// # Errors
    /// Fails with the reason when the type of the elements can't hold it, and when one of them has
    /// held it. The guest then traps.
    fn fail(&mut self, broken: Broken) -> Result<Come> {
        let failure = self.element.and_then(|element| self.tree.failure(element));
        let Some(failure) = failure.filter(|_| !self.has_failed) else {
            return Err(Error::new(broken));
        };
        self.inlet.rest = Chunk {
            count: 1,
            bytes: failure.encode(&broken).map_err(Error::new)?,
            handles: Handles::new(),
        };
        self.inlet.places = Places::new();
        self.has_failed = true;
        // It is broken for another component too, to which the guest may pass it on, and whatever
        // its writer still sends.
        let (writer, reader) = channel();
        writer.fail(broken);
        self.inlet.reader = reader;
        Ok(Come::Some)
    }

    /// Takes up to `most` elements, with their handles put into the store.
    fn take<T: HandleStore>(
        &mut self,
        most: usize,
        mut store: StoreContextMut<'_, T>,
    ) -> Result<Batch> {
        let rest = &self.inlet.rest;
        let count = rest.count.min(most);
        let size = match self.element {
            Some(element) if count < rest.count => {
                measure(&self.tree, element, count, (&rest.bytes, &rest.handles))?
            }
            _ => (rest.bytes.len(), rest.handles.len()),
        };
        let (chunk, places) = self.inlet.split(count, size);
        if !chunk.handles.is_empty() {
            let to = Holder::Local(store.data_mut().source());
            received(&chunk.handles, &to)?;
        }
        let handles = put_in(store, &self.tree, (chunk.handles, &places))?;
        let value = Lifted {
            wire: chunk.bytes,
            handles,
        };
        Ok(Batch { value, count })
    }
}

/// Records that handles have arrived that were sent in a stream.
fn received(handles: &Handles, to: &Holder) -> Result<()> {
    for handle in handles {
        if let Handle::Own(owned) = handle {
            let resource = owned.resource();
            let received = resource
                .owner()
                .hand_over(resource.id(), &Holder::OnTheWay, to);
            received.map_err(Error::new)?;
        }
    }
    Ok(())
}

impl<T: HandleStore, C: Carrier> StreamProducer<T> for In<C> {
    type Item = C;
    type Buffer = VecBuffer<C>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, T>,
        mut destination: Destination<'a, C, VecBuffer<C>>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let room = destination.remaining(&mut store);
        if room == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        // A reader that is this host says no number.
        let most = room.unwrap_or(MOST_NUMBERS);
        match ready!(self.poll(cx, (most, finish)))? {
            Come::Some => {}
            Come::Ended => return Poll::Ready(Ok(StreamResult::Dropped)),
            Come::Cancelled => return Poll::Ready(Ok(StreamResult::Cancelled)),
        }
        let batch = self.take(most, store)?;
        destination.set_buffer(C::items(batch, room.is_none()).into());
        Poll::Ready(Ok(StreamResult::Completed))
    }

    fn try_into(me: Pin<Box<Self>>, ty: TypeId) -> Result<Box<dyn Any>, Pin<Box<Self>>> {
        if ty != TypeId::of::<Reader>() {
            return Err(me);
        }
        Ok(Box::new(Pin::into_inner(me).inlet.pass_on()))
    }
}

/// Gives the value of a future to a guest, unless the guest passes the future on.
pub(super) struct FutureIn<C>(Arc<Mutex<Option<In<C>>>>);

impl<C: Carrier> FutureIn<C> {
    pub(super) fn new(value: In<C>) -> Self {
        Self(Arc::new(Mutex::new(Some(value))))
    }

    /// Returns the future, to be handed on as it is as long as the guest has not read it.
    pub(super) fn unread(&self) -> Weak<dyn HandOn> {
        let value: Arc<dyn HandOn> = self.0.clone();
        Arc::downgrade(&value)
    }
}

impl<C: Carrier> HandOn for Mutex<Option<In<C>>> {
    fn hand_on(&self) -> Option<Reader> {
        let value = self.lock().take();
        value.map(|value| value.inlet.pass_on())
    }
}

impl<T: HandleStore, C: Carrier> FutureProducer<T> for FutureIn<C> {
    type Item = C;

    fn poll_produce(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, T>,
        finish: bool,
    ) -> Poll<Result<Option<C>>> {
        let mut value = self.0.lock();
        let Some(value) = &mut *value else {
            // It was handed on, and is closed before anything can read it.
            return Poll::Ready(Err(Error::new(Broken::WriterLost)));
        };
        match ready!(value.poll(cx, (1, finish)))? {
            Come::Some => {}
            // A future always comes.
            Come::Ended => {
                value.fail(Broken::WriterLost)?;
            }
            Come::Cancelled => return Poll::Ready(Ok(None)),
        }
        let batch = value.take(1, store)?;
        Poll::Ready(Ok(C::items(batch, true).pop()))
    }
}

/// Gives bytes to a guest: one copy, and no other work for each of them.
pub(super) struct BytesIn(Inlet);

impl BytesIn {
    pub(super) fn new(reader: Reader, guard: Box<dyn ChannelGuard>) -> Self {
        Self(Inlet::new(reader, guard))
    }
}

impl<T: HandleStore> StreamProducer<T> for BytesIn {
    type Item = u8;
    type Buffer = Bytes;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, T>,
        mut destination: Destination<'a, u8, Bytes>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let room = destination.remaining(&mut store);
        if room == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let most = room.unwrap_or(MOST_BYTES);
        let asked = (most.min(MOST_BYTES), finish);
        match ready!(self.0.poll(cx, asked, bytes_only)).map_err(Error::new)? {
            Come::Some => {}
            Come::Ended => return Poll::Ready(Ok(StreamResult::Dropped)),
            Come::Cancelled => return Poll::Ready(Ok(StreamResult::Cancelled)),
        }
        let count = self.0.rest.count.min(most);
        let (chunk, _) = self.0.split(count, (count, 0));
        self.0.ahead.carried(count);
        if room.is_none() {
            destination.set_buffer(chunk.bytes);
        } else {
            let mut destination = destination.as_direct(store, 0);
            destination.remaining()[..count].copy_from_slice(&chunk.bytes);
            destination.mark_written(count);
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }

    fn try_into(me: Pin<Box<Self>>, ty: TypeId) -> Result<Box<dyn Any>, Pin<Box<Self>>> {
        if ty != TypeId::of::<Reader>() {
            return Err(me);
        }
        Ok(Box::new(Pin::into_inner(me).0.pass_on()))
    }
}

fn bytes_only(chunk: &Chunk) -> Result<Places, Broken> {
    if chunk.bytes.len() == chunk.count && chunk.handles.is_empty() {
        return Ok(Places::new());
    }
    Err(Broken::Invalid {
        reason: "a chunk of bytes with another length than it says".into(),
    })
}
