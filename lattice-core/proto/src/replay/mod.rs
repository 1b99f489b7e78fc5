//! Detects frames that were seen before.
//!
//! A sender numbers its frames from 1 for each (target, kind, lane). A receiver keeps, for each
//! sender and each such series, the highest number seen and a bitmap of the [`WINDOW`] numbers up
//! to it:
//!
//! ```text
//!        too old: refused       │ window: fresh once each            │ ahead: fresh, moves the window
//! ──────────────────────────────┼────────────────────────────────────┼──────────────────────────────►
//!                               top - WINDOW                        top                      sequence
//! ```

mod boots;
mod forgotten;

pub use boots::{BootGuard, Seen};

use crate::{
    id::Origin,
    name::HostId,
    wire::{Frame, Kind, Lane},
};
use forgotten::Forgotten;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Instant,
};

/// How far behind the newest frame of its series a frame may arrive. Frames of one series travel on
/// one subject, in order, so only a bus that reconnects can reorder them. A send queue never has
/// this many in flight.
pub const WINDOW: u64 = 1024;
/// Most senders remembered. Beyond it, the one that was silent for longest is forgotten, and
/// refused from then on. Most senders have a few series of 150 bytes each, which makes some 40 MiB
/// in all; one that used all kinds, lanes and targets would take 5 KiB.
const MAX_SENDERS: usize = 65_536;
/// So many forgotten boots are remembered for each sender, at 8 to 16 bytes each.
const FORGOTTEN: usize = 16;
const WORDS: usize = WINDOW as usize / 64;

/// Distinguishes fresh frames from replayed, duplicated and out-of-date ones, for one receiver.
/// Pure: no I/O, no clock.
#[derive(Debug)]
pub struct ReplayGuard {
    senders: HashMap<HostId, Sender>,
    /// Every sender once, by the time of a frame of it. A later frame doesn't change the entry: it
    /// is corrected when it is popped.
    silent: BinaryHeap<Reverse<(Instant, HostId)>>,
    max_senders: usize,
    forgotten: Forgotten,
}

/// Kind, lane, and whether the frame is for all members. The receiver is one host, so nothing else
/// of the target matters.
type Series = (Kind, Lane, bool);

#[derive(Debug)]
struct Sender {
    epoch: u64,
    heard: Instant,
    /// One for each series seen. There are so few that a search is faster than a hash.
    windows: Vec<(Series, Box<Window>)>,
}

impl ReplayGuard {
    /// Creates a guard that has seen nothing.
    pub fn new() -> Self {
        Self::with_capacity(MAX_SENDERS)
    }

    fn with_capacity(max_senders: usize) -> Self {
        Self {
            senders: HashMap::new(),
            silent: BinaryHeap::new(),
            max_senders,
            forgotten: Forgotten::with_capacity(max_senders * FORGOTTEN),
        }
    }

    /// Marks the frame as seen. Returns whether it was not seen before.
    ///
    /// A sender whose epoch is lower than one already seen from that host was replaced by a later
    /// boot, and is refused.
    #[must_use]
    pub fn fresh(&mut self, frame: &Frame, now: Instant) -> bool {
        let series = (frame.kind(), frame.lane(), frame.target().is_none());
        self.fresh_in(frame.sender(), series, frame.sequence(), now)
    }

    /// Moves the record of the host's earlier boot to `other`, if `sender` is a later one.
    pub fn retire(&mut self, sender: &Origin, other: &mut Self) {
        let Some(known) = self.senders.get_mut(&sender.host) else {
            return;
        };
        if known.epoch >= sender.epoch {
            return;
        }
        let earlier = Origin::new(sender.host.clone(), known.epoch);
        let windows = std::mem::take(&mut known.windows);
        let heard = known.heard;
        let kept = match other.senders.get_mut(&sender.host) {
            Some(kept) => kept,
            None => other.admit(&earlier, heard),
        };
        if kept.epoch <= earlier.epoch {
            *kept = Sender {
                epoch: earlier.epoch,
                heard,
                windows,
            };
        }
    }

    /// Keeps a boot of a host from being forgotten because it is silent here: it is known to be
    /// live.
    pub fn keep(&mut self, boot: &Origin, now: Instant) {
        match self.senders.get_mut(&boot.host) {
            Some(known) => known.heard = known.heard.max(now),
            None if self.forgotten.contains(boot) => {}
            None => drop(self.admit(boot, now)),
        }
    }

    /// Returns whether this boot was forgotten, so that all of its frames are refused.
    pub fn has_forgotten(&self, boot: &Origin) -> bool {
        !self.senders.contains_key(&boot.host) && self.forgotten.contains(boot)
    }

    /// Returns whether a later boot of the same host was seen.
    pub fn is_outdated(&self, sender: &Origin) -> bool {
        let known = self.senders.get(&sender.host);
        known.is_some_and(|known| known.epoch > sender.epoch)
    }

