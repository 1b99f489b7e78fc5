//! Session item: one step of a session between two hosts.
//!
//! ```text
//!  0       1       2          6          14
//! ┌───────┬───────┬──────────┬──────────┬──────────────┬────────────────┬────────────────────────┐
//! │ 0x21  │ flags │ channel  │ session  │ number (u64) │ elements (u32) │ bytes to the end       │
//! ├───────┼───────┼──────────┼──────────┼──────────────┼────────────────┼────────────────┬───────┤
//! │ 0x22  │ flags │ channel  │ session  │ received     │ bytes (u64)    │ elements (u64) │ taken │
//! ├───────┼───────┼──────────┼──────────┼──────────────┼────────────────┴────────────────┴───────┤
//! │ 0x23  │ flags │ channel  │ session  │ number (u64) │                                         │
//! ├───────┼───────┼──────────┼──────────┼────────┬─────┴─┬───────────────────────────────────────┤
//! │ 0x24  │ flags │ channel  │ session  │ reason │ taken │                                       │
//! ├───────┼───────┼──────────┼──────────┼────────┴───────┴───────────────────────────────────────┤
//! │ 0x25  │ flags │ channel  │ session  │                                                        │
//! └───────┴───────┴──────────┴──────────┴────────────────────────────────────────────────────────┘
//! ```
//! Little endian. Items: chunk, credit, end, cancel, ask. Flags: bit 0, the sender of the item has
//! opened the session; bit 1, of a credit: a chunk is missing; of a cancel: the channel is one of
//! the item's sender; bit 2, of a cancel: it has the field *taken*. Both ends number their own
//! channels, each one higher than those before it. A cancel of channel `u32::MAX` is about the
//! whole session. All items but chunks may have fields of newer minor forms at their end.
//!
//! All items share one kind of frame, so that one send queue keeps the chunks and the end of a
//! channel in order. They have the numbers 0x21 to 0x25, which were once meant for kinds. A session
//! is opened by the call or reply that needs it ([`Opening`](super::Opening)).

use crate::wire::{EnvelopeError, read::head};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The channel of a cancel that is about the whole session.
pub const WHOLE_SESSION: u32 = u32::MAX;

const HEAD: usize = 14;
const CHUNK: u8 = 0x21;
const CREDIT: u8 = 0x22;
const END: u8 = 0x23;
const CANCEL: u8 = 0x24;
const ASK: u8 = 0x25;
const FROM_OPENER: u8 = 1 << 0;
const GAP: u8 = 1 << 1;
const OWN_CHANNEL: u8 = 1 << 1;
const TAKEN: u8 = 1 << 2;

/// Identifies a session between two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionName {
    /// Whether the sender of the item has opened it.
    pub from_opener: bool,
    /// Its number among the sessions of its opener.
    pub number: u64,
}

/// One step of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionItem {
    /// The session.
    pub session: SessionName,
    /// The channel; [`WHOLE_SESSION`] for all of them.
    pub channel: u32,
    /// What happens.
    pub item: Item,
}

/// What an item says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The next part of a channel of the sender.
    Chunk {
        /// Its number in the channel, from 0.
        number: u64,
        /// How many elements it has.
        elements: u32,
        /// Its content, which shares the memory of the envelope.
        bytes: Bytes,
    },
    /// What the sender has received of a channel of the other end, and has room for. All of its
    /// numbers are totals since the channel began, so that a repeated or lost credit does no harm.
    Credit {
        /// Chunks received in order, the end included.
        received: u64,
        /// So many bytes may be sent in total.
        bytes: u64,
        /// So many elements may be sent in total.
        elements: u64,
        /// Chunks of which the handles are the receiver's now. It doesn't say so of each at once.
        taken: u64,
        /// A later chunk than the next one has arrived.
        gap: bool,
    },
    /// A channel of the sender is complete.
    End {
        /// The number after that of the last chunk.
        number: u64,
    },
    /// A channel or the session is broken off.
    Cancel {
        /// Why.
        reason: CancelReason,
        /// Whether it is a channel of the sender.
        own_channel: bool,
        /// Of a channel that its receiver drops: the handles of so many chunks are the receiver's,
        /// and it takes no others. `None` if it doesn't know.
        taken: Option<u64>,
    },
    /// The sender has heard nothing of a channel of its own for long. It is told again what was
    /// received, or that the channel or the session is gone.
    Ask,
}

/// Why a channel or a session was broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum CancelReason {
    /// Its user has dropped it.
    Dropped = 0,
    /// The sender of the cancel doesn't know the session, or not any more.
    Unknown = 1,
    /// An item broke the rules of the session.
    Violation = 2,
    /// Its deadline passed.
    Deadline = 3,
    /// Nothing happened in it for too long.
    Idle = 4,
    /// Nothing was acknowledged for too long.
    Unacknowledged = 5,
    /// A reason of a newer version.
    Other = 255,
}

