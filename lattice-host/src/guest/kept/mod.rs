//! Instances that stay for what they have given away: resources that others hold, and streams and
//! futures whose ends are in them.
//!
//! All calls of a component that passes handles run in such instances, many in one. They overlap,
//! or run one after the other, as the component's [`CallMode`](crate::engine::CallMode) says. Each
//! instance is driven by a task. A call goes to
//!
//! 1. the instance in which the resources live that it uses of the component's own; else
//! 2. the one that has given something to the instance that calls, so that what belongs together is
//!    together; else
//! 3. a new one, or an unused one of an actor whose instances are warm.
//!
//! An instance ends when nothing points to it and no call of it is waited for, or when nothing has
//! used it for [`Limits::kept`](crate::Limits::kept). A warm one then waits for another call first.
//! When it ends in another way, its streams and futures are broken, and what it held is dropped.

mod driven;
mod driver;
mod home;
mod in_turn;
mod overlapping;
mod prepared;
mod warm;

pub(super) use home::{Home, Nowhere};

use super::HostedActor;
use crate::transcode::{Arguments, FunctionPlan, Places};
use driven::Driven;
use driver::Kept;
use foldhash::fast::RandomState;
use home::{End, Job, Use};
use lattice_core::{
    call::{CallError, Context},
    id::{FunctionKey, Origin},
    serve::{CallerInstance, Request},
    stream::{Body, Handles, InstanceRef, Stale, next_instance},
    sync::Mutex,
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::oneshot;
use warm::Warm;

/// Ended instances whose ends are remembered, to tell those that still have handles why.
const REMEMBERED: usize = 1_024;

/// The kept instances of one actor.
pub(super) struct KeptPool {
    actor: Arc<HostedActor>,
    origin: Origin,
    warm: Option<Arc<Warm>>,
    instances: Mutex<KeptInstances>,
}

#[derive(Default)]
struct KeptInstances {
    open: HashMap<u64, Kept, RandomState>,
    /// The instances that serve instances of others.
    serving: HashMap<CallingInstance, u64, RandomState>,
    ended: VecDeque<(u64, Arc<str>)>,
}

/// An instance that calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CallingInstance {
    /// The boot of its host, if that is another one.
    boot: Option<Origin>,
    number: u64,
}

/// A call of a function that was checked.
pub(super) struct KeptCall {
    pub(super) id: u64,
    pub(super) function: FunctionKey,
    pub(super) arguments: Arguments,
    pub(super) handles: Handles,
    pub(super) places: Places,
    pub(super) context: Context,
}

impl KeptPool {
    pub(super) fn new(actor: Arc<HostedActor>, origin: Origin) -> Arc<Self> {
        Arc::new(Self {
            warm: Warm::of(&actor),
            actor,
            origin,
            instances: Mutex::default(),
        })
    }

    /// Returns how many instances there are.
    pub(super) fn len(&self) -> usize {
        self.instances.lock().open.len()
    }

    /// Returns the instance for a call, which stays as long as its use does.
    fn instance(
        self: &Arc<Self>,
        pin: Option<&InstanceRef>,
        caller: CallerInstance,
        context: Context,
    ) -> Result<(Arc<Driven>, Use), Stale> {
        let caller = CallingInstance::of(caller);
        let caller = caller.as_ref();
        let rested = || self.warm.as_ref().and_then(|warm| warm.enter(caller));
        if pin.is_none()
            && caller.is_none()
            && let Some(found) = rested()
        {
            return Ok(found);
        }
        let mut instances = self.instances.lock();
        if let Some(pin) = pin {
            let use_of = |kept: &Kept| Some((kept.driven.clone(), kept.home.enter(caller)?));
            let found = instances.open.get(&pin.instance).and_then(use_of);
            return found.ok_or_else(|| instances.end_of(pin.instance));
        }
        let serving = caller.and_then(|caller| instances.serving.get(caller));
        if let Some(kept) = serving.and_then(|number| instances.open.get(number))
            && let Some(used) = kept.home.enter_again(caller)
        {
            return Ok((kept.driven.clone(), used));
        }
        let unused = || {
            let mut open = instances.open.values();
            open.find_map(|kept| Some((kept.driven.clone(), kept.home.enter_unused(caller)?)))
        };
        let found = self.warm.as_ref().and_then(|_| rested().or_else(unused));
        let (driven, used) = found.unwrap_or_else(|| {
            let at = InstanceRef {
                origin: self.origin.clone(),
                component: self.actor.context.id.clone(),
                instance: next_instance(),
            };
            let (kept, used) = driver::start(self, at, caller.cloned(), context);
            let driven = kept.driven.clone();
            instances.open.insert(kept.home.number(), kept);
            self.are_open(&instances);
            (driven, used)
        });
        if let Some(caller) = caller {
            let number = used.home().number();
            instances.serves(number, caller, self.warm.is_some());
        }
        Ok((driven, used))
    }

