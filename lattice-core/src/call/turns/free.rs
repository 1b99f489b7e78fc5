//! The turns of one kind that are free, and the calls that wait for them.
//!
//! A turn that becomes free is not handed to the call that has waited longest: that call is woken,
//! and another one, whose task runs already, may take the turn before it. If each turn was handed
//! over, it would be unused until the woken task runs. With more callers than turns, every call
//! would then wait for a task to be woken, for as long as the load lasts.
//!
//! No call waits longer for that than it takes [`OVERTAKING`] others to take a turn: then it is
//! handed the next one. It is also handed one that nothing else has taken, so that a caller whose
//! runtime stands still holds up no others.

use crate::sync::Mutex;
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// How many calls may overtake the one that has waited longest.
const OVERTAKING: u32 = 8;

/// Set in the state while calls wait.
const WAITED: usize = 1 << (usize::BITS - 1);
/// Set in the state while turns are kept for the call that has waited longest.
const CLOSED: usize = 1 << (usize::BITS - 2);
/// The part of the state that is the number of free turns.
const COUNT: usize = CLOSED - 1;

#[derive(Debug)]
pub(super) struct FreeTurns {
    /// How many are free, and the two flags. They are one number, so that a call that frees turns
    /// and one that begins to wait don't miss each other.
    state: AtomicUsize,
    /// How many calls have overtaken the one that has waited longest.
    overtaking: AtomicU32,
    waiting: Mutex<Waiting>,
}

/// The calls that wait, the one that has waited longest first.
#[derive(Debug, Default)]
struct Waiting {
    calls: VecDeque<WaitingCall>,
    /// How many of the first ones have been handed their turns.
    handed: usize,
    /// The number of the next one.
    next: u64,
}

#[derive(Debug)]
struct WaitingCall {
    number: u64,
    count: usize,
    /// `None` once it was woken.
    waker: Option<Waker>,
}

/// Turns that were taken together. Dropping it frees them.
#[derive(Debug)]
pub(super) struct Taken {
    free: Arc<FreeTurns>,
    count: usize,
}

impl FreeTurns {
    /// The largest number of turns.
    pub(super) const MOST: usize = COUNT >> 1;

    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            state: AtomicUsize::new(count.min(Self::MOST)),
            overtaking: AtomicU32::new(0),
            waiting: Mutex::default(),
        })
    }

    /// Returns how many turns are free.
    pub(super) fn count(&self) -> usize {
        self.state.load(Ordering::Relaxed) & COUNT
    }

    /// Takes turns, if so many are free and none are kept for a call that waits.
    pub(super) fn try_take(self: &Arc<Self>, count: usize) -> Option<Taken> {
        let before = self.take_if(count, |state| state & CLOSED == 0)?;
        if before & WAITED != 0 {
            self.has_overtaken();
        }
        Some(self.taken(count))
    }

    /// Waits until so many turns are free, and takes them.
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing.
    pub(super) fn take(self: &Arc<Self>, count: usize) -> Take<'_> {
        Take {
            free: self,
            count,
            number: None,
        }
    }

    fn taken(self: &Arc<Self>, count: usize) -> Taken {
        Taken {
            free: self.clone(),
            count,
        }
    }

    /// Takes turns, if so many are free and the state allows it. Returns the state before.
    fn take_if(&self, count: usize, allows: impl Fn(usize) -> bool) -> Option<usize> {
        let taken = |state| (allows(state) && state & COUNT >= count).then(|| state - count);
        let (acquire, relaxed) = (Ordering::Acquire, Ordering::Relaxed);
        self.state.fetch_update(acquire, relaxed, taken).ok()
    }

    /// Counts a call that has taken turns while others wait.
    fn has_overtaken(&self) {
        if self.overtaking.fetch_add(1, Ordering::Relaxed) + 1 < OVERTAKING {
            return;
        }
        let mut waiting = self.waiting.lock();
        if waiting.first().is_some() {
            self.state.fetch_or(CLOSED, Ordering::Relaxed);
        }
        let woken = self.hand_over(&mut waiting, 0);
        drop(waiting);
        wake(woken);
    }

    fn give_back(&self, count: usize) {
        let before = self.state.fetch_add(count, Ordering::AcqRel);
        if before & WAITED != 0 {
            let woken = self.hand_over(&mut self.waiting.lock(), before & COUNT);
            wake(woken);
        }
    }

    /// Hands free turns to the call that has waited longest, if turns are kept for it, or if it was
    /// woken for turns that are `unused` since. Returns the wakers of that one, and of the next one
    /// if there are turns for it. To be woken without the lock.
    fn hand_over(&self, waiting: &mut Waiting, unused: usize) -> [Option<Waker>; 2] {
        let mut woken = [None, None];
        let Some(first) = waiting.first() else {
            return woken;
        };
        let is_kept = self.state.load(Ordering::Relaxed) & CLOSED != 0;
        let is_slow = first.waker.is_none() && unused >= first.count;
        if (is_kept || is_slow) && self.take_if(first.count, |_| true).is_some() {
            woken[0] = first.waker.take();
            waiting.handed += 1;
            self.next_is_first(waiting);
        }
        woken[1] = self.woken(waiting);
        woken
    }

    /// Returns the waker of the call that has waited longest, if it can take what is free and was
    /// not woken yet.
    fn woken(&self, waiting: &mut Waiting) -> Option<Waker> {
        let first = waiting.first()?;
        let is_enough = self.count() >= first.count;
        is_enough.then(|| first.waker.take()).flatten()
    }

    /// The call that had waited longest doesn't wait for turns any more.
    fn next_is_first(&self, waiting: &mut Waiting) {
        self.overtaking.store(0, Ordering::Relaxed);
        let over = match waiting.first() {
            Some(_) => CLOSED,
            None => WAITED | CLOSED,
        };
        self.state.fetch_and(!over, Ordering::Relaxed);
    }
}