impl CancelReason {
    const KNOWN: [Self; 6] = [
        Self::Dropped,
        Self::Unknown,
        Self::Violation,
        Self::Deadline,
        Self::Idle,
        Self::Unacknowledged,
    ];

    fn from_number(number: u8) -> Self {
        let known = Self::KNOWN.get(usize::from(number));
        known.copied().unwrap_or(Self::Other)
    }
}

impl SessionItem {
    /// The length of a chunk's envelope without its content.
    pub const CHUNK_HEAD: usize = HEAD + 12;
    /// The longest envelope of the other items.
    pub const LONGEST: usize = HEAD + 32;

    /// Appends the envelope to `buf`.
    pub fn encode_into(&self, buf: &mut BytesMut) {
        let opener = if self.session.from_opener {
            FROM_OPENER
        } else {
            0
        };
        let flag = |flag, set| if set { opener | flag } else { opener };
        let mut put_head = |item, flags| {
            buf.put_u8(item);
            buf.put_u8(flags);
            buf.put_u32_le(self.channel);
            buf.put_u64_le(self.session.number);
        };
        match &self.item {
            Item::Chunk {
                number,
                elements,
                bytes,
            } => {
                put_head(CHUNK, opener);
                buf.put_u64_le(*number);
                buf.put_u32_le(*elements);
                buf.put_slice(bytes);
            }
            Item::Credit {
                received,
                bytes,
                elements,
                taken,
                gap,
            } => {
                put_head(CREDIT, flag(GAP, *gap));
                buf.put_u64_le(*received);
                buf.put_u64_le(*bytes);
                buf.put_u64_le(*elements);
                buf.put_u64_le(*taken);
            }
            Item::End { number } => {
                put_head(END, opener);
                buf.put_u64_le(*number);
            }
            Item::Cancel {
                reason,
                own_channel,
                taken,
            } => {
                let has_taken = if taken.is_some() { TAKEN } else { 0 };
                put_head(CANCEL, flag(OWN_CHANNEL, *own_channel) | has_taken);
                buf.put_u8(*reason as u8);
                if let Some(taken) = taken {
                    buf.put_u64_le(*taken);
                }
            }
            Item::Ask => put_head(ASK, opener),
        }
    }

    /// Decodes an envelope. The content of a chunk shares its memory.
    ///
    /// # Errors
    /// Fails with [`EnvelopeError::Truncated`], or with [`EnvelopeError::Unknown`] for an item or
    /// flags of a newer version.
    pub fn decode(envelope: Bytes) -> Result<Self, EnvelopeError> {
        let mut rest = envelope;
        let mut fields = &head::<HEAD>(&mut rest)?[..];
        let (kind, flags) = (fields.get_u8(), fields.get_u8());
        let (channel, number) = (fields.get_u32_le(), fields.get_u64_le());
        let known = match kind {
            CREDIT => FROM_OPENER | GAP,
            CANCEL => FROM_OPENER | OWN_CHANNEL | TAKEN,
            _ => FROM_OPENER,
        };
        let item = Self::decode_fields(kind, flags, rest)?;
        match flags & !known {
            0 => Ok(Self {
                session: SessionName {
                    from_opener: flags & FROM_OPENER != 0,
                    number,
                },
                channel,
                item,
            }),
            unknown => Err(EnvelopeError::Unknown {
                what: "flags",
                number: u64::from(unknown),
            }),
        }
    }

