//! The session that the streams of one value share.

use super::{MOST_ARRIVING, Streams, inlet::Inlet, outlet::Outlet};
use crate::{
    id::Origin,
    stream::{Broken, Reader, channel},
    sync::Mutex,
    transport::session::{Place, Ranges, RecvHalf, Refused, SendHalf, Session, Window},
    wire::WHOLE_SESSION,
};
use std::sync::{Arc, atomic::AtomicUsize};

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
    /// The channels of the other end that were named so far.
    named: Mutex<Ranges>,
    /// How many of them are open.
    arriving: Arc<AtomicUsize>,
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
    pub(crate) fn receive(&self, channel: u32, window: Window) -> Result<RecvHalf, Refused> {
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
        sent: Vec<(u32, Reader)>,
        streams: &Streams,
    ) -> Result<Opened, Refused> {
        let shared = Self::new(session, peer, streams);
        let opened = Opened(Some(shared.clone()));
        for (channel, reader) in sent {
            shared.send(channel, reader)?;
        }
        Ok(opened)
    }

    /// Shares a session that the other end has opened.
    pub(crate) fn accepted(session: Session, peer: &Origin, streams: &Streams) -> Opened {
        Opened(Some(Self::new(session, peer, streams)))
    }

    fn new(session: Session, peer: &Origin, streams: &Streams) -> Arc<Self> {
        Arc::new(Self {
            session,
            peer: peer.clone(),
            named: Mutex::default(),
            arriving: Arc::default(),
            streams: streams.clone(),
        })
    }

    pub(super) fn peer(&self) -> &Origin {
        &self.peer
    }

    pub(super) fn streams(&self) -> &Streams {
        &self.streams
    }

    /// Sends a stream in a channel with this number, which the other end is told of after that.
    fn send(self: &Arc<Self>, channel: u32, reader: Reader) -> Result<(), Refused> {
        let half = self.session.open_channel(channel)?;
        self.run(half, reader);
        Ok(())
    }

    /// Sends a stream in a further channel. Returns its number, of which the other end is told
    /// after that.
    pub(super) fn send_next(self: &Arc<Self>, reader: Reader) -> Result<u32, Refused> {
        let (channel, half) = self.session.open_next_channel()?;
        self.run(half, reader);
        Ok(channel)
    }

    /// Stops sending the stream in this channel, of which the other end was not told.
    pub(super) fn withdraw(&self, channel: u32) {
        self.session.withdraw(channel);
    }

    fn run(self: &Arc<Self>, half: SendHalf, reader: Reader) {
        let outlet = Outlet::new(self.clone(), half.counted(), reader);
        self.streams.run(outlet.run());
    }

    /// Takes the stream that the other end sends in this channel. `None` if it isn't one for a
    /// stream, or was taken before.
    pub(super) fn take(self: &Arc<Self>, number: u32) -> Option<Reader> {
        if number == 0 || number == WHOLE_SESSION || !self.named.lock().insert(number) {
            return None;
        }
        let (writer, reader) = channel();
        if let Some(place) = Place::take(&self.arriving, MOST_ARRIVING) {
            let inlet = Inlet::new(self.clone(), number, writer);
            self.streams.run(async move {
                inlet.run().await;
                drop(place);
            });
        } else {
            self.session.refuse(number);
            writer.fail(Broken::CutOff {
                reason: "too many streams that came from one call are open".into(),
            });
        }
        Some(reader)
    }

    /// Refuses the stream that the other end sends in this channel, unless it was taken.
    pub(super) fn refuse(&self, number: u32) {
        if self.named.lock().insert(number) {
            self.session.refuse(number);
        }
    }

    /// Gives the sender of a channel credit.
    pub(super) fn receive(&self, channel: u32) -> Result<RecvHalf, Refused> {
        self.session.receive(channel, WINDOW)
    }
}
