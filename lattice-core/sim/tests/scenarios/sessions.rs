//! Sessions of two hosts alone, without the rest of a lattice, over a bus that loses, doubles,
//! delays and reorders what they send, and that is cut off at times.

use bytes::Bytes;
use lattice_core::{
    __private::{
        Random,
        alone::{CHUNK, Received, SessionEnd, SessionId},
    },
    wire::SessionItem,
};
use std::{collections::BTreeMap, time::Duration};

/// The memory of each end, for all of its sessions.
const MEMORY: usize = 2 << 20;
const STEP: Duration = Duration::from_millis(5);
/// How long there is trouble, and sessions are opened.
const TROUBLE: Duration = Duration::from_secs(20);

/// A session, as its two users see it.
struct Stream {
    sender: Option<SessionId>,
    receiver: Option<SessionId>,
    /// What is sent in all, and how much of it was.
    data: Bytes,
    sent: usize,
    received: Vec<u8>,
    /// The chance, in percent and for each step, that the reader reads on.
    speed: u64,
    outcome: Option<Received>,
}

struct Link {
    one: SessionEnd,
    other: SessionEnd,
    random: Random,
    streams: BTreeMap<u64, Stream>,
    /// What is on its way: when it arrives, its number, whether to `other`.
    flights: BTreeMap<(Duration, u64), (bool, SessionItem)>,
    flown: u64,
    now: Duration,
    cut_until: Duration,
    ended: usize,
    broken: usize,
}