    fn decode_fields(kind: u8, flags: u8, mut rest: Bytes) -> Result<Item, EnvelopeError> {
        Ok(match kind {
            CHUNK => {
                let mut fields = &head::<12>(&mut rest)?[..];
                Item::Chunk {
                    number: fields.get_u64_le(),
                    elements: fields.get_u32_le(),
                    bytes: rest,
                }
            }
            CREDIT => {
                let mut fields = &head::<32>(&mut rest)?[..];
                Item::Credit {
                    received: fields.get_u64_le(),
                    bytes: fields.get_u64_le(),
                    elements: fields.get_u64_le(),
                    taken: fields.get_u64_le(),
                    gap: flags & GAP != 0,
                }
            }
            END => Item::End {
                number: u64::from_le_bytes(head(&mut rest)?),
            },
            CANCEL => Item::Cancel {
                reason: CancelReason::from_number(head::<1>(&mut rest)?[0]),
                own_channel: flags & OWN_CHANNEL != 0,
                taken: match flags & TAKEN {
                    0 => None,
                    _ => Some(u64::from_le_bytes(head(&mut rest)?)),
                },
            },
            ASK => Item::Ask,
            other => {
                return Err(EnvelopeError::Unknown {
                    what: "session item",
                    number: u64::from(other),
                });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(from_opener: bool, channel: u32, item: Item) -> SessionItem {
        SessionItem {
            session: SessionName {
                from_opener,
                number: 0x0102_0304_0506_0708,
            },
            channel,
            item,
        }
    }

    fn encoded(item: &SessionItem) -> Bytes {
        let mut buf = BytesMut::new();
        item.encode_into(&mut buf);
        buf.freeze()
    }

    fn samples() -> [(SessionItem, &'static [u8]); 6] {
        let chunk = Item::Chunk {
            number: 3,
            elements: 2,
            bytes: Bytes::from_static(b"xyz"),
        };
        let credit = Item::Credit {
            received: 4,
            bytes: 1 << 20,
            elements: 6,
            taken: 3,
            gap: true,
        };
        let cancel = Item::Cancel {
            reason: CancelReason::Deadline,
            own_channel: true,
            taken: None,
        };
        let dropped = Item::Cancel {
            reason: CancelReason::Dropped,
            own_channel: false,
            taken: Some(9),
        };
        [
            (
                item(true, 0x1_0005, chunk),
                b"\x21\x01\x05\0\x01\0\x08\x07\x06\x05\x04\x03\x02\x01\x03\0\0\0\0\0\0\0\x02\0\0\0xyz",
            ),
            (
                item(false, 1, credit),
                b"\x22\x02\x01\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01\x04\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\x06\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0",
            ),
            (
                item(true, 0, Item::End { number: 9 }),
                b"\x23\x01\0\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01\x09\0\0\0\0\0\0\0",
            ),
            (
                item(false, WHOLE_SESSION, cancel),
                b"\x24\x02\xff\xff\xff\xff\x08\x07\x06\x05\x04\x03\x02\x01\x03",
            ),
            (
                item(true, 2, Item::Ask),
                b"\x25\x01\x02\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01",
            ),
            (
                item(false, 2, dropped),
                b"\x24\x04\x02\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01\0\x09\0\0\0\0\0\0\0",
            ),
        ]
    }

    #[test]
    fn golden_bytes() {
        for (item, golden) in samples() {
            assert_eq!(&encoded(&item)[..], golden, "{item:?}");
            assert_eq!(
                SessionItem::decode(Bytes::from_static(golden)),
                Ok(item.clone())
            );
            let fixed = match item.item {
                Item::Chunk { .. } => SessionItem::CHUNK_HEAD,
                _ => golden.len(),
            };
            for length in 0..fixed {
                let short = Bytes::from_static(&golden[..length]);
                assert_eq!(SessionItem::decode(short), Err(EnvelopeError::Truncated));
            }
            let mut newer = golden.to_vec();
            newer.push(7);
            let newer = SessionItem::decode(newer.into()).expect("a newer form");
            assert_eq!(newer.channel, item.channel);
        }
    }

    #[test]
    fn unknown_items_and_flags_are_refused_and_unknown_reasons_are_not() {
        let unknown = |what, number| Err(EnvelopeError::Unknown { what, number });
        for (item, golden) in samples() {
            let mut changed = golden.to_vec();
            changed[1] |= 0x80;
            assert_eq!(
                SessionItem::decode(changed.into()),
                unknown("flags", 0x80),
                "{item:?}"
            );
        }
        let mut chunk = samples()[0].1.to_vec();
        chunk[1] |= 2;
        assert_eq!(
            SessionItem::decode(chunk.clone().into()),
            unknown("flags", 2)
        );
        chunk[0] = 0x20;
        assert_eq!(
            SessionItem::decode(chunk.into()),
            unknown("session item", 0x20)
        );
        let mut cancel = samples()[3].1.to_vec();
        cancel[14] = 99;
        let cancel = SessionItem::decode(cancel.into()).expect("a cancel");
        let reason = CancelReason::Other;
        let (own_channel, taken) = (true, None);
        assert_eq!(
            cancel.item,
            Item::Cancel {
                reason,
                own_channel,
                taken,
            }
        );
    }

    #[test]
    fn the_content_of_a_chunk_is_not_copied() {
        let envelope = encoded(&samples()[0].0);
        let range = envelope.as_ptr_range();
        match SessionItem::decode(envelope.clone()).expect("a chunk").item {
            Item::Chunk { bytes, .. } => assert!(range.contains(&bytes.as_ptr())),
            other => panic!("{other:?}"),
        }
    }
}
