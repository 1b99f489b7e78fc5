//! Budgets of bytes: how much memory the messages that wait in this process may take.
//!
//! | budget | what counts |
//! | --- | --- |
//! | received | messages that the bus has delivered and that were not read yet, of all subscriptions |
//! | calls | frames of calls that wait or run here, and large arguments of calls within this process |
//! | sending | frames of calls and replies that the bus has not taken yet |
//! | results | frames with results whose callers have not taken them yet |
//!
//! Each is a quarter of the memory that a connection may hold for messages. Many users share one
//! budget: subscriptions, peers, components. The first half goes to the users that need it, and one
//! user may have all of it. Of the second half, a user gets a sixteenth of the free part, so that
//! there is room for other users while dozens are stuck.
//!
//! Results in sessions leave a quarter of the budget for sending to chunks of streams.
//!
//! Counting costs one atomic addition per message, and no lock. Frames under [`SMALL`] are not
//! counted where their number is bounded.

use crate::quantity::ByteSize;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What a connection holds at most by default.
pub(crate) const DEFAULT: ByteSize = ByteSize::gib(1);
/// What it holds at least: four messages of the usual largest size in each budget.
pub(crate) const LEAST: ByteSize = ByteSize::mib(16);
/// Most bytes of a frame, or of arguments, that are bounded by their number alone.
pub(crate) const SMALL: usize = 1_024;
/// Which part of the free bytes a user gets once half of a budget is held. With twenty users that
/// are stuck, a third of that half stays free.
const SHARES: usize = 16;

/// A number of bytes that several users share. Cheap to clone; clones are the same budget.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Counter>);

#[derive(Debug)]
struct Counter {
    held: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Counter {
            held: AtomicUsize::new(0),
            limit,
        }))
    }

    /// Takes `bytes` for a user that holds `own` bytes, if there is room. A message that is larger
    /// than the whole budget gets room when the budget is unused.
    pub(crate) fn try_take(&self, own: usize, bytes: usize) -> bool {
        self.try_take_up_to(self.0.limit, own, bytes)
    }

    /// Takes `bytes` as [`try_take`](Self::try_take) does, if no more than `most` bytes are held
    /// afterwards.
    fn try_take_up_to(&self, most: usize, own: usize, bytes: usize) -> bool {
        let before = self.0.held.fetch_add(bytes, Ordering::Relaxed);
        let after = before.saturating_add(bytes);
        let has_room = after <= most;
        let fits =
            before == 0 || has_room && (own == 0 || self.permits(own.saturating_add(bytes), after));
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    /// Takes `bytes` even beyond the limit, for messages that are in memory already.
    pub(crate) fn take(&self, bytes: usize) {
        self.0.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back bytes that were taken.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.0.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether a user may hold `own` bytes that are counted already.
    pub(crate) fn allows(&self, own: usize) -> bool {
        self.permits(own, self.held())
    }

    fn permits(&self, own: usize, all: usize) -> bool {
        let limit = self.0.limit;
        all <= limit / 2 || own <= limit.saturating_sub(all) / SHARES
    }

    /// Bytes held now.
    pub(crate) fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// How many bytes may be held.
    pub(crate) fn limit(&self) -> usize {
        self.0.limit
    }

    /// The largest message for which there is always room while no other user holds anything.
    pub(crate) fn largest(&self) -> usize {
        self.0.limit / 2
    }
}

/// One user's part of a budget. Cheap to clone; clones are the same user.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    budget: Budget,
    own: Arc<AtomicUsize>,
}

impl Share {
    /// A user of `budget` that holds nothing yet.
    pub(crate) fn of(budget: &Budget) -> Self {
        Self {
            budget: budget.clone(),
            own: Arc::default(),
        }
    }

    /// Takes `bytes` until the returned value is dropped, if there is room.
    pub(crate) fn hold(&self, bytes: usize) -> Option<Held> {
        self.hold_beside(self.own.load(Ordering::Relaxed), bytes)
    }

    /// The most that the user should hold at once.
    pub(crate) fn largest(&self) -> usize {
        self.budget.largest()
    }

    /// Bytes that the user holds now.
    pub(crate) fn held(&self) -> usize {
        self.own.load(Ordering::Relaxed)
    }

    /// The same, for a user of whose bytes only `own` count for its share.
    pub(crate) fn hold_beside(&self, own: usize, bytes: usize) -> Option<Held> {
        let taken = self.budget.try_take(own, bytes);
        taken.then(|| self.counted(bytes))
    }

    /// The same, if a quarter of the budget stays free for other uses.
    pub(crate) fn hold_leaving_a_quarter(&self, bytes: usize) -> Option<Held> {
        let limit = self.budget.0.limit;
        let taken = self
            .budget
            .try_take_up_to(limit - limit / 4, self.held(), bytes);
        taken.then(|| self.counted(bytes))
    }

