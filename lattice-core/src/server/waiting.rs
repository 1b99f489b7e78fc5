//! The calls of one component that wait, and what ends a wait: the deadline of the call, or the end
//! of the component.
//!
//! States of a wait: *waiting* → *late* (its deadline has passed, and its task has yet to learn
//! that) → over. No call has a timer of its own, nor a place in the list of a cancellation: one
//! task sweeps all waits of the component, no later than the first deadline. It starts with the
//! first wait, where the component is served, because a caller may have a runtime of its own that
//! runs only now and then. It is replaced if its runtime ends before others.

use crate::sync::Mutex;
use std::{
    future::poll_fn,
    mem,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
};
use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

/// Why a wait ended before that which the call has waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The deadline has passed.
    Late,
    /// The component was cut off.
    CutOff,
}

/// The calls of one component that wait.
#[derive(Debug)]
pub(super) struct WaitingCalls {
    waits: Arc<Waits>,
    sweeper: Mutex<Option<AbortOnDropHandle<()>>>,
    /// The runtime in which the component is served.
    home: Option<Handle>,
}

#[derive(Debug, Default)]
struct Waits {
    table: Mutex<Table>,
    is_cut_off: AtomicBool,
    /// A wait has begun that ends before the next sweep.
    is_due_early: Notify,
}

#[derive(Debug, Default)]
struct Table {
    places: Vec<Place>,
    free: Vec<usize>,
    /// When the next sweep is due; `None` while the sweeper sleeps.
    sweep_at: Option<Instant>,
    is_swept: bool,
}

#[derive(Debug)]
enum Place {
    Free,
    Waiting { deadline: Instant, caller: Waker },
    Late,
}

impl WaitingCalls {
    /// Those of a component that is served in the current runtime.
    pub(super) fn new() -> Self {
        Self {
            waits: Arc::default(),
            sweeper: Mutex::default(),
            home: Handle::try_current().ok(),
        }
    }

    /// Waits for `work`, until the deadline and until the component is cut off.
    ///
    /// # Cancel safety
    /// Dropping the future drops `work`.
    pub(super) async fn until<F: Future>(
        &self,
        deadline: Instant,
        work: F,
    ) -> Result<F::Output, Ended> {
        if self.waits.is_cut_off() {
            return Err(Ended::CutOff);
        }
        let mut work = pin!(work);
        let mut wait = Wait {
            calls: self,
            deadline,
            place: None,
        };
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => wait.poll(cx.waker()).map(Err),
        })
        .await
    }

    /// Ends all waits, and each later one at once.
    pub(super) fn cut_off(&self) {
        self.waits.is_cut_off.store(true, Ordering::SeqCst);
        self.waits.wake_all();
    }

    fn start_sweeper(&self) {
        // If there is no runtime, the sweeper is dropped, and the next wait tries to start one.
        let sweeper = Arc::new(Sweeper(self.waits.clone()));
        let run = || {
            let sweeper = sweeper.clone();
            async move { sweeper.run().await }
        };
        let task = match self.home.as_ref().map(|home| home.spawn(run())) {
            Some(task) if !task.is_finished() => task,
            // That runtime has ended.
            _ => tokio::spawn(run()),
        };
        let before = self.sweeper.lock().replace(AbortOnDropHandle::new(task));
        drop(before);
    }
}

impl Waits {
    fn is_cut_off(&self) -> bool {
        self.is_cut_off.load(Ordering::SeqCst)
    }

    /// Has the tasks of all waits look at them again.
    fn wake_all(&self) {
        let waiting = |place: &Place| match place {
            Place::Waiting { caller, .. } => Some(caller.clone()),
            Place::Free | Place::Late => None,
        };
        let callers: Vec<Waker> = {
            let table = self.table.lock();
            table.places.iter().filter_map(waiting).collect()
        };
        callers.into_iter().for_each(Waker::wake);
    }

    /// Ends the waits whose deadline has passed, and returns when the next sweep is due. `None` if
    /// there are no other waits.
    fn sweep(&self, now: Instant) -> Option<Instant> {
        let mut late = Vec::new();
        let mut next: Option<Instant> = None;
        {
            let mut table = self.table.lock();
            for place in &mut table.places {
                let Place::Waiting { deadline, .. } = place else {
                    continue;
                };
                if *deadline > now {
                    next = Some(next.map_or(*deadline, |next| next.min(*deadline)));
                } else if let Place::Waiting { caller, .. } = mem::replace(place, Place::Late) {
                    late.push(caller);
                }
            }
            table.sweep_at = next;
        }
        late.into_iter().for_each(Waker::wake);
        next
    }
}

/// Sweeps the waits of a component. Dropping it lets the next poll of a wait start another one.
struct Sweeper(Arc<Waits>);

impl Sweeper {
    async fn run(&self) {
        loop {
            let is_due_early = self.0.is_due_early.notified();
            match self.0.sweep(Instant::now()) {
                Some(next) => {
                    // Whichever comes first.
                    let _ = timeout_at(next, is_due_early).await;
                }
                None => is_due_early.await,
            }
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        {
            let mut table = self.0.table.lock();
            table.is_swept = false;
            table.sweep_at = None;
        }
        self.0.wake_all();
    }
}

/// One wait. Dropping it frees its place.
struct Wait<'c> {
    calls: &'c WaitingCalls,
    deadline: Instant,
    place: Option<usize>,
}

