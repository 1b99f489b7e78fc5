//! What is left of the channels of a session that are gone: bounded, however many there were.

use super::ranges::Ranges;
use std::collections::{BTreeMap, BTreeSet};

/// So many channels that were dropped before this end has opened them are remembered. The sender of
/// another one says again that it is dropped when it gets credit.
const MOST_UNHEARD: usize = 16;
/// So many ended channels without users are remembered in each direction. Of older ones, it is only
/// known that they are gone.
const MOST_RECENT: usize = 1_024;

/// The channels of a session that are gone.
#[derive(Debug, Default)]
pub(super) struct Gone {
    pub(super) outgoing: Ends<OutgoingEnd>,
    pub(super) incoming: Ends<IncomingEnd>,
    /// The lowest number that a further channel of this end may have.
    pub(super) next: u32,
    /// The channels of the other end that this end has opened or refused.
    pub(super) had: Ranges,
    /// Those that the other end has dropped before.
    unheard: BTreeSet<u32>,
}

/// How a channel ended in which this end has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutgoingEnd {
    Complete,
    /// Its user dropped it before the end.
    Dropped,
    /// The receiver dropped it, and so much was known then.
    Refused(Taken),
}

/// Of how many chunks the receiver of a channel has the handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Of so many.
    pub(crate) chunks: u64,
    /// It takes no others.
    pub(crate) is_final: bool,
}

/// How a channel ended in which this end has received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IncomingEnd {
    /// All of it was taken: so many chunks, the end included.
    Complete(u64),
    /// Its user dropped it before the end, and has the handles of so many chunks.
    Dropped(u64),
    /// The sender dropped it.
    Aborted,
}

/// How channels of one direction ended.
#[derive(Debug)]
pub(super) struct Ends<E> {
    /// Those that still have a user.
    used: BTreeMap<u32, E>,
    /// The newest of the others.
    recent: BTreeMap<u32, E>,
}

impl<E> Default for Ends<E> {
    fn default() -> Self {
        Self {
            used: BTreeMap::new(),
            recent: BTreeMap::new(),
        }
    }
}

impl<E: Copy> Ends<E> {
    /// How a channel ended, as far as that is remembered.
    pub(super) fn get(&self, channel: u32) -> Option<E> {
        let end = self.used.get(&channel);
        end.or_else(|| self.recent.get(&channel)).copied()
    }

    /// A channel has ended that still has a user.
    pub(super) fn keep(&mut self, channel: u32, end: E) {
        self.used.insert(channel, end);
    }

    /// A channel has ended without a user.
    pub(super) fn remember(&mut self, channel: u32, end: E) {
        self.recent.insert(channel, end);
        if self.recent.len() > MOST_RECENT {
            self.recent.pop_first();
        }
    }

    /// The user of a channel is gone.
    pub(super) fn release(&mut self, channel: u32) {
        if let Some(end) = self.used.remove(&channel) {
            self.remember(channel, end);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.used.len() + self.recent.len()
    }
}

impl Gone {
    /// The other end has dropped a channel that this end hasn't opened yet.
    pub(super) fn dropped_unheard(&mut self, channel: u32) {
        if self.unheard.len() < MOST_UNHEARD && !self.had.contains(channel) {
            self.unheard.insert(channel);
        }
    }

    /// Whether the other end has dropped a channel before this end opens it, which it does now.
    pub(super) fn was_dropped_unheard(&mut self, channel: u32) -> bool {
        self.unheard.remove(&channel)
    }

    /// How many channels or ranges of them are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.outgoing.len() + self.incoming.len() + self.unheard.len() + self.had.len()
    }
}
