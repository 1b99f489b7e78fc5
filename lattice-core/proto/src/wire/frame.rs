//! Frame: one message on the bus.
//!
//! ```text
//!  0        3         4       5        6      7      8            16               24
//! ┌────────┬─────────┬───────┬────────┬──────┬──────┬────────────┬────────────────┬────────────────┐
//! │ "LTC"  │ version │ suite │ key id │ kind │ lane │ sequence   │ sender epoch   │ target epoch   │
//! ├────────┴─────────┴───────┴──┬─────┴──────┴──────┴────────────┴────────────────┴────────────────┤
//! 32            33             34
//! │ sender len │ target len    │ count (u16) │ sender │ target │ count × (length (u32) · envelope)  │
//! ├────────────┴───────────────┴─────────────┴────────┴────────┴────────────────────────────────────┤
//! │ tag (16)                                                                                        │
//! └─────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//! Little endian. Suite and key id are those of [`Auth`]; the tag covers every byte before it. A
//! target of length 0 with epoch 0 means all members. There is at least one envelope.

use super::{Kind, Lane, Origin};
use crate::{
    auth::{Auth, Purpose, SUITE_KEYED, SUITE_NONE, TAG_LEN},
    name::{HostId, NameError},
};
use bytes::{Buf, Bytes};

/// The version of the frame format that this crate writes, and the only one that it reads.
pub const VERSION: u8 = 1;
/// Most bytes of envelopes in one frame; a larger envelope is sent alone, in [`Lane::Bulk`]. Frames
/// of 16 to 64 KiB performed alike; smaller ones cost more messages, and larger ones delay small
/// calls.
pub const MAX_COALESCED: usize = 32 * 1024;

pub(super) const MAGIC: &[u8; 3] = b"LTC";
/// Length of everything before the sender's name.
pub(super) const FIXED: usize = 36;

/// A frame whose tag was checked. Its envelopes share its memory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Frame {
    kind: Kind,
    lane: Lane,
    sequence: u64,
    sender: Origin,
    target: Option<Origin>,
    envelopes: Envelopes,
}

impl Frame {
    /// Opens a message from the bus: checks its tag, then its head and the lengths of its
    /// envelopes.
    ///
    /// The receiver still has to check that the frame [is for it](Self::is_for) and
    /// [fresh](crate::replay::ReplayGuard::fresh), and to decode each envelope.
    ///
    /// # Errors
    /// Fails with a [`FrameError`].
    pub fn open(auth: &Auth, message: Bytes) -> Result<Self, FrameError> {
        if !message.starts_with(MAGIC) {
            return Err(FrameError::NotAFrame);
        }
        if message.len() < FIXED + TAG_LEN {
            return Err(FrameError::Truncated);
        }
        check_suite(auth, &message)?;
        let mut rest = message;
        let tag = rest.split_off(rest.len() - TAG_LEN);
        if !auth.verify(Purpose::Frame, &[&rest], &tag) {
            return Err(FrameError::BadTag);
        }
        Self::read(rest)
    }

    fn read(mut rest: Bytes) -> Result<Self, FrameError> {
        // The caller has checked the length.
        let mut fixed = &rest.split_to(FIXED)[..];
        fixed.advance(6);
        let (kind, lane) = (fixed.get_u8(), fixed.get_u8());
        let sequence = fixed.get_u64_le();
        let (sender_epoch, target_epoch) = (fixed.get_u64_le(), fixed.get_u64_le());
        let (sender_len, target_len) = (fixed.get_u8(), fixed.get_u8());
        let count = fixed.get_u16_le();
        let kind = Kind::from_number(kind).ok_or(FrameError::UnsupportedKind { kind })?;
        let lane = Lane::from_number(lane).ok_or(FrameError::UnsupportedLane { lane })?;
        let sender = Origin::new(read_host(&mut rest, sender_len)?, sender_epoch);
        let target = match (target_len, target_epoch) {
            (0, 0) => None,
            (0, _) => return Err(FrameError::Malformed),
            _ => Some(Origin::new(read_host(&mut rest, target_len)?, target_epoch)),
        };
        check_lengths(&rest, count)?;
        Ok(Self {
            kind,
            lane,
            sequence,
            sender,
            target,
            envelopes: Envelopes { rest, left: count },
        })
    }

    /// Returns the kind of its envelopes.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns its lane.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// Returns its number, from 1, among the frames of this sender to this target, of this kind and
    /// in this lane.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the sender.
    pub fn sender(&self) -> &Origin {
        &self.sender
    }

    /// Returns the target; `None` means all members.
    pub fn target(&self) -> Option<&Origin> {
        self.target.as_ref()
    }

