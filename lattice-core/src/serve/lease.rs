//! Serving under a lease: only while it is certainly held.
//!
//! The agent of a host takes and renews the lease. A process that the host starts is told until
//! when the lease is held, and checks that by itself.

use super::{Answer, Request, Service, Site, Wrapper, checked};
use crate::{call::CallError, id::Fence, name::ComponentId};
use futures_util::future::{BoxFuture, FutureExt as _};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{Notify, futures::Notified},
    time::{Instant, sleep_until},
};

/// The time until which a lease is certainly held, by three clocks: the one that timers use, one
/// that keeps running while the machine sleeps, and the wall clock, which is the only one that is
/// set forward when a virtual machine goes on after it was suspended. The one that ends first
/// counts, and the next renewal sets all of them again. Clones are the same lease.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct LeaseDeadline {
    start: ClockStart,
    shared: Arc<Ends>,
}

/// The ends by all clocks, in milliseconds since the start.
#[derive(Debug, Default)]
struct Ends {
    by: [AtomicU64; 3],
    renewed: Notify,
}

#[derive(Debug, Clone, Copy)]
struct ClockStart {
    at: Instant,
    asleep_too: boot_time::Instant,
    wall: SystemTime,
}

/// Milliseconds since the start, by all clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClockReading([u64; 3]);

/// How long a lease is still held.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseLeft {
    /// By a clock that keeps running while the machine sleeps.
    pub asleep_too: Duration,
    /// By the wall clock.
    pub wall: Duration,
}

impl LeaseDeadline {
    /// A lease that is not held yet.
    pub fn expired() -> Self {
        let start = ClockStart {
            at: Instant::now(),
            asleep_too: boot_time::Instant::now(),
            wall: SystemTime::now(),
        };
        Self {
            start,
            shared: Arc::default(),
        }
    }

    pub(crate) fn now(&self) -> ClockReading {
        let ClockStart {
            at,
            asleep_too,
            wall,
        } = self.start;
        // A wall clock that was turned back to before the start shows nothing.
        let by_wall = wall.elapsed().unwrap_or_default();
        let elapsed = [at.elapsed(), asleep_too.elapsed(), by_wall];
        ClockReading(elapsed.map(|elapsed| elapsed.as_millis() as u64))
    }

    /// Sets the end to `after` past `moment`.
    pub(crate) fn set(&self, moment: ClockReading, after: Duration) {
        self.set_each(moment, [after; 3]);
    }

    fn set_each(&self, moment: ClockReading, after: [Duration; 3]) {
        let ends = self.shared.by.iter().zip(moment.0.into_iter().zip(after));
        for (end, (moment, after)) in ends {
            let at = moment.saturating_add(after.as_millis() as u64);
            end.store(at, Ordering::Release);
        }
        self.shared.renewed.notify_waiters();
    }

    pub(crate) fn expire(&self) {
        for end in &self.shared.by {
            end.store(0, Ordering::Release);
        }
        self.shared.renewed.notify_waiters();
    }

    fn ends(&self) -> [u64; 3] {
        std::array::from_fn(|clock| self.shared.by[clock].load(Ordering::Acquire))
    }

    /// Returns the end by the clock that timers use.
    pub(crate) fn end(&self) -> Instant {
        self.start.at + Duration::from_millis(self.ends()[0])
    }

    /// Returns whether the lease is held, by all clocks.
    pub fn holds(&self) -> bool {
        let now = self.now().0.into_iter();
        now.zip(self.ends()).all(|(now, end)| now < end)
    }

    /// Returns how long the lease is still held, to tell another process of this machine.
    pub fn left(&self) -> LeaseLeft {
        let (now, ends) = (self.now().0, self.ends());
        let left = |clock: usize| Duration::from_millis(ends[clock].saturating_sub(now[clock]));
        LeaseLeft {
            asleep_too: left(0).min(left(1)),
            wall: left(2),
        }
    }

    /// Sets how long the lease is held from now on.
    pub fn hold_for(&self, left: LeaseLeft) {
        let LeaseLeft { asleep_too, wall } = left;
        self.set_each(self.now(), [asleep_too, asleep_too, wall]);
    }

    /// Waits for the next renewal after this call, or for the end of the lease before its time.
    pub fn renewed(&self) -> Notified<'_> {
        self.shared.renewed.notified()
    }

    /// Waits until the lease has ended by the clock that timers use.
    pub async fn until_over(&self) {
        loop {
            let renewed = self.renewed();
            let end = self.end();
            if Instant::now() >= end {
                return;
            }
            tokio::select! {
                () = sleep_until(end) => {}
                () = renewed => {}
            }
        }
    }

    /// Returns the result if the lease is still held, and an error otherwise.
    fn check<T>(&self, answer: Result<T, CallError>) -> Result<T, CallError> {
        let lost = || CallError::InstanceLost {
            reason: "its lease ended before it returned".to_owned(),
        };
        answer.and_then(|answer| self.holds().then_some(answer).ok_or_else(lost))
    }
}

