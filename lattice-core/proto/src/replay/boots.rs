//! Frames of two boots of one host: a host that has started anew, or two hosts with one id.

use super::ReplayGuard;
use crate::wire::Frame;
use std::time::Instant;

/// A [`ReplayGuard`] that tells a boot which should be gone, and still speaks, from a recording.
#[derive(Debug, Default)]
pub struct BootGuard {
    newest: ReplayGuard,
    /// Of each host the newest boot but those that `newest` knows.
    older: ReplayGuard,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Of the newest boot of its host that was heard, for the first time.
    Fresh,
    /// For the first time, of a boot that a later one has taken the place of.
    OlderBoot,
    /// Seen before, or too old to tell.
    Before,
}

impl BootGuard {
    /// What this frame is; marks it as seen.
    pub fn see(&mut self, frame: &Frame, now: Instant) -> Seen {
        self.newest.retire(frame.sender(), &mut self.older);
        if self.newest.fresh(frame, now) {
            Seen::Fresh
        } else if self.newest.is_outdated(frame.sender()) && self.older.fresh(frame, now) {
            Seen::OlderBoot
        } else {
            Seen::Before
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::Auth,
        name::HostId,
        wire::{FrameWriter, Goodbye, Origin},
    };

    #[test]
    fn a_boot_that_goes_on_is_told_from_a_recording() {
        let auth = Auth::trusting();
        let frame = |epoch, sequence| {
            let sender = Origin::new(HostId::new("h").expect("a host"), epoch);
            let bytes =
                FrameWriter::message(&auth, sender, None, sequence, &Goodbye { grace_ms: 0 });
            Frame::open(&auth, bytes.expect("a frame")).expect("opens")
        };
        let mut guard = BootGuard::default();
        let mut see = |epoch, sequence| guard.see(&frame(epoch, sequence), Instant::now());
        assert_eq!(see(1, 1), Seen::Fresh);
        assert_eq!(see(1, 1), Seen::Before);
        assert_eq!(see(2, 1), Seen::Fresh);
        assert_eq!(see(1, 1), Seen::Before, "a recording");
        assert_eq!(see(1, 2), Seen::OlderBoot);
        assert_eq!(see(1, 2), Seen::Before);
        assert_eq!(see(2, 1), Seen::Before);
        assert_eq!(see(2, 2), Seen::Fresh);
        assert_eq!(see(1, 3), Seen::OlderBoot);
        assert_eq!(see(3, 1), Seen::Fresh);
        assert_eq!(see(2, 2), Seen::Before, "a recording");
        assert_eq!(see(2, 3), Seen::OlderBoot);
        assert_eq!(see(1, 4), Seen::Before, "too old to tell");
    }
}
