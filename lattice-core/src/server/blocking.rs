//! Components whose code runs for long without awaiting anything: it computes, or it blocks.
//!
//! Calls from other hosts begin one after the other, on a runner of the [inbox](super::inbox), but
//! those of a component whose code takes [`LONG`] on average begin in tasks, on all threads of the
//! runtime. Code that takes [`SLOW`] keeps its thread from other tasks. It is noticed while it
//! happens, by the watch over the inbox, and when it is over. Calls of a component that has blocked
//! run [apart] from then on, where blocking costs nothing but the thread that it takes.

use crate::{name::ComponentId, sync::WakeFlag};
use futures_util::FutureExt as _;
use std::{
    future::poll_fn,
    mem::replace,
    panic::resume_unwind,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::task::spawn_blocking;
use tokio_util::task::AbortOnDropHandle;
use tracing::Span;

/// Code that takes longer than this on average begins in tasks, each of which costs about 1 µs.
const LONG: Duration = Duration::from_micros(100);
/// The most that one call counts for in the average: most often, it waited for a core.
const COUNTED: Duration = Duration::from_millis(1);
/// As long as calls take less than this, the average isn't kept.
const SHORT: Duration = Duration::from_micros(25);
/// One call's share of the average.
const SHARE: u32 = 16;
/// Code that keeps the runner of the inbox for longer than this blocks. Well over what a busy
/// machine adds by itself.
const SLOW: Duration = Duration::from_millis(20);
/// From here on, the component is logged.
pub(super) const LOGGED: Duration = Duration::from_millis(100);
/// How many calls of a component run apart after one of them has blocked.
const ISOLATE: u32 = 4_096;
/// How many calls of a component run apart while one of them may be blocking.
const SUSPECT: u32 = 64;

/// How long the code of one component takes, and which of its calls run apart.
#[derive(Debug, Default)]
pub(crate) struct Blocking {
    /// How often it has blocked for so long.
    logged: AtomicU64,
    /// How many of the next calls run apart.
    apart: AtomicU32,
    /// How long its code takes until it awaits something, in ns.
    average: AtomicU32,
    /// Whether all of its calls begin on the runner.
    stays: AtomicBool,
}

impl Blocking {
    /// Records that code of the component has not awaited anything for `time`, and may still be
    /// running.
    pub(super) fn noticed(&self, component: &ComponentId, time: Duration) {
        self.count(time);
        if time < LOGGED {
            return;
        }
        self.isolate();
        let count = self.logged.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(
                %component, count, ms = time.as_millis(),
                "a component blocked its thread; move what takes long into `tokio::task::spawn_blocking`"
            );
        }
    }

    /// Records that a call has kept the runner of the inbox for `time`.
    pub(super) fn kept_runner(&self, component: &ComponentId, time: Duration) {
        if time >= SLOW {
            self.isolate();
        }
        self.noticed(component, time);
    }

    fn count(&self, time: Duration) {
        let (time, before) = (
            nanos(time.min(COUNTED)),
            self.average.load(Ordering::Relaxed),
        );
        // All threads share it, and most components never write it.
        if time.max(before) >= nanos(SHORT) {
            let average = before - before / SHARE + time / SHARE;
            self.average.store(average, Ordering::Relaxed);
        }
    }

    /// Runs the next few calls apart: one of them may be blocking. A pause of the whole process
    /// looks the same.
    pub(super) fn suspect(&self) {
        self.apart.fetch_max(SUSPECT, Ordering::Relaxed);
    }

    /// Runs its calls apart from now on.
    pub(super) fn isolate(&self) {
        self.apart.store(ISOLATE, Ordering::Relaxed);
    }

    /// Has all calls begin on the runner, which keeps them in order with those of other components:
    /// a caller that has dropped a handle, and then makes a call, finds it dropped.
    pub(super) fn keep_on_runner(&self) {
        self.stays.store(true, Ordering::Relaxed);
    }

    /// Whether the next call has to begin in a task.
    pub(super) fn takes_long(&self) -> bool {
        self.average.load(Ordering::Relaxed) >= nanos(LONG) && !self.stays.load(Ordering::Relaxed)
    }

    /// Whether the next call has to run apart.
    pub(super) fn runs_apart(&self) -> bool {
        // Not exact, and need not be.
        match self.apart.load(Ordering::Relaxed) {
            0 => false,
            left => {
                self.apart.store(left - 1, Ordering::Relaxed);
                !self.stays.load(Ordering::Relaxed)
            }
        }
    }
}

/// Of a time that is shorter than a second.
const fn nanos(time: Duration) -> u32 {
    time.subsec_nanos()
}

/// Runs a future that may block. Each poll of it is on a thread of its own, from those that Tokio
/// has for blocking code, so that it takes one only as long as it runs.
///
/// `block_in_place` would run it here and pass the thread's other tasks to another one, but not
/// those that have just yielded.
pub(super) fn apart<F>(work: F) -> impl Future<Output = F::Output> + Send
where
    F: Future<Output: Send> + Send + 'static,
{
    let (signal, mut state) = (Arc::new(WakeFlag::woken()), Apart::Waits(Box::pin(work)));
    poll_fn(move |context| {
        // Before the look: from here on, what wakes the work wakes this task as well.
        signal.register(context.waker());
        loop {
            state = match replace(&mut state, Apart::Over) {
                Apart::Waits(work) if signal.take() => Apart::Runs(poll_apart(work, &signal)),
                Apart::Runs(mut poll) => match poll.poll_unpin(context) {
                    Poll::Ready(Ok((_, Poll::Ready(output)))) => return Poll::Ready(output),
                    Poll::Ready(Ok((work, Poll::Pending))) => Apart::Waits(work),
                    Poll::Ready(Err(lost)) if lost.is_panic() => resume_unwind(lost.into_panic()),
                    // The runtime ends, and this task with it.
                    Poll::Ready(Err(_)) => Apart::Over,
                    Poll::Pending => {
                        state = Apart::Runs(poll);
                        return Poll::Pending;
                    }
                },
                waits => {
                    state = waits;
                    return Poll::Pending;
                }
            };
        }
    })
}

