//! Call envelope: one call.
//!
//! ```text
//!  0        8          16             20                  28              36      44      46     47        48         50
//! ┌────────┬──────────┬──────────────┬───────────────────┬───────────────┬───────┬───────┬──────┬─────────┬──────────┐
//! │ id     │ function │ ms left, u32 │ store incarnation │ link revision │ fence │ flags │ hops │ attempt │ channels │
//! ├────────┴────┬─────┴──────┬───────┴────┬──────────┬───┴────┬────────┬─┴───┬───┴───────┴──┬───┴─────────┴──────────┤
//! 50            51           52           53         54
//! │ source kind │ source len │ target len │ link len │ source │ target │ link │ trace (25)? │ arguments to the end   │
//! │             │            │            │          │        │        │      │ instance 8? │ or an opening (16)     │
//! │             │            │            │          │        │        │      │ marks?      │                        │
//! └─────────────┴────────────┴────────────┴──────────┴────────┴────────┴──────┴─────────────┴────────────────────────┘
//! ```
//! Little endian. Flags: bit 0 idempotent, bit 1 has a trace, bit 2 the arguments have handles
//! (`passing.rs`), bit 3 has the calling instance, bit 4 has marks of its chain (`chain.rs`); an
//! envelope with others is refused.
//! Source kinds: 0 component, 1 wormhole, 2 operator (no name), 3 host. A link of length 0 is
//! `default`. Channels are 1 if the call opens a session that carries the arguments
//! (`session/opening.rs`), else 0.

use super::{
    ChainMark, EnvelopeError, Names, Opening,
    read::{component, head, name},
    trace,
};
use crate::{
    id::{FunctionKey, Incarnation, Revision, Source, TraceContext},
    name::{ComponentId, HostId, LinkName, WormholeId},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::{sync::LazyLock, time::Duration};

const FIXED: usize = 54;
const INSTANCE_LEN: usize = 8;
const IDEMPOTENT: u16 = 1 << 0;
const TRACED: u16 = 1 << 1;
const HANDLES: u16 = 1 << 2;
const INSTANCE: u16 = 1 << 3;
const MARKS: u16 = 1 << 4;

/// Most calls use this link, so it is shared and not allocated each time.
static DEFAULT_LINK: LazyLock<LinkName> = LazyLock::new(LinkName::default);

/// One call on the wire. The fields are the wire layout, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallEnvelope {
    /// Identifies the call. The caller's host picks it, and the reply repeats it.
    pub id: u64,
    /// The function to call.
    pub function: FunctionKey,
    /// How long the caller will still wait. In whole milliseconds on the wire, rounded down; at
    /// most 49 days.
    pub deadline_left: Duration,
    /// The incarnation of the store that `link_revision` belongs to.
    pub incarnation: Incarnation,
    /// The write that put the link, so that the target can wait for it.
    pub link_revision: Revision,
    /// The fence of the target's lease, as far as the caller knows; 0 if the target has no lease.
    pub fence: u64,
    /// Whether the call may run twice without harm.
    pub idempotent: bool,
    /// How many calls deep this one is nested.
    pub hops: u8,
    /// 0 for the first attempt, 1 for the first retry.
    pub attempt: u8,
    /// The source of the call.
    pub source: Source,
    /// The component that is called: a host serves many.
    pub target: ComponentId,
    /// The link through which it is called.
    pub link: LinkName,
    /// The call's position in a trace.
    pub trace: Option<TraceContext>,
    /// The instance that calls, if its caller takes a result with handles in it: a number that is
    /// unique among the instances of the caller's process, or 0 if it isn't one of them.
    pub instance: Option<u64>,
    /// Where the calls that this one is nested in hold turns: at most one mark for each process.
    pub marks: Vec<ChainMark>,
    /// Whether the arguments are a [`Passed`](super::Passed) value.
    pub has_handles: bool,
    /// The session that carries the arguments, if they don't fit a message or have streams in them.
    pub session: Option<Opening>,
    /// The arguments, encoded as a tuple; empty if a session carries them.
    pub args: Bytes,
}

