//! One session: its channels, and what is left of those that are gone.

use super::{
    super::broken::Broken, gone::Gone, incoming::Incoming, outgoing::Outgoing, place::Place,
};
use std::{
    collections::BTreeMap,
    task::Waker,
    time::{Duration, Instant},
};

/// How long a session may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Terms {
    /// When it breaks at the latest.
    pub(crate) deadline: Option<Instant>,
    /// How long nothing may happen in it.
    pub(crate) idle: Option<Duration>,
}

impl Terms {
    /// Those of a session that belongs to a call.
    pub(crate) fn until(deadline: impl Into<Instant>) -> Self {
        Self {
            deadline: Some(deadline.into()),
            idle: None,
        }
    }
}

/// A session of this node with a peer.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) outgoing: BTreeMap<u32, Outgoing>,
    pub(super) incoming: BTreeMap<u32, Incoming>,
    pub(super) gone: Gone,
    /// How many handles users have to it.
    pub(super) handles: usize,
    pub(super) broken: Option<Broken>,
    pub(super) is_over: bool,
    /// The other end has it, as far as is known: something has come from there.
    pub(super) is_known: bool,
    /// When something last happened in it.
    pub(super) touched: Instant,
    pub(super) terms: Terms,
    /// Its place among the sessions of this node; `None` once it is over or broken.
    pub(super) place: Option<Place>,
}

impl Session {
    pub(super) fn new(terms: Terms, place: Place, now: Instant) -> Self {
        Self {
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            gone: Gone::default(),
            handles: 0,
            broken: None,
            is_over: false,
            is_known: false,
            touched: now,
            terms,
            place: Some(place),
        }
    }

    /// Whether it is neither over nor broken.
    pub(super) fn is_open(&self) -> bool {
        self.place.is_some()
    }

    /// Whether nothing is left to do in it.
    pub(super) fn is_done(&self) -> bool {
        self.handles == 0 && self.outgoing.is_empty() && self.incoming.is_empty()
    }

    /// Why it has to break now, if so.
    pub(super) fn expired(&self, now: Instant) -> Option<Broken> {
        let Terms { deadline, idle } = self.terms;
        if deadline.is_some_and(|at| at <= now) {
            return Some(Broken::Deadline);
        }
        let quiet = now.saturating_duration_since(self.touched);
        idle.is_some_and(|most| quiet >= most)
            .then_some(Broken::Idle)
    }

    /// Breaks it. Its users are woken, and its memory is free, but for channels that were received
    /// to their end: those are whole, and can still be read.
    pub(super) fn fail(&mut self, broken: Broken, wakers: &mut Vec<Waker>) {
        self.broken = Some(broken);
        self.place = None;
        for channel in self.outgoing.values_mut() {
            channel.clear();
            wakers.extend(channel.waiting.take());
        }
        self.incoming.retain(|_, channel| {
            wakers.extend(channel.waiting.take());
            channel.is_ended()
        });
    }
}
