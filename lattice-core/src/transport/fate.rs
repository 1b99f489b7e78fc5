//! Whether a frame may have reached its receiver when the way to it breaks, and the errors of the
//! calls in it.
//!
//! This is the only place where the transport reports that a call did not run. It does so only for
//! a frame that can't have been received: a [`Fate::Withheld`] is made by the send queue alone,
//! which knows what it has given to the bus. Everything else may have run. A notice of the bus
//! proves nothing, because every client of the bus can send one.

use crate::{
    call::{CallError, Ran},
    name::HostId,
};

/// Whether a frame can have reached its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was not given to the bus, and never will be.
    Withheld,
    /// It was given to the bus, wholly or perhaps.
    MayHaveArrived,
}

impl Fate {
    fn ran(self) -> Ran {
        match self {
            Self::Withheld => Ran::No,
            Self::MayHaveArrived => Ran::Maybe,
        }
    }

    /// The error of a call to a host that is gone.
    pub(super) fn host_lost(self, host: &HostId) -> CallError {
        let host = host.clone();
        match self {
            Self::Withheld => CallError::HostGone { host },
            Self::MayHaveArrived => CallError::HostLost { host },
        }
    }

    /// The error of a call that waits for its reply when the bus is lost.
    pub(super) fn disconnected(self) -> CallError {
        CallError::Disconnected { ran: self.ran() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_frame_that_was_withheld_makes_a_call_that_did_not_run() {
        let host = HostId::new("h").expect("a host");
        for (fate, ran) in [
            (Fate::Withheld, Ran::No),
            (Fate::MayHaveArrived, Ran::Maybe),
        ] {
            assert_eq!(fate.host_lost(&host).ran(), ran);
            assert_eq!(fate.disconnected().ran(), ran);
        }
    }
}
