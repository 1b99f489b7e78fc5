//! Loss, repetition and reordering, for many seeds.

use super::*;
use crate::entropy::Random;

/// A transfer over a bus with faults.
struct Transfer {
    ends: Ends,
    random: Random,
    to_send: Vec<Bytes>,
    sent: usize,
    received: Vec<u8>,
    /// What is on its way: whether to the receiver, and when it arrives.
    flights: Vec<(Duration, bool, SessionItem)>,
    time: Duration,
}

impl Transfer {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let chunks = 1 + random.next() % 60;
        let to_send = (0..chunks)
            .map(|number| {
                let size = match random.next() % 3 {
                    0 => MAX_CHUNK as u64,
                    1 => random.next() % 50,
                    _ => random.next() % MAX_CHUNK as u64,
                };
                Bytes::from(vec![number as u8; size as usize])
            })
            .collect();
        let window = window(33_000 + (random.next() % 300_000) as usize);
        Self {
            ends: Ends::new(window),
            random,
            to_send,
            sent: 0,
            received: Vec::new(),
            flights: Vec::new(),
            time: Duration::ZERO,
        }
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.random.next() % 100 < percent
    }

    fn fly(&mut self, forth: bool, items: Vec<SessionItem>) {
        for item in items {
            if self.chance(15) {
                continue;
            }
            let copies = if self.chance(10) { 2 } else { 1 };
            for _ in 0..copies {
                let late = if self.chance(20) { 40 } else { 0 };
                let at = self.time + ms(1 + late + self.random.next() % 3);
                self.flights.push((at, forth, item.clone()));
            }
        }
    }

    /// One step of 5 ms. Returns how it ended, if it did.
    fn step(&mut self, is_last: bool) -> Option<Result<(), Broken>> {
        self.time += ms(5);
        self.ends.wait(ms(5));
        while self.sent < self.to_send.len() && self.ends.room().is_ready() {
            let bytes = self.to_send[self.sent].clone();
            self.ends.send(Chunk { bytes, elements: 1 }).expect("room");
            self.sent += 1;
            if self.sent == self.to_send.len() && is_last {
                let ended = self.ends.one.end((self.ends.own, 0), self.ends.now);
                ended.expect("open");
            }
        }
        let now = self.ends.now;
        let (forth, back) = (
            sent(&mut self.ends.one, now),
            sent(&mut self.ends.other, now),
        );
        self.fly(true, forth);
        self.fly(false, back);
        let time = self.time;
        let mut landed: Vec<_> = self
            .flights
            .extract_if(.., |(at, ..)| *at <= time)
            .collect();
        landed.sort_by_key(|(at, ..)| *at);
        for (_, forth, item) in landed {
            let end = if forth {
                &mut self.ends.other
            } else {
                &mut self.ends.one
            };
            deliver(end, vec![item], now);
        }
        self.read()
    }

    fn read(&mut self) -> Option<Result<(), Broken>> {
        // A reader that is slow at times.
        while !self.chance(30) {
            match self.ends.next() {
                Poll::Ready(Ok(Some(chunk))) => self.received.extend_from_slice(&chunk.bytes),
                Poll::Ready(Ok(None)) => return Some(Ok(())),
                Poll::Ready(Err(broken)) => return Some(Err(broken)),
                Poll::Pending => return None,
            }
        }
        None
    }
}

#[test]
fn whatever_the_bus_does_a_clean_end_comes_after_exactly_what_was_sent() {
    let mut ended = 0;
    for seed in 0..400 {
        let mut transfer = Transfer::new(seed);
        let limit = transfer.ends.other.room_held();
        // Five minutes. Nearly all need less than two, although 28 % of all round trips are lost.
        for _ in 0..60_000 {
            let outcome = transfer.step(true);
            assert!(transfer.ends.other.room_held() <= limit, "seed {seed}");
            if let Some(outcome) = outcome {
                assert_eq!(outcome, Ok(()), "seed {seed}");
                ended += 1;
                assert_eq!(transfer.received, transfer.to_send.concat(), "seed {seed}");
                break;
            }
        }
    }
    assert_eq!(ended, 400);
}

#[test]
fn without_an_end_there_is_never_one() {
    for seed in 0..50 {
        let mut transfer = Transfer::new(seed);
        for _ in 0..400 {
            assert_eq!(transfer.step(false), None, "seed {seed}");
        }
        let now = transfer.ends.now;
        transfer
            .ends
            .one
            .release_sender((transfer.ends.own, 0), now);
        let outcome = (0..20_000).find_map(|_| {
            transfer.sent = transfer.to_send.len();
            transfer.step(false)
        });
        assert_eq!(outcome, Some(Err(Broken::Dropped)), "seed {seed}");
    }
}

#[test]
fn a_gap_is_reported_and_filled_at_once() {
    let mut ends = Ends::new(window(1 << 20));
    ends.carry();
    for text in ["a", "b", "c"] {
        ends.send(chunk(text)).expect("room");
    }
    let now = ends.now;
    let mut items = sent(&mut ends.one, now);
    items.remove(0);
    deliver(&mut ends.other, items, now);
    assert!(ends.next().is_pending(), "a gap is never delivered");
    ends.carry();
    for text in ["a", "b", "c"] {
        assert_eq!(ends.next(), Poll::Ready(Ok(Some(chunk(text)))));
    }
}

#[test]
fn what_is_lost_is_sent_again_and_after_a_while_the_session_breaks() {
    let mut ends = Ends::new(window(1 << 20));
    ends.carry();
    ends.send(chunk("a")).expect("room");
    let (start, now) = (ends.now, ends.now);
    assert_eq!(sent(&mut ends.one, now).len(), 1);
    let mut resends = Vec::new();
    for at in (50..8_000).step_by(50) {
        let now = start + ms(at);
        ends.one.tick(now);
        if sent(&mut ends.one, now)
            .iter()
            .any(|item| matches!(item.item, Item::Chunk { .. }))
        {
            resends.push(at);
        }
    }
    assert_eq!(resends, [250, 750, 1_750, 2_750, 3_750, 4_750]);
    assert_eq!(ends.one.broken(ends.own), Some(Broken::Unacknowledged));
}

#[test]
fn a_lost_credit_is_repeated() {
    let mut ends = Ends::new(window(1 << 20));
    let now = ends.now;
    assert_eq!(sent(&mut ends.other, now).len(), 1, "lost");
    assert!(ends.room().is_pending());
    ends.wait(ms(260));
    ends.carry();
    assert!(ends.room().is_ready());
}

#[test]
fn a_lost_cancel_is_repeated() {
    let mut ends = Ends::new(window(1 << 20));
    ends.carry();
    let now = ends.now;
    ends.one.give_up(ends.own);
    assert_eq!(sent(&mut ends.one, now).len(), 1, "lost");
    assert!(ends.next().is_pending());
    ends.wait(ms(260));
    ends.carry();
    assert_eq!(ends.next(), Poll::Ready(Err(Broken::Forgotten)));
    assert_eq!(ends.other.room_held(), 0);
}