/// A service that serves only while a lease is held.
pub(crate) struct Leased {
    pub(crate) component: ComponentId,
    pub(crate) service: Arc<dyn Service>,
    pub(crate) fence: Fence,
    pub(crate) until: LeaseDeadline,
}

impl Leased {
    fn stopping(&self) -> CallError {
        CallError::Stopping {
            component: self.component.clone(),
        }
    }

    /// Returns the answer of the service, if the lease is still held then.
    fn while_held(&self, answer: Answer) -> Answer {
        match answer {
            Answer::Ready(answer) => {
                Answer::Ready(self.until.check(checked(&*self.service, answer)))
            }
            Answer::Later(work) => {
                let (until, service) = (self.until.clone(), self.service.clone());
                let work = async move { until.check(checked(&*service, work.await)) };
                Answer::Later(work.boxed())
            }
            Answer::Passing(work) => {
                let (until, service) = (self.until.clone(), self.service.clone());
                let work = async move { until.check(checked(&*service, work.await)) };
                Answer::Passing(work.boxed())
            }
        }
    }
}

impl Wrapper for Leased {
    fn inner(&self) -> &dyn Service {
        &*self.service
    }

    /// The errors of the wrapped service are checked here.
    fn errors_are_its_own(&self) -> bool {
        true
    }

    fn call(&self, request: Request) -> Answer {
        if !self.until.holds() {
            return Answer::Ready(Err(self.stopping()));
        }
        self.while_held(self.service.call(request))
    }

    fn restore(&self, resource: &str, request: Request) -> Answer {
        if !self.until.holds() {
            return Answer::Ready(Err(self.stopping()));
        }
        self.while_held(self.service.restore(resource, request))
    }

    fn started(&self, site: &Site) -> BoxFuture<'static, Result<(), String>> {
        let site = site.clone().under(self.fence, self.until.clone());
        self.service.started(&site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Duration = Duration::from_secs(4);

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_ended_while_the_machine_stood_still_is_not_held() {
        let stood = Duration::from_secs(5);
        let awake = LeaseDeadline::expired();
        let start = awake.start;
        let from = |start| LeaseDeadline {
            start,
            shared: Arc::default(),
        };
        let asleep = from(ClockStart {
            asleep_too: boot_time::Instant::now() - stood,
            ..start
        });
        let suspended = from(ClockStart {
            wall: start.wall - stood,
            ..start
        });
        let turned_back = from(ClockStart {
            wall: start.wall + stood * 1_000,
            ..start
        });
        for (until, holds) in [
            (awake, true),
            (asleep, false),
            (suspended, false),
            (turned_back, true),
        ] {
            assert!(!until.holds(), "never");
            until.set(ClockReading([0; 3]), TERM);
            assert_eq!(until.holds(), holds, "{until:?}");
            // A renewal counts from now, by all clocks.
            until.set(until.now(), TERM);
            assert!(until.holds(), "{until:?}");
            until.expire();
            assert!(!until.holds());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_process_holds_a_lease_for_as_long_as_it_is_told() {
        let (here, there) = (LeaseDeadline::expired(), LeaseDeadline::expired());
        assert_eq!(here.left().asleep_too, Duration::ZERO);
        there.hold_for(here.left());
        assert!(!there.holds());
        here.set(here.now(), TERM);
        there.hold_for(here.left());
        assert!(there.holds());
        assert!(there.left().asleep_too <= TERM, "{:?}", there.left());
        let over = there.until_over();
        let within = tokio::time::timeout(TERM + Duration::from_secs(1), over);
        within.await.expect("it ends by itself");
        assert!(!there.holds());
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_lease_is_waited_for_across_renewals_and_comes_before_its_time() {
        let until = LeaseDeadline::expired();
        until.set(until.now(), TERM);
        let begun = Instant::now();
        let waits = tokio::spawn({
            let until = until.clone();
            async move { until.until_over().await }
        });
        tokio::time::sleep(TERM * 3 / 4).await;
        until.set(until.now(), TERM);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!waits.is_finished(), "it was renewed");
        until.expire();
        waits.await.expect("no panic");
        assert!(begun.elapsed() < TERM * 2);
    }
}
