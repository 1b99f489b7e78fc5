//! What a user of a session receives.

use super::{
    super::broken::{Broken, Refused},
    ChannelKey, MOST_CHANNELS, Machine, SessionKey,
    chunk::Chunk,
    incoming::{ACKNOWLEDGED, Incoming, Window},
    session::IncomingEnd,
};
use crate::wire::CancelReason;
use std::{
    task::{Poll, Waker},
    time::Instant,
};

/// Channels whose sender may have to be told something.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Something has arrived since the last batch, each once.
    pub(super) dirty: Vec<ChannelKey>,
    /// Something was not acknowledged, each once.
    owing: Vec<ChannelKey>,
    /// Bytes that have arrived since all was acknowledged.
    pub(super) bytes: u64,
}

impl Machine {
    /// Opens a channel in which this end receives, and gives its sender credit. Its caller has one
    /// more handle.
    pub(crate) fn receive(
        &mut self,
        key: SessionKey,
        channel: u16,
        window: Window,
        now: Instant,
    ) -> Result<(), Refused> {
        let room = self.room.clone();
        let session = self.usable(key)?;
        if session.gone.incoming.get(&channel) == Some(&IncomingEnd::Aborted) {
            return Err(Refused::Broken(Broken::Dropped));
        }
        let is_known =
            session.incoming.contains_key(&channel) || session.gone.incoming.contains_key(&channel);
        if is_known || session.channels() >= MOST_CHANNELS {
            return Err(Refused::TooMany);
        }
        let incoming = Incoming::new(window, &room, now).ok_or(Refused::NoMemory)?;
        session.incoming.insert(channel, incoming);
        session.handles += 1;
        self.due.dirty.push((key, channel));
        self.tell(now);
        Ok(())
    }

    /// Waits for the next chunk. `None` is the end.
    pub(crate) fn poll_chunk(
        &mut self,
        (key, channel): ChannelKey,
        waker: &Waker,
        now: Instant,
    ) -> Poll<Result<Option<Chunk>, Broken>> {
        let room = self.room.clone();
        let session = match self.usable(key) {
            Ok(session) => session,
            Err(broken) => return Poll::Ready(Err(broken)),
        };
        let Some(incoming) = session.incoming.get_mut(&channel) else {
            return Poll::Ready(match session.gone.incoming.get(&channel) {
                Some(IncomingEnd::Complete(_)) => Ok(None),
                _ => Err(Broken::Dropped),
            });
        };
        if let Some(chunk) = incoming.take(&room) {
            session.touched = now;
            if let Some(credit) = incoming.credit(now) {
                self.say(key, channel, credit);
            }
            return Poll::Ready(Ok(Some(chunk)));
        }
        if incoming.is_complete() {
            self.complete((key, channel), now);
            return Poll::Ready(Ok(None));
        }
        incoming.waiting = Some(waker.clone());
        Poll::Pending
    }

    fn complete(&mut self, (key, channel): ChannelKey, now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let Some(mut incoming) = session.incoming.remove(&channel) else {
            return;
        };
        let received = incoming.received();
        session
            .gone
            .incoming
            .insert(channel, IncomingEnd::Complete(received));
        // The sender waits for the acknowledgement of the end.
        if let Some(credit) = incoming.credit_after_pause(now) {
            self.say(key, channel, credit);
        }
    }

    /// Gives up the handle to a channel. What is not received yet is refused.
    pub(crate) fn release_receiver(&mut self, (key, channel): ChannelKey, now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if session.broken.is_none() && session.incoming.remove(&channel).is_some() {
            session.gone.incoming.insert(channel, IncomingEnd::Dropped);
            self.cancel(key, channel, CancelReason::Dropped, false);
        }
        self.release(key, now);
    }

    /// Tells senders what they have to be told now. To be called after a batch of items.
    pub(crate) fn tell(&mut self, now: Instant) {
        for (key, channel) in std::mem::take(&mut self.due.dirty) {
            let Some(incoming) = self.receiving(key, channel) else {
                continue;
            };
            incoming.marks.is_dirty = false;
            let (waiting, credit) = (incoming.waiting.take(), incoming.credit(now));
            if incoming.is_owing() && !std::mem::replace(&mut incoming.marks.is_owing, true) {
                self.due.owing.push((key, channel));
            }
            self.wakers.extend(waiting);
            if let Some(credit) = credit {
                self.say(key, channel, credit);
            }
        }
        if self.due.bytes >= ACKNOWLEDGED {
            self.acknowledge(now);
        }
    }

    /// Acknowledges what was received in all channels. With many of them, each has only little of
    /// what the sender may have in flight.
    fn acknowledge(&mut self, now: Instant) {
        self.due.bytes = 0;
        for (key, channel) in std::mem::take(&mut self.due.owing) {
            let Some(incoming) = self.receiving(key, channel) else {
                continue;
            };
            incoming.marks.is_owing = false;
            if let Some(credit) = incoming.acknowledgement(now) {
                self.say(key, channel, credit);
            }
        }
    }

    fn receiving(&mut self, key: SessionKey, channel: u16) -> Option<&mut Incoming> {
        let session = self.sessions.get_mut(&key)?;
        session.incoming.get_mut(&channel)
    }

    /// Acknowledges the rest, and repeats credits after which nothing has come.
    pub(super) fn repeat_credits(&mut self, key: SessionKey, now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let channels = session.incoming.iter_mut();
        let due: Vec<_> = channels
            .filter_map(|(channel, one)| Some((*channel, one.credit_after_pause(now)?)))
            .collect();
        for (channel, credit) in due {
            self.say(key, channel, credit);
        }
    }
}
