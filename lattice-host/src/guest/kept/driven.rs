//! Who polls the driver of an instance: its own task, or a caller.
//!
//! A call that waits for the driver's task costs two switches between tasks, and often wakes a
//! thread. But most methods return at once. So a caller that finds the driver at rest passes it the
//! call and polls it right there. What is left to do after that is the task's.
//!
//! ```text
//!            a caller polls
//!   at rest ───────────────► visited ── something wakes the driver ──► woken
//!      ▲                        │                                        │
//!      └──────── its end ───────┴── its end, and the task is woken ──────┘
//! ```

use crate::guest::nesting;
use futures_util::future::BoxFuture;
use lattice_core::sync::Mutex;
use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};
use tokio::{runtime::Handle, task::coop};

/// No caller polls the driver.
const AT_REST: u8 = 0;
/// A caller does.
const VISITED: u8 = 1;
/// The same, and something has woken the driver meanwhile.
const WOKEN: u8 = 2;

/// How often a caller polls at most. The driver wakes itself with most calls, and is at rest after
/// another poll.
const POLLS: usize = 4;

/// A driver. Its owner spawns [`run`](Self::run).
pub(super) struct Driven {
    /// `None` once it has ended.
    driver: Mutex<Option<BoxFuture<'static, ()>>>,
    relay: Arc<Relay>,
    /// The relay, for the driver.
    waker: Waker,
    /// Where the driver's timers are.
    runtime: Handle,
}

/// Wakes the driver's task, unless a caller polls the driver now.
#[derive(Default)]
struct Relay {
    state: AtomicU8,
    /// Set with the first poll by the task.
    task: OnceLock<Waker>,
}

impl Driven {
    /// Must be called in a Tokio runtime.
    pub(super) fn new(driver: BoxFuture<'static, ()>) -> Arc<Self> {
        let relay = Arc::<Relay>::default();
        Arc::new(Self {
            driver: Mutex::new(Some(driver)),
            waker: Waker::from(relay.clone()),
            relay,
            runtime: Handle::current(),
        })
    }

    /// Drives until the driver has ended. When this is dropped, the driver is.
    pub(super) fn run(self: Arc<Self>) -> impl Future<Output = ()> + Send {
        // Made before the first poll, which may never come.
        let end = End(self);
        async move { poll_fn(|context| end.0.poll(context)).await }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        // It is the same task each time.
        self.relay.task.get_or_init(|| context.waker().clone());
        let Some(mut slot) = self.driver.try_lock() else {
            self.relay.wake_by_ref();
            return Poll::Pending;
        };
        let Some(driver) = slot.as_mut() else {
            return Poll::Ready(());
        };
        let polled = driver.as_mut().poll(&mut Context::from_waker(&self.waker));
        if polled.is_ready() {
            let ended = slot.take();
            drop(slot);
            drop(ended);
        }
        polled
    }

    /// Passes something to the driver, and polls it if it is at rest. A driver that panics ends.
    pub(super) fn pass(&self, pass: impl FnOnce()) {
        // wasmtime can't enter a guest from an import of another one that it polls itself.
        if nesting::is_in_import() || self.relay.task.get().is_none() {
            return pass();
        }
        let Some(mut slot) = self.driver.try_lock() else {
            return pass();
        };
        let Some(driver) = slot.as_mut() else {
            drop(slot);
            return pass();
        };
        self.relay.state.swap(VISITED, Ordering::AcqRel);
        pass();
        let visit = AssertUnwindSafe(|| self.visit(driver));
        let ended = match catch_unwind(visit) {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(())) | Err(_) => slot.take(),
        };
        // Before the lock is released, so that it isn't the state of the next visit.
        let was_woken = self.relay.state.swap(AT_REST, Ordering::AcqRel) == WOKEN;
        drop(slot);
        let has_ended = ended.is_some();
        drop(ended);
        if was_woken || has_ended {
            self.relay.wake_by_ref();
        }
    }
}

impl Driven {
    /// Polls the driver until nothing wakes it any more.
    fn visit(&self, driver: &mut BoxFuture<'static, ()>) -> Poll<()> {
        let _runtime = self.runtime.enter();
        // The budget belongs to the caller's task, and doesn't last for many calls. The driver has
        // a limit of its own.
        let mut driver = pin!(coop::unconstrained(driver.as_mut()));
        let mut context = Context::from_waker(&self.waker);
        for _ in 0..POLLS {
            // What has woken it until now is seen by this poll.
            self.relay.state.swap(VISITED, Ordering::AcqRel);
            let polled = driver.as_mut().poll(&mut context);
            if polled.is_ready() || self.relay.state.load(Ordering::Acquire) != WOKEN {
                return polled;
            }
        }
        Poll::Pending
    }
}

/// Drops the driver with its task.
struct End(Arc<Driven>);

impl Drop for End {
    fn drop(&mut self) {
        let driver = self.0.driver.lock().take();
        drop(driver);
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let woken = |state| (state != AT_REST).then_some(WOKEN);
        let state = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, woken);
        if let (Err(_), Some(task)) = (state, self.task.get()) {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::atomic::AtomicBool, time::Duration};
    use tokio::{
        sync::{Notify, mpsc},
        time::timeout,
    };
    use tokio_util::task::AbortOnDropHandle;

    /// A driver that counts what it is passed, and returns the task in which it did.
    struct Counting {
        driven: Arc<Driven>,
        jobs: mpsc::UnboundedSender<u32>,
        done: mpsc::UnboundedReceiver<(u32, String)>,
        ended: Arc<AtomicBool>,
        task: AbortOnDropHandle<()>,
    }

