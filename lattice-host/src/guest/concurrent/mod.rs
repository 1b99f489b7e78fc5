//! Warm instances in which many calls of `async func`s overlap.
//!
//! Each is driven by a task of its own. It is *open* → *retired* (takes no new call, its calls have a second left) →
//! *ended*. A call that its caller gave up retires the instance, because nothing can take the call out of it; a trap or an
//! overrun of its CPU budget ends it with every call in it, and so does a caller's last handle.

mod driver;
mod handle;

use super::{Call, HostedActor, Outcome};
use handle::{End, Line, Place, Reply};
use lattice_core::call::CallError;
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Calls in one instance before another one is made, when there may be more.
const CROWD: usize = 64;
/// Instances that one call may be handed to, when the ones before ended before they took it up.
const ATTEMPTS: usize = 3;

/// The instances of one actor.
pub(super) struct Shared {
    actor: Arc<HostedActor>,
    most: NonZeroUsize,
    idle: Duration,
    open: Mutex<Vec<Arc<Line>>>,
}

impl Shared {
    pub(super) fn new(actor: Arc<HostedActor>, most: NonZeroUsize, idle: Duration) -> Arc<Self> {
        Arc::new(Self {
            actor,
            most,
            idle,
            open: Mutex::default(),
        })
    }

    /// A place in the instance with the fewest calls, or in a new one.
    fn place(&self) -> Place {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|line| line.is_open());
        let emptiest = open.iter().min_by_key(|line| line.load());
        let line = match emptiest {
            Some(line) if line.load() < CROWD || open.len() >= self.most.get() => line.clone(),
            _ => {
                let line = driver::start(self.actor.clone(), self.idle);
                open.push(line.clone());
                line
            }
        };
        Place::new(line)
    }
}

/// # Cancel safety
/// Dropping the future retires the instance, when the call has begun.
pub(super) async fn call(instances: Arc<Shared>, call: Call) -> Outcome {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let mut place = instances.place();
        let end = match place.ask(call.clone()).await {
            Some(Reply::Done(outcome)) => return outcome,
            Some(Reply::NotTaken) | None if !place.has_begun() => {
                last = Some(place);
                continue;
            }
            _ => place.end().await,
        };
        return Err(end.error(place.id()));
    }
    // The instances end as fast as they are made: most likely they can't be started at all.
    match last {
        Some(place) => Err(place.end().await.for_calls_not_begun()),
        None => Err(CallError::Stopping {
            component: instances.actor.context.id.clone(),
        }),
    }
}

impl End {
    /// The answer to a call that had begun.
    fn error(&self, call: u64) -> CallError {
        match self {
            Self::NotStarted(error) => error.clone(),
            Self::Failed {
                culprit: Some((culprit, error)),
                ..
            } if *culprit == call => error.clone(),
            Self::Failed { reason, .. } => CallError::InstanceLost {
                reason: reason.clone(),
            },
        }
    }

    fn for_calls_not_begun(&self) -> CallError {
        match self {
            Self::NotStarted(error) => error.clone(),
            Self::Failed { component, .. } => CallError::Stopping {
                component: component.clone(),
            },
        }
    }
}
