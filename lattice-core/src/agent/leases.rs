//! Leases of components that run once.
//!
//! A lease is taken, renewed and taken over by a write with a term and an expected revision, so the
//! store decides between two hosts that want it. The holder stops serving one second before the
//! term of its last renewal can end. It measures that by its own clock, whether or not it can reach
//! the store, and no other host gets the lease before then. The holder checks the lease before each
//! call and again before it returns the result, so a process that was paused returns nothing under
//! a lease that has ended in the meantime.

mod task;
#[cfg(test)]
mod tests;

use crate::{
    call::CallError,
    name::ComponentId,
    place::plan::{Event, once::KEEP},
    replica::Replica,
    serve::{self, Answer, Request, Service, Wrapper},
    store::{StoreKey, record::Records},
    wire::Origin,
};
use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use task::LeaseTask;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// How long a lease lasts without a renewal.
pub const TERM: Duration = Duration::from_secs(5);
/// The time between two renewals.
pub const RENEW: Duration = Duration::from_millis(1_500);
/// A host that has just returned can take a lease before the present holder gives it up: it follows
/// the store for a term, and pauses for up to a second between two attempts.
const _: () = assert!(KEEP.as_millis() > TERM.as_millis() + 1_000);

/// How long before the end of its term a holder stops, because clocks run at slightly different
/// speeds.
pub const MARGIN: Duration = Duration::from_secs(1);

/// The holder of a lease, as it is recorded in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    origin: Origin,
}

/// The time until which a lease is certainly held, by three clocks: the one that timers use, one
/// that keeps running while the machine sleeps, and the wall clock, which is the only one that is
/// set forward when a virtual machine goes on after it was suspended. The one that ends first
/// counts, and the next renewal sets all of them again.
#[derive(Debug, Clone)]
pub(super) struct LeaseDeadline {
    start: ClockStart,
    ends: Arc<[AtomicU64; 3]>,
}

#[derive(Debug, Clone, Copy)]
struct ClockStart {
    at: Instant,
    asleep_too: boot_time::Instant,
    wall: SystemTime,
}

/// Milliseconds since the start, by all clocks.
#[derive(Debug, Clone, Copy)]
struct ClockReading([u64; 3]);

/// The leases that this host holds or tries to take.
#[derive(Debug)]
pub struct Leases {
    records: Records,
    replica: Replica,
    origin: Origin,
    events: mpsc::Sender<Event>,
    held: HashMap<ComponentId, HeldLease>,
    /// The leases that are being given back.
    ending: JoinSet<()>,
}

#[derive(Debug)]
struct HeldLease {
    until: LeaseDeadline,
    release: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Leases {
    /// Holds no lease yet. Changes of leases are sent to `events`. `replica` follows the store of
    /// `records`.
    pub fn new(
        records: Records,
        replica: Replica,
        origin: Origin,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            records,
            replica,
            origin,
            events,
            held: HashMap::new(),
            ending: JoinSet::new(),
        }
    }

    /// Starts to take a lease, and to renew it once it is held.
    pub fn acquire(&mut self, component: &ComponentId) {
        let (until, release) = (LeaseDeadline::expired(), CancellationToken::new());
        let holding = LeaseTask {
            records: self.records.clone(),
            replica: self.replica.clone(),
            origin: self.origin.clone(),
            key: StoreKey::lease(component),
            component: component.clone(),
            events: self.events.clone(),
            until: until.clone(),
            release: release.clone(),
        };
        let lease = HeldLease {
            until,
            release,
            task: AbortOnDropHandle::new(tokio::spawn(holding.hold())),
        };
        self.held.insert(component.clone(), lease);
    }

    /// Gives a lease back. The caller makes sure that nothing runs under it any more.
    pub fn release(&mut self, component: &ComponentId) {
        if let Some(lease) = self.held.remove(component) {
            lease.release.cancel();
            // The task ends by itself within the store's timeout, and its result is not needed.
            self.ending
                .spawn(async move { drop(timeout(TERM, lease.task).await) });
        }
    }

    /// Waits until a lease has been given back. Returns `None` if none is being given back.
    pub(super) async fn given_back(&mut self) -> Option<()> {
        self.ending.join_next().await.map(drop)
    }

    /// Returns whether no lease is being given back.
    pub(super) fn are_given_back(&self) -> bool {
        self.ending.is_empty()
    }

    /// Returns the guard for a service that runs under the lease with this fence, or `None` if the
    /// lease is not held any more.
    pub fn guard(&self, component: &ComponentId, fence: u64) -> Option<Guard> {
        let lease = self.held.get(component)?;
        Some(Guard {
            component: component.clone(),
            until: lease.until.clone(),
            fence,
        })
    }
}

/// Lets a service return results only while a lease is held.
#[derive(Debug)]
pub struct Guard {
    component: ComponentId,
    until: LeaseDeadline,
    fence: u64,
}

impl Guard {
    pub(super) fn fence(&self) -> u64 {
        self.fence
    }

    /// Wraps a service so that it serves only while the lease is held.
    pub fn around(self, service: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(Leased {
            component: self.component,
            service,
            until: self.until,
        })
    }
}

impl LeaseDeadline {
    fn expired() -> Self {
        let start = ClockStart {
            at: Instant::now(),
            asleep_too: boot_time::Instant::now(),
            wall: SystemTime::now(),
        };
        Self {
            start,
            ends: Arc::default(),
        }
    }

    fn now(&self) -> ClockReading {
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
    fn set(&self, moment: ClockReading, after: Duration) {
        for (end, moment) in self.ends.iter().zip(moment.0) {
            end.store(moment + after.as_millis() as u64, Ordering::Release);
        }
    }

    fn expire(&self) {
        for end in &*self.ends {
            end.store(0, Ordering::Release);
        }
    }

    /// Returns the end by the clock that timers use.
    fn end(&self) -> Instant {
        self.start.at + Duration::from_millis(self.ends[0].load(Ordering::Acquire))
    }

    fn holds(&self) -> bool {
        let ends = self.ends.iter().map(|end| end.load(Ordering::Acquire));
        self.now()
            .0
            .into_iter()
            .zip(ends)
            .all(|(now, end)| now < end)
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
struct Leased {
    component: ComponentId,
    service: Arc<dyn Service>,
    until: LeaseDeadline,
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
                Answer::Ready(self.until.check(serve::checked(&*self.service, answer)))
            }
            Answer::Later(work) => {
                let (until, service) = (self.until.clone(), self.service.clone());
                let work = async move { until.check(serve::checked(&*service, work.await)) };
                Answer::Later(work.boxed())
            }
            Answer::Passing(work) => {
                let (until, service) = (self.until.clone(), self.service.clone());
                let work = async move { until.check(serve::checked(&*service, work.await)) };
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
}
