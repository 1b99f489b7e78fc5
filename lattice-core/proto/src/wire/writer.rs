//! Writing frames: envelopes are encoded directly into the buffer that is sent.

use super::{
    Body, EnvelopeError, Kind, Lane, Origin,
    frame::{FIXED, MAGIC, VERSION},
};
use crate::auth::{Auth, Purpose, TAG_LEN};
use bytes::{BufMut, Bytes, BytesMut};

/// Enough for a head and one small call, so that a lone call grows its buffer at most once.
const FIRST_ALLOCATION: usize = 512;

/// A frame that is being filled. Nothing is allocated per envelope.
///
/// ```
/// use lattice_proto::{auth::Auth, name::HostId, wire::{Frame, FrameWriter, Kind, Lane, Origin}};
///
/// let (here, there) = (Origin::new(HostId::new("h1")?, 1), Origin::new(HostId::new("h2")?, 1));
/// let mut writer = FrameWriter::new(here, Some(there.clone()), Kind::Call, Lane::Small);
/// writer.push(|buf| buf.extend_from_slice(b"an envelope"))?;
/// let frame = Frame::open(&Auth::trusting(), writer.seal(&Auth::trusting(), 1))?;
/// assert!(frame.is_for(&there));
/// assert_eq!(frame.envelopes().next().as_deref(), Some(b"an envelope".as_slice()));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FrameWriter {
    kind: Kind,
    lane: Lane,
    sender: Origin,
    target: Option<Origin>,
    count: u16,
    buf: BytesMut,
}

impl FrameWriter {
    /// Creates an empty frame from `sender` to `target`, or to all members.
    pub fn new(sender: Origin, target: Option<Origin>, kind: Kind, lane: Lane) -> Self {
        Self::with_room(sender, target, kind, lane, 0)
    }

    /// Begins a frame as [`new`](Self::new) does, with capacity for about `size` bytes of
    /// envelopes, so that they aren't moved while the frame grows.
    pub fn with_room(
        sender: Origin,
        target: Option<Origin>,
        kind: Kind,
        lane: Lane,
        size: usize,
    ) -> Self {
        let head = head_len(&sender, target.as_ref());
        let room = head.saturating_add(size).saturating_add(4 + TAG_LEN);
        let mut buf = BytesMut::with_capacity(room.max(FIRST_ALLOCATION));
        buf.put_bytes(0, head);
        Self {
            kind,
            lane,
            sender,
            target,
            count: 0,
            buf,
        }
    }

    /// Returns a whole frame for one `body`, in [`Lane::Small`].
    ///
    /// # Errors
    /// Fails with [`EnvelopeError::TooMany`].
    pub fn message<B: Body>(
        auth: &Auth,
        sender: Origin,
        target: Option<Origin>,
        sequence: u64,
        body: &B,
    ) -> Result<Bytes, EnvelopeError> {
        let envelope = body.encode()?;
        let mut writer = Self::new(sender, target, B::KIND, Lane::Small);
        writer
            .push(|buf| buf.put_slice(&envelope))
            .map_err(|FrameFull| EnvelopeError::TooMany {
                what: "bytes",
                count: envelope.len(),
                limit: u32::MAX as usize,
            })?;
        Ok(writer.seal(auth, sequence))
    }

    /// Appends the envelope that `write` appends to the buffer. `write` must not change what is in
    /// the buffer already.
    ///
    /// # Errors
    /// Fails with [`FrameFull`]. The frame is then as it was before.
    pub fn push(&mut self, write: impl FnOnce(&mut BytesMut)) -> Result<(), FrameFull> {
        let count = self.count.checked_add(1).ok_or(FrameFull)?;
        let start = self.buf.len();
        self.buf.put_u32_le(0);
        write(&mut self.buf);
        let length = self
            .buf
            .len()
            .checked_sub(start + 4)
            .and_then(|length| u32::try_from(length).ok());
        let Some(length) = length else {
            self.buf.resize(start, 0);
            return Err(FrameFull);
        };
        self.buf[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.count = count;
        Ok(())
    }

    /// Returns the length in bytes that the frame would have if it were sealed now.
    pub fn len(&self) -> usize {
        self.buf.len() + TAG_LEN
    }

    /// Returns whether it has no envelope yet. Receivers refuse frames without envelopes.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the number of envelopes in it.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Returns the target; `None` means all members.
    pub fn target(&self) -> Option<&Origin> {
        self.target.as_ref()
    }

    /// Completes the frame. `sequence` is its number, from 1, among the frames to this target, of
    /// this kind and in this lane. Two frames of a sender must not share one.
    pub fn seal(mut self, auth: &Auth, sequence: u64) -> Bytes {
        self.write_head(auth, sequence);
        let tag = auth.tag(Purpose::Frame, &[&self.buf]);
        self.buf.put_slice(&tag);
        self.buf.freeze()
    }

    fn write_head(&mut self, auth: &Auth, sequence: u64) {
        let sender = self.sender.host.as_str().as_bytes();
        let (target, target_epoch) = match &self.target {
            Some(target) => (target.host.as_str().as_bytes(), target.epoch),
            None => (&[][..], 0),
        };
        let mut head = &mut self.buf[..];
        head.put_slice(MAGIC);
        head.put_u8(VERSION);
        head.put_u8(auth.suite());
        head.put_u8(auth.key_id());
        head.put_u8(self.kind as u8);
        head.put_u8(self.lane as u8);
        head.put_u64_le(sequence);
        head.put_u64_le(self.sender.epoch);
        head.put_u64_le(target_epoch);
        // A host id has at most 63 bytes.
        head.put_u8(sender.len() as u8);
        head.put_u8(target.len() as u8);
        head.put_u16_le(self.count);
        head.put_slice(sender);
        head.put_slice(target);
    }
}

/// The frame has as many envelopes as it can have, or this one is over 4 GiB. Seal it and begin
/// another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the frame is full; seal it and begin another")]
pub struct FrameFull;

fn head_len(sender: &Origin, target: Option<&Origin>) -> usize {
    let name = |origin: &Origin| origin.host.as_str().len();
    FIXED + name(sender) + target.map_or(0, name)
}
