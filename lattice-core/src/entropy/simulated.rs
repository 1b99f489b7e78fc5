//! The replacement for the operating system of a simulated host.

use super::Random;
use std::{
    cell::RefCell,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Replaces the randomness and the time of day of the operating system for one simulated host.
#[derive(Debug)]
pub struct StandIn {
    /// The source of random numbers.
    pub random: Random,
    /// The time since 1970.
    pub time: Duration,
}

/// Whether this process has ever simulated a host. If it hasn't, the thread local is never read.
/// Relaxed ordering is enough, because each thread only has to see its own write.
static USED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static CURRENT: RefCell<Option<StandIn>> = const { RefCell::new(None) };
}

/// Runs `work` on this thread as that host.
pub fn on<T>(host: &mut Option<StandIn>, work: impl FnOnce() -> T) -> T {
    USED.store(true, Ordering::Relaxed);
    let outside = CURRENT.replace(host.take());
    let done = work();
    *host = CURRENT.replace(outside);
    done
}

/// Returns whether this thread simulates a host now.
pub(crate) fn is_on() -> bool {
    USED.load(Ordering::Relaxed) && CURRENT.with_borrow(Option::is_some)
}

/// Calls `ask` with the stand-in, if this thread simulates a host now.
pub(super) fn with<T>(ask: impl FnOnce(&mut StandIn) -> T) -> Option<T> {
    if !USED.load(Ordering::Relaxed) {
        return None;
    }
    CURRENT.with_borrow_mut(|current| current.as_mut().map(ask))
}
