//! The session that the streams of one value share.

use super::{MOST_STREAMS, Streams, inlet::Inlet, outlet::Outlet};
use crate::{
    id::Origin,
    stream::{Reader, channel},
    sync::Mutex,
    transport::session::{RecvHalf, Refused, Session, Window},
};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

/// How much a reader is sent ahead. A thousand readers that have stopped take 32 MiB.
const WINDOW: Window = Window {
    bytes: 32 * 1024,
    most: 1024 * 1024,
    elements: u64::MAX,
};

/// A session whose channels are streams. It is over when the last of them is.
#[derive(Debug)]
pub(crate) struct SharedSession {
    session: Session,
    /// The other end.
    peer: Origin,
    /// The number of the next channel in which this end sends.
    next: AtomicU16,
    /// The channels of the other end that were named so far.
    named: Mutex<HashSet<u16>>,
    streams: Streams,
}

/// A session whose value hasn't arrived yet. Dropping it breaks the session off, so that what the
/// other end sends in it doesn't wait forever.
#[derive(Debug)]
pub(crate) struct Opened(Option<Arc<SharedSession>>);

impl Opened {
    pub(crate) fn shared(&self) -> Option<&Arc<SharedSession>> {
        self.0.as_ref()
    }

    /// Receives the value.
    pub(crate) fn receive(&self, channel: u16, window: Window) -> Result<RecvHalf, Refused> {
        let shared = self.0.as_ref().ok_or(Refused::Repeated)?;
        shared.session.receive(channel, window)
    }

    /// The value has arrived. From now on, the streams keep the session.
    pub(crate) fn has_arrived(mut self) {
        self.0.take();
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.session.give_up();
        }
    }
}

impl SharedSession {
    /// Shares a session that this end has opened, and sends streams in these channels of it.
    pub(crate) fn share(
        session: Session,
        peer: &Origin,
        sent: Vec<(u16, Reader)>,
        streams: &Streams,
    ) -> Result<Opened, Refused> {
        let next = sent.last().map_or(1, |(channel, _)| channel + 1);
        let shared = Self::new(session, peer, next, streams);
        let opened = Opened(Some(shared.clone()));
        for (channel, reader) in sent {
            shared.send(channel, reader)?;
        }
        Ok(opened)
    }

    /// Shares a session that the other end has opened.
    pub(crate) fn accepted(session: Session, peer: &Origin, streams: &Streams) -> Opened {
        Opened(Some(Self::new(session, peer, 1, streams)))
    }

    fn new(session: Session, peer: &Origin, next: u16, streams: &Streams) -> Arc<Self> {
        Arc::new(Self {
            session,
            peer: peer.clone(),
            next: AtomicU16::new(next),
            named: Mutex::default(),
            streams: streams.clone(),
        })
    }

    pub(super) fn peer(&self) -> &Origin {
        &self.peer
    }

    pub(super) fn streams(&self) -> &Streams {
        &self.streams
    }

    /// Returns the number for a further channel of this end.
    pub(super) fn next(&self) -> Option<u16> {
        let next = self
            .next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
                (next <= MOST_STREAMS).then_some(next + 1)
            });
        next.ok()
    }

    /// Sends a stream in a channel with this number, which the other end is told of after that.
    pub(super) fn send(self: &Arc<Self>, channel: u16, reader: Reader) -> Result<(), Refused> {
        let half = self.session.open_channel(channel)?.counted();
        let outlet = Outlet::new(self.clone(), half, reader);
        self.streams.run(outlet.run());
        Ok(())
    }

    /// Takes the stream that the other end sends in this channel. `None` if it isn't one for a
    /// stream, or was taken before.
    pub(super) fn take(self: &Arc<Self>, number: u16) -> Option<Reader> {
        if number == 0 || number > MOST_STREAMS || !self.named.lock().insert(number) {
            return None;
        }
        let (writer, reader) = channel();
        let inlet = Inlet::new(self.clone(), number, writer);
        self.streams.run(inlet.run());
        Some(reader)
    }

    /// Gives the sender of a channel credit.
    pub(super) fn receive(&self, channel: u16) -> Result<RecvHalf, Refused> {
        self.session.receive(channel, WINDOW)
    }
}