impl Wait<'_> {
    /// Returns why the wait is over, or has the task with this waker look again when it is.
    fn poll(&mut self, waker: &Waker) -> Poll<Ended> {
        let waits = &*self.calls.waits;
        let mut table = waits.table.lock();
        // Read under the lock: either this sees it, or the task is woken.
        if waits.is_cut_off() {
            return Poll::Ready(Ended::CutOff);
        }
        let before = match self.place {
            None => {
                self.place = Some(table.add(self.deadline, waker.clone()));
                None
            }
            Some(place) => match &mut table.places[place] {
                Place::Waiting { caller, .. } if caller.will_wake(waker) => None,
                Place::Waiting { caller, .. } => Some(mem::replace(caller, waker.clone())),
                Place::Late | Place::Free => return Poll::Ready(Ended::Late),
            },
        };
        let starts = !mem::replace(&mut table.is_swept, true);
        let is_early = table.sweep_at.is_none_or(|at| self.deadline < at);
        if is_early {
            table.sweep_at = Some(self.deadline);
        }
        drop(table);
        // It may be the last reference to a task, with everything in it.
        drop(before);
        if starts {
            self.calls.start_sweeper();
            // In a runtime that is ending, no task runs that would sweep it.
            if self.deadline <= Instant::now() {
                return Poll::Ready(Ended::Late);
            }
        } else if is_early {
            waits.is_due_early.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let left = self.calls.waits.table.lock().remove(place);
            drop(left);
        }
    }
}

impl Table {
    fn add(&mut self, deadline: Instant, caller: Waker) -> usize {
        let place = Place::Waiting { deadline, caller };
        if let Some(index) = self.free.pop() {
            self.places[index] = place;
            return index;
        }
        self.places.push(place);
        self.places.len() - 1
    }

    fn remove(&mut self, index: usize) -> Place {
        self.free.push(index);
        mem::replace(&mut self.places[index], Place::Free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::{future::pending, time::Duration};
    use tokio::runtime::Runtime;

    const SOON: Duration = Duration::from_millis(100);
    /// What a timer may be late by.
    const ROUNDED: Duration = Duration::from_millis(2);

    fn is_empty(calls: &WaitingCalls) -> bool {
        let table = calls.waits.table.lock();
        table.places.len() == table.free.len()
    }

    #[tokio::test(start_paused = true)]
    async fn each_wait_ends_at_its_own_deadline() {
        let (calls, start) = (WaitingCalls::new(), Instant::now());
        let late = async |after: Duration| {
            let ended = calls.until(start + after, pending::<()>()).await;
            assert_eq!(ended, Err(Ended::Late));
            let took = start.elapsed();
            assert!(took >= after && took <= after + ROUNDED, "{took:?}");
        };
        tokio::join!(
            late(SOON * 3),
            late(SOON),
            late(SOON * 2),
            late(Duration::ZERO)
        );
        // The sweeper sleeps.
        late(SOON * 9).await;
        assert!(is_empty(&calls));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_done_ends_a_wait_and_leaves_nothing_behind() {
        let (calls, start) = (WaitingCalls::new(), Instant::now());
        assert_eq!(calls.until(start, async { 7 }).await, Ok(7));
        let work = async {
            tokio::time::sleep(SOON).await;
            8
        };
        assert_eq!(calls.until(start + SOON * 2, work).await, Ok(8));
        assert!(is_empty(&calls));
        let dropped = calls.until(start + SOON * 9, pending::<()>());
        assert_eq!(dropped.now_or_never(), None);
        assert!(is_empty(&calls));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_off_ends_all_waits_and_no_later_one_begins() {
        let (calls, start) = (WaitingCalls::new(), Instant::now());
        let until = |after| calls.until(start + after, pending::<()>());
        let cut_off = async { calls.cut_off() };
        let (one, other, ()) = tokio::join!(until(SOON), until(SOON * 2), cut_off);
        assert_eq!((one, other), (Err(Ended::CutOff), Err(Ended::CutOff)));
        assert_eq!(start.elapsed(), Duration::ZERO);
        let begins = poll_fn(|_| -> Poll<()> { panic!("it begins") });
        assert_eq!(calls.until(start, begins).await, Err(Ended::CutOff));
        assert!(is_empty(&calls));
    }

    fn runtime() -> Runtime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let built = builder.enable_time().start_paused(true).build();
        built.expect("a runtime")
    }

    /// Begins a wait in this runtime, which runs for no longer than that.
    fn begin(runtime: &Runtime, calls: &WaitingCalls) {
        let begun = runtime.block_on(async {
            let wait = calls.until(Instant::now() + SOON, pending::<()>());
            wait.now_or_never()
        });
        assert_eq!(begun, None);
    }

    /// A wait in this runtime ends in time.
    fn ends(runtime: &Runtime, calls: &WaitingCalls) {
        let ended = runtime.block_on(async {
            let wait = calls.until(Instant::now() + SOON, pending::<()>());
            timeout_at(Instant::now() + SOON * 9, wait).await
        });
        assert_eq!(ended.expect("in time"), Err(Ended::Late));
    }

    #[test]
    fn waits_end_also_after_the_runtime_of_the_first_one() {
        let calls = WaitingCalls::new();
        let first = runtime();
        begin(&first, &calls);
        drop(first);
        ends(&runtime(), &calls);
    }

    #[test]
    fn waits_end_while_the_runtime_of_another_caller_stands_still() {
        let (home, caller) = (runtime(), runtime());
        let calls = home.block_on(async { WaitingCalls::new() });
        begin(&caller, &calls);
        ends(&home, &calls);
    }

    #[test]
    fn waits_end_also_after_the_runtime_in_which_the_component_was_served() {
        let home = runtime();
        let calls = home.block_on(async { WaitingCalls::new() });
        begin(&home, &calls);
        drop(home);
        ends(&runtime(), &calls);
    }
}
