//! The sessions with one peer: pure, with the time passed in.
//!
//! A user's operation or an item from the peer changes the state, and what follows is fetched:
//! items to send with [`next_part`](Machine::next_part) and
//! [`next_control`](Machine::next_control), and tasks to wake with
//! [`take_wakers`](Machine::take_wakers).

mod chunk;
mod gone;
mod incoming;
mod outgoing;
mod pace;
mod place;
mod ranges;
mod receive;
mod round_trip;
mod seen;
mod send;
mod session;
mod take;
#[cfg(test)]
mod tests;
mod timing;
mod uplink;

pub(crate) use chunk::{Chunk, MAX_CHUNK};
pub(crate) use gone::Taken;
pub(crate) use incoming::Window;
pub(crate) use place::Place;
pub(crate) use ranges::Ranges;
pub(crate) use seen::Seen;
pub(crate) use session::Terms;
pub(crate) use timing::RESEND;
pub(crate) use uplink::Uplink;

use super::broken::{Broken, Refused};
use crate::{
    budget::Share,
    wire::{CancelReason, Item, SessionItem, SessionName, WHOLE_SESSION},
};
use outgoing::Outgoing;
use pace::Probes;
use receive::Due;
use round_trip::RoundTrip;
use session::Session;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, atomic::AtomicUsize},
    task::Waker,
    time::Instant,
};
use timing::LINGER;

/// Most channels of a session in which this end sends at once.
const MOST_CHANNELS: usize = 1_024;
/// Most channels of a session in which this end receives at once: more than that, because a channel
/// that was not read to its end is none for its sender any more.
const MOST_RECEIVING: usize = 4 * MOST_CHANNELS;
/// Most sessions that are over and still acknowledge late chunks.
const MOST_OVER: usize = 4_096;
/// Most credits and cancels that wait to be sent. Lost ones are repeated, so more are dropped.
const MOST_CONTROL: usize = 16_384;

/// How many sessions there may be.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// With one peer.
    pub(crate) with_peer: usize,
    /// Of the whole node.
    pub(crate) in_all: usize,
    /// The sessions that the whole node has.
    pub(crate) taken: Arc<AtomicUsize>,
}

/// Identifies a session with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionKey {
    /// Whether this end has opened it.
    pub(crate) is_own: bool,
    pub(crate) number: u64,
}

type ChannelKey = (SessionKey, u32);

/// The sessions with one peer.
#[derive(Debug)]
pub(crate) struct Machine {
    sessions: BTreeMap<SessionKey, Session>,
    limits: Limits,
    /// The memory of what is received and not taken.
    room: Share,
    uplink: Uplink,
    opened: Opened,
    turns: Turns,
    /// Channels whose sender may have to be told something.
    due: Due,
    control: VecDeque<SessionItem>,
    wakers: Vec<Waker>,
    /// Bytes that were sent and not acknowledged.
    flying: usize,
    /// Sessions that are over, in order, and since when.
    over: VecDeque<(Instant, SessionKey)>,
    state: State,
}

/// The sessions that were opened so far.
#[derive(Debug)]
struct Opened {
    /// The number of the next session that this end opens.
    next: u64,
    /// Those that the peer has opened.
    seen: Seen,
}

/// Channels that take turns.
#[derive(Debug, Default)]
struct Turns {
    /// Those that have something to send, each once.
    ready: VecDeque<ChannelKey>,
    /// Those whose first part in flight is to be sent again.
    probes: VecDeque<ChannelKey>,
}

/// Whether sessions can be opened, how many there are, and what is known of the way to the peer.
#[derive(Debug, Default)]
struct State {
    closed: Option<Broken>,
    open: usize,
    /// Since when there is a session that is open.
    busy_since: Option<Instant>,
    /// When the peer has last acknowledged anything new.
    heard: Option<Instant>,
    /// The newest frame that the bus has taken; the largest number if it has taken all.
    taken: u64,
    round_trip: RoundTrip,
    probes: Probes,
}

