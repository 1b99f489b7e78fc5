//! One end of sessions without a bus, a task or a clock, for the simulator and for fuzzing.

use super::machine::{Chunk, Limits, MAX_CHUNK, Machine, SessionKey, Terms, Uplink, Window};
use crate::{
    budget::{Budget, Share},
    wire::SessionItem,
};
use bytes::Bytes;
use std::{
    sync::Arc,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

/// Most bytes of a chunk.
pub const CHUNK: usize = MAX_CHUNK;

/// One end of the sessions between two hosts. Times are since its start.
#[derive(Debug)]
pub struct SessionEnd {
    machine: Machine,
    memory: Budget,
    start: Instant,
    now: Instant,
}

/// What the ends of one node know of its connection to the bus, through which all of them send.
/// Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub struct SharedQueue(Uplink);

/// A session of a [`SessionEnd`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionId(SessionKey);

impl SessionId {
    /// Its number among the sessions of its opener.
    pub fn number(self) -> u64 {
        self.0.number
    }
}

/// What an end has of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Nothing new.
    Nothing,
    /// The next chunk.
    Chunk(Bytes),
    /// The end.
    End,
    /// Why there will be no more.
    Broken(String),
}

impl SessionEnd {
    /// An end that may receive `memory` bytes, and have `sessions` sessions.
    pub fn new(memory: usize, sessions: usize) -> Self {
        Self::of(&SharedQueue::default(), memory, sessions)
    }

    /// The same for a node whose ends share one connection to the bus.
    pub fn of(queue: &SharedQueue, memory: usize, sessions: usize) -> Self {
        let memory = Budget::new(memory);
        let limits = Limits {
            with_peer: sessions,
            in_all: sessions,
            taken: Arc::default(),
        };
        let now = Instant::now();
        Self {
            machine: Machine::new(1, limits, Share::of(&memory), queue.0.clone()),
            memory,
            start: now,
            now,
        }
    }

    /// Advances its clock.
    pub fn advance(&mut self, to: Duration) {
        self.now = self.now.max(self.start + to);
        self.machine.tick(self.now);
    }

    /// Opens a session with one channel in which it sends.
    pub fn open(&mut self, idle: Duration) -> Option<SessionId> {
        let terms = Terms {
            deadline: None,
            idle: Some(idle),
        };
        let key = self.machine.open(terms, self.now).ok()?;
        self.machine.open_channel(key, 0, self.now).ok()?;
        Some(SessionId(key))
    }

    /// Accepts a session that the other end opens, and its channel.
    pub fn accept(&mut self, number: u64, window: usize) -> Option<SessionId> {
        let terms = Terms::default();
        let key = self.machine.accept(number, terms, self.now).ok()?;
        let window = Window {
            bytes: window,
            most: window * 4,
            elements: u64::MAX,
        };
        if self.machine.receive(key, 0, window, self.now).is_ok() {
            return Some(SessionId(key));
        }
        self.machine.give_up(key);
        self.machine.release(key, self.now);
        None
    }

    /// Sends a chunk, if there is room for it. Fails once the session is broken.
    ///
    /// # Errors
    /// Why it is.
    pub fn send(&mut self, session: SessionId, bytes: Bytes) -> Result<bool, String> {
        let at = (session.0, 0);
        match self.machine.poll_room(at, Waker::noop()) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Err(broken)) => return Err(broken.to_string()),
            Poll::Ready(Ok(_)) => {}
        }
        let chunk = Chunk { bytes, elements: 1 };
        let sent = self.machine.send(at, chunk, None, self.now);
        sent.map(|()| true).map_err(|broken| broken.to_string())
    }

    /// Completes the channel.
    pub fn end(&mut self, session: SessionId) {
        // One that is broken stays so.
        let _ = self.machine.end((session.0, 0), self.now);
    }

    /// Drops the half in which it sends, and the session.
    pub fn drop_sender(&mut self, session: SessionId) {
        self.machine.release_sender((session.0, 0), self.now);
        self.machine.release(session.0, self.now);
    }

    /// Drops the half in which it receives, and the session.
    pub fn drop_receiver(&mut self, session: SessionId) {
        self.machine.release_receiver((session.0, 0), self.now);
        self.machine.release(session.0, self.now);
    }

    /// Takes what was received.
    pub fn receive(&mut self, session: SessionId) -> Received {
        let at = (session.0, 0);
        match self.machine.poll_chunk(at, Waker::noop(), self.now) {
            Poll::Pending => Received::Nothing,
            Poll::Ready(Ok(Some(chunk))) => Received::Chunk(chunk.bytes),
            Poll::Ready(Ok(None)) => Received::End,
            Poll::Ready(Err(broken)) => Received::Broken(broken.to_string()),
        }
    }

    /// Takes an item of the other end. Returns whether it kept to the rules.
    pub fn take(&mut self, item: SessionItem) -> bool {
        let is_allowed = self.machine.take(item, self.now).is_ok();
        self.machine.tell(self.now);
        is_allowed
    }

    /// All that it has to send now.
    pub fn items(&mut self) -> Vec<SessionItem> {
        let mut items: Vec<_> = std::iter::from_fn(|| self.machine.next_control()).collect();
        items.extend(std::iter::from_fn(|| {
            self.machine.next_part(usize::MAX, self.now)
        }));
        items
    }

    /// Bytes of memory for what it may receive.
    pub fn held(&self) -> usize {
        self.memory.held()
    }

    /// How many sessions are open.
    pub fn open_sessions(&self) -> usize {
        self.machine.open_sessions()
    }

    /// Whether nothing is known of any session.
    pub fn is_empty(&self) -> bool {
        self.machine.is_empty()
    }
}
