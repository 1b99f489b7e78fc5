//! What a user of a session sends.

use super::{
    super::broken::{Broken, Refused},
    ChannelKey, MOST_CHANNELS, Machine, SessionKey,
    chunk::Chunk,
    gone::{OutgoingEnd, Taken},
    item_of,
    outgoing::{Outgoing, Part},
    pace::{Overdue, Way},
    session::Session,
};
use crate::{
    budget::Held,
    wire::{CancelReason, Item, SessionItem, WHOLE_SESSION},
};
use std::{
    task::{Poll, Waker},
    time::Instant,
};

impl Machine {
    /// Opens a channel in which this end sends, with a higher number than all before. Its caller
    /// has one more handle.
    pub(crate) fn open_channel(
        &mut self,
        key: SessionKey,
        channel: u32,
        now: Instant,
    ) -> Result<(), Refused> {
        let session = self.usable(key)?;
        if channel < session.gone.next {
            return Err(Refused::Repeated);
        }
        if channel == WHOLE_SESSION || session.outgoing.len() >= MOST_CHANNELS {
            return Err(Refused::TooMany);
        }
        session.gone.next = channel + 1;
        session.outgoing.insert(channel, Outgoing::new(now));
        session.handles += 1;
        Ok(())
    }

    /// Opens the next channel in which this end sends. Returns its number, which isn't 0: that is
    /// the number of what carries a value.
    pub(crate) fn open_next_channel(
        &mut self,
        key: SessionKey,
        now: Instant,
    ) -> Result<u32, Refused> {
        let channel = self.usable(key)?.gone.next.max(1);
        self.open_channel(key, channel, now)?;
        Ok(channel)
    }

    /// Waits until a chunk may be sent. Returns how many elements it may have; it may have
    /// [`MAX_CHUNK`](super::MAX_CHUNK) bytes.
    pub(crate) fn poll_room(
        &mut self,
        (key, channel): ChannelKey,
        waker: &Waker,
    ) -> Poll<Result<u64, Broken>> {
        let outgoing = match self.sending(key, channel) {
            Ok(outgoing) => outgoing,
            Err(broken) => return Poll::Ready(Err(broken)),
        };
        if let Some(elements) = outgoing.room() {
            return Poll::Ready(Ok(elements));
        }
        outgoing.waiting = Some(waker.clone());
        Poll::Pending
    }

    /// Whether there is room for a chunk now.
    pub(crate) fn has_room(&self, (key, channel): ChannelKey) -> bool {
        let session = self.sessions.get(&key);
        let outgoing = session.and_then(|session| session.outgoing.get(&channel));
        outgoing.is_some_and(|outgoing| outgoing.room().is_some())
    }

    /// Wakes a task when something changes for a channel, or with the next [tick](Self::tick).
    pub(crate) fn wake_later(&mut self, (key, channel): ChannelKey, waker: &Waker) {
        if let Ok(outgoing) = self.sending(key, channel) {
            outgoing.waiting = Some(waker.clone());
        }
    }

    /// Queues a chunk, for which there must be room. It is kept until it is acknowledged, with the
    /// memory that is `held` for it.
    pub(crate) fn send(
        &mut self,
        (key, channel): ChannelKey,
        chunk: Chunk,
        held: Option<Held>,
        now: Instant,
    ) -> Result<(), Broken> {
        let outgoing = self.sending(key, channel)?;
        if chunk.bytes.len() > super::MAX_CHUNK || !outgoing.push(chunk, held) {
            self.fail(key, Broken::Violation);
            return Err(Broken::Violation);
        }
        self.touch(key, now);
        self.queue((key, channel));
        Ok(())
    }

    /// Queues the end of a channel.
    pub(crate) fn end(&mut self, (key, channel): ChannelKey, now: Instant) -> Result<(), Broken> {
        self.sending(key, channel)?.end();
        self.touch(key, now);
        self.queue((key, channel));
        Ok(())
    }

    /// Waits until everything was acknowledged, the end included.
    pub(crate) fn poll_complete(
        &mut self,
        (key, channel): ChannelKey,
        waker: &Waker,
    ) -> Poll<Result<(), Broken>> {
        if self.has_completed(key, channel) {
            return Poll::Ready(Ok(()));
        }
        match self.sending(key, channel) {
            Ok(outgoing) => {
                outgoing.waiting = Some(waker.clone());
                Poll::Pending
            }
            Err(broken) => Poll::Ready(Err(broken)),
        }
    }

