//! How the elements of a stream or a future travel in the chunks of a channel.
//!
//! A *parcel* is a number of elements that belong together. Its bytes go in as many chunks as they
//! need, and the last one of them says what it was. Its count of elements is
//!
//! | count | parcel |
//! | --- | --- |
//! | 0 | goes on in the next chunk |
//! | 1 to 2³¹ - 1 | so many elements, one after the other |
//! | the same, with bit 31 | a [`Passed`](crate::wire::Passed) value: the elements have handles |
//! | 2³² - 1 | none: the stream is broken off; the bytes are a [`Fault`] |
//!
//! ```text
//!  0        1
//! ┌───────┬─────────────────────┐
//! │ fault │ UTF-8 text to the end │
//! └───────┴─────────────────────┘
//! ```
//! Nothing follows a fault but the end of the channel. An end without one is the end of the stream.

use bytes::{BufMut, Bytes, BytesMut};

const HANDLES: u32 = 1 << 31;
const BROKEN: u32 = u32::MAX;

/// What the last chunk of a parcel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parcel {
    /// It isn't the last one.
    Partial,
    /// So many elements.
    Elements(u32),
    /// So many elements with handles in them.
    WithHandles(u32),
    /// The reason why there won't be any more.
    Broken,
}

impl Parcel {
    /// Most elements of a parcel.
    pub const MAX: u32 = HANDLES - 2;

    /// Reads a chunk's count of elements.
    pub fn of(count: u32) -> Self {
        match count {
            0 => Self::Partial,
            BROKEN => Self::Broken,
            count if count & HANDLES == 0 => Self::Elements(count),
            count => Self::WithHandles(count & !HANDLES),
        }
    }

    /// The count of elements that says this.
    pub fn count(self) -> u32 {
        match self {
            Self::Partial => 0,
            Self::Elements(count) => count,
            Self::WithHandles(count) => count | HANDLES,
            Self::Broken => BROKEN,
        }
    }
}

/// Why a stream was broken off by its writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The writer went away without an end.
    WriterLost,
    /// The instance that wrote it ended, for this reason.
    InstanceLost(String),
    /// An element isn't what the type says.
    Invalid(String),
    /// The host with this id, from which it came, is gone.
    HostLost(String),
    /// It was cut off somewhere on its way, for this reason.
    CutOff(String),
    /// Its writer broke it, for this reason.
    Failed(String),
}

impl Fault {
    /// Longest text in bytes; a longer one is cut.
    const LONGEST: usize = 1_024;

    /// Encodes it.
    pub fn encode(&self) -> Bytes {
        let (number, text) = match self {
            Self::WriterLost => (0, ""),
            Self::InstanceLost(text) => (1, &**text),
            Self::Invalid(text) => (2, &**text),
            Self::HostLost(text) => (3, &**text),
            Self::CutOff(text) => (4, &**text),
            Self::Failed(text) => (5, &**text),
        };
        let text = &text[..text.floor_char_boundary(Self::LONGEST)];
        let mut buf = BytesMut::with_capacity(1 + text.len());
        buf.put_u8(number);
        buf.put_slice(text.as_bytes());
        buf.freeze()
    }

    /// Decodes any bytes. What this version doesn't know is [cut off](Self::CutOff).
    pub fn decode(bytes: &[u8]) -> Self {
        let (number, text) = bytes.split_first().unwrap_or((&u8::MAX, &[]));
        let text = String::from_utf8_lossy(&text[..text.len().min(Self::LONGEST)]).into_owned();
        match number {
            0 => Self::WriterLost,
            1 => Self::InstanceLost(text),
            2 => Self::Invalid(text),
            3 => Self::HostLost(text),
            5 => Self::Failed(text),
            _ => Self::CutOff(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keep_their_meaning() {
        let counts = [
            (0, Parcel::Partial),
            (1, Parcel::Elements(1)),
            (0x7fff_ffff, Parcel::Elements(0x7fff_ffff)),
            (0x8000_0001, Parcel::WithHandles(1)),
            (0xffff_fffe, Parcel::WithHandles(Parcel::MAX)),
            (0xffff_ffff, Parcel::Broken),
        ];
        for (count, parcel) in counts {
            assert_eq!(Parcel::of(count), parcel);
            assert_eq!(parcel.count(), count);
        }
        // No elements with handles can't be: a reader refuses them.
        assert_eq!(Parcel::of(0x8000_0000), Parcel::WithHandles(0));
    }

    #[test]
    fn golden_faults() {
        let faults = [
            (Fault::WriterLost, &b"\0"[..]),
            (
                Fault::InstanceLost("it trapped".to_owned()),
                b"\x01it trapped",
            ),
            (Fault::Invalid("no".to_owned()), b"\x02no"),
            (Fault::HostLost("h".to_owned()), b"\x03h"),
            (Fault::CutOff(String::new()), b"\x04"),
            (Fault::Failed("no more".to_owned()), b"\x05no more"),
        ];
        for (fault, golden) in faults {
            assert_eq!(fault.encode(), golden);
            assert_eq!(Fault::decode(golden), fault);
        }
        assert_eq!(Fault::decode(b""), Fault::CutOff(String::new()));
        assert_eq!(Fault::decode(b"\x63new"), Fault::CutOff("new".to_owned()));
        let long = Fault::Invalid("é".repeat(5_000)).encode();
        assert!(long.len() <= 1_025);
        assert_eq!(Fault::decode(&long).encode(), long);
        assert_eq!(
            Fault::decode(b"\x02\xff"),
            Fault::Invalid("\u{fffd}".to_owned())
        );
    }
}
