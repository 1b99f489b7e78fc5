//! Warm instances in which many calls of `async func`s overlap.
//!
//! Each is driven by its own task. Its states are *open* → *retired* (it takes no new calls, and
//! its calls have a second left) → *ended*. A call that its caller abandons retires the instance,
//! because the call can't be removed from it. A trap or an overrun of the CPU budget ends the
//! instance with every call in it. So does dropping the last handle.

mod driver;
mod handle;

use super::{Call, CallResult, HostedActor};
use handle::{CallReply, CallSlot, InstanceEnd, InstanceHandle};
use lattice_core::{
    call::{CallError, Context},
    sync::Mutex,
};
use std::{num::NonZeroUsize, sync::Arc, time::Duration};

/// Calls in one instance above which another one is created, if the limit allows it.
const CALLS_BEFORE_ANOTHER: usize = 64;
/// The most instances that one call is sent to, when each ends before it begins the call.
const ATTEMPTS: usize = 3;

/// The instances of one actor.
pub(super) struct ConcurrentPool {
    actor: Arc<HostedActor>,
    most: NonZeroUsize,
    idle: Duration,
    open: Mutex<Vec<Arc<InstanceHandle>>>,
}

impl ConcurrentPool {
    pub(super) fn new(actor: Arc<HostedActor>, most: NonZeroUsize, idle: Duration) -> Arc<Self> {
        Arc::new(Self {
            actor,
            most,
            idle,
            open: Mutex::default(),
        })
    }

    /// Returns how many instances no call uses.
    pub(super) fn idle(&self) -> usize {
        let open = self.open.lock();
        open.iter().filter(|handle| handle.is_idle()).count()
    }

    /// Returns a slot in the instance with the fewest calls, or in a new one that is started for
    /// the call with this context.
    fn slot(&self, context: Context) -> CallSlot {
        let mut open = self.open.lock();
        open.retain(|handle| handle.is_open());
        let emptiest = open.iter().min_by_key(|handle| handle.load());
        let handle = match emptiest {
            Some(handle)
                if handle.load() < CALLS_BEFORE_ANOTHER || open.len() >= self.most.get() =>
            {
                handle.clone()
            }
            _ => {
                let handle = driver::start(self.actor.clone(), context, self.idle);
                open.push(handle.clone());
                handle
            }
        };
        CallSlot::new(handle)
    }
}

/// # Cancel safety
/// Dropping the future retires the instance if the call has begun.
pub(super) async fn call(instances: Arc<ConcurrentPool>, call: Call) -> CallResult {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let mut slot = instances.slot(call.context);
        let end = match slot.send(call.clone()).await {
            Some(CallReply::Done(outcome)) => return outcome,
            Some(CallReply::NotTaken) | None if !slot.has_begun() => {
                last = Some(slot);
                continue;
            }
            _ => slot.end().await,
        };
        return Err(end.error(slot.id()));
    }
    // The instances end as fast as they are created. Most likely they can't be started at all.
    match last {
        Some(slot) => Err(slot.end().await.for_calls_not_begun()),
        None => Err(CallError::Stopping {
            component: instances.actor.context.id.clone(),
        }),
    }
}

impl InstanceEnd {
    /// Returns the error of a call that had begun.
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
            // Not `Stopping`: the component runs, and ends itself again and again.
            Self::Failed {
                reason,
                is_crash: true,
                ..
            } => CallError::InstanceLost {
                reason: format!("{ATTEMPTS} instances ended one after the other: {reason}"),
            },
            Self::Failed { component, .. } => CallError::Stopping {
                component: component.clone(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_core::{call::Ran, name::ComponentId};

    fn failed(is_crash: bool) -> InstanceEnd {
        let reason = "it panicked".to_owned();
        let culprit = is_crash.then(|| {
            let reason = reason.clone();
            (7, CallError::CalleeFailed { reason })
        });
        InstanceEnd::Failed {
            component: ComponentId::new("a").expect("an id"),
            reason,
            is_crash,
            culprit,
        }
    }

    #[test]
    fn calls_return_why_their_instances_ended() {
        let crashed = failed(true);
        let culprit = crashed.error(7);
        assert!(
            matches!(culprit, CallError::CalleeFailed { .. }),
            "{culprit}"
        );
        for error in [crashed.error(8), crashed.for_calls_not_begun()] {
            let CallError::InstanceLost { reason } = &error else {
                panic!("failed in another way: {error}");
            };
            assert!(reason.contains("it panicked"), "{reason}");
        }
        let stopped = failed(false).for_calls_not_begun();
        assert!(matches!(stopped, CallError::Stopping { .. }), "{stopped}");
        assert_eq!(stopped.ran(), Ran::No);
    }
}
