//! Components that block: their code computes or waits for long without awaiting anything.
//!
//! Such code keeps its thread from other tasks. It is noticed while it happens, by the watch over
//! the [inbox](super::inbox), and when it is over. Calls of a component that has blocked run apart
//! from then on, in [`apart`], where blocking costs nothing but the thread that it takes.

use crate::name::ComponentId;
use futures_util::{FutureExt as _, task::AtomicWaker};
use std::{
    future::poll_fn,
    mem::replace,
    panic::resume_unwind,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::Span;

/// Code that keeps the runner of the inbox for longer than this blocks. Well over what a busy
/// machine adds by itself.
const SLOW: Duration = Duration::from_millis(20);
/// From here on, the component is logged.
pub(super) const LOGGED: Duration = Duration::from_millis(100);
/// How many calls of a component run apart after one of them has blocked.
const ISOLATE: u32 = 4_096;
/// How many calls of a component run apart while one of them may be blocking.
const SUSPECT: u32 = 64;

/// How often one component has blocked, and which of its calls run apart.
#[derive(Debug, Default)]
pub(crate) struct Blocking {
    /// How often it has blocked for so long.
    logged: AtomicU64,
    /// How many of the next calls run apart.
    apart: AtomicU32,
}

impl Blocking {
    /// Records that code of the component has not awaited anything for `time`, and may still be
    /// running.
    pub(super) fn noticed(&self, component: &ComponentId, time: Duration) {
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

    /// Runs the next few calls apart: one of them may be blocking. A pause of the whole process
    /// looks the same.
    pub(super) fn suspect(&self) {
        self.apart.fetch_max(SUSPECT, Ordering::Relaxed);
    }

    /// Runs its calls apart from now on.
    pub(super) fn isolate(&self) {
        self.apart.store(ISOLATE, Ordering::Relaxed);
    }

    /// Whether the next call has to run apart.
    pub(super) fn runs_apart(&self) -> bool {
        // Not exact, and need not be.
        match self.apart.load(Ordering::Relaxed) {
            0 => false,
            left => {
                self.apart.store(left - 1, Ordering::Relaxed);
                true
            }
        }
    }
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
    let (signal, mut state) = (Arc::new(Signal::new()), Apart::Waits(Box::pin(work)));
    poll_fn(move |context| {
        // Before the look: from here on, what wakes the work wakes this task as well.
        signal.task.register(context.waker());
        loop {
            state = match replace(&mut state, Apart::Over) {
                Apart::Waits(work) if signal.is_woken.swap(false, Ordering::AcqRel) => {
                    Apart::Runs(poll_apart(work, &signal))
                }
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
fn poll_apart<F>(mut work: Pin<Box<F>>, signal: &Arc<Signal>) -> PollApart<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    let (waker, span) = (Waker::from(signal.clone()), Span::current());
    spawn_blocking(move || {
        let mut context = Context::from_waker(&waker);
        let poll = span.in_scope(|| work.as_mut().poll(&mut context));
        (work, poll)
    })
}

type PollApart<F> = JoinHandle<(Pin<Box<F>>, Poll<<F as Future>::Output>)>;

/// Work that may block.
enum Apart<F: Future> {
    /// Until something wakes it.
    Waits(Pin<Box<F>>),
    /// It is being polled on another thread.
    Runs(PollApart<F>),
    Over,
}

/// Wakes the work, or notes that it was woken while it was being polled.
struct Signal {
    is_woken: AtomicBool,
    task: AtomicWaker,
}

impl Signal {
    fn new() -> Self {
        Self {
            is_woken: AtomicBool::new(true),
            task: AtomicWaker::new(),
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.task.wake();
    }
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

    /// Sleeps on its thread, yields, sleeps again, and waits.
    #[tokio::test]
    async fn what_runs_apart_holds_up_no_other_task_and_ends() {
        let waited = Arc::new(tokio::sync::Notify::new());
        let again = waited.clone();
        let here = std::thread::current().id();
        let work = async move {
            std::thread::sleep(SLOW);
            tokio::task::yield_now().await;
            std::thread::sleep(SLOW);
            again.notified().await;
            std::thread::current().id()
        };
        let mut work = std::pin::pin!(apart(work));
        let mut others = 0;
        let there = loop {
            tokio::select! {
                biased;
                there = &mut work => break there,
                () = tokio::time::sleep(Duration::from_millis(1)) => others += 1,
            }
            if others == 20 {
                waited.notify_one();
            }
        };
        assert_ne!(there, here);
        assert!(others >= 20, "{others}");
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
