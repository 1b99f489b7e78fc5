//! Many channels that share the way to one peer.

use super::*;
use crate::wire::{CancelReason, Item};
use std::collections::VecDeque;

/// Two ends of several sessions, each with a channel in which the first end sends.
struct Many {
    one: Machine,
    other: Machine,
    own: Vec<SessionKey>,
    now: Instant,
}

impl Many {
    fn new(count: usize) -> Self {
        let (mut one, mut other) = (machine(1 << 32), machine(2 << 32));
        let now = Instant::now();
        let own = (0..count).map(|_| {
            let key = one.open(Terms::default(), now).expect("room");
            one.open_channel(key, 0, now).expect("room");
            let theirs = other.accept(key.number, Terms::default(), now);
            let opened = other.receive(theirs.expect("room"), 0, window(1 << 20), now);
            opened.expect("room");
            key
        });
        let own = own.collect();
        deliver(&mut one, sent(&mut other, now), now);
        Self {
            one,
            other,
            own,
            now,
        }
    }

    /// Sends so many chunks and the end in each channel.
    fn fill(&mut self, chunks: usize) {
        for key in &self.own {
            for _ in 0..chunks {
                let bytes = Bytes::from(vec![7; MAX_CHUNK]);
                let chunk = Chunk { bytes, elements: 1 };
                let sent = self.one.send((*key, 0), chunk, None, self.now);
                sent.expect("credit");
            }
            self.one.end((*key, 0), self.now).expect("open");
        }
    }

    fn parts(&mut self, most: usize) -> Vec<SessionItem> {
        let now = self.now;
        std::iter::from_fn(|| self.one.next_part(most, now)).collect()
    }

    fn arrive(&mut self, parts: Vec<SessionItem>) {
        deliver(&mut self.other, parts, self.now);
        let credits = sent(&mut self.other, self.now);
        deliver(&mut self.one, credits, self.now);
    }

    fn is_complete(&self) -> bool {
        let mut sessions = self.one.sessions.values();
        sessions.all(|session| session.outgoing.is_empty())
    }
}

#[test]
fn beside_small_calls_many_channels_are_acknowledged_without_a_pause() {
    let mut many = Many::new(6);
    many.fill(8);
    let mut arrived = 0;
    loop {
        let parts = many.parts(128 << 10);
        if parts.is_empty() {
            break;
        }
        arrived += parts.len();
        many.arrive(parts);
    }
    assert_eq!(arrived, 6 * 9);
    assert!(many.is_complete());
}

#[test]
fn on_a_slow_link_that_many_channels_share_nothing_is_sent_twice() {
    const A_MILLISECOND: usize = 2_500;
    let mut many = Many::new(20);
    many.fill(8);
    let (mut queue, mut room, mut arrived) = (VecDeque::new(), 0, 0);
    for step in 1..10_000 {
        many.now += ms(1);
        if step % 50 == 0 {
            many.one.tick(many.now);
            many.other.tick(many.now);
        }
        queue.extend(many.parts(4 << 20));
        room += A_MILLISECOND;
        let mut landed = Vec::new();
        while let Some(item) = queue.pop_front_if(|item: &mut SessionItem| {
            let size = match &item.item {
                Item::Chunk { bytes, .. } => bytes.len(),
                _ => 0,
            };
            let leaves = size <= room;
            room -= if leaves { size } else { 0 };
            leaves
        }) {
            landed.push(item);
        }
        arrived += landed.len();
        many.arrive(landed);
        if many.is_complete() {
            break;
        }
    }
    assert!(many.is_complete(), "{arrived}");
    assert_eq!(arrived, 20 * 9);
}

#[test]
fn what_waits_in_this_node_is_not_sent_again_soon() {
    let mut many = Many::new(1);
    many.fill(2);
    assert_eq!(many.parts(usize::MAX).len(), 3);
    many.one.set_sending(true);
    many.now += ms(4_000);
    many.one.tick(many.now);
    assert!(many.parts(usize::MAX).is_empty());
    many.one.set_sending(false);
    many.one.tick(many.now);
    assert_eq!(many.parts(usize::MAX).len(), 3);
}

#[test]
fn a_session_that_is_not_open_is_refused_and_one_that_is_open_is_not() {
    let mut many = Many::new(1);
    let (now, key) = (many.now, many.own[0]);
    many.other.refuse(key.number);
    assert!(sent(&mut many.other, now).is_empty());
    let unheard = many.one.open(Terms::default(), now).expect("room");
    many.other.refuse(unheard.number);
    let told = sent(&mut many.other, now);
    let unknown = Item::Cancel {
        reason: CancelReason::Unknown,
        own_channel: false,
    };
    assert_eq!((told.len(), &told[0].item), (1, &unknown));
    deliver(&mut many.one, told, now);
    assert_eq!(many.one.broken(unheard), Some(Broken::Forgotten));
    assert_eq!(many.one.broken(key), None);
}