/// Wakes tasks, without the lock.
fn wake(woken: [Option<Waker>; 2]) {
    woken.into_iter().flatten().for_each(Waker::wake);
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.free.give_back(self.count);
    }
}

/// A call that takes turns as soon as it can.
pub(super) struct Take<'f> {
    free: &'f Arc<FreeTurns>,
    count: usize,
    /// Its number, while it is among those that wait.
    number: Option<u64>,
}

impl Take<'_> {
    /// Returns the place of the call among those that wait, to which it is added if it is new.
    fn place(&mut self, waiting: &mut Waiting) -> usize {
        let known = self.number.and_then(|number| waiting.place_of(number));
        known.unwrap_or_else(|| {
            self.free.state.fetch_or(WAITED, Ordering::AcqRel);
            self.number = Some(waiting.add(self.count));
            waiting.calls.len() - 1
        })
    }
}

impl Future for Take<'_> {
    type Output = Taken;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Taken> {
        let (free, count) = (self.free, self.count);
        let mut waiting = free.waiting.lock();
        let place = self.place(&mut waiting);
        let was_handed = place < waiting.handed;
        // Tried after the flag was set: who frees turns later takes the lock, and wakes this.
        let takes = || place == waiting.handed && free.take_if(count, |_| true).is_some();
        if was_handed || takes() {
            let removed = waiting.remove(place);
            if !was_handed {
                free.next_is_first(&mut waiting);
            }
            let next = free.woken(&mut waiting);
            drop(waiting);
            drop(removed);
            wake([next, None]);
            self.number = None;
            return Poll::Ready(free.taken(count));
        }
        let waker = &mut waiting.calls[place].waker;
        let is_same = waker.as_ref().is_some_and(|own| own.will_wake(cx.waker()));
        let before = if is_same {
            None
        } else {
            waker.replace(cx.waker().clone())
        };
        drop(waiting);
        // It may be the last reference to a task, with everything in it.
        drop(before);
        Poll::Pending
    }
}

impl Drop for Take<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else {
            return;
        };
        let mut waiting = self.free.waiting.lock();
        let Some(place) = waiting.place_of(number) else {
            return;
        };
        let (was_handed, was_first) = (place < waiting.handed, place == waiting.handed);
        let removed = waiting.remove(place);
        let next = if was_first {
            self.free.next_is_first(&mut waiting);
            self.free.woken(&mut waiting)
        } else {
            None
        };
        drop(waiting);
        drop(removed);
        wake([next, None]);
        if was_handed {
            self.free.give_back(self.count);
        }
    }
}

impl Waiting {
    fn add(&mut self, count: usize) -> u64 {
        let number = self.next;
        self.next += 1;
        self.calls.push_back(WaitingCall {
            number,
            count,
            waker: None,
        });
        number
    }

    /// The call that has waited longest for its turns.
    fn first(&mut self) -> Option<&mut WaitingCall> {
        self.calls.get_mut(self.handed)
    }

    /// They are in the order of their numbers.
    fn place_of(&self, number: u64) -> Option<usize> {
        let place = self.calls.binary_search_by_key(&number, |call| call.number);
        place.ok()
    }

