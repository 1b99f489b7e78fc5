//! What the peer says.

use super::{
    super::broken::Broken,
    ChannelKey, Machine, Probes, SessionKey,
    chunk::{Chunk, Totals},
    incoming::Arrived,
    outgoing::{Acknowledged, Credited},
    session::{IncomingEnd, OutgoingEnd},
};
use crate::wire::{CancelReason, Item, SessionItem, WHOLE_SESSION};
use std::time::Instant;

/// So many channels that were dropped before this end has opened them are remembered. The sender of
/// another one says again that it is dropped when it gets credit.
const MOST_UNHEARD: usize = 16;

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
        session.touched = now;
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
                gap,
            } => {
                let credit = Totals { bytes, elements };
                self.take_credit(at, received, credit, gap, now)
            }
            Item::Cancel {
                reason,
                own_channel,
            } => {
                self.take_cancel(at, reason, own_channel, now);
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
        match session.gone.incoming.get(&channel) {
            Some(IncomingEnd::Complete(received)) if number < *received => {
                let received = *received;
                let again = Item::Credit {
                    received,
                    bytes: 0,
                    elements: 0,
                    gap: false,
                };
                self.say(key, channel, again);
                true
            }
            Some(IncomingEnd::Dropped) => {
                self.cancel(key, channel, CancelReason::Dropped, false);
                true
            }
            Some(IncomingEnd::Aborted) => true,
            // After the end, or in a channel that has no credit.
            Some(IncomingEnd::Complete(_)) | None => false,
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "they are the fields of one item, and the time"
    )]
    fn take_credit(
        &mut self,
        (key, channel): ChannelKey,
        received: u64,
        credit: Totals,
        gap: bool,
        now: Instant,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(&key) else {
            return true;
        };
        let Some(outgoing) = session.outgoing.get_mut(&channel) else {
            return match session.gone.outgoing.get(&channel) {
                Some(OutgoingEnd::Dropped) => {
                    self.cancel(key, channel, CancelReason::Dropped, true);
                    true
                }
                Some(OutgoingEnd::Complete | OutgoingEnd::Refused) => true,
                None => self.take_early_credit(key, channel),
            };
        };
        if let Some(waited) = outgoing.without_credit(now) {
            self.state.round_trip.hint(waited);
        }
        let before = outgoing.flying();
        let (credited, acknowledged) = outgoing.credited(received, credit, gap, now);
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
    fn take_early_credit(&self, key: SessionKey, channel: u16) -> bool {
        let session = self.sessions.get(&key);
        channel != WHOLE_SESSION && session.is_some_and(|session| !session.is_over)
    }

    fn take_cancel(
        &mut self,
        (key, channel): ChannelKey,
        reason: CancelReason,
        own_channel: bool,
        now: Instant,
    ) {
        if channel == WHOLE_SESSION {
            return self.fail_quietly(key, Broken::by(reason));
        }
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if own_channel {
            let (gone, incoming) = (
                &mut session.gone.incoming,
                session.incoming.remove(&channel),
            );
            let aborted = gone.values().filter(|end| **end == IncomingEnd::Aborted);
            let is_kept = !session.is_over && aborted.count() < MOST_UNHEARD;
            if incoming.is_some() || is_kept {
                gone.entry(channel).or_insert(IncomingEnd::Aborted);
            }
            self.wakers.extend(incoming.and_then(|one| one.waiting));
        } else if session.outgoing.contains_key(&channel) {
            self.remove_sender((key, channel), OutgoingEnd::Refused);
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
