//! Why a session did not end, and why one was not opened.

use crate::wire::CancelReason;

/// Why a channel or a session was broken off. What has been received before is not all there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// The other end has dropped its half of the channel, or the whole session.
    #[error("the other end has dropped it")]
    Dropped,
    /// The other end doesn't know the session, or not any more.
    #[error("the other end doesn't know it any more")]
    Forgotten,
    /// The host of the other end is gone.
    #[error("the host of the other end is gone")]
    PeerLost,
    /// The bus was lost.
    #[error("the bus was lost")]
    Disconnected,
    /// This node has left.
    #[error("this node has left")]
    Closed,
    /// The other end acknowledged nothing for too long.
    #[error("the other end acknowledged nothing for too long")]
    Unacknowledged,
    /// Nothing happened in the session for too long.
    #[error("nothing happened in it for too long")]
    Idle,
    /// The deadline of the session passed.
    #[error("its deadline passed")]
    Deadline,
    /// One end broke the rules: it sent more than it had credit for, or something after the end.
    #[error("one end broke the rules of the session")]
    Violation,
}

impl Broken {
    /// What a cancel of the other end means.
    pub(super) fn by(reason: CancelReason) -> Self {
        match reason {
            CancelReason::Unknown => Self::Forgotten,
            CancelReason::Violation => Self::Violation,
            CancelReason::Deadline => Self::Deadline,
            CancelReason::Idle => Self::Idle,
            CancelReason::Unacknowledged => Self::Unacknowledged,
            _ => Self::Dropped,
        }
    }

    /// The reason that the other end is told; `None` if it can't be told, or knows it.
    pub(super) fn reason(self) -> Option<CancelReason> {
        match self {
            Self::Dropped => Some(CancelReason::Dropped),
            Self::Violation => Some(CancelReason::Violation),
            Self::Deadline => Some(CancelReason::Deadline),
            Self::Idle => Some(CancelReason::Idle),
            Self::Unacknowledged => Some(CancelReason::Unacknowledged),
            Self::Forgotten | Self::PeerLost | Self::Disconnected | Self::Closed => None,
        }
    }
}

/// Why a session or a channel was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// There are as many as there may be.
    #[error("there are as many sessions, or channels of one, as there may be at once")]
    TooMany,
    /// Its component has as many as one may have.
    #[error(
        "its component has {most} sessions with other hosts open, which is the most for one component on a host; end streams that are not needed, or wait for calls with large arguments or results"
    )]
    TooManyOfComponent {
        /// How many.
        most: usize,
    },
    /// There is no memory for what it would receive.
    #[error("there is no memory for what a session would receive")]
    NoMemory,
    /// It was opened before: its opener has sent the same call or reply again.
    #[error("the session was opened before")]
    Repeated,
    /// Its session is broken.
    #[error(transparent)]
    Broken(#[from] Broken),
}
