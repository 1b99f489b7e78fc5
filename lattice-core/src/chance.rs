//! Where randomness and the time of day come from: the operating system, or the simulator that stands in for it.

use crate::name::HostId;
use std::time::{Duration, SystemTime};

/// Hashes maps whose order can be seen. In simulations that order is the same each time.
#[cfg(not(feature = "test-util"))]
pub(crate) type HashState = foldhash::fast::RandomState;
#[cfg(feature = "test-util")]
pub(crate) type HashState = foldhash::fast::FixedState;

/// A random number, when there is any randomness.
pub(crate) fn number() -> Option<u64> {
    #[cfg(feature = "test-util")]
    if let Some(number) = simulated::with(|stand_in| stand_in.random.next()) {
        return Some(number);
    }
    getrandom::u64().ok()
}

/// An id that no other host has.
///
/// # Panics
/// When the operating system has no randomness to give.
pub(crate) fn host_id() -> HostId {
    HostId::from_number(number().expect("the operating system gives randomness"))
}

/// The time since 1970; zero on a clock that stands before that.
pub(crate) fn since_1970() -> Duration {
    #[cfg(feature = "test-util")]
    if let Some(time) = simulated::with(|stand_in| stand_in.time) {
        return time;
    }
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(feature = "test-util")]
pub(crate) mod simulated {
    use crate::bus::fault::random::Random;
    use std::{cell::RefCell, time::Duration};

    /// What stands in for the operating system of one simulated host.
    pub(crate) struct StandIn {
        pub(crate) random: Random,
        pub(crate) time: Duration,
    }

    thread_local! {
        static CURRENT: RefCell<Option<StandIn>> = const { RefCell::new(None) };
    }

    /// Does `work` on this thread as if on that host.
    pub(crate) fn on<T>(host: &mut Option<StandIn>, work: impl FnOnce() -> T) -> T {
        let outside = CURRENT.replace(host.take());
        let done = work();
        *host = CURRENT.replace(outside);
        done
    }

    /// Whether this thread simulates a host now.
    pub(crate) fn is_on() -> bool {
        CURRENT.with_borrow(Option::is_some)
    }

    pub(super) fn with<T>(ask: impl FnOnce(&mut StandIn) -> T) -> Option<T> {
        CURRENT.with_borrow_mut(|current| current.as_mut().map(ask))
    }
}