    /// Forgets an instance that has ended.
    fn ended(&self, home: &Home, reason: Arc<str>) {
        let mut instances = self.instances.lock();
        let kept = instances.open.remove(&home.number());
        self.are_open(&instances);
        if self.warm.is_some() {
            let ended = home.number();
            instances.serving.retain(|_, number| *number != ended);
        } else if let Some(caller) = home.last_caller()
            && instances.serving.get(&caller) == Some(&home.number())
        {
            instances.serving.remove(&caller);
        }
        if instances.ended.len() >= REMEMBERED {
            instances.ended.pop_front();
        }
        instances.ended.push_back((home.number(), reason));
        drop(instances);
        drop(kept);
    }

    fn are_open(&self, instances: &KeptInstances) {
        if let Some(warm) = &self.warm {
            warm.are_open(instances.open.len());
        }
    }
}

impl Drop for KeptPool {
    fn drop(&mut self) {
        if let Some(warm) = &self.warm {
            warm.forget();
        }
    }
}

impl CallingInstance {
    /// `None` when it isn't known which one it is.
    fn of(caller: CallerInstance) -> Option<Self> {
        match caller {
            CallerInstance::Instance(number) => Some(Self { boot: None, number }),
            // The number of native code on another host is 0.
            CallerInstance::Remote(boot, number) if number > 0 => Some(Self {
                boot: Some(boot),
                number,
            }),
            _ => None,
        }
    }
}

impl KeptInstances {
    /// Notes that an instance serves this one. A warm one may have served others before, which it
    /// is forgotten for: each call may come from another instance, as long as it is kept.
    fn serves(&mut self, number: u64, caller: &CallingInstance, is_warm: bool) {
        if is_warm {
            self.serving.retain(|_, serving| *serving != number);
        }
        self.serving.insert(caller.clone(), number);
    }

    fn end_of(&self, number: u64) -> Stale {
        let ended = self.ended.iter().find(|(ended, _)| *ended == number);
        match ended {
            Some((_, reason)) => Stale::InstanceEnded(reason.clone()),
            None => Stale::Dropped,
        }
    }
}

/// # Cancel safety
/// The guest continues with the call if something else needs its instance.
pub(super) async fn call(
    pool: Arc<KeptPool>,
    plan: Arc<FunctionPlan>,
    request: Request,
    (arguments, places): (Arguments, Places),
) -> Result<Body, CallError> {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let Request {
        function,
        handles,
        caller,
        context,
        ..
    } = request;
    let own = plan.own_resources(&handles, &places).next();
    let pin = own.map(|(resource, ..)| {
        let at = resource.at();
        let is_here = at.origin == pool.origin && at.component == pool.actor.context.id;
        (resource.clone(), is_here)
    });
    let at = match &pin {
        Some((resource, false)) => return Err(resource.stale(&Stale::OtherInstance)),
        Some((resource, true)) => Some(resource.at()),
        None => None,
    };
    let found = pool.instance(at, caller, context);
    let (driven, used) = found.map_err(|stale| match &pin {
        Some((resource, _)) => resource.stale(&stale),
        None => CallError::Stopping {
            component: pool.actor.context.id.clone(),
        },
    })?;
    let id = CALLS.fetch_add(1, Ordering::Relaxed);
    let call = KeptCall {
        id,
        function,
        arguments,
        handles,
        places,
        context,
    };
    let (reply, result) = oneshot::channel();
    let job = Job::Call(Box::new((call, reply)));
    driven.pass(|| used.home().send(job));
    match result.await {
        Ok(result) => {
            if let Some(warm) = &pool.warm {
                warm.has_ended(driven, used);
            }
            result
        }
        Err(_) => Err(used.home().end().await.error(id)),
    }
}

impl End {
    /// Returns the error of a call.
    fn error(&self, call: u64) -> CallError {
        match self {
            Self::NotStarted(error) => error.clone(),
            Self::Ended {
                culprit: Some((culprit, error)),
                ..
            } if *culprit == call => error.clone(),
            Self::Ended { reason, .. } => CallError::InstanceLost {
                reason: reason.to_string(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warm_instance_is_forgotten_for_those_that_it_has_served_before() {
        let mut instances = KeptInstances::default();
        let caller = |number| CallingInstance { boot: None, number };
        for number in 1..=100 {
            instances.serves(7, &caller(number), true);
            instances.serves(8, &caller(1_000 + number), true);
        }
        assert_eq!(instances.serving.len(), 2, "one for each instance");
        assert_eq!(instances.serving.get(&caller(100)), Some(&7));
        assert_eq!(instances.serving.get(&caller(1_100)), Some(&8));
    }
}
