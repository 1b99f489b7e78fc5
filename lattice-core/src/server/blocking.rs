//! Components that block: their code computes or waits for long without awaiting anything.
//!
//! Such code keeps its thread from other tasks. It is noticed while it happens, by the watch over
//! the [inbox](super::inbox), and when it is over. Calls of a component that has blocked run apart
//! from then on, in [`apart`], where blocking costs nothing but the thread that it takes.

use crate::name::ComponentId;
use std::{
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};
use tokio::runtime::{Handle, RuntimeFlavor};

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

/// Runs a future that may block: other tasks of this thread move to another one before each poll.
/// Where there is only one thread, it is run as it is.
pub(super) async fn apart<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|context| {
        let mut poll = || work.as_mut().poll(context);
        let has_threads = Handle::try_current()
            .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
        if has_threads {
            tokio::task::block_in_place(poll)
        } else {
            poll()
        }
    })
    .await
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