    /// Returns whether it is for all members, or for exactly this boot of this host.
    pub fn is_for(&self, receiver: &Origin) -> bool {
        self.target.as_ref().is_none_or(|target| target == receiver)
    }

    /// Returns the bytes of its envelopes. They stay in memory as long as one of the envelopes
    /// does.
    pub fn size(&self) -> usize {
        self.envelopes.rest.len()
    }

    /// Returns its envelopes, in order; at least one.
    pub fn envelopes(&self) -> Envelopes {
        self.envelopes.clone()
    }
}

/// The envelopes of a [`Frame`], without a copy.
#[derive(Debug, Clone)]
pub struct Envelopes {
    /// The lengths were checked when the frame was opened.
    rest: Bytes,
    left: u16,
}

impl Iterator for Envelopes {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.left = self.left.checked_sub(1)?;
        let length = self.rest.get_u32_le() as usize;
        Some(self.rest.split_to(length))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for Envelopes {}

/// Why a message isn't a valid frame of this lattice. Nothing in it was acted on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// It isn't a frame: another program's message.
    #[error("not a frame; keep other traffic off the `lattice.` subjects")]
    NotAFrame,
    /// It is shorter than its lengths require.
    #[error("the frame is cut short")]
    Truncated,
    /// It was made by another version of the format.
    #[error(
        "frame version {version} is not supported, only {VERSION} is; run the same version on both hosts"
    )]
    UnsupportedVersion {
        /// Its version.
        version: u8,
    },
    /// It is authenticated in a way that this version doesn't know.
    #[error("auth suite {suite} is not supported; update this host")]
    UnsupportedSuite {
        /// Its suite.
        suite: u8,
    },
    /// It has no tag, but this lattice has a key.
    #[error("the frame is not authenticated, but this lattice has a key; give its sender the key")]
    Unauthenticated,
    /// It has a tag, but this host has no key to check it with.
    #[error(
        "the frame is authenticated, but this host trusts the bus; give this host the lattice key"
    )]
    KeyNeeded,
    /// It was made with another key.
    #[error(
        "the frame was made with key {found:#04x}, this host has {ours:#04x}; give both the same lattice key"
    )]
    OtherKey {
        /// The id of its key.
        found: u8,
        /// The id of ours.
        ours: u8,
    },
    /// Its tag doesn't match its bytes: it was damaged, forged, or made for another lattice.
    #[error("the frame's tag is wrong: it was damaged, forged, or made for another lattice")]
    BadTag,
    /// This version doesn't know, or doesn't use, this kind.
    #[error("frames of kind {kind:#04x} are not supported; update this host")]
    UnsupportedKind {
        /// The number of the kind.
        kind: u8,
    },
    /// This version doesn't know this lane.
    #[error("lane {lane} is not supported; update this host")]
    UnsupportedLane {
        /// The number of the lane.
        lane: u8,
    },
    /// The sender or the target breaks the rule for host ids.
    #[error("the frame has an invalid host id")]
    BadHost(#[source] NameError),
    /// Its fields contradict each other.
    #[error("the frame's fields contradict each other")]
    Malformed,
}

fn check_suite(auth: &Auth, message: &[u8]) -> Result<(), FrameError> {
    let (version, suite, key_id) = (message[3], message[4], message[5]);
    if version != VERSION {
        return Err(FrameError::UnsupportedVersion { version });
    }
    match (suite, auth.suite()) {
        (SUITE_NONE, SUITE_KEYED) => Err(FrameError::Unauthenticated),
        (SUITE_KEYED, SUITE_NONE) => Err(FrameError::KeyNeeded),
        (theirs, ours) if theirs != ours => Err(FrameError::UnsupportedSuite { suite }),
        _ if key_id != auth.key_id() => Err(FrameError::OtherKey {
            found: key_id,
            ours: auth.key_id(),
        }),
        _ => Ok(()),
    }
}

fn read_host(rest: &mut Bytes, length: u8) -> Result<HostId, FrameError> {
    let length = usize::from(length);
    if rest.len() < length {
        return Err(FrameError::Truncated);
    }
    let name = String::from_utf8_lossy(&rest[..length]);
    let host = HostId::new(&name).map_err(FrameError::BadHost)?;
    rest.advance(length);
    Ok(host)
}

/// Checks that `count` envelopes, at least one, fill `rest` exactly.
fn check_lengths(mut rest: &[u8], count: u16) -> Result<(), FrameError> {
    if count == 0 {
        return Err(FrameError::Malformed);
    }
    for _ in 0..count {
        let length = rest.try_get_u32_le().map_err(|_| FrameError::Truncated)?;
        rest = rest.get(length as usize..).ok_or(FrameError::Truncated)?;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(FrameError::Malformed)
    }
}