impl Link {
    fn new(seed: u64) -> Self {
        Self {
            one: SessionEnd::new(MEMORY, 50),
            other: SessionEnd::new(MEMORY, 40),
            random: Random::new(seed),
            streams: BTreeMap::new(),
            flights: BTreeMap::new(),
            flown: 0,
            now: Duration::ZERO,
            cut_until: Duration::ZERO,
            ended: 0,
            broken: 0,
        }
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    fn is_trouble(&self) -> bool {
        self.now < TROUBLE
    }

    fn open(&mut self) {
        let Some(sender) = self.one.open(Duration::from_secs(8)) else {
            return;
        };
        let window = 33_000 + self.random.below(200_000) as usize;
        // The call that opens it may be lost, or refused.
        let lost = self.chance(10);
        let receiver = if lost {
            None
        } else {
            self.other.accept(sender.number(), window)
        };
        let size = self.random.below(600_000) as usize;
        let data: Vec<u8> = (0..size)
            .map(|at| (at / 7) as u8 ^ sender.number() as u8)
            .collect();
        let stream = Stream {
            sender: Some(sender),
            receiver,
            data: data.into(),
            sent: 0,
            received: Vec::new(),
            speed: self.random.below(100),
            outcome: None,
        };
        self.streams.insert(sender.number(), stream);
    }

    /// What the users of all sessions do in one step.
    fn use_streams(&mut self) {
        let numbers: Vec<u64> = self.streams.keys().copied().collect();
        for number in numbers {
            let (drops, stops, reads) = (
                self.is_trouble() && self.random.below(2_000) == 0,
                self.is_trouble() && self.random.below(2_000) == 0,
                self.random.below(100),
            );
            let Some(stream) = self.streams.get_mut(&number) else {
                continue;
            };
            write(&mut self.one, stream, drops);
            let is_done = read(&mut self.other, stream, reads, stops);
            if is_done && stream.sender.is_none() {
                let stream = self.streams.remove(&number).expect("it is there");
                self.count(&stream);
            }
        }
    }

    fn count(&mut self, stream: &Stream) {
        let got = &stream.received[..];
        assert!(stream.data.starts_with(got), "damaged after {}", got.len());
        match stream.outcome {
            Some(Received::End) => {
                assert_eq!(got.len(), stream.data.len(), "an early end");
                self.ended += 1;
            }
            _ => self.broken += 1,
        }
    }

    fn fly(&mut self, forth: bool, items: Vec<SessionItem>) {
        for item in items {
            let is_cut = self.now < self.cut_until;
            let lost = self.is_trouble() && (is_cut || self.chance(4));
            let copies = if self.chance(4) { 2 } else { 1 };
            for _ in 0..copies {
                let late = if self.chance(5) { 60 } else { 4 };
                let delay = Duration::from_millis(1 + self.random.below(late));
                self.flown += 1;
                if !lost {
                    let flight = (forth, item.clone());
                    self.flights.insert((self.now + delay, self.flown), flight);
                }
            }
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        if self.is_trouble() && self.chance(20) {
            self.open();
        }
        if self.is_trouble() && self.random.below(1_500) == 0 {
            self.cut_until = self.now + Duration::from_millis(self.random.below(7_000));
        }
        self.use_streams();
        self.one.advance(self.now);
        self.other.advance(self.now);
        let (forth, back) = (self.one.items(), self.other.items());
        self.fly(true, forth);
        self.fly(false, back);
        while let Some(first) = self.flights.first_entry() {
            if first.key().0 > self.now {
                break;
            }
            let (forth, item) = first.remove();
            let end = if forth {
                &mut self.other
            } else {
                &mut self.one
            };
            assert!(end.take(item), "an item broke the rules");
        }
        for end in [&self.one, &self.other] {
            assert!(end.held() <= MEMORY && end.open_sessions() <= 50);
        }
    }
}

fn write(end: &mut SessionEnd, stream: &mut Stream, drops: bool) {
    let Some(sender) = stream.sender else {
        return;
    };
    while stream.sent < stream.data.len() {
        let next = (stream.sent + CHUNK).min(stream.data.len());
        match end.send(sender, stream.data.slice(stream.sent..next)) {
            Ok(true) => stream.sent = next,
            Ok(false) => break,
            Err(_) => {
                end.drop_sender(sender);
                stream.sender = None;
                return;
            }
        }
    }
    if stream.sent == stream.data.len() {
        end.end(sender);
    } else if !drops {
        return;
    }
    end.drop_sender(sender);
    stream.sender = None;
}

/// Returns whether the reader is done.
fn read(end: &mut SessionEnd, stream: &mut Stream, reads: u64, stops: bool) -> bool {
    let Some(receiver) = stream.receiver else {
        return true;
    };
    if stops {
        end.drop_receiver(receiver);
        stream.receiver = None;
        return true;
    }
    while reads <= stream.speed {
        match end.receive(receiver) {
            Received::Nothing => break,
            Received::Chunk(bytes) => stream.received.extend_from_slice(&bytes),
            other => {
                stream.outcome = Some(other);
                end.drop_receiver(receiver);
                stream.receiver = None;
                return true;
            }
        }
    }
    false
}

fn run(seed: u64) -> (usize, usize) {
    let mut link = Link::new(seed);
    while link.is_trouble() {
        link.step();
    }
    for _ in 0..20_000 {
        if link.streams.is_empty() && link.one.is_empty() && link.other.is_empty() {
            assert_eq!((link.one.held(), link.other.held()), (0, 0));
            return (link.ended, link.broken);
        }
        link.step();
    }
    panic!("{} streams never end", link.streams.len());
}

/// In every session that ends cleanly, exactly the sent bytes were received, in order. Memory stays
/// within its bounds, and nothing is left of any session.
#[test]
fn sessions_end_whole_or_broken_and_leave_nothing() {
    let (mut ended, mut broken) = (0, 0);
    for seed in 0..60 {
        let counts = std::panic::catch_unwind(|| run(seed));
        let counts = counts.unwrap_or_else(|_| panic!("seed {seed}"));
        ended += counts.0;
        broken += counts.1;
    }
    println!("{ended} ended, {broken} broken");
    assert!(ended > 1_000 && broken > 1_000, "{ended} {broken}");
}
