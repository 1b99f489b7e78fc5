//! Streams and futures between a guest and a [`channel`](lattice_core::stream::channel).
//!
//! ```text
//!  guest writes ─► outlet ── chunks ──► Reader ─► inlet ─► guest reads
//!                    ▲                              │
//!                    └─────────── credit ───────────┘
//! ```
//!
//! The reading guest's room is the credit. With nothing requested ahead of time, a write ends once
//! a read has requested its elements, a cancelled one gives everything back, and a reader that goes
//! away is seen. Credit isn't taken back: elements that a read requested and did not get may be
//! written after that read has ended, and then wait for the next one. Of a `stream<u8>` that has
//! carried much, more is requested [ahead](Ahead).

mod ahead;
mod carrier;
mod inlet;
mod outlet;
mod unread;

use std::sync::Arc;

use lattice_core::stream::{Reader, channel};
use wasmtime::component::{FutureAny, FutureReader, StreamAny, StreamReader};
use wasmtime::{Result, StoreContextMut};

use super::handles::HandleStore;
use super::raw::{Element, Payload, RawHandle};
use super::shape::{NodeId, Shape, Tree};
use ahead::Ahead;
use carrier::Carrier;
use inlet::{BytesIn, FutureIn, In};
use outlet::{BytesOut, Later, Out};
pub(crate) use unread::UnreadFutures;

/// Most bytes of a chunk of a `stream<u8>`, and most that a reader asks for apart from what is
/// requested [ahead](Ahead), so that a thousand readers that stop hold 64 MiB.
const MOST_BYTES: usize = 64 * 1024;
/// Most numbers of other types in a chunk.
const MOST_NUMBERS: usize = 16 * 1024;
/// Most other elements in a chunk, so that those of many bytes fit within the limit on values that
/// are lifted at once.
const MOST_VALUES: usize = 256;

/// The type of a stream's or future's elements, as the reading component has it.
type ElementType<'t> = (&'t Arc<Tree>, Option<NodeId>);

/// Takes over a stream that was lifted, and returns the end that its elements come out of.
///
/// A stream that only passes through the guest is handed on as it is.
pub(super) fn stream_out<T: HandleStore>(
    mut store: StoreContextMut<'_, T>,
    stream: StreamAny,
    payload: Payload,
) -> Result<Reader> {
    let (writer, reader) = channel();
    let guard = store.data().guard();
    macro_rules! pipe {
        ($Item:ty, $consumer:expr) => {{
            let stream = stream.try_into_stream_reader::<$Item>()?;
            match stream.try_into::<Reader>(&mut store) {
                Ok(passed) => return Ok(passed),
                Err(stream) => stream.pipe(store, $consumer)?,
            }
        }};
    }
    match payload {
        Payload::Nothing => pipe!((), Out::<()>::new(writer, guard, payload)),
        Payload::Bytes => pipe!(u8, BytesOut::new(writer, guard)),
        Payload::Numbers | Payload::Values => {
            pipe!(Element, Out::<Element>::new(writer, guard, payload));
        }
    }
    Ok(reader)
}

/// Takes over a future that was lifted, and returns the end that its value comes out of.
///
/// A future that only passes through the guest is handed on as it is.
pub(super) fn future_out<T: HandleStore>(
    store: StoreContextMut<'_, T>,
    future: FutureAny,
    payload: Payload,
) -> Result<Reader> {
    match payload {
        Payload::Nothing => future_out_as::<(), T>(store, future, payload),
        _ => future_out_as::<Element, T>(store, future, payload),
    }
}

fn future_out_as<C: Carrier, T: HandleStore>(
    mut store: StoreContextMut<'_, T>,
    mut future: FutureAny,
    payload: Payload,
) -> Result<Reader> {
    // The host's own name for it, if it is the host's.
    let name = future.clone().try_into_future_reader::<C>()?;
    let name = name.try_into_future_any(&mut store)?;
    let unread = store.data_mut().unread_futures();
    if let Some(passed) = unread.and_then(|unread| unread.take(&name)) {
        future.close(&mut store)?;
        return Ok(passed);
    }
    let (writer, reader) = channel();
    let out = Out::<C>::new(writer, store.data().guard(), payload);
    store.spawn(Later { future, out })?;
    Ok(reader)
}

/// Makes the stream whose elements come out of `reader`, to be lowered.
pub(super) fn stream_in<T: HandleStore>(
    mut store: StoreContextMut<'_, T>,
    reader: Reader,
    (tree, element): ElementType<'_>,
) -> Result<RawHandle> {
    let guard = store.data().guard();
    let payload = payload(tree, element);
    let stream = match payload {
        Payload::Nothing => {
            let producer = In::<()>::new(reader, guard, (tree, element));
            StreamReader::new(&mut store, producer)?.try_into_stream_any(store)
        }
        Payload::Bytes => {
            let producer = BytesIn::new(reader, guard);
            StreamReader::new(&mut store, producer)?.try_into_stream_any(store)
        }
        Payload::Numbers | Payload::Values => {
            let producer = In::<Element>::new(reader, guard, (tree, element));
            StreamReader::new(&mut store, producer)?.try_into_stream_any(store)
        }
    };
    Ok(RawHandle::Stream(stream?, payload))
}

/// Makes the future whose value comes out of `reader`, to be lowered.
pub(super) fn future_in<T: HandleStore>(
    store: StoreContextMut<'_, T>,
    reader: Reader,
    (tree, element): ElementType<'_>,
) -> Result<RawHandle> {
    let guard = store.data().guard();
    if element.is_none() {
        let value = In::<()>::new(reader, guard, (tree, element));
        return Ok(RawHandle::Future(
            future_of(store, value)?,
            Payload::Nothing,
        ));
    }
    let value = In::<Element>::new(reader, guard, (tree, element));
    Ok(RawHandle::Future(future_of(store, value)?, Payload::Values))
}

fn future_of<C: Carrier, T: HandleStore>(
    mut store: StoreContextMut<'_, T>,
    value: In<C>,
) -> Result<FutureAny> {
    let producer = FutureIn::new(value);
    let value = producer.unread();
    let future = FutureReader::new(&mut store, producer)?.try_into_future_any(&mut store)?;
    if let Some(unread) = store.data_mut().unread_futures() {
        unread.add(future.clone(), value);
    }
    Ok(future)
}

/// Returns what moves the elements of a stream. It is the same as for the type in the guest.
fn payload(tree: &Tree, element: Option<NodeId>) -> Payload {
    use super::scalar::Scalar;
    let shape = element.map(|element| &tree.node(element).shape);
    match shape {
        None => Payload::Nothing,
        Some(Shape::Scalar(Scalar::U8)) => Payload::Bytes,
        Some(shape) if shape.number().is_some() => Payload::Numbers,
        Some(_) => Payload::Values,
    }
}