/// Polls the work once, on another thread.
fn poll_apart<F>(mut work: Pin<Box<F>>, signal: &Arc<WakeFlag>) -> PollApart<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    let (waker, span) = (Waker::from(signal.clone()), Span::current());
    // Dropped before it has a thread, it never runs.
    AbortOnDropHandle::new(spawn_blocking(move || {
        let mut context = Context::from_waker(&waker);
        let poll = span.in_scope(|| work.as_mut().poll(&mut context));
        (work, poll)
    }))
}

type PollApart<F> = AbortOnDropHandle<(Pin<Box<F>>, Poll<<F as Future>::Output>)>;

/// Work that may block.
enum Apart<F: Future> {
    /// Until something wakes it.
    Waits(Pin<Box<F>>),
    /// It is being polled on another thread.
    Runs(PollApart<F>),
    Over,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_that_blocks_runs_apart_for_a_while() {
        let (blocking, id) = (Blocking::default(), ComponentId::new("c").expect("an id"));
        blocking.kept_runner(&id, SLOW / 2);
        blocking.noticed(&id, SLOW);
        assert!(!blocking.runs_apart());
        blocking.kept_runner(&id, SLOW);
        for _ in 0..ISOLATE {
            assert!(blocking.runs_apart());
        }
        assert!(!blocking.runs_apart());
        assert_eq!(blocking.logged.load(Ordering::Relaxed), 0);
        blocking.noticed(&id, LOGGED);
        assert_eq!(blocking.logged.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn calls_begin_in_tasks_as_long_as_their_code_takes_long() {
        let (blocking, id) = (Blocking::default(), ComponentId::new("c").expect("an id"));
        let takes_long = |time, calls| {
            (0..calls).for_each(|_| blocking.noticed(&id, time));
            blocking.takes_long()
        };
        assert!(!takes_long(10 * COUNTED, 1), "it has waited for a core");
        assert!(!takes_long(LONG / 2, 100));
        assert!(takes_long(2 * LONG, 100));
        assert!(!takes_long(Duration::ZERO, 100));
        assert!(!blocking.runs_apart());
    }

    #[test]
    fn the_calls_of_what_stays_on_the_runner_are_never_elsewhere() {
        let (blocking, id) = (Blocking::default(), ComponentId::new("c").expect("an id"));
        blocking.keep_on_runner();
        (0..100).for_each(|_| blocking.kept_runner(&id, LOGGED));
        blocking.suspect();
        assert!(!blocking.takes_long() && !blocking.runs_apart());
    }

    #[test]
    fn what_is_dropped_before_it_has_a_thread_never_runs() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .expect("a runtime");
        let (go_on, waits) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(());
        runtime.block_on(async {
            let busy = spawn_blocking(move || waits.recv());
            let work = held.clone();
            let mut dropped = Box::pin(apart(async move { drop(work) }));
            assert!(futures_util::poll!(&mut dropped).is_pending());
            drop(dropped);
            let next = spawn_blocking(|| ());
            go_on.send(()).expect("it waits");
            busy.await.expect("it ends").expect("it was told to");
            next.await.expect("it runs");
        });
        assert_eq!(Arc::strong_count(&held), 1);
    }

    /// Blocks its thread until another task of the runtime, which has one thread, has run.
    #[tokio::test]
    async fn what_runs_apart_holds_up_no_other_task() {
        const LONG: Duration = Duration::from_secs(60);
        let (run, has_run) = std::sync::mpsc::channel();
        let again = Arc::new(tokio::sync::Notify::new());
        let waited = again.clone();
        let work = async move {
            has_run.recv_timeout(LONG).expect("another task runs");
            tokio::task::yield_now().await;
            has_run.recv_timeout(LONG).expect("it runs again");
            waited.notified().await;
            "done"
        };
        let others = async {
            for _ in 0..2 {
                run.send(()).expect("the work goes on");
                tokio::task::yield_now().await;
            }
            again.notify_one();
        };
        let (done, ()) = tokio::join!(apart(work), others);
        assert_eq!(done, "done");
    }

    #[tokio::test]
    #[should_panic = "on purpose"]
    async fn a_panic_apart_is_a_panic_here() {
        apart(async { panic!("on purpose") }).await
    }

    #[tokio::test]
    async fn what_is_cancelled_while_it_waits_is_dropped() {
        let held = Arc::new(());
        let work = held.clone();
        let mut waits = Box::pin(apart(async move {
            std::future::pending::<()>().await;
            drop(work);
        }));
        let now = tokio::time::timeout(Duration::from_millis(1), &mut waits);
        assert!(now.await.is_err());
        drop(waits);
        let gone = async {
            while Arc::strong_count(&held) > 1 {
                tokio::task::yield_now().await;
            }
        };
        let gone = tokio::time::timeout(Duration::from_secs(60), gone).await;
        gone.expect("it is dropped, if need be after the poll");
    }

    #[test]
    fn a_suspicion_has_few_calls_run_apart_and_does_not_end_what_is_known() {
        let blocking = Blocking::default();
        blocking.suspect();
        for _ in 0..SUSPECT {
            assert!(blocking.runs_apart());
        }
        assert!(!blocking.runs_apart());
        blocking.isolate();
        blocking.suspect();
        assert_eq!(blocking.apart.load(Ordering::Relaxed), ISOLATE);
    }
}
