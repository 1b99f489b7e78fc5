//! Sessions of one node with many others, through one slow link that all of them share.

use bytes::Bytes;
use lattice_core::{
    __private::{
        Random,
        alone::{CHUNK, Received, SessionEnd, SessionId, SharedQueue},
    },
    wire::{Item, SessionItem},
};
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

/// The memory of each end, for all of its sessions.
const MEMORY: usize = 4 << 20;
const STEP: Duration = Duration::from_millis(10);
/// Longer than a link needs for all that is sent.
const IDLE: Duration = Duration::from_mins(20);

struct Node {
    random: Random,
    peers: Vec<Peer>,
    /// Frames that wait for the link.
    queue: VecDeque<(usize, SessionItem)>,
    flights: VecDeque<(Duration, usize, SessionItem)>,
    bytes_per_step: usize,
    room: usize,
    delay: Duration,
    /// In a thousand items.
    lost: u64,
    now: Duration,
    left: usize,
    again: usize,
}

struct Peer {
    one: SessionEnd,
    other: SessionEnd,
    streams: Vec<Stream>,
    back: VecDeque<(Duration, SessionItem)>,
    left: BTreeSet<(u64, u64)>,
}

struct Stream {
    sender: Option<SessionId>,
    receiver: Option<SessionId>,
    data: Bytes,
    sent: usize,
    received: Vec<u8>,
    /// Its reader stops after the first chunk.
    drops: bool,
    /// The session broke, although its users waited for its end.
    is_broken: bool,
    outcome: Option<Received>,
}

impl Node {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let queue = SharedQueue::default();
        let lost = [0, 0, 3][random.below(3) as usize];
        let kilobits = [128, 256, 500, 1_500][random.below(4) as usize];
        let delay = Duration::from_millis([2, 50, 300, 1_000][random.below(4) as usize]);
        let peers = 2 + random.below(20);
        let peers = (0..peers).map(|_| Peer::new(&queue, &mut random)).collect();
        Self {
            peers,
            random,
            queue: VecDeque::new(),
            flights: VecDeque::new(),
            bytes_per_step: kilobits * 10 / 8,
            room: 0,
            delay,
            lost,
            now: Duration::ZERO,
            left: 0,
            again: 0,
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        for (at, peer) in self.peers.iter_mut().enumerate() {
            for item in peer.step(self.now) {
                if let Item::Chunk { number, .. } = item.item {
                    self.left += 1;
                    let is_new = peer.left.insert((item.session.number, number));
                    self.again += usize::from(!is_new);
                }
                self.queue.push_back((at, item));
            }
        }
        self.carry();
        for peer in &mut self.peers {
            for item in peer.other.items() {
                if self.random.below(1_000) >= self.lost {
                    peer.back.push_back((self.now + self.delay, item));
                }
            }
            assert!(peer.one.held() <= MEMORY && peer.other.held() <= MEMORY);
        }
    }

    fn carry(&mut self) {
        self.room += self.bytes_per_step;
        while let Some((at, item)) = self.queue.pop_front_if(|(_, item)| size(item) <= self.room) {
            self.room -= size(&item);
            if self.random.below(1_000) >= self.lost {
                self.flights.push_back((self.now + self.delay, at, item));
            }
        }
        if self.queue.is_empty() {
            self.room = 0;
        }
        while let Some((_, at, item)) = self.flights.pop_front_if(|(due, ..)| *due <= self.now) {
            assert!(self.peers[at].other.take(item), "it broke the rules");
        }
    }

    fn is_done(&self) -> bool {
        let mut streams = self.peers.iter().flat_map(|peer| &peer.streams);
        streams.all(|stream| stream.sender.is_none() && stream.receiver.is_none())
    }
}

fn size(item: &SessionItem) -> usize {
    match &item.item {
        Item::Chunk { bytes, .. } => bytes.len() + 200,
        _ => 100,
    }
}