impl Machine {
    /// No sessions. The first one that this end opens gets the number `first`, which is above those
    /// of every earlier machine of this boot and peer.
    pub(crate) fn new(first: u64, limits: Limits, room: Share, uplink: Uplink) -> Self {
        Self {
            sessions: BTreeMap::new(),
            limits,
            room,
            uplink,
            opened: Opened {
                next: first,
                seen: Seen::default(),
            },
            turns: Turns::default(),
            due: Due::default(),
            control: VecDeque::new(),
            wakers: Vec::new(),
            flying: 0,
            over: VecDeque::new(),
            state: State {
                taken: u64::MAX,
                ..State::default()
            },
        }
    }

    /// Opens a session. Its caller has a handle to it.
    pub(crate) fn open(&mut self, terms: Terms, now: Instant) -> Result<SessionKey, Refused> {
        let key = SessionKey {
            is_own: true,
            number: self.opened.next,
        };
        self.add(key, terms, now)?;
        self.opened.next += 1;
        Ok(key)
    }

    /// Accepts a session that the peer opens, once. Its caller has a handle to it.
    pub(crate) fn accept(
        &mut self,
        number: u64,
        terms: Terms,
        now: Instant,
    ) -> Result<SessionKey, Refused> {
        let key = SessionKey {
            is_own: false,
            number,
        };
        if self.sessions.contains_key(&key) {
            return Err(Refused::Repeated);
        }
        let place = self.place()?;
        if !self.opened.seen.mark(number) {
            return Err(Refused::Repeated);
        }
        self.insert(key, Session::new(terms, place, now), now);
        Ok(key)
    }

    /// Tells the peer that the session which it opens is not one of this end, unless it is.
    pub(crate) fn refuse(&mut self, number: u64) {
        let key = SessionKey {
            is_own: false,
            number,
        };
        if !self.sessions.get(&key).is_some_and(Session::is_open) {
            self.cancel(key, WHOLE_SESSION, CancelReason::Unknown, false);
        }
    }

    fn add(&mut self, key: SessionKey, terms: Terms, now: Instant) -> Result<(), Refused> {
        let place = self.place()?;
        self.insert(key, Session::new(terms, place, now), now);
        Ok(())
    }

    fn place(&self) -> Result<Place, Refused> {
        if let Some(broken) = self.state.closed {
            return Err(Refused::Broken(broken));
        }
        if self.state.open >= self.limits.with_peer {
            return Err(Refused::TooMany);
        }
        Place::take(&self.limits.taken, self.limits.in_all).ok_or(Refused::TooMany)
    }

    fn insert(&mut self, key: SessionKey, mut session: Session, now: Instant) {
        session.handles = 1;
        session.is_known = !key.is_own;
        self.sessions.insert(key, session);
        self.state.open += 1;
        self.state.busy_since.get_or_insert(now);
    }

    /// Gives up a handle to a session.
    pub(crate) fn release(&mut self, key: SessionKey, now: Instant) {
        if let Some(session) = self.sessions.get_mut(&key) {
            session.handles = session.handles.saturating_sub(1);
            self.settle(key, now);
        }
    }

    /// Breaks a session because its user gives it up.
    pub(crate) fn give_up(&mut self, key: SessionKey) {
        self.fail(key, Broken::Dropped);
    }

    /// Why a session was broken off, if it was.
    #[cfg(test)]
    pub(crate) fn broken(&self, key: SessionKey) -> Option<Broken> {
        match self.sessions.get(&key) {
            Some(session) => session.broken,
            None => Some(self.state.closed.unwrap_or(Broken::Forgotten)),
        }
    }

    /// Learns the newest frame that the bus has taken. What later ones carry has not left this node
    /// yet, and doesn't have to be sent again.
    pub(crate) fn set_taken(&mut self, frame: u64) {
        self.state.taken = frame;
    }