    struct Ended(Arc<AtomicBool>);

    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// Wakes its task more often than a caller polls.
    async fn wakes_itself() {
        let mut left = 2 * POLLS;
        poll_fn(|context| {
            left -= 1;
            context.waker().wake_by_ref();
            if left == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    fn task() -> String {
        tokio::task::try_id().map_or_else(String::new, |id| id.to_string())
    }

    impl Counting {
        /// Waits once for `again` before each job of 7, wakes itself before one of 9, and panics at
        /// one of 13.
        async fn start(again: Arc<Notify>) -> Self {
            let (jobs, mut inbox) = mpsc::unbounded_channel();
            let (report, done) = mpsc::unbounded_channel();
            let ended = Arc::new(AtomicBool::new(false));
            let end = Ended(ended.clone());
            let driven = Driven::new(Box::pin(async move {
                let _end = end;
                while let Some(job) = inbox.recv().await {
                    match job {
                        7 => again.notified().await,
                        9 => wakes_itself().await,
                        13 => panic!("on purpose"),
                        _ => {}
                    }
                    let _ = report.send((job, task()));
                }
            }));
            let task = AbortOnDropHandle::new(tokio::spawn(driven.clone().run()));
            tokio::task::yield_now().await;
            Self {
                driven,
                jobs,
                done,
                ended,
                task,
            }
        }

        fn pass(&self, job: u32) {
            self.driven.pass(|| {
                let _ = self.jobs.send(job);
            });
        }
    }

    #[tokio::test]
    async fn a_driver_at_rest_is_polled_by_the_caller_and_goes_on_in_its_task() {
        let again = Arc::new(Notify::new());
        let mut counting = Counting::start(again.clone()).await;
        let here = task();
        counting.pass(1);
        let done = counting.done.try_recv().expect("it was done at once");
        assert_eq!(done, (1, here.clone()));
        counting.pass(7);
        assert!(counting.done.try_recv().is_err());
        again.notify_one();
        let (job, there) = counting.done.recv().await.expect("it goes on");
        assert_eq!(job, 7);
        assert_ne!(there, here);
        counting.pass(9);
        assert!(counting.done.try_recv().is_err());
        let next = timeout(Duration::from_secs(60), counting.done.recv()).await;
        let (job, there) = next.expect("it goes on").expect("it is open");
        assert!(job == 9 && there != here);
        // Something else than a caller wakes it.
        counting.jobs.send(2).expect("it runs");
        let (job, there) = counting.done.recv().await.expect("it goes on");
        assert!(job == 2 && there != here);
    }

    #[tokio::test]
    async fn a_driver_is_not_polled_inside_of_an_import() {
        let mut counting = Counting::start(Arc::default()).await;
        nesting::import(async { counting.pass(1) }).await;
        assert!(counting.done.try_recv().is_err());
        let (job, there) = counting.done.recv().await.expect("its task does it");
        assert!(job == 1 && there != task());
    }

    #[tokio::test]
    async fn a_driver_that_ends_or_panics_while_it_is_visited_is_dropped() {
        for job in [13, 0] {
            let Counting {
                driven,
                jobs,
                ended,
                task,
                ..
            } = Counting::start(Arc::default()).await;
            driven.pass(move || {
                if job > 0 {
                    let _ = jobs.send(job);
                }
            });
            assert!(ended.load(Ordering::SeqCst), "{job}");
            let end = timeout(Duration::from_secs(60), task).await;
            end.expect("in time").expect("the task ends with it");
            driven.pass(|| {});
        }
    }

    #[tokio::test]
    async fn a_driver_is_dropped_with_its_task() {
        let counting = Counting::start(Arc::default()).await;
        let driven = counting.driven.clone();
        let ended = counting.ended.clone();
        drop(counting.task);
        tokio::task::yield_now().await;
        assert!(ended.load(Ordering::SeqCst));
        let passed = AtomicBool::new(false);
        driven.pass(|| passed.store(true, Ordering::SeqCst));
        assert!(passed.into_inner(), "there is just no one to poll");
    }

    /// As when its runtime shuts down before it runs.
    #[tokio::test]
    async fn a_driver_is_dropped_with_a_task_that_never_ran() {
        let dropped = Arc::new(());
        let held = dropped.clone();
        let driver = async move {
            std::future::pending::<()>().await;
            drop(held);
        };
        let driven = Driven::new(Box::pin(driver));
        drop(driven.clone().run());
        assert_eq!(Arc::strong_count(&dropped), 1);
    }

    /// Nothing that wakes the driver is lost, whoever polls it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_job_is_done_when_callers_of_several_threads_pass_them() {
        const EACH: usize = 2_000;
        let counting = Counting::start(Arc::default()).await;
        let Counting {
            driven,
            jobs,
            mut done,
            task: _task,
            ..
        } = counting;
        for caller in 0..4_usize {
            let (driven, jobs) = (driven.clone(), jobs.clone());
            tokio::spawn(async move {
                for number in 0..EACH {
                    let send = || {
                        let _ = jobs.send(1);
                    };
                    if (caller + number).is_multiple_of(3) {
                        send();
                    } else {
                        driven.pass(send);
                    }
                    if number.is_multiple_of(16) {
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
        for _ in 0..4 * EACH {
            let next = timeout(Duration::from_secs(60), done.recv()).await;
            next.expect("every job is done").expect("it goes on");
        }
    }
}