    fn remove(&mut self, place: usize) -> Option<WaitingCall> {
        if place < self.handed {
            self.handed -= 1;
        }
        self.calls.remove(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt as _, task::noop_waker_ref};
    use std::{task::Wake, time::Duration};
    use tokio::{runtime::Runtime, time::timeout};

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Woken {
        fn count(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    /// Polls a call that waits, and returns what counts how often it is woken.
    fn waits(take: &mut Take<'_>) -> Arc<Woken> {
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(woken.clone());
        let polled = Pin::new(take).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        woken
    }

    fn has_ended(take: &mut Take<'_>) -> Option<Taken> {
        take.now_or_never()
    }

    #[test]
    fn a_running_call_overtakes_those_that_wait_but_not_for_ever() {
        let free = FreeTurns::new(1);
        let first = free.try_take(1).expect("a free turn");
        let (mut one, mut other) = (free.take(1), free.take(1));
        let woken = [waits(&mut one), waits(&mut other)];
        drop(first);
        let counts = || [woken[0].count(), woken[1].count()];
        assert_eq!(counts(), [1, 0], "only the first one is woken");
        for _ in 0..OVERTAKING {
            drop(free.try_take(1).expect("it is still free"));
        }
        assert!(free.try_take(1).is_none(), "it was handed over");
        assert_eq!(counts(), [1, 0], "it need not be woken again");
        let taken = has_ended(&mut one).expect("it has a turn");
        assert!(has_ended(&mut other).is_none());
        drop(taken);
        assert!(has_ended(&mut other).is_some());
        assert_eq!(free.state.load(Ordering::SeqCst), 1, "no flags are left");
    }

    #[test]
    fn calls_that_wait_get_their_turns_in_order() {
        let free = FreeTurns::new(2);
        let held = free.try_take(2).expect("free turns");
        let mut calls: Vec<_> = (0..4).map(|_| free.take(1)).collect();
        let woken: Vec<_> = calls.iter_mut().map(waits).collect();
        let counts = || woken.iter().map(|woken| woken.count()).collect::<Vec<_>>();
        drop(held);
        assert_eq!(counts(), [1, 0, 0, 0]);
        assert!(has_ended(&mut calls[1]).is_none(), "it is not the first");
        let first = has_ended(&mut calls[0]).expect("its turn");
        assert_eq!(counts()[2..], [0, 0]);
        let second = has_ended(&mut calls[1]).expect("its turn");
        // The third one is given up.
        calls.remove(2);
        drop((first, second));
        assert!(has_ended(&mut calls[2]).is_some());
    }

    #[test]
    fn a_call_that_needs_several_turns_is_not_overtaken_for_ever() {
        let free = FreeTurns::new(2);
        let mut held = free.try_take(1).expect("a free turn");
        let mut both = free.take(2);
        let woken = waits(&mut both);
        for _ in 0..OVERTAKING {
            let next = free.try_take(1).expect("one is free");
            drop(std::mem::replace(&mut held, next));
        }
        assert!(free.try_take(1).is_none(), "the free one is kept for it");
        assert_eq!(woken.count(), 0);
        drop(held);
        assert_eq!(woken.count(), 1);
        assert!(has_ended(&mut both).is_some());
        assert_eq!(free.state.load(Ordering::SeqCst), 2, "no flags are left");
    }

    #[test]
    fn a_caller_that_stands_still_holds_up_no_others() {
        let free = FreeTurns::new(2);
        let (one, two) = (free.try_take(1), free.try_take(1));
        let (mut still, mut next) = (free.take(1), free.take(1));
        let woken = [waits(&mut still), waits(&mut next)];
        drop(one);
        assert_eq!([woken[0].count(), woken[1].count()], [1, 0]);
        // The first one has not run since it was woken.
        drop(two);
        assert_eq!([woken[0].count(), woken[1].count()], [1, 1]);
        assert!(has_ended(&mut next).is_some());
        // What it was handed isn't lost with it.
        drop(still);
        assert_eq!(free.count(), 2);
        assert_eq!(free.state.load(Ordering::SeqCst), 2, "no flags are left");
    }

    #[test]
    fn a_call_that_is_given_up_wakes_the_next_one() {
        let free = FreeTurns::new(1);
        let held = free.try_take(1).expect("a free turn");
        let (mut one, mut other) = (free.take(1), free.take(1));
        let (_, woken) = (waits(&mut one), waits(&mut other));
        drop(held);
        drop(one);
        assert_eq!(woken.count(), 1);
        let mut context = Context::from_waker(noop_waker_ref());
        assert!(Pin::new(&mut other).poll(&mut context).is_ready());
    }

    /// Many threads take turns and wait for them. Each gets its turns in time, and none is lost.
    #[test]
    fn no_turn_is_lost_between_threads() {
        const CALLS: usize = 3_000;
        const LONG: Duration = Duration::from_secs(60);
        let free = FreeTurns::new(3);
        let running = AtomicUsize::new(0);
        let call = |runtime: &Runtime, count: usize| {
            let taken = free.try_take(count).unwrap_or_else(|| {
                let take = async { timeout(LONG, free.take(count)).await };
                runtime.block_on(take).expect("in time")
            });
            let before = running.fetch_add(count, Ordering::SeqCst);
            assert!(before + count <= 3, "{before}");
            running.fetch_sub(count, Ordering::SeqCst);
            drop(taken);
        };
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let call = &call;
                scope.spawn(move || {
                    let mut builder = tokio::runtime::Builder::new_current_thread();
                    let runtime = builder.enable_time().build().expect("a runtime");
                    (0..CALLS).for_each(|_| call(&runtime, 1 + thread % 3));
                });
            }
        });
        assert_eq!(free.state.load(Ordering::SeqCst), 3);
    }
}