    /// The first so many chunks of a channel have handles: it isn't complete before the receiver
    /// has them.
    pub(crate) fn track_chunks(&mut self, at: ChannelKey, chunks: u64) {
        if let Some(outgoing) = self.outgoing(at) {
            outgoing.track(chunks);
        }
    }

    /// Of how many chunks of a channel the receiver has the handles, as far as is known.
    pub(crate) fn taken(&self, (key, channel): ChannelKey) -> Taken {
        let session = self.sessions.get(&key);
        let outgoing = session.and_then(|session| session.outgoing.get(&channel));
        let end = session.and_then(|session| session.gone.outgoing.get(channel));
        match (outgoing, end) {
            (_, Some(OutgoingEnd::Refused(taken))) => taken,
            (_, Some(OutgoingEnd::Complete)) => Taken {
                chunks: u64::MAX,
                is_final: true,
            },
            (outgoing, _) => Taken {
                chunks: outgoing.map_or(0, Outgoing::taken),
                is_final: false,
            },
        }
    }

    /// Drops a channel in which this end sends, for its user, which learns it.
    pub(crate) fn withdraw(&mut self, (key, channel): ChannelKey) {
        let session = self.sessions.get(&key).filter(|one| one.broken.is_none());
        if session.is_some_and(|session| session.outgoing.contains_key(&channel)) {
            self.remove_sender((key, channel), OutgoingEnd::Dropped);
            self.cancel(key, channel, CancelReason::Dropped, true);
        }
    }

    fn has_completed(&self, key: SessionKey, channel: u32) -> bool {
        let session = self.sessions.get(&key);
        let end = session.and_then(|session| session.gone.outgoing.get(channel));
        end == Some(OutgoingEnd::Complete)
    }

    /// Gives up the handle to a channel. What was sent before its end stays, and without an end it
    /// is broken off.
    pub(crate) fn release_sender(&mut self, (key, channel): ChannelKey, now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if let Some(outgoing) = session.outgoing.get_mut(&channel) {
            outgoing.waiting = None;
            outgoing.marks.has_no_user = true;
            if session.broken.is_none() && !outgoing.is_ended {
                self.remove_sender((key, channel), OutgoingEnd::Dropped);
                self.cancel(key, channel, CancelReason::Dropped, true);
            }
        } else {
            session.gone.outgoing.release(channel);
        }
        self.release(key, now);
    }

    /// The next chunk or end to send, while fewer than `most` bytes are in flight. The channels
    /// take turns.
    pub(crate) fn next_part(&mut self, most: usize, now: Instant) -> Option<SessionItem> {
        while let Some(at) = self.turns.probes.pop_front() {
            let probe = self.outgoing(at).and_then(|one| one.probe(now));
            if let Some(item) = probe.map(item_with) {
                return Some(item_of(at.0, at.1, item));
            }
        }
        loop {
            if self.flying > 0 && self.flying >= most {
                return None;
            }
            let at = self.turns.ready.pop_front()?;
            let Some(outgoing) = self.outgoing(at) else {
                continue;
            };
            let before = outgoing.flying();
            let item = outgoing.next(now).map(item_with);
            let more = outgoing.flying() - before;
            let has_more = outgoing.has_unsent();
            outgoing.marks.is_ready = has_more;
            self.flying += more;
            if has_more {
                self.turns.ready.push_back(at);
            }
            if let Some(item) = item {
                return Some(item_of(at.0, at.1, item));
            }
        }
    }

    /// Takes back an item of [`next_part`](Self::next_part) that could not be sent now.
    pub(crate) fn put_back(&mut self, item: &SessionItem) {
        let at = channel_of(item);
        let Some(outgoing) = self.outgoing(at) else {
            return;
        };
        let before = outgoing.flying();
        outgoing.put_back();
        let less = before - outgoing.flying();
        let was_ready = outgoing.marks.is_ready;
        let has_unsent = outgoing.has_unsent();
        outgoing.marks.is_ready |= has_unsent;
        self.flying -= less;
        if was_ready && self.turns.ready.back() == Some(&at) {
            self.turns.ready.pop_back();
            self.turns.ready.push_front(at);
        } else if has_unsent && !was_ready {
            self.turns.ready.push_front(at);
        }
    }

    /// Notes which frame carries an item of [`next_part`](Self::next_part). Frames are numbered in
    /// the order in which they are sent.
    pub(crate) fn sent_in(&mut self, item: &SessionItem, frame: u64) {
        if let Item::Chunk { number, .. } | Item::End { number } = item.item
            && let Some(outgoing) = self.outgoing(channel_of(item))
        {
            outgoing.in_frame(number, frame);
        }
    }

