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

    fn write(&mut self, key: SessionKey) {
        let sent = self.one.send((key, 0), chunk("x"), None, self.now);
        sent.expect("credit");
    }

    fn read(&mut self, key: SessionKey) {
        let theirs = SessionKey {
            is_own: false,
            ..key
        };
        let now = self.now;
        while self
            .other
            .poll_chunk((theirs, 0), Waker::noop(), now)
            .is_ready()
        {}
    }

    /// Lets so many milliseconds pass for the sender.
    fn wait(&mut self, time: u64) {
        self.now += ms(time);
        self.one.tick(self.now);
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

    /// Has the receiver acknowledge what it has got.
    fn acknowledge(&mut self) {
        self.other.tick(self.now);
        self.arrive(Vec::new());
    }

    /// Carries all that is to be sent, and acknowledges it.
    fn exchange(&mut self) {
        let parts = self.parts(usize::MAX);
        self.arrive(parts);
        self.acknowledge();
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
    let parts = many.parts(usize::MAX);
    assert_eq!(parts.len(), 3);
    for (item, frame) in parts.iter().zip(11..) {
        many.one.sent_in(item, frame);
    }
    many.one.set_taken(10);
    many.wait(4_000);
    assert!(many.parts(usize::MAX).is_empty());
    many.one.set_taken(13);
    many.wait(50);
    assert!(many.parts(usize::MAX).is_empty(), "it has just left");
    many.wait(250);
    assert_eq!(many.parts(usize::MAX).len(), 1, "the first of them");
}

#[test]
fn what_has_left_is_sent_again_although_other_channels_wait_in_this_node() {
    let mut many = Many::new(2);
    many.fill(1);
    let parts = many.parts(usize::MAX);
    for (item, frame) in parts.iter().zip([11, 12, 11, 12]) {
        many.one.sent_in(item, frame);
    }
    many.one.set_taken(11);
    many.wait(300);
    let again = many.parts(usize::MAX);
    assert!(again == parts[..1]);
}

#[test]
fn after_a_timeout_one_part_is_sent_again_and_the_others_once_they_are_known_to_be_lost() {
    let mut many = Many::new(1);
    many.write(many.own[0]);
    many.exchange();
    many.fill(8);
    let lost = many.parts(usize::MAX);
    assert_eq!(lost.len(), 9);
    many.wait(250);
    let probe = many.parts(usize::MAX);
    assert!(probe == lost[..1]);
    many.arrive(probe);
    many.acknowledge();
    many.wait(40);
    assert!(
        many.parts(usize::MAX).is_empty(),
        "they may be on their way"
    );
    many.wait(50);
    let rest = many.parts(usize::MAX);
    assert!(rest == lost[1..]);
    many.arrive(rest);
    assert!(many.is_complete());
}

#[test]
fn a_timeout_that_was_too_short_costs_one_part() {
    let mut many = Many::new(1);
    many.fill(8);
    let late = many.parts(usize::MAX);
    many.wait(300);
    let probe = many.parts(usize::MAX);
    assert_eq!(probe.len(), 1);
    for item in late.into_iter().chain(probe) {
        many.arrive(vec![item]);
        many.acknowledge();
        assert!(many.parts(usize::MAX).is_empty());
    }
    assert!(many.is_complete());
}

#[test]
fn a_channel_that_alone_is_not_acknowledged_breaks_after_a_minute() {
    let mut many = Many::new(2);
    let [stuck, moving] = [many.own[0], many.own[1]];
    let name = |item: &SessionItem| item.session.number == stuck.number;
    let mut broken = None;
    for step in 0..700_u64 {
        if step == 0 {
            many.write(stuck);
        }
        many.write(moving);
        let mut parts = many.parts(usize::MAX);
        parts.retain(|item| !name(item));
        many.arrive(parts);
        many.acknowledge();
        many.read(moving);
        many.wait(100);
        if many.one.broken(stuck).is_some() {
            broken = Some(step / 10);
            break;
        }
    }
    assert_eq!(many.one.broken(stuck), Some(Broken::Unacknowledged));
    assert_eq!(many.one.broken(moving), None);
    assert!(broken >= Some(59), "{broken:?}");
}

#[test]
fn a_grant_that_comes_before_the_channel_is_opened_is_repeated() {
    let (mut one, mut other) = (machine(1 << 32), machine(2 << 32));
    let mut now = Instant::now();
    let key = one.open(Terms::default(), now).expect("room");
    let theirs = other.accept(key.number, Terms::default(), now);
    let theirs = theirs.expect("room");
    other
        .receive(theirs, 0, window(1 << 20), now)
        .expect("room");
    deliver(&mut one, sent(&mut other, now), now);
    one.open_channel(key, 0, now).expect("room");
    assert!(one.poll_room((key, 0), Waker::noop()).is_pending());
    now += ms(260);
    other.tick(now);
    deliver(&mut one, sent(&mut other, now), now);
    assert!(one.poll_room((key, 0), Waker::noop()).is_ready());
    one.send((key, 0), chunk("first"), None, now).expect("room");
    deliver(&mut other, sent(&mut one, now), now);
    let next = other.poll_chunk((theirs, 0), Waker::noop(), now);
    assert_eq!(next, Poll::Ready(Ok(Some(chunk("first")))));
}

#[test]
fn a_channel_is_ready_once_however_often_it_is_queued() {
    let mut many = Many::new(1);
    let key = many.own[0];
    for _ in 0..5 {
        many.write(key);
    }
    assert_eq!(many.one.turns.ready.len(), 1);
    let now = many.now;
    let first = many.one.next_part(usize::MAX, now).expect("a chunk");
    many.one.put_back(&first);
    assert_eq!(many.one.turns.ready.len(), 1);
    assert_eq!(many.parts(usize::MAX).len(), 5);
    assert!(many.one.turns.ready.is_empty());
}

#[test]
fn a_small_part_of_a_frame_does_not_keep_the_frame() {
    let frame = Bytes::from(vec![7; MAX_CHUNK]);
    for size in [10, 5_000, MAX_CHUNK - 1] {
        let chunk = Chunk::received(frame.slice(..size), 1);
        assert_ne!(chunk.bytes.as_ptr(), frame.as_ptr(), "{size}");
    }
    let whole = Chunk::received(frame.clone(), 1);
    assert_eq!(whole.bytes.as_ptr(), frame.as_ptr());
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
        taken: None,
    };
    assert_eq!((told.len(), &told[0].item), (1, &unknown));
    deliver(&mut many.one, told, now);
    assert_eq!(many.one.broken(unheard), Some(Broken::Forgotten));
    assert_eq!(many.one.broken(key), None);
}
