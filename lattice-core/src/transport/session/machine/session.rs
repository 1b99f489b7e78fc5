//! One session: its channels, and what is left of those that are gone.

use super::{super::broken::Broken, incoming::Incoming, outgoing::Outgoing};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
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
    pub(super) outgoing: BTreeMap<u16, Outgoing>,
    pub(super) incoming: BTreeMap<u16, Incoming>,
    pub(super) gone: Gone,
    /// How many handles users have to it.
    pub(super) handles: usize,
    pub(super) broken: Option<Broken>,
    pub(super) is_over: bool,
    /// When something last happened in it.
    pub(super) touched: Instant,
    pub(super) terms: Terms,
    /// Its place among the sessions of this node; `None` once it is over or broken.
    pub(super) place: Option<Place>,
}

/// The channels of a session that are gone.
#[derive(Debug, Default)]
pub(super) struct Gone {
    pub(super) outgoing: BTreeMap<u16, OutgoingEnd>,
    pub(super) incoming: BTreeMap<u16, IncomingEnd>,
}

/// How a channel ended in which this end has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutgoingEnd {
    Complete,
    /// Its user dropped it before the end.
    Dropped,
    /// The receiver dropped it.
    Refused,
}

/// How a channel ended in which this end has received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IncomingEnd {
    /// All of it was taken: so many chunks, the end included.
    Complete(u64),
    /// Its user dropped it before the end.
    Dropped,
    /// The sender dropped it.
    Aborted,
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
            touched: now,
            terms,
            place: Some(place),
        }
    }

    /// Whether it is neither over nor broken.
    pub(super) fn is_open(&self) -> bool {
        self.place.is_some()
    }

    /// How many channels it has or had.
    pub(super) fn channels(&self) -> usize {
        self.outgoing.len()
            + self.incoming.len()
            + self.gone.outgoing.len()
            + self.gone.incoming.len()
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

    /// Breaks it. Its users are woken, and its memory is free.
    pub(super) fn fail(&mut self, broken: Broken, wakers: &mut Vec<Waker>) {
        self.broken = Some(broken);
        self.place = None;
        for channel in self.outgoing.values_mut() {
            channel.clear();
            wakers.extend(channel.waiting.take());
        }
        for channel in std::mem::take(&mut self.incoming).values_mut() {
            wakers.extend(channel.waiting.take());
        }
    }
}

/// One of the sessions that a node may have. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Place {
    /// Takes a place, unless `most` are taken.
    pub(super) fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let before = taken.fetch_add(1, Ordering::Relaxed);
        let place = Self(taken.clone());
        (before < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