    fn fresh_in(&mut self, sender: &Origin, series: Series, sequence: u64, now: Instant) -> bool {
        let known = match self.senders.get_mut(&sender.host) {
            Some(known) => known,
            None if self.forgotten.contains(sender) => return false,
            None => self.admit(sender, now),
        };
        if sender.epoch < known.epoch {
            return false;
        }
        if sender.epoch > known.epoch {
            known.epoch = sender.epoch;
            known.windows = Vec::new();
        }
        known.heard = known.heard.max(now);
        if let Some((_, window)) = known.windows.iter_mut().find(|(known, _)| *known == series) {
            return window.fresh(sequence);
        }
        let mut window = Box::<Window>::default();
        let fresh = window.fresh(sequence);
        known.windows.push((series, window));
        fresh
    }

    fn admit(&mut self, sender: &Origin, now: Instant) -> &mut Sender {
        if self.senders.len() >= self.max_senders {
            self.forget_one();
        }
        self.silent.push(Reverse((now, sender.host.clone())));
        self.senders.entry(sender.host.clone()).or_insert(Sender {
            epoch: sender.epoch,
            heard: now,
            windows: Vec::new(),
        })
    }

    fn forget_one(&mut self) {
        while let Some(Reverse((at, host))) = self.silent.pop() {
            match self.senders.get(&host) {
                Some(known) if known.heard > at => self.silent.push(Reverse((known.heard, host))),
                Some(known) => {
                    let boot = Origin::new(host, known.epoch);
                    self.senders.remove(&boot.host);
                    return self.forgotten.add(&boot);
                }
                None => return,
            }
        }
    }
}

impl Default for ReplayGuard {
    fn default() -> Self {
        Self::new()
    }
}

/// The numbers seen in one series. `seen` is a ring with one bit for each of the last [`WINDOW`]
/// numbers.
#[derive(Debug)]
struct Window {
    top: u64,
    seen: [u64; WORDS],
}

impl Window {
    fn fresh(&mut self, sequence: u64) -> bool {
        if sequence > self.top {
            self.advance(sequence);
        } else if self.top - sequence >= WINDOW {
            return false;
        }
        let (word, bit) = place(sequence);
        let fresh = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        fresh
    }

    fn advance(&mut self, to: u64) {
        if to - self.top >= WINDOW {
            self.seen = [0; WORDS];
        } else {
            for skipped in self.top + 1..=to {
                let (word, bit) = place(skipped);
                self.seen[word] &= !bit;
            }
        }
        self.top = to;
    }
}

impl Default for Window {
    /// Starts as if number 0, which no sender uses, had been seen.
    fn default() -> Self {
        let mut seen = [0; WORDS];
        seen[0] = 1;
        Self { top: 0, seen }
    }
}