impl CallEnvelope {
    /// Appends the envelope to `buf`.
    pub fn encode_into(&self, buf: &mut BytesMut) {
        let parts = CallParts {
            id: self.id,
            function: self.function,
            deadline_left: self.deadline_left,
            source: &self.source,
            target: &self.target,
            link: &self.link,
            incarnation: self.incarnation,
            link_revision: self.link_revision,
            fence: self.fence,
            hops: self.hops,
            attempt: self.attempt,
            idempotent: self.idempotent,
            trace: self.trace.as_ref(),
            instance: self.instance,
            marks: &self.marks,
            has_handles: self.has_handles,
            session: self.session,
            args: &self.args,
        };
        parts.encode_into(buf);
    }

    /// Decodes an envelope. Its arguments share the memory of `envelope`.
    ///
    /// # Errors
    /// Fails with an [`EnvelopeError`]. [`envelope_id`](super::envelope_id) still returns the id to
    /// reply with.
    pub fn decode(envelope: Bytes) -> Result<Self, EnvelopeError> {
        Self::decode_with(envelope, &mut Names::new())
    }

    /// Decodes one of many envelopes, most of which have the same names.
    ///
    /// # Errors
    /// Fails like [`decode`](Self::decode).
    pub fn decode_with(envelope: Bytes, names: &mut Names) -> Result<Self, EnvelopeError> {
        let mut rest = envelope;
        let mut fixed = &head::<FIXED>(&mut rest)?[..];
        let id = fixed.get_u64_le();
        let function = FunctionKey(fixed.get_u64_le());
        let deadline_left = Duration::from_millis(u64::from(fixed.get_u32_le()));
        let incarnation = Incarnation(fixed.get_u64_le());
        let link_revision = Revision(fixed.get_u64_le());
        let fence = fixed.get_u64_le();
        let flags = known_flags(fixed.get_u16_le())?;
        let (hops, attempt) = (fixed.get_u8(), fixed.get_u8());
        let channels = fixed.get_u16_le();
        let (kind, source_len) = (fixed.get_u8(), fixed.get_u8());
        let (target_len, link_len) = (fixed.get_u8(), fixed.get_u8());
        Ok(Self {
            id,
            function,
            deadline_left,
            source: Source::decode(&mut rest, kind, source_len, names)?,
            target: component(&mut rest, target_len, names)?,
            link: match link_len {
                0 => DEFAULT_LINK.clone(),
                length => name(&mut rest, length, LinkName::new)?,
            },
            incarnation,
            link_revision,
            fence,
            hops,
            attempt,
            idempotent: flags & IDEMPOTENT != 0,
            trace: match flags & TRACED {
                0 => None,
                _ => Some(trace::decode(&mut rest)?),
            },
            instance: match flags & INSTANCE {
                0 => None,
                _ => Some(u64::from_le_bytes(head(&mut rest)?)),
            },
            marks: match flags & MARKS {
                0 => Vec::new(),
                _ => ChainMark::decode_all(&mut rest)?,
            },
            has_handles: flags & HANDLES != 0,
            session: Opening::decode(&mut rest, channels)?,
            args: rest,
        })
    }
}

/// The parts of a call that is about to be sent, borrowed from the caller so that nothing is
/// cloned. The fields are the wire layout, in its order.
#[derive(Debug, Clone, Copy)]
pub struct CallParts<'c> {
    /// Identifies the call.
    pub id: u64,
    /// The function to call.
    pub function: FunctionKey,
    /// How long the caller will still wait.
    pub deadline_left: Duration,
    /// The incarnation of the store that `link_revision` belongs to.
    pub incarnation: Incarnation,
    /// The write that put the link.
    pub link_revision: Revision,
    /// The fence of the target's lease; 0 if it has no lease.
    pub fence: u64,
    /// Whether the call may run twice without harm.
    pub idempotent: bool,
    /// How many calls deep this one is nested.
    pub hops: u8,
    /// 0 for the first attempt, 1 for the first retry.
    pub attempt: u8,
    /// The source of the call.
    pub source: &'c Source,
    /// The component that is called.
    pub target: &'c ComponentId,
    /// The link through which it is called.
    pub link: &'c LinkName,
    /// The call's position in a trace.
    pub trace: Option<&'c TraceContext>,
    /// The instance that calls, if its caller takes a result with handles in it: a number that is
    /// unique among the instances of the caller's process, or 0 if it isn't one of them.
    pub instance: Option<u64>,
    /// Where the calls that this one is nested in hold turns.
    pub marks: &'c [ChainMark],
    /// Whether the arguments are a [`Passed`](super::Passed) value.
    pub has_handles: bool,
    /// The session that carries the arguments, if they don't fit a message or have streams in them.
    pub session: Option<Opening>,
    /// The arguments, encoded as a tuple; empty if a session carries them.
    pub args: &'c [u8],
}

