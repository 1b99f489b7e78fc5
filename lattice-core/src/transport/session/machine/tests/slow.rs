//! Slow links, which one node shares for its sessions with several peers.

use super::*;
use crate::wire::Item;
use std::collections::VecDeque;

const STEP: u64 = 5;

/// A node with sessions to several peers. All that it sends leaves in order through one link.
struct Node {
    peers: Vec<Peer>,
    link: Link,
    start: Instant,
    now: Instant,
    /// Chunks that left, and those of them that were sent before.
    left: usize,
    again: usize,
}

struct Peer {
    one: Machine,
    other: Machine,
    keys: Vec<SessionKey>,
    /// Chunks that each channel still has to send.
    unsent: Vec<usize>,
    /// The number after the last chunk that left in each channel.
    newest: Vec<u64>,
    back: VecDeque<(Instant, Vec<SessionItem>)>,
}

#[derive(Clone, Copy)]
struct Shape {
    peers: usize,
    /// Of each peer.
    channels: usize,
    /// Of each channel.
    chunks: usize,
    kilobits: u64,
    /// One way, in milliseconds.
    delay: u64,
}

struct Link {
    bytes_per_step: u64,
    room: u64,
    delay: Duration,
    queue: VecDeque<(usize, SessionItem)>,
    flying: VecDeque<(Instant, usize, SessionItem)>,
}

impl Link {
    /// What arrives at the other end now.
    fn step(&mut self, now: Instant) -> Vec<(usize, SessionItem)> {
        self.room += self.bytes_per_step;
        while let Some((_, item)) = self.queue.front() {
            let size = size(item);
            if size > self.room {
                break;
            }
            self.room -= size;
            if let Some((peer, item)) = self.queue.pop_front() {
                self.flying.push_back((now + self.delay, peer, item));
            }
        }
        if self.queue.is_empty() {
            self.room = 0;
        }
        let mut landed = Vec::new();
        while let Some((_, peer, item)) = self.flying.pop_front_if(|(at, ..)| *at <= now) {
            landed.push((peer, item));
        }
        landed
    }
}

fn size(item: &SessionItem) -> u64 {
    match &item.item {
        Item::Chunk { bytes, .. } => bytes.len() as u64 + 200,
        _ => 100,
    }
}

impl Node {
    fn new(shape: Shape) -> Self {
        let now = Instant::now();
        let uplink = Uplink::default();
        let delay = ms(shape.delay);
        let peer = |_| {
            let mut one = machine(1 << 32);
            one.uplink = uplink.clone();
            let mut other = machine(2 << 32);
            let keys: Vec<_> = (0..shape.channels)
                .map(|_| {
                    let key = one.open(Terms::default(), now).expect("room");
                    one.open_channel(key, 0, now).expect("room");
                    let at = now + delay;
                    let theirs = other.accept(key.number, Terms::default(), at);
                    let opened = other.receive(theirs.expect("room"), 0, Window::BULK, at);
                    opened.expect("room");
                    key
                })
                .collect();
            let granted = sent(&mut other, now + delay);
            Peer {
                one,
                other,
                unsent: vec![shape.chunks; keys.len()],
                newest: vec![0; keys.len()],
                keys,
                back: VecDeque::from([(now + delay * 2, granted)]),
            }
        };
        Self {
            peers: (0..shape.peers).map(peer).collect(),
            link: Link {
                bytes_per_step: shape.kilobits * STEP / 8,
                room: 0,
                delay,
                queue: VecDeque::new(),
                flying: VecDeque::new(),
            },
            start: now,
            now,
            left: 0,
            again: 0,
        }
    }

    fn step(&mut self, tick: bool) {
        self.now += ms(STEP);
        let now = self.now;
        for (number, peer) in self.peers.iter_mut().enumerate() {
            peer.step(tick, now);
            while let Some(item) = peer.one.next_part(4 << 20, now) {
                if let Item::Chunk { number, .. } = &item.item {
                    self.left += 1;
                    self.again += usize::from(peer.is_again(&item, *number));
                }
                self.link.queue.push_back((number, item));
            }
        }
        let mut landed = self.link.step(now).into_iter().peekable();
        while let Some((number, item)) = landed.next() {
            let other = &mut self.peers[number].other;
            other.take(item, now).expect("allowed");
            if landed.peek().is_none_or(|(next, _)| *next != number) {
                other.tell(now);
            }
        }
        for peer in &mut self.peers {
            let credits = sent(&mut peer.other, now);
            if !credits.is_empty() {
                peer.back.push_back((now + self.link.delay, credits));
            }
        }
    }

