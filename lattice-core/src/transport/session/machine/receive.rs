//! What a user of a session receives.

use super::{
    super::broken::{Broken, Refused},
    ChannelKey, MOST_RECEIVING, Machine, SessionKey,
    chunk::Chunk,
    gone::IncomingEnd,
    incoming::{ACKNOWLEDGED, Incoming, Window},
};
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
    /// more handle. If there is no room for it, its sender is told.
    pub(crate) fn receive(
        &mut self,
        key: SessionKey,
        channel: u32,
        window: Window,
        now: Instant,
    ) -> Result<(), Refused> {
        let room = self.room.clone();
        let session = self.usable(key)?;
        if session.gone.was_dropped_unheard(channel) {
            session.gone.had.insert(channel);
            return Err(Refused::Broken(Broken::Dropped));
        }
        if session.gone.had.contains(channel) {
            return Err(Refused::Repeated);
        }
        if session.incoming.len() >= MOST_RECEIVING {
            self.refuse_channel(key, channel);
            return Err(Refused::TooMany);
        }
        let Some(incoming) = Incoming::new(window, &room, now) else {
            self.refuse_channel(key, channel);
            return Err(Refused::NoMemory);
        };
        session.gone.had.insert(channel);
        session.incoming.insert(channel, incoming);
        session.handles += 1;
        self.due.dirty.push((key, channel));
        self.tell(now);
        Ok(())
    }

    /// Tells the sender of a channel that it won't be received.
    pub(crate) fn refuse_channel(&mut self, key: SessionKey, channel: u32) {
        let Ok(session) = self.usable(key) else {
            return;
        };
        if session.gone.had.insert(channel) {
            let end = IncomingEnd::Dropped(0);
            session.gone.incoming.remember(channel, end);
            self.drop_receiver(key, channel, 0);
        }
    }

    /// The user of a channel has the handles of all chunks that it has taken so far. Its sender is
    /// told soon.
    pub(crate) fn settle_chunks(&mut self, (key, channel): ChannelKey, now: Instant) {
        if let Some(incoming) = self.receiving(key, channel)
            && let Some(credit) = incoming.settle(now)
        {
            self.say(key, channel, credit);
        }
    }

    /// Whether the session of a channel is broken, and a chunk with such a number of elements is
    /// left of the channel. Until it is, the task is woken when that may have changed.
    pub(crate) fn poll_left(
        &mut self,
        (key, channel): ChannelKey,
        waker: &Waker,
        is_such: impl Fn(u32) -> bool,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(&key) else {
            return false;
        };
        let is_broken = session.broken.is_some();
        let Some(incoming) = session.incoming.get_mut(&channel) else {
            return false;
        };
        if !is_broken {
            incoming.waiting = Some(waker.clone());
        }
        is_broken && incoming.has_left(is_such)
    }

    /// Waits for the next chunk. `None` is the end. A channel that was received to its end can be
    /// read to its end, even if its session is broken by then.
    pub(crate) fn poll_chunk(
        &mut self,
        (key, channel): ChannelKey,
        waker: &Waker,
        now: Instant,
    ) -> Poll<Result<Option<Chunk>, Broken>> {
        let room = self.room.clone();
        let Some(session) = self.sessions.get_mut(&key) else {
            let broken = self.state.closed.unwrap_or(Broken::Forgotten);
            return Poll::Ready(Err(broken));
        };
        let broken = session.broken;
        let Some(incoming) = session.incoming.get_mut(&channel) else {
            return Poll::Ready(match session.gone.incoming.get(channel) {
                Some(IncomingEnd::Complete(_)) => Ok(None),
                _ => Err(broken.unwrap_or(Broken::Dropped)),
            });
        };
        if let Some(chunk) = incoming.take(&room) {
            session.touched = now;
            if broken.is_none()
                && let Some(credit) = incoming.credit(now)
            {
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
        let (received, is_broken) = (incoming.received(), session.broken.is_some());
        let end = IncomingEnd::Complete(received);
        session.gone.incoming.keep(channel, end);
        // The sender waits for the acknowledgement of the end.
        if !is_broken && let Some(credit) = incoming.credit_after_pause(now) {
            self.say(key, channel, credit);
        }
    }

    /// Gives up the handle to a channel. What is not received yet is refused.
    pub(crate) fn release_receiver(&mut self, (key, channel): ChannelKey, now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let is_broken = session.broken.is_some();
        if let Some(incoming) = session.incoming.remove(&channel) {
            let taken = incoming.settled();
            let end = IncomingEnd::Dropped(taken);
            session.gone.incoming.remember(channel, end);
            if !is_broken {
                self.drop_receiver(key, channel, taken);
            }
        } else {
            session.gone.incoming.release(channel);
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

    fn receiving(&mut self, key: SessionKey, channel: u32) -> Option<&mut Incoming> {
        let session = self.sessions.get_mut(&key)?;
        if session.broken.is_some() {
            return None;
        }
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
