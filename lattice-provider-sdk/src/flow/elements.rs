//! Elements of streams, and the values of futures, as bytes.
//!
//! They are encoded one after the other. Only the integers of 16 bits and more are different from
//! arguments: as elements they are as in memory, little-endian, without a varint.

use super::{
    context::{EncodeError, Env, decode_with, encode_into},
    pump::Pump,
};
use bytes::{Buf, Bytes, BytesMut};
use lattice_core::{
    call::CallError,
    stream::{Broken, Chunk, Handle, Handles, Holder},
    value::from_bytes_seed,
};
use serde::{
    Deserializer, Serialize,
    de::{DeserializeOwned, DeserializeSeed, SeqAccess, Visitor},
};
use std::{any::Any, collections::VecDeque, fmt, marker::PhantomData, mem};

/// A type whose values can be elements of a stream, or the value of a future: every generated type,
/// and every type of values except references.
pub trait Element: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Element for T {}

/// Most elements that a reader asks for, and most in a chunk, so that those of many bytes fit.
const MOST_VALUES: usize = 256;
/// The same for numbers.
const MOST_NUMBERS: usize = 16 * 1024;
/// A chunk of more bytes is complete.
const ENOUGH_BYTES: usize = 64 * 1024;

/// Returns how many elements of a type a reader asks for at once.
pub(super) fn most<T: Element>() -> usize {
    match width::<T>() {
        Some(_) => MOST_NUMBERS,
        None => MOST_VALUES,
    }
}

/// Elements on their way into a chunk.
#[derive(Default)]
pub(super) struct Batch {
    count: usize,
    bytes: BytesMut,
    beside: (Handles, Vec<Pump>),
}

impl Batch {
    /// Returns whether there is room for one more of `room` elements.
    pub(super) fn has_room(&self, room: usize) -> bool {
        self.count < room && self.bytes.len() < ENOUGH_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds an element, whose handles are then on their way.
    ///
    /// # Errors
    /// Fails with the reason why it can't be passed. It is dropped.
    pub(super) fn push<T: Element>(&mut self, element: T, env: &Env) -> Result<(), Broken> {
        if !put_number(&element, &mut self.bytes) {
            self.push_value(element, env)?;
        }
        self.count += 1;
        Ok(())
    }

    fn push_value<T: Element>(&mut self, element: T, env: &Env) -> Result<(), Broken> {
        let (before, handles) = (self.bytes.len(), self.beside.0.len());
        let encoded = encode_into(&element, env, &mut self.bytes, &mut self.beside);
        // A resource that was given away is shared with its table until here.
        drop(element);
        let sent = encoded.map_err(|error| match error {
            EncodeError::Call(error) => invalid(&error),
            EncodeError::Value(error) => invalid(&error),
        });
        let sent = sent.and_then(|()| {
            let new = self.beside.0[handles..].iter();
            moved(new, &env.holder, &Holder::OnTheWay)
        });
        if sent.is_err() {
            self.bytes.truncate(before);
            self.beside.0.truncate(handles);
        }
        sent
    }

    /// Returns the chunk, and starts the streams in it.
    pub(super) fn take(&mut self) -> Chunk {
        let (handles, pumps) = mem::take(&mut self.beside);
        pumps.into_iter().for_each(Pump::start);
        Chunk {
            count: mem::take(&mut self.count),
            bytes: self.bytes.split().freeze(),
            handles,
        }
    }
}

/// Decodes a chunk, whose handles have arrived then.
///
/// # Errors
/// [`Broken::Invalid`] when it isn't what the type says.
pub(super) fn decode<T: Element>(chunk: Chunk, env: &Env) -> Result<VecDeque<T>, Broken> {
    let Chunk {
        count,
        bytes,
        handles,
    } = chunk;
    if let Some(width) = width::<T>() {
        if !handles.is_empty() || count.checked_mul(width) != Some(bytes.len()) {
            return Err(Broken::Invalid {
                reason: format!("{} bytes for {count} numbers of {width}", bytes.len()).into(),
            });
        }
        return Ok(numbers(bytes));
    }
    moved(handles.iter(), &Holder::OnTheWay, &env.holder)?;
    let read = || from_bytes_seed(Elements::new(count), &bytes);
    let refuse = |reason| CallError::BadResult { reason };
    decode_with(handles, env, read, refuse).map_err(|error| match error {
        CallError::BadResult { reason } => Broken::Invalid {
            reason: reason.into(),
        },
        error => invalid(&error),
    })
}

/// Records that handles change hands.
fn moved<'h>(
    handles: impl Iterator<Item = &'h Handle>,
    from: &Holder,
    to: &Holder,
) -> Result<(), Broken> {
    for handle in handles {
        if let Handle::Own(owned) = handle {
            let resource = owned.resource();
            let moved = resource.owner().hand_over(resource.id(), from, to);
            moved.map_err(|stale| invalid(&resource.stale(&stale)))?;
        }
    }
    Ok(())
}

