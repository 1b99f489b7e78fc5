//! Reply envelope: the outcome of one call.
//!
//! ```text
//!  0     8        9           11
//! ┌─────┬────────┬──────────┬──────────────────────────────────────────────────────────────┐
//! │ id  │ 0: ok  │ channels │ result to the end, or an opening (16)                        │
//! ├─────┼────────┼──────────┼──────────────────────────────────────────────────────────────┤
//! │ id  │ 2: ok  │ channels │ the same; the result has handles (`passing.rs`)              │
//! ├─────┼────────┼──────────┼─────┬───────────────────┬──────┬─────────────────────────────┤
//! │ id  │ 1: err │ channels │ ran │ text length (u32) │ text │ error in postcard, to the   │
//! │     │        │          │     │                   │      │ end                         │
//! └─────┴────────┴──────────┴─────┴───────────────────┴──────┴─────────────────────────────┘
//! ```
//! Little endian. Ran: 0 no, 1 maybe, 2 yes. Channels are 1 if the reply opens a session that
//! carries the result (`session/opening.rs`), else 0. An error that this version doesn't know, or
//! for which its own [`CallError::ran`] differs, becomes [`CallError::Unrecognised`] with the text
//! and the `ran` of the other side.

use super::{
    EnvelopeError, Opening,
    read::{head, take},
};
use crate::{
    call::{CallError, Ran},
    value::{self, ValueError},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};

const FIXED: usize = 11;
const OK: u8 = 0;
const ERR: u8 = 1;
const OK_WITH_HANDLES: u8 = 2;

/// One reply on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyEnvelope {
    /// The id of the call.
    pub id: u64,
    /// The session that carries the result, if it doesn't fit a message or has streams in it.
    pub session: Option<Opening>,
    /// Whether the result is a [`Passed`](super::Passed) value. Never that of an error.
    pub has_handles: bool,
    /// The encoded result, or the error. The result is empty if a session carries it.
    pub outcome: Result<Bytes, CallError>,
}

impl ReplyEnvelope {
    /// Creates a reply without handles and without a session.
    pub fn plain(id: u64, outcome: Result<Bytes, CallError>) -> Self {
        Self {
            id,
            session: None,
            has_handles: false,
            outcome,
        }
    }

    /// Appends the envelope to `buf`.
    pub fn encode_into(&self, buf: &mut BytesMut) {
        buf.reserve(FIXED + self.outcome.as_ref().map_or(0, Bytes::len));
        buf.put_u64_le(self.id);
        match &self.outcome {
            Ok(result) => {
                buf.put_u8(if self.has_handles {
                    OK_WITH_HANDLES
                } else {
                    OK
                });
                buf.put_u16_le(Opening::channels(self.session.as_ref()));
                if let Some(session) = &self.session {
                    session.encode_into(buf);
                }
                buf.put_slice(result);
            }
            Err(error) => {
                buf.put_u8(ERR);
                buf.put_u16_le(0);
                encode_error(error, buf);
            }
        }
    }

    /// Decodes an envelope. A result shares the memory of `envelope`.
    ///
    /// # Errors
    /// Fails with an [`EnvelopeError`]. [`envelope_id`](super::envelope_id) still returns the id of
    /// the call.
    pub fn decode(envelope: Bytes) -> Result<Self, EnvelopeError> {
        let mut rest = envelope;
        let mut fixed = &head::<FIXED>(&mut rest)?[..];
        let id = fixed.get_u64_le();
        let status = fixed.get_u8();
        let channels = fixed.get_u16_le();
        let mut session = None;
        let outcome = match (status, channels) {
            (OK | OK_WITH_HANDLES, channels) => {
                session = Opening::decode(&mut rest, channels)?;
                Ok(rest)
            }
            (ERR, 0) => Err(decode_error(rest)?),
            (ERR, count) => return Err(EnvelopeError::Channels { count }),
            (other, _) => {
                return Err(EnvelopeError::Unknown {
                    what: "status",
                    number: u64::from(other),
                });
            }
        };
        Ok(Self {
            id,
            session,
            has_handles: status == OK_WITH_HANDLES,
            outcome,
        })
    }
}

fn encode_error(error: &CallError, buf: &mut BytesMut) {
    let text = error.to_string();
    buf.put_u8(match error.ran() {
        Ran::No => 0,
        Ran::Maybe => 1,
        Ran::Yes => 2,
    });
    // If its fields can't be encoded, the receiver still gets its text.
    buf.put_u32_le(text.len() as u32);
    buf.put_slice(text.as_bytes());
    let before = buf.len();
    if value::encode_into(error, buf).is_err() {
        buf.truncate(before);
    }
}

fn decode_error(mut rest: Bytes) -> Result<CallError, EnvelopeError> {
    let ran = match rest.try_get_u8().map_err(|_| EnvelopeError::Truncated)? {
        0 => Ran::No,
        1 => Ran::Maybe,
        2 => Ran::Yes,
        other => {
            return Err(EnvelopeError::Unknown {
                what: "outcome",
                number: u64::from(other),
            });
        }
    };
    let length = rest
        .try_get_u32_le()
        .map_err(|_| EnvelopeError::Truncated)?;
    let text = take(&mut rest, length as usize)?;
    match value::from_bytes::<CallError>(&rest) {
        Ok(error) if error.ran() == ran => Ok(error),
        _ => Ok(CallError::Unrecognised {
            ran,
            message: std::str::from_utf8(&text)
                .map_err(|_| ValueError::BadText)?
                .to_owned(),
        }),
    }
}
