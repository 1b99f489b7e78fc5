//! Opening messages from the bus: authentic, addressed to the receiver, of a kind that it accepts,
//! and new.

use crate::{
    auth::Auth,
    bus::{Body as Carried, Message},
    replay::{BootGuard, ReplayGuard, Seen},
    sync::Mutex,
    wire::{Frame, FrameError, Kind, Origin},
};
use std::time::Instant;

/// The audience of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// To this receiver alone.
    One,
    Everyone,
}

/// Whether a receiver accepts frames of a kind that are addressed like this.
pub(crate) type Accepts = fn(Kind, Audience) -> bool;

/// Opens messages for one receiver.
#[derive(Debug)]
pub(crate) struct Receiver<G> {
    auth: Auth,
    accepts: Accepts,
    guard: Mutex<G>,
}

/// Remembers which frames were seen.
pub(crate) trait Guard: Default {
    /// Marks the frame as seen, and returns what it is.
    fn see(&mut self, frame: &Frame, now: Instant) -> Seen;
    /// Whether everything of this sender is refused, because it was forgotten.
    fn has_forgotten(&self, _sender: &Origin) -> bool {
        false
    }
}

/// Takes frames of the newest boot of each host only.
impl Guard for ReplayGuard {
    fn see(&mut self, frame: &Frame, now: Instant) -> Seen {
        if self.fresh(frame, now) {
            Seen::Fresh
        } else {
            Seen::Before
        }
    }

    fn has_forgotten(&self, sender: &Origin) -> bool {
        ReplayGuard::has_forgotten(self, sender)
    }
}

/// Takes frames of earlier boots too, and distinguishes them.
impl Guard for BootGuard {
    fn see(&mut self, frame: &Frame, now: Instant) -> Seen {
        self.see(frame, now)
    }
}

/// The boot that has sent a frame, among those of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boot {
    /// The newest one from which a frame was received.
    Newest,
    /// One that a later boot has replaced: two hosts may have one id.
    Older,
}

/// Why a message was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// It is a notice of the bus.
    #[error("a message without a payload")]
    NoPayload,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("a frame for another receiver")]
    OtherReceiver,
    #[error("a frame of kind {0}, which is not accepted here")]
    Kind(Kind),
    #[error("a frame that was seen before")]
    Replayed,
    #[error(
        "a frame of a boot that was silent for too long, among too many others; start its host again"
    )]
    Forgotten,
}

impl<G: Guard> Receiver<G> {
    pub(crate) fn new(auth: Auth, accepts: Accepts) -> Self {
        Self {
            auth,
            accepts,
            guard: Mutex::default(),
        }
    }

    /// Opens a message for `me`. A receiver without an identity accepts only frames for all
    /// members.
    pub(crate) fn open(
        &self,
        me: Option<&Origin>,
        message: Message,
    ) -> Result<(Frame, Boot), Refused> {
        let Carried::Payload(bytes) = message.body else {
            return Err(Refused::NoPayload);
        };
        let frame = Frame::open(&self.auth, bytes)?;
        let audience = match frame.target() {
            None => Audience::Everyone,
            Some(target) if me == Some(target) => Audience::One,
            Some(_) => return Err(Refused::OtherReceiver),
        };
        if !(self.accepts)(frame.kind(), audience) {
            return Err(Refused::Kind(frame.kind()));
        }
        let mut guard = self.guard.lock();
        match guard.see(&frame, tokio::time::Instant::now().into_std()) {
            Seen::Fresh => Ok((frame, Boot::Newest)),
            Seen::OlderBoot => Ok((frame, Boot::Older)),
            Seen::Before if guard.has_forgotten(frame.sender()) => Err(Refused::Forgotten),
            Seen::Before => Err(Refused::Replayed),
        }
    }
}

impl Receiver<ReplayGuard> {
    /// Keeps senders from being forgotten.
    pub(crate) fn keep<'o>(&self, live: impl Iterator<Item = &'o Origin>) {
        let now = tokio::time::Instant::now().into_std();
        let mut guard = self.guard.lock();
        live.for_each(|boot| guard.keep(boot, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::HostId,
        subject::Subject,
        wire::{FrameWriter, Goodbye, Probe},
    };

    fn origin(host: &str, epoch: u64) -> Origin {
        Origin::new(HostId::new(host).expect("a host"), epoch)
    }

    fn message(body: Carried) -> Message {
        Message {
            subject: Subject::from_wire("subject"),
            reply: None,
            body,
            received: tokio::time::Instant::now(),
        }
    }

    fn goodbye(from: &Origin, to: Option<&Origin>, sequence: u64) -> Message {
        let (auth, body) = (Auth::trusting(), Goodbye { grace_ms: 0 });
        let frame = FrameWriter::message(&auth, from.clone(), to.cloned(), sequence, &body);
        message(Carried::Payload(frame.expect("a frame")))
    }

    #[test]
    fn each_acceptable_frame_is_opened_once() {
        let (me, other) = (origin("me", 1), origin("other", 1));
        let receiver = Receiver::<ReplayGuard>::new(Auth::trusting(), |kind, audience| {
            kind == Kind::Goodbye || audience == Audience::One
        });
        let open = |message| receiver.open(Some(&me), message).map(|(_, boot)| boot);
        assert_eq!(open(goodbye(&other, None, 1)).ok(), Some(Boot::Newest));
        assert!(matches!(
            open(goodbye(&other, None, 1)),
            Err(Refused::Replayed)
        ));
        assert_eq!(open(goodbye(&other, Some(&me), 1)).ok(), Some(Boot::Newest));
        let to_other = goodbye(&other, Some(&origin("me", 2)), 2);
        assert!(matches!(open(to_other), Err(Refused::OtherReceiver)));
        let probe = FrameWriter::message(&Auth::trusting(), other, None, 3, &Probe { nonce: 1 });
        let probe = message(Carried::Payload(probe.expect("a frame")));
        assert!(matches!(open(probe), Err(Refused::Kind(Kind::Probe))));
        let notice = message(Carried::NoResponders);
        assert!(matches!(open(notice), Err(Refused::NoPayload)));
    }

    #[test]
    fn a_boot_guard_recognizes_an_earlier_boot() {
        let receiver = Receiver::<BootGuard>::new(Auth::trusting(), |_, _| true);
        let open = |epoch, sequence| {
            let message = goodbye(&origin("h", epoch), None, sequence);
            receiver.open(None, message).map(|(_, boot)| boot).ok()
        };
        assert_eq!(open(1, 1), Some(Boot::Newest));
        assert_eq!(open(2, 1), Some(Boot::Newest));
        assert_eq!(open(1, 2), Some(Boot::Older));
        assert_eq!(open(1, 2), None);
    }
}