impl Peer {
    fn new(queue: &SharedQueue, random: &mut Random) -> Self {
        let mut peer = Self {
            one: SessionEnd::of(queue, MEMORY, 10),
            other: SessionEnd::new(MEMORY, 10),
            streams: Vec::new(),
            back: VecDeque::new(),
            left: BTreeSet::new(),
        };
        for _ in 0..=random.below(3) {
            let sender = peer.one.open(IDLE).expect("room");
            let window = 40_000 + random.below(400_000) as usize;
            let receiver = peer.other.accept(sender.number(), window);
            let size = random.below(300_000) as usize;
            let salt = sender.number() as u8;
            let data: Vec<u8> = (0..size).map(|at| (at / 7) as u8 ^ salt).collect();
            peer.streams.push(Stream {
                sender: Some(sender),
                receiver,
                data: data.into(),
                sent: 0,
                received: Vec::new(),
                drops: random.below(10) == 0,
                is_broken: false,
                outcome: None,
            });
        }
        peer
    }

    /// Returns what it has to send.
    fn step(&mut self, now: Duration) -> Vec<SessionItem> {
        while let Some((_, item)) = self.back.pop_front_if(|(due, _)| *due <= now) {
            assert!(self.one.take(item), "it broke the rules");
        }
        for stream in &mut self.streams {
            stream.write(&mut self.one);
            stream.read(&mut self.other);
        }
        self.one.advance(now);
        self.other.advance(now);
        self.one.items()
    }
}

impl Stream {
    fn write(&mut self, end: &mut SessionEnd) {
        let Some(sender) = self.sender else {
            return;
        };
        while self.sent < self.data.len() {
            let next = (self.sent + CHUNK).min(self.data.len());
            match end.send(sender, self.data.slice(self.sent..next)) {
                Ok(true) => self.sent = next,
                Ok(false) => return,
                Err(_) => {
                    self.is_broken |= !self.drops;
                    break;
                }
            }
        }
        if self.sent == self.data.len() {
            end.end(sender);
        }
        end.drop_sender(sender);
        self.sender = None;
    }

    fn read(&mut self, end: &mut SessionEnd) {
        let Some(receiver) = self.receiver else {
            return;
        };
        loop {
            match end.receive(receiver) {
                Received::Nothing => return,
                Received::Chunk(bytes) => {
                    self.received.extend_from_slice(&bytes);
                    if !self.drops {
                        continue;
                    }
                }
                other => self.outcome = Some(other),
            }
            end.drop_receiver(receiver);
            self.receiver = None;
            return;
        }
    }

    /// Panics unless exactly the sent bytes were received.
    fn check(&self) {
        assert!(self.data.starts_with(&self.received), "damaged");
        match &self.outcome {
            Some(Received::End) => assert_eq!(self.received.len(), self.data.len()),
            outcome => assert!(self.drops || self.is_broken, "{outcome:?}"),
        }
    }
}

/// Returns how many chunks were sent, how many of them again, how many streams there were, and how
/// many of them broke.
fn run(seed: u64) -> (usize, usize, usize, usize) {
    let mut node = Node::new(seed);
    let mut steps = 0;
    while !node.is_done() {
        steps += 1;
        assert!(steps < 200_000, "it never ends");
        node.step();
    }
    for peer in &node.peers {
        peer.streams.iter().for_each(Stream::check);
    }
    let streams = || node.peers.iter().flat_map(|peer| &peer.streams);
    let broken = streams().filter(|stream| stream.is_broken).count();
    (node.left, node.again, streams().count(), broken)
}

/// In every session that ends cleanly, exactly the sent bytes were received, in order. Nearly all
/// do whose users wait for that, however long this node's queue is, and of all chunks less than
/// half are sent twice.
#[test]
fn sessions_with_many_peers_behind_one_slow_link_end_whole() {
    let (mut left, mut again, mut streams, mut broken) = (0, 0, 0, 0);
    for seed in 0..60 {
        let counts = std::panic::catch_unwind(|| run(seed));
        let counts = counts.unwrap_or_else(|_| panic!("seed {seed}"));
        left += counts.0;
        again += counts.1;
        streams += counts.2;
        broken += counts.3;
    }
    println!("{again} of {left} chunks were sent again, {broken} of {streams} streams broke");
    assert!(
        again * 2 <= left,
        "{again} of {left} chunks were sent again"
    );
    assert!(
        broken * 20 <= streams,
        "{broken} of {streams} streams broke"
    );
}