    /// Looks at the time: sends again, repeats, and breaks what is late.
    pub(crate) fn tick(&mut self, now: Instant) {
        while let Some((_, key)) = self
            .over
            .pop_front_if(|(since, _)| now.saturating_duration_since(*since) >= LINGER)
        {
            self.sessions.remove(&key);
        }
        let open = self.sessions.iter().filter(|(_, one)| one.is_open());
        let open: Vec<SessionKey> = open.map(|(key, _)| *key).collect();
        let mut way = self.way(now);
        for key in open {
            let expired = self.sessions.get(&key).and_then(|one| one.expired(now));
            if let Some(broken) = expired {
                self.fail(key, broken);
            } else {
                self.resend(key, &mut way, now);
                self.repeat_credits(key, now);
            }
        }
    }

    /// Breaks all sessions. With `forever`, no more are opened.
    pub(crate) fn fail_all(&mut self, broken: Broken, forever: bool) {
        if forever {
            self.state.closed.get_or_insert(broken);
        }
        let open = self.sessions.iter().filter(|(_, one)| one.is_open());
        let open: Vec<SessionKey> = open.map(|(key, _)| *key).collect();
        for key in open {
            self.fail(key, broken);
        }
    }

    /// Breaks a session, and tells the peer unless it knows.
    fn fail(&mut self, key: SessionKey, broken: Broken) {
        let Some(session) = self.sessions.get_mut(&key).filter(|one| one.is_open()) else {
            return;
        };
        let flying: usize = session.outgoing.values().map(Outgoing::flying).sum();
        session.fail(broken, &mut self.wakers);
        self.flying -= flying;
        let is_unused = session.handles == 0;
        self.closed_one();
        if is_unused {
            self.sessions.remove(&key);
        }
        if let Some(reason) = broken.reason() {
            self.cancel(key, WHOLE_SESSION, reason, false);
        }
    }

    /// Has a session be over if nothing is left to do in it, and forgets a broken one without
    /// users.
    fn settle(&mut self, key: SessionKey, now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if session.broken.is_some() {
            if session.handles == 0 {
                self.sessions.remove(&key);
            }
            return;
        }
        if !session.is_done() || session.is_over {
            return;
        }
        session.is_over = true;
        session.place = None;
        self.over.push_back((now, key));
        if self.over.len() > MOST_OVER
            && let Some((_, oldest)) = self.over.pop_front()
        {
            self.sessions.remove(&oldest);
        }
        self.closed_one();
    }

    fn closed_one(&mut self) {
        self.state.open -= 1;
        if self.state.open == 0 {
            self.state.busy_since = None;
        }
    }

    /// Since when there is a session that is open.
    pub(crate) fn busy_since(&self) -> Option<Instant> {
        self.state.busy_since
    }

    /// How many sessions are open.
    pub(crate) fn open_sessions(&self) -> usize {
        self.state.open
    }

    /// Whether nothing is known of any session.
    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.control.is_empty()
    }

    /// The next credit or cancel to send.
    pub(crate) fn next_control(&mut self) -> Option<SessionItem> {
        self.control.pop_front()
    }

    /// The tasks to wake now.
    pub(crate) fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakers)
    }

    /// Bytes of memory that the windows of all channels take.
    #[cfg(test)]
    fn room_held(&self) -> usize {
        self.room.held()
    }

    fn cancel(&mut self, key: SessionKey, channel: u32, reason: CancelReason, own_channel: bool) {
        let item = Item::Cancel {
            reason,
            own_channel,
            taken: None,
        };
        self.say(key, channel, item);
    }

    /// Tells the sender of a channel that it is not received any more, and how much was taken.
    fn drop_receiver(&mut self, key: SessionKey, channel: u32, taken: u64) {
        let item = Item::Cancel {
            reason: CancelReason::Dropped,
            own_channel: false,
            taken: Some(taken),
        };
        self.say(key, channel, item);
    }

    fn say(&mut self, key: SessionKey, channel: u32, item: Item) {
        let item = item_of(key, channel, item);
        if self.control.len() < MOST_CONTROL && self.control.back() != Some(&item) {
            self.control.push_back(item);
        }
    }
}

fn item_of(key: SessionKey, channel: u32, item: Item) -> SessionItem {
    SessionItem {
        session: SessionName {
            from_opener: key.is_own,
            number: key.number,
        },
        channel,
        item,
    }
}