    /// Runs until all is received. Returns the seconds it took, and how many chunks were sent that
    /// had been sent before.
    fn run(mut self, name: &str) -> (u64, usize) {
        let mut steps = 0;
        while !self.peers.iter().all(Peer::is_complete) {
            steps += 1;
            assert!(steps < 200_000, "{name}: it never ends");
            self.step(steps % 10 == 0);
        }
        let took = self.now.duration_since(self.start).as_secs();
        println!("{name}: {took} s, {} of {} again", self.again, self.left);
        (took, self.again)
    }
}

impl Peer {
    fn step(&mut self, tick: bool, now: Instant) {
        while let Some((_, credits)) = self.back.pop_front_if(|(at, _)| *at <= now) {
            deliver(&mut self.one, credits, now);
        }
        for (at, key) in self.keys.iter().enumerate() {
            while self.unsent[at] > 0 && self.one.has_room((*key, 0)) {
                let bytes = Bytes::from(vec![7; MAX_CHUNK]);
                let chunk = Chunk { bytes, elements: 1 };
                let sent = self.one.send((*key, 0), chunk, None, now);
                sent.expect("room");
                self.unsent[at] -= 1;
                if self.unsent[at] == 0 {
                    self.one.end((*key, 0), now).expect("open");
                }
            }
            assert_eq!(self.one.broken(*key), None);
            let theirs = SessionKey {
                is_own: false,
                ..*key
            };
            let other = &mut self.other;
            while matches!(
                other.poll_chunk((theirs, 0), Waker::noop(), now),
                Poll::Ready(Ok(Some(_)))
            ) {}
        }
        if tick {
            self.one.tick(now);
            self.other.tick(now);
        }
    }

    fn is_again(&mut self, item: &SessionItem, number: u64) -> bool {
        let at = self
            .keys
            .iter()
            .position(|key| key.number == item.session.number);
        let newest = &mut self.newest[at.expect("a session")];
        let is_again = number < *newest;
        *newest = (*newest).max(number + 1);
        is_again
    }

    fn is_complete(&self) -> bool {
        let mut sessions = self.one.sessions.values();
        sessions.all(|session| session.outgoing.is_empty())
    }
}

#[test]
fn a_link_of_256_kbit_with_a_second_of_delay_carries_hardly_anything_twice() {
    let shape = Shape {
        peers: 1,
        channels: 1,
        chunks: 64,
        kilobits: 256,
        delay: 1_000,
    };
    let (took, again) = Node::new(shape).run("256 kbit/s, 1 s");
    assert!(again <= 1, "{again}");
    assert!(took < 75, "{took} s");
}

/// Before the first acknowledgement, a sender doesn't know how slow a link is. After that, nothing
/// is sent again.
#[test]
fn slow_links_carry_hardly_anything_twice() {
    for kilobits in [128, 256, 1_000, 2_000] {
        for delay in [5, 200, 1_000] {
            for channels in [1, 5] {
                let shape = Shape {
                    peers: 1,
                    channels,
                    chunks: 24,
                    kilobits,
                    delay,
                };
                let name = format!("{channels} channels, {kilobits} kbit/s, {delay} ms");
                let (_, again) = Node::new(shape).run(&name);
                assert!(again <= 3 + channels, "{name}: {again}");
            }
        }
    }
}

#[test]
fn many_peers_behind_one_slow_link_do_not_send_again_what_waits_in_this_node() {
    let shape = Shape {
        peers: 20,
        channels: 1,
        chunks: 16,
        kilobits: 2_000,
        delay: 20,
    };
    let (_, again) = Node::new(shape).run("20 peers");
    assert!(again <= 20, "{again}");
}
