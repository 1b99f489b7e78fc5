//! Two machines and a bus between them that may lose, double and reorder items.

mod faults;
mod forged;
mod long;
mod many;
mod rules;
mod silence;
mod slow;
mod taken;
mod whole;

use super::*;
use crate::budget::Budget;
use bytes::Bytes;
use std::{task::Poll, time::Duration};

const MEMORY: usize = 64 << 20;

pub(super) fn machine(first: u64) -> Machine {
    machine_within(first, MEMORY, 1_000)
}

pub(super) fn machine_within(first: u64, memory: usize, sessions: usize) -> Machine {
    let limits = Limits {
        with_peer: sessions,
        in_all: sessions * 2,
        taken: Arc::default(),
    };
    Machine::new(
        first,
        limits,
        Share::of(&Budget::new(memory)),
        Uplink::default(),
    )
}

pub(super) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(super) fn window(bytes: usize) -> Window {
    Window {
        bytes,
        most: bytes,
        elements: u64::MAX,
    }
}

pub(super) fn chunk(text: &'static str) -> Chunk {
    Chunk {
        bytes: Bytes::from_static(text.as_bytes()),
        elements: 1,
    }
}

/// Two ends of one session, opened by the first, with a channel in that direction.
pub(super) struct Ends {
    pub(super) one: Machine,
    pub(super) other: Machine,
    pub(super) own: SessionKey,
    pub(super) theirs: SessionKey,
    pub(super) now: Instant,
}

impl Ends {
    pub(super) fn new(window: Window) -> Self {
        let (mut one, mut other) = (machine(1 << 32), machine(2 << 32));
        let now = Instant::now();
        let own = one.open(Terms::default(), now).expect("room");
        one.open_channel(own, 0, now).expect("room");
        let theirs = other
            .accept(own.number, Terms::default(), now)
            .expect("room");
        other.receive(theirs, 0, window, now).expect("room");
        Self {
            one,
            other,
            own,
            theirs,
            now,
        }
    }

    pub(super) fn send(&mut self, chunk: Chunk) -> Result<(), Broken> {
        self.one.send((self.own, 0), chunk, None, self.now)
    }

    pub(super) fn room(&mut self) -> Poll<Result<u64, Broken>> {
        self.one.poll_room((self.own, 0), Waker::noop())
    }

    pub(super) fn next(&mut self) -> Poll<Result<Option<Chunk>, Broken>> {
        let at = (self.theirs, 0);
        self.other.poll_chunk(at, Waker::noop(), self.now)
    }

    /// Carries items until there are none.
    pub(super) fn carry(&mut self) {
        loop {
            let forth = sent(&mut self.one, self.now);
            let back = sent(&mut self.other, self.now);
            if forth.is_empty() && back.is_empty() {
                return;
            }
            deliver(&mut self.other, forth, self.now);
            deliver(&mut self.one, back, self.now);
        }
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.one.tick(self.now);
        self.other.tick(self.now);
    }
}

/// All that a machine has to send.
pub(super) fn sent(machine: &mut Machine, now: Instant) -> Vec<SessionItem> {
    let mut items: Vec<_> = std::iter::from_fn(|| machine.next_control()).collect();
    items.extend(std::iter::from_fn(|| machine.next_part(usize::MAX, now)));
    items
}

pub(super) fn deliver(machine: &mut Machine, items: Vec<SessionItem>, now: Instant) {
    for item in items {
        machine.take(item, now).expect("allowed");
    }
    machine.tell(now);
}
