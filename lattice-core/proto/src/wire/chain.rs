//! Marks of a chain of calls: for each process that the chain has come through, where it is there.
//!
//! ```text
//!  0       1
//! ┌───────┬─────────────────────────────────────────────┐
//! │ count │ count × (process (8) · turn (8) · entry (4)) │
//! └───────┴─────────────────────────────────────────────┘
//! ```
//! Little endian. There are 1 to [`MAX_MARKS`] of them, the latest last.

use super::{EnvelopeError, read::head};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Most marks in a call. A chain has at most one for each of its hops.
pub const MAX_MARKS: usize = 32;

/// The length of a mark in bytes.
const LEN: usize = 20;

/// The latest turn that a chain of calls has taken in one process. Only that process can tell which
/// one it is; the others pass the mark on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainMark {
    /// A random number of the process.
    pub process: u64,
    /// The number of the turn there.
    pub turn: u64,
    /// Where that process finds what the turn is nested in.
    pub entry: u32,
}

impl ChainMark {
    /// The length of a mark in bytes.
    pub const LEN: usize = LEN;

    /// Returns the number of bytes that these marks take in a call.
    pub fn len_of(marks: &[Self]) -> usize {
        match sent(marks) {
            [] => 0,
            marks => 1 + marks.len() * Self::LEN,
        }
    }

    /// Appends the marks, if there are any.
    pub(super) fn encode_all(marks: &[Self], buf: &mut BytesMut) {
        let marks = sent(marks);
        if marks.is_empty() {
            return;
        }
        // There are at most 32.
        buf.put_u8(marks.len() as u8);
        for mark in marks {
            buf.put_u64_le(mark.process);
            buf.put_u64_le(mark.turn);
            buf.put_u32_le(mark.entry);
        }
    }

    pub(super) fn decode_all(rest: &mut Bytes) -> Result<Vec<Self>, EnvelopeError> {
        let [count] = head(rest)?;
        match usize::from(count) {
            0 => Err(EnvelopeError::Contradiction),
            count if count > MAX_MARKS => Err(EnvelopeError::TooMany {
                what: "marks",
                count,
                limit: MAX_MARKS,
            }),
            count => (0..count).map(|_| Self::decode(rest)).collect(),
        }
    }

    fn decode(rest: &mut Bytes) -> Result<Self, EnvelopeError> {
        let mut fields = &head::<LEN>(rest)?[..];
        Ok(Self {
            process: fields.get_u64_le(),
            turn: fields.get_u64_le(),
            entry: fields.get_u32_le(),
        })
    }
}

/// The latest of the marks, as many as a call may have. Without the others, a circle over their
/// processes isn't detected.
fn sent(marks: &[ChainMark]) -> &[ChainMark] {
    &marks[marks.len().saturating_sub(MAX_MARKS)..]
}
