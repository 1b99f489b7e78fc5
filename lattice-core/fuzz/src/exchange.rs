//! Two ends of sessions that exchange items over a bus that loses them.

use bytes::Bytes;
use lattice_core::{
    __private::alone::{CHUNK, Received, SessionEnd, SessionId},
    wire::SessionItem,
};
use std::time::Duration;

/// How much an end may receive.
const MEMORY: usize = 256 * 1024;
const SESSIONS: usize = 6;
/// Longer than any session lives.
const CALM: Duration = Duration::from_secs(300);
/// Most items that wait in the bus in each direction. It drops more, as a subscription does.
const WAITING: usize = 2_000;

/// Two ends of sessions, their users, and the bus between them.
struct Exchange {
    one: SessionEnd,
    other: SessionEnd,
    streams: Vec<Stream>,
    forth: Vec<SessionItem>,
    back: Vec<SessionItem>,
    now: Duration,
}

struct Stream {
    sender: Option<SessionId>,
    receiver: Option<SessionId>,
    sent: usize,
    received: usize,
    is_ended: bool,
}

/// Reads any bytes as what the users of two ends do, and what the bus does with each item: it
/// delivers, loses, doubles or reorders it. Whatever that is, a reader gets a part of what was
/// sent, in order, and the end only after all of it.
pub fn exchange(input: &[u8]) {
    let mut exchange = Exchange {
        one: SessionEnd::new(MEMORY, SESSIONS),
        other: SessionEnd::new(MEMORY, SESSIONS - 1),
        streams: Vec::new(),
        forth: Vec::new(),
        back: Vec::new(),
        now: Duration::ZERO,
    };
    for step in input.chunks_exact(2).take(2_000) {
        exchange.step(step[0], usize::from(step[1]));
    }
    exchange.calm_down();
}

impl Exchange {
    fn step(&mut self, what: u8, which: usize) {
        match what % 12 {
            0..=2 => self.carry(which, true, false),
            3 => self.carry(which, true, true),
            4 => self.carry(which, false, false),
            5 => self.open(which),
            6 | 7 => self.write(which),
            8 => self.end(which),
            9 => self.read(which),
            10 => self.advance(Duration::from_millis(which as u64 * 4)),
            _ => self.drop_one(which),
        }
        self.fly();
        assert!(self.one.held() <= MEMORY && self.other.held() <= MEMORY);
    }

    fn fly(&mut self) {
        self.forth.extend(self.one.items());
        self.back.extend(self.other.items());
        self.forth.truncate(WAITING);
        self.back.truncate(WAITING);
    }

    /// Takes an item off the bus, near its front.
    fn carry(&mut self, which: usize, delivers: bool, keeps: bool) {
        let (flights, end) = if which.is_multiple_of(2) {
            (&mut self.forth, &mut self.other)
        } else {
            (&mut self.back, &mut self.one)
        };
        let at = if which < 192 { 0 } else { which % 8 };
        let Some(item) = flights.get(at).cloned() else {
            return;
        };
        if !keeps {
            flights.remove(at);
        }
        assert!(!delivers || end.take(item), "an honest end broke the rules");
    }

    fn open(&mut self, which: usize) {
        let Some(sender) = self.one.open(Duration::from_secs(20)) else {
            return;
        };
        let receiver = self.other.accept(sender.number(), 33_000 + which * 200);
        self.streams.push(Stream {
            sender: Some(sender),
            receiver,
            sent: 0,
            received: 0,
            is_ended: false,
        });
    }

    /// One of the newest streams.
    fn stream(&self, which: usize) -> Option<usize> {
        let back = which % SESSIONS;
        Some(self.streams.len().checked_sub(1)?.saturating_sub(back))
    }

    fn write(&mut self, which: usize) {
        let Some(index) = self.stream(which) else {
            return;
        };
        let stream = &mut self.streams[index];
        let Some(sender) = stream.sender.filter(|_| !stream.is_ended) else {
            return;
        };
        let next = stream.sent + (which * 131).min(CHUNK);
        let bytes: Vec<u8> = (stream.sent..next).map(byte).collect();
        if self.one.send(sender, Bytes::from(bytes)) == Ok(true) {
            stream.sent = next;
        }
    }

    fn end(&mut self, which: usize) {
        let Some(index) = self.stream(which) else {
            return;
        };
        let stream = &mut self.streams[index];
        if let Some(sender) = stream.sender {
            stream.is_ended = true;
            self.one.end(sender);
        }
    }

    fn read(&mut self, which: usize) {
        if let Some(index) = self.stream(which) {
            self.read_stream(index);
        }
    }

    fn read_stream(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        let Some(receiver) = stream.receiver else {
            return;
        };
        loop {
            match self.other.receive(receiver) {
                Received::Nothing => return,
                Received::Chunk(bytes) => {
                    let expected = (stream.received..).map(byte);
                    assert!(bytes.iter().copied().eq(expected.take(bytes.len())));
                    stream.received += bytes.len();
                    assert!(stream.received <= stream.sent, "more than was sent");
                }
                Received::End => {
                    assert!(stream.is_ended, "an end that wasn't sent");
                    assert_eq!(stream.received, stream.sent, "an early end");
                    break;
                }
                Received::Broken(_) => break,
            }
        }
        self.other.drop_receiver(receiver);
        stream.receiver = None;
    }

    fn drop_one(&mut self, which: usize) {
        let Some(index) = self.stream(which) else {
            return;
        };
        let stream = &mut self.streams[index];
        if which < 128 {
            if let Some(sender) = stream.sender.take() {
                self.one.drop_sender(sender);
            }
        } else if let Some(receiver) = stream.receiver.take() {
            self.other.drop_receiver(receiver);
        }
    }

    fn advance(&mut self, time: Duration) {
        self.now += time;
        self.one.advance(self.now);
        self.other.advance(self.now);
    }

    /// All users finish, and the bus loses nothing more. Then nothing is left of any session.
    fn calm_down(&mut self) {
        for stream in &mut self.streams {
            if let Some(sender) = stream.sender.take() {
                self.one.end(sender);
                self.one.drop_sender(sender);
                stream.is_ended = true;
            }
        }
        let until = self.now + CALM;
        while self.now < until && !(self.one.is_empty() && self.other.is_empty()) {
            self.fly();
            for item in std::mem::take(&mut self.forth) {
                assert!(self.other.take(item), "an honest end broke the rules");
            }
            for item in std::mem::take(&mut self.back) {
                assert!(self.one.take(item), "an honest end broke the rules");
            }
            for index in 0..self.streams.len() {
                self.read_stream(index);
            }
            self.advance(Duration::from_millis(50));
        }
        assert!(self.streams.iter().all(|stream| stream.receiver.is_none()));
        for end in [&self.one, &self.other] {
            assert_eq!((end.held(), end.open_sessions()), (0, 0));
        }
    }
}

fn byte(at: usize) -> u8 {
    (at / 3 % 251) as u8
}