impl CallParts<'_> {
    /// Appends the envelope to `buf`.
    pub fn encode_into(&self, buf: &mut BytesMut) {
        let source = self.source.name().as_bytes();
        let target = self.target.as_str().as_bytes();
        let link = if *self.link == *DEFAULT_LINK {
            ""
        } else {
            self.link.as_str()
        };
        buf.reserve(
            FIXED
                + source.len()
                + target.len()
                + link.len()
                + trace::LEN
                + INSTANCE_LEN
                + ChainMark::len_of(self.marks)
                + Opening::LEN
                + self.args.len(),
        );
        let mut head = [0; FIXED];
        let mut fixed = &mut head[..];
        fixed.put_u64_le(self.id);
        fixed.put_u64_le(self.function.0);
        fixed.put_u32_le(u32::try_from(self.deadline_left.as_millis()).unwrap_or(u32::MAX));
        fixed.put_u64_le(self.incarnation.0);
        fixed.put_u64_le(self.link_revision.0);
        fixed.put_u64_le(self.fence);
        fixed.put_u16_le(self.flags());
        fixed.put_u8(self.hops);
        fixed.put_u8(self.attempt);
        fixed.put_u16_le(Opening::channels(self.session.as_ref()));
        fixed.put_u8(self.source.kind());
        // A name has at most 63 bytes.
        fixed.put_u8(source.len() as u8);
        fixed.put_u8(target.len() as u8);
        fixed.put_u8(link.len() as u8);
        buf.put_slice(&head);
        buf.put_slice(source);
        buf.put_slice(target);
        buf.put_slice(link.as_bytes());
        if let Some(trace) = self.trace {
            trace::encode_into(trace, buf);
        }
        if let Some(instance) = self.instance {
            buf.put_u64_le(instance);
        }
        ChainMark::encode_all(self.marks, buf);
        if let Some(session) = &self.session {
            session.encode_into(buf);
        }
        buf.put_slice(self.args);
    }

    fn flags(&self) -> u16 {
        let flag = |flag, is_set| if is_set { flag } else { 0 };
        flag(IDEMPOTENT, self.idempotent)
            | flag(TRACED, self.trace.is_some())
            | flag(HANDLES, self.has_handles)
            | flag(INSTANCE, self.instance.is_some())
            | flag(MARKS, !self.marks.is_empty())
    }
}

/// The form of a [`Source`] on the wire: a kind, and a name of at most 63 bytes.
trait SourceOnWire: Sized {
    fn kind(&self) -> u8;
    fn name(&self) -> &str;
    fn decode(
        rest: &mut Bytes,
        kind: u8,
        length: u8,
        names: &mut Names,
    ) -> Result<Self, EnvelopeError>;
}

impl SourceOnWire for Source {
    fn kind(&self) -> u8 {
        match self {
            Self::Component(_) => 0,
            Self::Wormhole(_) => 1,
            Self::Operator => 2,
            Self::Host(_) => 3,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Component(id) => id.as_str(),
            Self::Wormhole(id) => id.as_str(),
            Self::Operator => "",
            Self::Host(id) => id.as_str(),
        }
    }

    fn decode(
        rest: &mut Bytes,
        kind: u8,
        length: u8,
        names: &mut Names,
    ) -> Result<Self, EnvelopeError> {
        match (kind, length) {
            (0, _) => component(rest, length, names).map(Self::Component),
            (1, _) => name(rest, length, WormholeId::new).map(Self::Wormhole),
            (2, 0) => Ok(Self::Operator),
            (3, _) => name(rest, length, HostId::new).map(Self::Host),
            _ => Err(EnvelopeError::Unknown {
                what: "source kind",
                number: u64::from(kind),
            }),
        }
    }
}

fn known_flags(flags: u16) -> Result<u16, EnvelopeError> {
    match flags & !(IDEMPOTENT | TRACED | HANDLES | INSTANCE | MARKS) {
        0 => Ok(flags),
        unknown => Err(EnvelopeError::Unknown {
            what: "flags",
            number: u64::from(unknown),
        }),
    }
}