fn invalid(error: &impl fmt::Display) -> Broken {
    Broken::Invalid {
        reason: error.to_string().into(),
    }
}

/// Reads so many elements, which follow each other without their number.
struct Elements<T> {
    count: usize,
    of: PhantomData<fn() -> T>,
}

impl<T> Elements<T> {
    fn new(count: usize) -> Self {
        Self {
            count,
            of: PhantomData,
        }
    }
}

impl<'de, T: Element> DeserializeSeed<'de> for Elements<T> {
    type Value = VecDeque<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_tuple(self.count, self)
    }
}

impl<'de, T: Element> Visitor<'de> for Elements<T> {
    type Value = VecDeque<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} elements", self.count)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        // The count is that of the writer, so there is no room in advance for more than is asked.
        let mut elements = VecDeque::with_capacity(self.count.min(MOST_VALUES));
        while let Some(element) = sequence.next_element()? {
            elements.push_back(element);
        }
        Ok(elements)
    }
}

macro_rules! numbers {
    ($($number:ty)+) => {
        /// Returns the size of a number whose bytes as an element aren't those of an argument.
        fn width<T: 'static>() -> Option<usize> {
            let none = &None::<T> as &dyn Any;
            $(if none.is::<Option<$number>>() {
                return Some(size_of::<$number>());
            })+
            None
        }

        /// Appends a number as it is in memory. Returns false if it is none.
        fn put_number<T: 'static>(element: &T, bytes: &mut BytesMut) -> bool {
            let element = element as &dyn Any;
            $(if let Some(number) = element.downcast_ref::<$number>() {
                bytes.extend_from_slice(&number.to_le_bytes());
                return true;
            })+
            false
        }

        /// Reads numbers as they are in memory.
        fn numbers<T: 'static>(mut bytes: Bytes) -> VecDeque<T> {
            let mut elements = VecDeque::<T>::new();
            let any = &mut elements as &mut dyn Any;
            $(if let Some(numbers) = any.downcast_mut::<VecDeque<$number>>() {
                numbers.reserve(bytes.len() / size_of::<$number>());
                while let Some(number) = bytes.first_chunk() {
                    numbers.push_back(<$number>::from_le_bytes(*number));
                    bytes.advance(size_of::<$number>());
                }
            })+
            elements
        }
    };
}
numbers!(u16 u32 u64 i16 i32 i64);

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_core::id::Source;

    fn env() -> Env {
        Env {
            home: None,
            holder: Holder::Local(Source::Operator),
            caller: None,
        }
    }

    fn chunk<T: Element>(elements: impl IntoIterator<Item = T>) -> Chunk {
        let mut batch = Batch::default();
        for element in elements {
            assert!(batch.push(element, &env()).is_ok());
        }
        batch.take()
    }

    fn round_trip<T: Element + Clone + PartialEq + fmt::Debug>(elements: &[T], bytes: &[u8]) {
        let chunk = chunk(elements.iter().cloned());
        assert_eq!((chunk.count, &*chunk.bytes), (elements.len(), bytes));
        assert_eq!(decode::<T>(chunk, &env()), Ok(elements.to_vec().into()));
    }

    #[test]
    fn numbers_are_as_in_memory_and_other_elements_as_arguments() {
        round_trip(&[1_u16, 300], &[1, 0, 44, 1]);
        round_trip(&[-1_i32, 2], &[255, 255, 255, 255, 2, 0, 0, 0]);
        round_trip(&[1_u64], &[1, 0, 0, 0, 0, 0, 0, 0]);
        round_trip(&[-1_i8, 1], &[255, 1]);
        round_trip(&[1.0_f32], &[0, 0, 128, 63]);
        round_trip(&[true, false], &[1, 0]);
        round_trip(&["a".to_owned(), String::new()], &[1, b'a', 0]);
        // A number inside of an element is one of a value.
        round_trip(&[vec![300_u32], vec![]], &[1, 172, 2, 0]);
        round_trip(&[(), (), ()], &[]);
    }

    #[test]
    fn a_chunk_that_does_not_fit_its_type_is_refused() {
        let chunk = |count, bytes: &'static [u8]| Chunk {
            count,
            bytes: Bytes::from_static(bytes),
            handles: Handles::new(),
        };
        let wrong = |broken: Option<Broken>| matches!(broken, Some(Broken::Invalid { .. }));
        assert!(wrong(decode::<u32>(chunk(2, &[0; 7]), &env()).err()));
        assert!(wrong(
            decode::<u32>(chunk(usize::MAX, &[0; 4]), &env()).err()
        ));
        assert!(wrong(decode::<String>(chunk(2, &[0]), &env()).err()));
        assert!(wrong(decode::<String>(chunk(1, &[0, 0]), &env()).err()));
        assert!(wrong(decode::<bool>(chunk(1, &[2]), &env()).err()));
        let handles = vec![Handle::Stream(lattice_core::stream::channel().1)];
        let chunk = Chunk {
            handles,
            ..chunk(1, &[0])
        };
        assert!(wrong(decode::<bool>(chunk, &env()).err()));
    }
}
