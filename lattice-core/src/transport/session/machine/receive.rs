//! What a user of a session receives.

use super::{
    super::broken::{Broken, Refused},
    ChannelKey, MOST_CHANNELS, Machine, SessionKey,
    chunk::Chunk,
    incoming::{Incoming, Window},
    session::IncomingEnd,
};
use crate::wire::CancelReason;
use std::{
    task::{Poll, Waker},
    time::Instant,
};

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
        self.dirty.push((key, channel));
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
        for (key, channel) in std::mem::take(&mut self.dirty) {
            let session = self.sessions.get_mut(&key);
            let Some(incoming) = session.and_then(|one| one.incoming.get_mut(&channel)) else {
                continue;
            };
            self.wakers.extend(incoming.waiting.take());
            if let Some(credit) = incoming.credit(now) {
                self.say(key, channel, credit);
            }
        }
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
