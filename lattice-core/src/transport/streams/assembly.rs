//! Parcels from the chunks of a channel: pure.

use crate::wire::{Fault, Parcel};
use bytes::{Bytes, BytesMut};

/// What has arrived of a stream and isn't complete. A chunk that is a whole parcel isn't copied.
#[derive(Debug, Default)]
pub struct Assembly {
    partial: BytesMut,
    is_broken: bool,
}

/// What a chunk has completed.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing yet.
    Partial,
    /// So many elements; `true` if they have handles.
    Elements {
        /// How many.
        count: usize,
        /// The elements, or a [`Passed`](crate::wire::Passed) value.
        bytes: Bytes,
        /// Whether they have handles.
        has_handles: bool,
    },
    /// The reason why the stream is broken off.
    Broken(Fault),
}

/// What no sender sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A chunk without elements that isn't a part of any.
    #[error("a chunk is empty")]
    Empty,
    /// Something after the reason of a break.
    #[error("something follows a break")]
    AfterBreak,
    /// The end in the middle of a parcel.
    #[error("it ends within an element")]
    Unfinished,
}

impl Assembly {
    /// Bytes that it will hold after a chunk of so many.
    pub fn size_with(&self, bytes: usize, count: u32) -> usize {
        match Parcel::of(count) {
            Parcel::Partial => self.partial.len() + bytes,
            _ if self.partial.is_empty() => 0,
            _ => self.partial.len() + bytes,
        }
    }

    /// Takes a chunk.
    ///
    /// # Errors
    /// Fails with [`Refused`].
    pub fn take(&mut self, bytes: Bytes, count: u32) -> Result<Step, Refused> {
        if self.is_broken {
            return Err(Refused::AfterBreak);
        }
        let parcel = Parcel::of(count);
        if parcel == Parcel::Partial {
            if bytes.is_empty() {
                return Err(Refused::Empty);
            }
            self.partial.extend_from_slice(&bytes);
            return Ok(Step::Partial);
        }
        let bytes = if self.partial.is_empty() {
            bytes
        } else {
            self.partial.extend_from_slice(&bytes);
            std::mem::take(&mut self.partial).freeze()
        };
        let (count, has_handles) = match parcel {
            Parcel::Elements(count) => (count, false),
            Parcel::WithHandles(count) => (count, true),
            Parcel::Partial | Parcel::Broken => {
                self.is_broken = true;
                return Ok(Step::Broken(Fault::decode(&bytes)));
            }
        };
        if count == 0 {
            return Err(Refused::Empty);
        }
        Ok(Step::Elements {
            count: count as usize,
            bytes,
            has_handles,
        })
    }

    /// Takes the end of the channel.
    ///
    /// # Errors
    /// Fails with [`Refused`].
    pub fn end(&self) -> Result<(), Refused> {
        if self.partial.is_empty() {
            Ok(())
        } else {
            Err(Refused::Unfinished)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(count: usize, bytes: &'static [u8], has_handles: bool) -> Step {
        Step::Elements {
            count,
            bytes: Bytes::from_static(bytes),
            has_handles,
        }
    }

    #[test]
    fn parcels_are_put_together() {
        let mut assembly = Assembly::default();
        let mut take = |bytes: &'static [u8], parcel: Parcel| {
            assembly.take(Bytes::from_static(bytes), parcel.count())
        };
        let partial = Parcel::Partial;
        assert_eq!(
            take(b"ab", Parcel::Elements(2)),
            Ok(elements(2, b"ab", false))
        );
        assert_eq!(take(b"ab", partial), Ok(Step::Partial));
        assert_eq!(take(b"cd", partial), Ok(Step::Partial));
        let last = take(b"e", Parcel::WithHandles(1));
        assert_eq!(last, Ok(elements(1, b"abcde", true)));
        assert_eq!(take(b"", Parcel::Elements(9)), Ok(elements(9, b"", false)));
        assert_eq!(take(b"", partial), Err(Refused::Empty));
        assert_eq!(take(b"", Parcel::WithHandles(0)), Err(Refused::Empty));
        assert_eq!(take(b"\x02", partial), Ok(Step::Partial));
        let broken = Step::Broken(Fault::Invalid("no".to_owned()));
        assert_eq!(take(b"no", Parcel::Broken), Ok(broken));
        assert_eq!(take(b"ab", Parcel::Elements(2)), Err(Refused::AfterBreak));
    }

    #[test]
    fn an_end_within_an_element_is_none() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.end(), Ok(()));
        let part = assembly.take(Bytes::from_static(b"ab"), 0);
        assert_eq!(part, Ok(Step::Partial));
        assert_eq!(assembly.end(), Err(Refused::Unfinished));
        assert_eq!(assembly.size_with(3, 0), 5);
        assert_eq!(assembly.size_with(3, 1), 5);
        assert_eq!(Assembly::default().size_with(3, 1), 0, "not copied");
    }

    #[test]
    fn a_whole_parcel_is_not_copied() {
        let chunk = Bytes::from_static(&[7; 100]);
        let step = Assembly::default().take(chunk.clone(), 100);
        match step.expect("a parcel") {
            Step::Elements { bytes, .. } => assert_eq!(bytes.as_ptr(), chunk.as_ptr()),
            other => panic!("{other:?}"),
        }
    }
}
