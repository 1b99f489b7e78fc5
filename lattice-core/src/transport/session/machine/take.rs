//! What the peer says.

use super::{
    super::broken::Broken,
    ChannelKey, Machine, Probes, SessionKey,
    chunk::{Chunk, Totals},
    gone::{IncomingEnd, OutgoingEnd, Taken},
    incoming::{Arrived, Incoming},
    outgoing::{Acknowledged, Credit, Credited},
};
use crate::wire::{CancelReason, Item, SessionItem, WHOLE_SESSION};
use std::time::Instant;

/// An item that broke the rules of its session, which is broken off now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forbidden;

impl Machine {
    /// Takes an item of the peer. [`tell`](Self::tell) has to be called after a batch of them.
    pub(crate) fn take(&mut self, item: SessionItem, now: Instant) -> Result<(), Forbidden> {
        let SessionItem {
            session: name,
            channel,
            item,
        } = item;
        let key = SessionKey {
            is_own: !name.from_opener,
            number: name.number,
        };
        let session = self.sessions.get_mut(&key);
        let Some(session) = session.filter(|one| one.broken.is_none()) else {
            self.refuse_unknown(key, &item);
            return Ok(());
        };
        session.is_known = true;
        if item != Item::Ask {
            session.touched = now;
        }
        let at = (key, channel);
        let is_allowed = match item {
            Item::Chunk {
                number,
                elements,
                bytes,
            } => self.take_part(at, number, Some(Chunk::received(bytes, elements))),
            Item::End { number } => self.take_part(at, number, None),
            Item::Credit {
                received,
                bytes,
                elements,
                taken,
                gap,
            } => {
                let credit = Credit {
                    received,
                    taken,
                    room: Totals { bytes, elements },
                    gap,
                };
                self.take_credit(at, credit, now)
            }
            Item::Cancel { reason, .. } if channel == WHOLE_SESSION => {
                self.fail_quietly(key, Broken::by(reason));
                true
            }
            Item::Cancel {
                own_channel: true, ..
            } => {
                self.take_abort(at, now);
                true
            }
            Item::Cancel { taken, .. } => {
                self.take_refusal(at, taken, now);
                true
            }
            Item::Ask => {
                self.take_ask(at);
                true
            }
        };
        if is_allowed {
            return Ok(());
        }
        self.fail(key, Broken::Violation);
        Err(Forbidden)
    }

    /// The peer has to learn that a session is gone, in which it sends or waits. A cancel is never
    /// answered, so two hosts never tell each other forever.
    fn refuse_unknown(&mut self, key: SessionKey, item: &Item) {
        if !matches!(item, Item::Cancel { .. }) {
            self.cancel(key, WHOLE_SESSION, CancelReason::Unknown, false);
        }
    }

    fn take_part(&mut self, (key, channel): ChannelKey, number: u64, chunk: Option<Chunk>) -> bool {
        let Some(session) = self.sessions.get_mut(&key) else {
            return true;
        };
        if let Some(incoming) = session.incoming.get_mut(&channel) {
            let cost = chunk.as_ref().map_or(0, |chunk| chunk.cost().bytes);
            let arrived = incoming.arrived(number, chunk);
            if !std::mem::replace(&mut incoming.marks.is_dirty, true) {
                self.due.dirty.push((key, channel));
            }
            if arrived == Arrived::Next {
                self.due.bytes += cost;
            }
            return arrived != Arrived::Forbidden;
        }
        let was_had = session.gone.had.contains(channel);
        match session.gone.incoming.get(channel) {
            Some(IncomingEnd::Complete(received)) if number < received => {
                self.acknowledge_end(key, channel, received);
                true
            }
            Some(IncomingEnd::Dropped(taken)) => {
                self.drop_receiver(key, channel, taken);
                true
            }
            Some(IncomingEnd::Aborted) => true,
            // One of long ago, of which its sender has missed the end.
            None if was_had => {
                self.cancel(key, channel, CancelReason::Dropped, false);
                true
            }
            // After the end, or in a channel that has no credit.
            Some(IncomingEnd::Complete(_)) | None => false,
        }
    }

    /// Acknowledges all of a channel once more.
    fn acknowledge_end(&mut self, key: SessionKey, channel: u32, received: u64) {
        let again = Item::Credit {
            received,
            bytes: 0,
            elements: 0,
            taken: received,
            gap: false,
        };
        self.say(key, channel, again);
    }

