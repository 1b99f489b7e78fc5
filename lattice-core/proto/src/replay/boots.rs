//! Frames of two boots of one host: a host that has restarted, or two hosts with one id.

use super::ReplayGuard;
use crate::wire::Frame;
use std::time::Instant;

/// A [`ReplayGuard`] that distinguishes frames of an earlier boot that still runs from replayed
/// frames.
#[derive(Debug, Default)]
pub struct BootGuard {
    newest: ReplayGuard,
    /// For each host, the newest of the boots that are older than the one in `newest`.
    older: ReplayGuard,
}

/// The verdict of a [`BootGuard`] on a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A new frame, of the newest known boot of its host.
    Fresh,
    /// A new frame, of a boot that a later one has replaced.
    OlderBoot,
    /// A frame that was seen before, or that is too old to know.
    Before,
}

impl BootGuard {
    /// Marks the frame as seen, and returns what it is.
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
    fn a_running_boot_is_distinguished_from_a_recording() {
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
        assert_eq!(see(1, 4), Seen::Before, "too old to distinguish");
    }
}