fn place(sequence: u64) -> (usize, u64) {
    let at = sequence % WINDOW;
    ((at / 64) as usize, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::Auth, wire::FrameWriter};
    use proptest::prelude::*;
    use std::{collections::HashSet, time::Duration};

    fn origin(host: &str, epoch: u64) -> Origin {
        Origin::new(HostId::new(host).expect("a host"), epoch)
    }

    const CALLS: Series = (Kind::Call, Lane::Small, false);

    /// Calls `fresh_in` with everything fixed except the sender and the number.
    fn ask(guard: &mut ReplayGuard, sender: &Origin, sequence: u64) -> bool {
        guard.fresh_in(sender, CALLS, sequence, Instant::now())
    }

    proptest! {
        #[test]
        fn a_window_matches_a_set_of_all_numbers(
            steps in prop::collection::vec((0_u64..3000, prop::bool::weighted(0.9)), 1..400),
        ) {
            let (mut guard, sender) = (ReplayGuard::new(), origin("h", 1));
            let (mut seen, mut top) = (HashSet::new(), 0);
            for (offset, near) in steps {
                // Mostly around the newest number, so that duplicates and late numbers are common.
                let sequence = if near { (top + 20_u64).saturating_sub(offset % 1100) } else { offset };
                let expected = sequence != 0 && sequence + WINDOW > top && seen.insert(sequence);
                top = top.max(sequence);
                prop_assert_eq!(ask(&mut guard, &sender, sequence), expected, "{} after {}", sequence, top);
            }
        }

        #[test]
        fn each_number_is_accepted_once(numbers in prop::collection::vec(any::<u64>(), 1..50)) {
            let (mut guard, sender) = (ReplayGuard::new(), origin("h", 1));
            for number in numbers {
                ask(&mut guard, &sender, number);
                prop_assert!(!ask(&mut guard, &sender, number));
            }
        }
    }

    #[test]
    fn numbers_at_the_edges_of_the_window_are_handled() {
        let (mut guard, sender) = (ReplayGuard::new(), origin("h", 1));
        assert!(!ask(&mut guard, &sender, 0));
        assert!(ask(&mut guard, &sender, 5000));
        assert!(ask(&mut guard, &sender, 5000 - WINDOW + 1));
        assert!(!ask(&mut guard, &sender, 5000 - WINDOW));
        assert!(ask(&mut guard, &sender, u64::MAX));
        assert!(!ask(&mut guard, &sender, u64::MAX));
        assert!(!ask(&mut guard, &sender, 5001));
    }

    #[test]
    fn an_older_boot_of_a_host_is_rejected() {
        let mut guard = ReplayGuard::new();
        assert!(ask(&mut guard, &origin("h", 2), 1));
        assert!(!ask(&mut guard, &origin("h", 1), 9));
        assert!(!ask(&mut guard, &origin("h", 2), 1));
        assert!(ask(&mut guard, &origin("h", 3), 1));
        assert!(!ask(&mut guard, &origin("h", 2), 2));
        assert!(ask(&mut guard, &origin("other", 1), 1));
    }

    #[test]
    fn kinds_lanes_and_targets_have_separate_numbers() {
        let auth = Auth::trusting();
        let (sender, me) = (origin("h", 1), origin("me", 1));
        let frame = |target: Option<&Origin>, kind, lane| {
            let mut writer = FrameWriter::new(sender.clone(), target.cloned(), kind, lane);
            writer.push(|_| {}).expect("room");
            Frame::open(&auth, writer.seal(&auth, 1)).expect("a frame")
        };
        let mut guard = ReplayGuard::new();
        for kind in [Kind::Call, Kind::Reply, Kind::Beat] {
            for lane in Lane::ALL {
                for target in [None, Some(&me)] {
                    let frame = frame(target, kind, lane);
                    assert!(guard.fresh(&frame, Instant::now()), "{frame:?}");
                    assert!(!guard.fresh(&frame, Instant::now()), "{frame:?}");
                }
            }
        }
    }

    #[test]
    fn the_least_recently_seen_sender_is_forgotten() {
        let mut guard = ReplayGuard::with_capacity(3);
        let start = Instant::now();
        let mut fresh = |host: &str, sequence, second| {
            let now = start + Duration::from_secs(second);
            guard.fresh_in(&origin(host, 1), CALLS, sequence, now)
        };
        for (second, host) in ["a", "b", "c"].into_iter().enumerate() {
            assert!(fresh(host, 1, second as u64));
        }
        assert!(fresh("a", 2, 9));
        assert!(fresh("c", 2, 10));
        assert!(fresh("d", 1, 11), "it replaces b");
        for host in ["a", "c", "d"] {
            assert!(!fresh(host, 1, 12), "{host} is remembered");
        }
        for number in [1, 2, 1_000] {
            assert!(!fresh("b", number, 13), "b was forgotten");
        }
        assert!(guard.has_forgotten(&origin("b", 1)));
        let again = guard.fresh_in(&origin("b", 2), CALLS, 1, start + Duration::from_secs(14));
        assert!(again, "it has started again");
    }

    #[test]
    fn the_boots_before_a_forgotten_one_are_refused_too() {
        let mut guard = ReplayGuard::with_capacity(2);
        for epoch in [4, 5] {
            assert!(ask(&mut guard, &origin("h", epoch), 1));
        }
        for other in ["a", "b", "c"] {
            assert!(ask(&mut guard, &origin(other, 1), 1));
        }
        // The earlier one must not be admitted, and then make way for the later one.
        for epoch in [4, 5] {
            for number in [1, 2] {
                assert!(
                    !ask(&mut guard, &origin("h", epoch), number),
                    "{epoch} {number}"
                );
            }
        }
        assert!(ask(&mut guard, &origin("h", 6), 1));
    }

    #[test]
    fn a_sender_that_is_known_to_live_is_not_forgotten() {
        let mut guard = ReplayGuard::with_capacity(3);
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        assert!(guard.fresh_in(&origin("live", 1), CALLS, 1, at(0)));
        guard.keep(&origin("listens", 1), at(0));
        for second in 1..100 {
            for live in ["live", "listens"] {
                guard.keep(&origin(live, 1), at(second));
            }
            let other = origin(&format!("h{second}"), second);
            assert!(guard.fresh_in(&other, CALLS, 1, at(second)));
        }
        assert!(
            !guard.fresh_in(&origin("live", 1), CALLS, 1, at(100)),
            "replayed"
        );
        assert!(guard.fresh_in(&origin("live", 1), CALLS, 2, at(100)));
        assert!(guard.fresh_in(&origin("listens", 1), CALLS, 1, at(100)));
        let gone = origin("h50", 50);
        assert!(guard.has_forgotten(&gone));
        guard.keep(&gone, at(101));
        assert!(
            !guard.fresh_in(&gone, CALLS, 1, at(101)),
            "it stays forgotten"
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut guard = ReplayGuard::with_capacity(10);
        for n in 1..1000 {
            assert!(ask(&mut guard, &origin(&format!("h{n}"), n), 1));
        }
        assert_eq!((guard.senders.len(), guard.silent.len()), (10, 10));
        assert!(guard.forgotten.len() <= 10 * FORGOTTEN);
        for n in 1..990 {
            let replayed = ask(&mut guard, &origin(&format!("h{n}"), n), 1);
            assert!(!replayed, "{n} was forgotten");
        }
    }
}