    fn counted(&self, bytes: usize) -> Held {
        self.own.fetch_add(bytes, Ordering::Relaxed);
        Held {
            share: self.clone(),
            bytes,
        }
    }
}

/// Bytes of a budget. Dropping it gives them back.
#[derive(Debug)]
#[must_use = "dropping it gives the bytes back"]
pub(crate) struct Held {
    share: Share,
    bytes: usize,
}

impl Held {
    /// How many bytes these are.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back all but `bytes`.
    pub(crate) fn reduced_to(mut self, bytes: usize) -> Self {
        let spare = self.bytes.saturating_sub(bytes);
        self.bytes -= spare;
        self.share.own.fetch_sub(spare, Ordering::Relaxed);
        self.share.budget.give_back(spare);
        self
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.share.own.fetch_sub(self.bytes, Ordering::Relaxed);
        self.share.budget.give_back(self.bytes);
    }
}

/// The budgets of one connection; see the [module](self). Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Budgets {
    pub(crate) received: Budget,
    pub(crate) calls: Budget,
    pub(crate) sending: Budget,
    pub(crate) results: Budget,
}

impl Budgets {
    /// Divides `total`.
    pub(crate) fn of(total: ByteSize) -> Self {
        let quarter = || Budget::new(total.max(LEAST).as_usize() / 4);
        Self {
            received: quarter(),
            calls: quarter(),
            sending: quarter(),
            results: quarter(),
        }
    }
}

impl Default for Budgets {
    fn default() -> Self {
        Self::of(DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1_000;

    /// Takes as much as one user gets, ten bytes at a time.
    fn greedy(budget: &Budget) -> (Share, Vec<Held>) {
        let share = Share::of(budget);
        let held = std::iter::from_fn(|| share.hold(10)).collect();
        (share, held)
    }

    #[test]
    fn one_user_gets_half_and_the_next_ones_get_shares_of_the_rest() {
        let budget = Budget::new(LIMIT);
        let (_one, one) = greedy(&budget);
        assert_eq!(one.len() * 10, LIMIT / 2);
        let (_two, two) = greedy(&budget);
        assert_eq!(two.len() * 10, 20, "a sixteenth of what is left");
        let others: Vec<_> = (0..20).map(|_| greedy(&budget)).collect();
        assert!(
            others.iter().all(|(_, held)| !held.is_empty()),
            "all get some"
        );
        assert!(budget.held() <= LIMIT);
        drop((one, two, others));
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_message_larger_than_the_budget_has_it_alone() {
        let budget = Budget::new(LIMIT);
        let (one, two) = (Share::of(&budget), Share::of(&budget));
        let large = one.hold(2 * LIMIT).expect("nothing else is held");
        assert!(two.hold(1).is_none());
        drop(large);
        let small = two.hold(1).expect("room");
        assert!(one.hold(2 * LIMIT).is_none());
        drop(small);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_user_that_leaves_a_quarter_never_takes_the_last_one() {
        let budget = Budget::new(LIMIT);
        let shares: Vec<_> = (0..40).map(|_| Share::of(&budget)).collect();
        let held: Vec<_> = shares
            .iter()
            .flat_map(|share| std::iter::from_fn(|| share.hold_leaving_a_quarter(10)))
            .collect();
        assert_eq!(held.len() * 10, LIMIT / 4 * 3);
        let chunks = Share::of(&budget);
        let chunk = chunks.hold(10).expect("room for others");
        assert!(shares[0].hold_leaving_a_quarter(1).is_none());
        drop((held, chunk));
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_part_can_be_given_back() {
        let budget = Budget::new(LIMIT);
        let share = Share::of(&budget);
        let held = share.hold(100).expect("room").reduced_to(30);
        assert_eq!(budget.held(), 30);
        let held = held.reduced_to(40);
        assert_eq!(budget.held(), 30, "it never grows");
        drop(held);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn bytes_that_are_counted_already_follow_the_same_rule() {
        let budget = Budget::new(LIMIT);
        budget.take(LIMIT / 2);
        assert!(budget.allows(LIMIT / 2));
        budget.take(20);
        assert!(!budget.allows(LIMIT / 2));
        assert!(budget.allows(30) && !budget.allows(31));
    }

    #[test]
    fn many_that_are_stuck_leave_room_for_one_that_comes_later() {
        let budget = Budget::new(256 << 20);
        let stuck: Vec<_> = (0..20)
            .map(|_| {
                let share = Share::of(&budget);
                let held = std::iter::from_fn(|| share.hold(1 << 20));
                held.collect::<Vec<_>>()
            })
            .collect();
        let later = Share::of(&budget);
        let held: Vec<_> = std::iter::from_fn(|| later.hold(100 << 10)).collect();
        assert!(held.len() > 10, "{}", held.len());
        drop((stuck, held));
        assert_eq!(budget.held(), 0);
    }
}