    /// Sends again what was not acknowledged for too long, and asks receivers that have been silent
    /// for long.
    pub(super) fn resend(&mut self, key: SessionKey, way: &mut Way, now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let (mut again, mut asked) = (Vec::new(), Vec::new());
        for (channel, outgoing) in &mut session.outgoing {
            let before = outgoing.flying();
            let overdue = outgoing.tick(now, way);
            self.flying -= before - outgoing.flying();
            if outgoing.room().is_some() {
                // It waits for memory.
                self.wakers.extend(outgoing.waiting.take());
            }
            if outgoing.has_unsent() {
                // Its queue may have had no room.
                again.push(*channel);
            }
            // Before that, what has opened the session may still be on its way.
            if session.is_known && outgoing.asks(now) {
                asked.push(*channel);
            }
            match overdue {
                Overdue::No | Overdue::Resend => {}
                Overdue::Probe => {
                    self.turns.probes.push_back((key, *channel));
                    self.state.probes.add(now);
                    way.may_probe = way.is_heard;
                }
                Overdue::Stalled => return self.fail(key, Broken::Unacknowledged),
            }
        }
        for channel in again {
            self.queue((key, channel));
        }
        for channel in asked {
            self.say(key, channel, Item::Ask);
        }
    }

    /// What is known of the way to the peer.
    pub(super) fn way(&self, now: Instant) -> Way {
        let uplink = self.uplink.progress();
        let round_trip = &self.state.round_trip;
        let timeout = round_trip.timeout(&uplink.round_trip);
        let backed_off = round_trip.backed_off(&uplink.round_trip);
        let heard = self.state.heard;
        let is_heard = heard.is_some_and(|at| now.saturating_duration_since(at) < timeout);
        Way {
            timeout,
            backed_off,
            usual: round_trip.usual(&uplink.round_trip),
            is_heard,
            may_probe: is_heard || self.state.probes.may_add(timeout, backed_off, now),
            taken: self.state.taken,
            uplink,
        }
    }

    pub(super) fn queue(&mut self, at: ChannelKey) {
        if let Some(outgoing) = self.outgoing(at)
            && !std::mem::replace(&mut outgoing.marks.is_ready, true)
        {
            self.turns.ready.push_back(at);
        }
    }

    fn outgoing(&mut self, (key, channel): ChannelKey) -> Option<&mut Outgoing> {
        self.sessions.get_mut(&key)?.outgoing.get_mut(&channel)
    }

    /// Removes a channel in which this end sends, and wakes its user.
    pub(super) fn remove_sender(&mut self, (key, channel): ChannelKey, end: OutgoingEnd) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if let Some(mut outgoing) = session.outgoing.remove(&channel) {
            self.flying -= outgoing.flying();
            self.wakers.extend(outgoing.waiting.take());
            if outgoing.marks.has_no_user {
                session.gone.outgoing.remember(channel, end);
            } else {
                session.gone.outgoing.keep(channel, end);
            }
        }
    }

    pub(super) fn usable(&mut self, key: SessionKey) -> Result<&mut Session, Broken> {
        let closed = self.state.closed;
        match self.sessions.get_mut(&key) {
            Some(session) => match session.broken {
                Some(broken) => Err(broken),
                None => Ok(session),
            },
            None => Err(closed.unwrap_or(Broken::Forgotten)),
        }
    }

    fn sending(&mut self, key: SessionKey, channel: u32) -> Result<&mut Outgoing, Broken> {
        let session = self.usable(key)?;
        let end = session.gone.outgoing.get(channel);
        let refused = matches!(end, Some(OutgoingEnd::Refused(_)));
        let gone = if refused {
            Broken::Dropped
        } else {
            Broken::Forgotten
        };
        session.outgoing.get_mut(&channel).ok_or(gone)
    }

    pub(super) fn touch(&mut self, key: SessionKey, now: Instant) {
        if let Some(session) = self.sessions.get_mut(&key) {
            session.touched = now;
        }
    }
}

fn item_with((number, part): (u64, &Part)) -> Item {
    match part {
        Part::Chunk { chunk, .. } => Item::Chunk {
            number,
            elements: chunk.elements,
            bytes: chunk.bytes.clone(),
        },
        Part::End => Item::End { number },
    }
}

/// The channel of this end in which an item is sent.
fn channel_of(item: &SessionItem) -> ChannelKey {
    let key = SessionKey {
        is_own: item.session.from_opener,
        number: item.session.number,
    };
    (key, item.channel)
}
