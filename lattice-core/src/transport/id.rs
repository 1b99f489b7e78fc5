//! The numbers that identify a host and its frames to a peer, and the reply subjects made of them.

use crate::{
    subject::{Subject, Subjects, parse_reply},
    wire::{Lane, Origin},
};

/// Identifies one boot of a host on both ends: a hash of its id and epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PeerToken(u64);

impl PeerToken {
    /// The token of that boot of a host.
    pub(crate) fn of(origin: &Origin) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(origin.host.as_str().as_bytes());
        hasher.update(&origin.epoch.to_le_bytes());
        let mut token = [0; 8];
        hasher.finalize_xof().fill(&mut token);
        Self(u64::from_le_bytes(token))
    }

    /// The token as a number.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    #[cfg(test)]
    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// Identifies a frame to one peer: its lane, and its number in that lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameId(u64);

impl FrameId {
    pub(crate) fn new(lane: Lane, number: u64) -> Self {
        Self(number << 8 | lane as u64)
    }

    /// The number that identifies it in a reply subject.
    pub(crate) fn as_number(self) -> u64 {
        self.0
    }

    /// The lane in which it is sent.
    pub(crate) fn lane(self) -> Lane {
        if self.0 & 0xff == Lane::Bulk as u64 {
            Lane::Bulk
        } else {
            Lane::Small
        }
    }

    /// Its number in its lane.
    pub(crate) fn number(self) -> u64 {
        self.0 >> 8
    }
}

/// The purpose of a reply subject of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyAddress {
    /// The replies to a discovery question, which isn't sent to one peer.
    Question(u64),
    /// Replies of a peer: to the frame or probe with this number, or to any frame.
    Peer(PeerToken, u64),
}

/// Takes the place of the peer in the reply subject of a question.
const QUESTION: u64 = 0;

impl ReplyAddress {
    /// The one subject on which `peer` sends its replies.
    pub(crate) fn of_peer(peer: &Origin) -> Self {
        Self::Peer(PeerToken::of(peer), 0)
    }

    /// Returns the subject on which `receiver` gets these replies.
    pub(crate) fn subject(self, subjects: &Subjects, receiver: &Origin) -> Subject {
        let (peer, number) = match self {
            Self::Question(id) => (QUESTION, id),
            Self::Peer(PeerToken(token), number) => (token, number),
        };
        subjects.reply(&receiver.host, receiver.epoch, peer, number)
    }

    /// Reads a subject made by [`subject`](Self::subject).
    pub(crate) fn parse(subject: &Subject) -> Option<Self> {
        let (peer, number) = parse_reply(subject)?;
        Some(match peer {
            QUESTION => Self::Question(number),
            token => Self::Peer(PeerToken(token), number),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{HostId, LatticeName};

    #[test]
    fn a_frame_id_contains_lane_and_number() {
        for lane in Lane::ALL {
            let id = FrameId::new(lane, 7 << 32 | 3);
            assert_eq!((id.lane(), id.number()), (lane, 7 << 32 | 3));
        }
    }

    #[test]
    fn a_reply_address_round_trips_through_its_subject() {
        let subjects = Subjects::new(&LatticeName::new("prod").expect("valid"));
        let host = Origin::new(HostId::new("h1").expect("valid"), 1);
        for address in [
            ReplyAddress::Question(9),
            ReplyAddress::of_peer(&host),
            ReplyAddress::Peer(PeerToken(1), FrameId::new(Lane::Bulk, 4).as_number()),
        ] {
            let subject = address.subject(&subjects, &host);
            assert_eq!(ReplyAddress::parse(&subject), Some(address), "{subject}");
        }
    }
}