    /// Tells the sender of a channel again what it may have missed.
    fn take_ask(&mut self, (key, channel): ChannelKey) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if let Some(incoming) = session.incoming.get_mut(&channel) {
            incoming.tell_again();
            if !std::mem::replace(&mut incoming.marks.is_dirty, true) {
                self.due.dirty.push((key, channel));
            }
            return;
        }
        let is_gone = session.is_over || session.gone.had.contains(channel);
        match session.gone.incoming.get(channel) {
            Some(IncomingEnd::Complete(received)) => self.acknowledge_end(key, channel, received),
            Some(IncomingEnd::Dropped(taken)) => self.drop_receiver(key, channel, taken),
            None if is_gone => self.cancel(key, channel, CancelReason::Dropped, false),
            // Its sender has dropped it, or its user hasn't opened it yet.
            Some(IncomingEnd::Aborted) | None => {}
        }
    }

    fn take_credit(&mut self, (key, channel): ChannelKey, credit: Credit, now: Instant) -> bool {
        let Some(session) = self.sessions.get_mut(&key) else {
            return true;
        };
        let Some(outgoing) = session.outgoing.get_mut(&channel) else {
            let was_had = channel < session.gone.next;
            return match session.gone.outgoing.get(channel) {
                Some(OutgoingEnd::Complete | OutgoingEnd::Refused(_)) => true,
                // A receiver that has all of it ignores that.
                end if end.is_some() || was_had => {
                    self.cancel(key, channel, CancelReason::Dropped, true);
                    true
                }
                _ => self.take_early_credit(key, channel),
            };
        };
        if let Some(waited) = outgoing.without_credit(now) {
            self.state.round_trip.hint(waited);
        }
        let before = outgoing.flying();
        let (credited, acknowledged) = outgoing.credited(credit, now);
        self.flying -= before - outgoing.flying();
        self.wakers.extend(outgoing.waiting.take());
        let has_unsent = outgoing.has_unsent();
        if let Some(acknowledged) = acknowledged {
            self.acknowledged(acknowledged, now);
        }
        match credited {
            Credited::Forged => return false,
            Credited::Complete => {
                self.remove_sender((key, channel), OutgoingEnd::Complete);
                self.settle(key, now);
            }
            Credited::Valid if has_unsent => self.queue((key, channel)),
            Credited::Valid => {}
        }
        true
    }

    /// Learns from an acknowledgement how long the way is, and how far this node's queue has come.
    fn acknowledged(&mut self, newest: Acknowledged, now: Instant) {
        let Acknowledged {
            sent,
            is_sample,
            resends,
            waited,
        } = newest;
        self.state.heard = Some(now);
        self.state.probes = Probes::default();
        let time = now.saturating_duration_since(sent);
        if is_sample {
            self.state.round_trip.sample(time);
        } else {
            let others = self.uplink.progress().round_trip;
            self.state.round_trip.ambiguous(time, resends, &others);
            self.state.round_trip.hint(waited);
        }
        self.uplink.acknowledged(sent, is_sample, now);
    }

    /// A credit for a channel that this end hasn't opened yet: it is repeated. None comes for a
    /// session that is over.
    fn take_early_credit(&self, key: SessionKey, channel: u32) -> bool {
        let session = self.sessions.get(&key);
        channel != WHOLE_SESSION && session.is_some_and(|session| !session.is_over)
    }

    /// The sender of a channel has dropped it.
    fn take_abort(&mut self, (key, channel): ChannelKey, now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let incoming = session.incoming.get(&channel);
        if incoming.is_some_and(Incoming::is_ended) {
            // All of it is here, whatever became of its sender.
            return;
        }
        if let Some(incoming) = session.incoming.remove(&channel) {
            session.gone.incoming.keep(channel, IncomingEnd::Aborted);
            self.wakers.extend(incoming.waiting);
        } else if !session.is_over {
            session.gone.dropped_unheard(channel);
        }
        self.settle(key, now);
    }

    /// The receiver of a channel has dropped it.
    fn take_refusal(&mut self, (key, channel): ChannelKey, taken: Option<u64>, now: Instant) {
        let session = self.sessions.get(&key);
        let outgoing = session.and_then(|session| session.outgoing.get(&channel));
        if let Some(outgoing) = outgoing {
            let known = outgoing.taken();
            let taken = Taken {
                chunks: taken.map_or(known, |taken| taken.max(known)),
                is_final: taken.is_some(),
            };
            self.remove_sender((key, channel), OutgoingEnd::Refused(taken));
        }
        self.settle(key, now);
    }

    /// Breaks a session without telling the peer, which has said so.
    fn fail_quietly(&mut self, key: SessionKey, broken: Broken) {
        let control = self.control.len();
        self.fail(key, broken);
        self.control.truncate(control);
    }
}
