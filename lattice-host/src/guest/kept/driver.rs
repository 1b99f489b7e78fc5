//! The driver of one kept instance, which its task polls, or a caller that finds it at rest.
//!
//! How it serves calls depends on the component: [one after the other](super::in_turn), or
//! [overlapping](super::overlapping).

use super::{
    CallingInstance, KeptPool,
    driven::Driven,
    home::{End, Home, Job, Use},
    warm::Warm,
};
use crate::{
    engine::CallMode,
    guest::{
        HostedActor, active_calls::ActiveCalls, aside::Aside, failure, instance::Instance,
        settings::Instances,
    },
};
use futures_util::FutureExt as _;
use lattice_core::{
    call::{CallError, Context},
    stream::InstanceRef,
};
use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;

/// How long a destructor may run.
const DESTRUCTOR: Duration = Duration::from_secs(5);
/// How often a warm instance is looked at in the time after which it ends if nothing uses it.
const LOOKS: u32 = 4;
/// Most calls that begin with one poll, and drops where they run in turn with calls, so that a
/// caller that polls the driver serves only so many others.
const AT_ONCE: u32 = 32;

/// A kept instance and its driver.
pub(super) struct Kept {
    pub(super) home: Arc<Home>,
    pub(super) driven: Arc<Driven>,
    _driver: AbortOnDropHandle<()>,
}

/// Starts an instance for a call with this context, which is its first use.
pub(super) fn start(
    pool: &Arc<KeptPool>,
    at: InstanceRef,
    caller: Option<CallingInstance>,
    context: Context,
) -> (Kept, Use) {
    let (jobs, inbox) = mpsc::unbounded_channel();
    let most = pool.actor.context.limits.handles.get();
    let (home, first) = Home::new(at, jobs, (most, caller), pool.warm.clone());
    let driver = Driver {
        actor: pool.actor.clone(),
        pool: Arc::downgrade(pool),
        home: home.clone(),
        warm: pool.warm.clone(),
        begun: AtomicU32::new(0),
    };
    let driven = Driven::new(driver.run(inbox, context).boxed());
    let kept = Kept {
        home,
        driven: driven.clone(),
        _driver: AbortOnDropHandle::new(tokio::spawn(driven.run())),
    };
    (kept, first)
}

pub(super) struct Driver {
    pub(super) actor: Arc<HostedActor>,
    pool: Weak<KeptPool>,
    home: Arc<Home>,
    warm: Option<Arc<Warm>>,
    /// Calls that have begun with this poll.
    begun: AtomicU32,
}

/// Records that the instance ended, however its task ends.
impl Drop for Driver {
    fn drop(&mut self) {
        self.home.ended(End::Ended {
            reason: "it was stopped".into(),
            culprit: None,
        });
        if let Some(pool) = self.pool.upgrade() {
            pool.ended(&self.home, self.home.reason());
        }
        let caller = &self.actor.context.caller;
        caller.instance_ended(self.home.number());
    }
}

impl Driver {
    async fn run(self, mut inbox: mpsc::UnboundedReceiver<Job>, context: Context) {
        let mut instance = match self.started(context).await {
            Ok(instance) => instance,
            Err(error) => return self.home.ended(End::NotStarted(error)),
        };
        let reason = {
            let over = pin!(self.over());
            let over = Aside::new(over);
            let served = pin!(self.serve(&mut instance, &mut inbox));
            tokio::select! {
                biased;
                error = served => Err(error),
                reason = over => Ok(reason),
            }
        };
        // Recorded before the store is dropped, which breaks its channels.
        self.home.ended(match reason {
            Ok(reason) => End::Ended {
                reason,
                culprit: None,
            },
            Err(error) => {
                let error = instance.failure(&error);
                End::Ended {
                    reason: failure::loss(&error).into(),
                    culprit: instance.culprit().map(|call| (call, error)),
                }
            }
        });
        drop(instance);
    }

    async fn started(&self, context: Context) -> Result<Instance, CallError> {
        // Calls of others go to the instance too, so that it is in no chain of calls.
        let mut context = context.outlived();
        let place = self.actor.place(&mut context).await?;
        let calls = match self.actor.code.class.mode {
            CallMode::Exclusive => ActiveCalls::single,
            CallMode::Concurrent => |_| ActiveCalls::concurrent(),
        };
        let start = Instance::start(&self.actor, place, &context, calls, Some(&self.home));
        let mut instance = start.await?;
        instance.serve(calls(context));
        Ok(instance)
    }

    /// Serves calls and drops resources until the guest traps.
    async fn serve(
        &self,
        instance: &mut Instance,
        inbox: &mut mpsc::UnboundedReceiver<Job>,
    ) -> wasmtime::Error {
        let mut serve = pin!(async {
            match self.actor.code.class.mode {
                CallMode::Exclusive => self.serve_in_turn(instance, inbox).await,
                CallMode::Concurrent => self.serve_overlapping(instance, inbox).await,
            }
        });
        poll_fn(|cx| {
            self.begun.store(0, Ordering::Relaxed);
            serve.as_mut().poll(cx)
        })
        .await
    }

    /// Counts a call or a drop that has begun, and waits for the next poll if as many have begun
    /// with this one as may.
    pub(super) async fn has_begun(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        poll_fn(|cx| {
            if self.begun.load(Ordering::Relaxed) < AT_ONCE {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Waits until the instance has to end, and returns why.
    async fn over(&self) -> Arc<str> {
        let limit = self.actor.context.limits.kept.max(Instances::SHORTEST_IDLE);
        let idle = self.warm.as_ref().map_or(limit, |warm| warm.idle);
        // Nothing wakes this each time that a warm instance is used, so it looks from time to time.
        let look = match &self.warm {
            Some(_) => idle.min(limit) / LOOKS,
            None => limit,
        };
        let mut since = (None, Instant::now());
        loop {
            let (unused, pressed) = (self.home.unused.notified(), self.actor.tenant.pressed());
            let (activity, is_in_use) = (self.home.activity(), self.home.is_in_use());
            let seen = activity.map(|activity| (activity, is_in_use));
            if seen.is_none() || seen != since.0 {
                since = (seen, Instant::now());
            }
            let (passed, most) = (since.1.elapsed(), if is_in_use { limit } else { idle });
            if is_in_use && passed >= limit {
                return format!("nothing had used it for {limit:?}; raise that with `limits = {{ kept = … }}` in the manifest, or with `Limits::kept`").into();
            }
            let stays = is_in_use || (passed < idle && self.stays_unused());
            if !stays && self.home.close_if_unused() {
                return "nothing used it any more".into();
            }
            let changed = async {
                tokio::select! {
                    () = unused => {}
                    () = pressed, if self.warm.is_some() => {}
                }
            };
            // Whichever comes first.
            let _ = timeout(look.min(most.saturating_sub(passed)), changed).await;
        }
    }

    /// Returns whether the instance waits for other calls although nothing uses it.
    fn stays_unused(&self) -> bool {
        self.warm.as_ref().is_some_and(|warm| warm.has_room())
    }

    /// Drops a resource of the guest's own. Returns false as long as it is lent to a running call.
    pub(super) async fn dropped(&self, instance: &mut Instance, id: u64) -> wasmtime::Result<bool> {
        let table = instance.store.data_mut().handles()?;
        if table.is_lent(id) {
            return Ok(false);
        }
        if let Some(resource) = table.remove_dropped(id) {
            let usage = instance.usage.clone();
            instance.store.data_mut().runs_destructor(true);
            let dropped = resource.resource_drop_async(&mut instance.store);
            let dropped = self.attended(usage.run(dropped));
            match timeout(DESTRUCTOR, dropped).await {
                Ok(dropped) => dropped?,
                Err(_) => wasmtime::bail!("a destructor was still running after {DESTRUCTOR:?}"),
            }
            instance.store.data_mut().runs_destructor(false);
        }
        self.home.was_dropped();
        Ok(true)
    }

    /// Polls the guest. What it closes meanwhile, it has closed itself.
    pub(super) async fn attended<F: Future>(&self, guest: F) -> F::Output {
        let mut guest = pin!(guest);
        poll_fn(|cx| {
            let _running = Running::new(&self.home);
            guest.as_mut().poll(cx)
        })
        .await
    }
}

/// The guest is being polled. Over also when that panics.
struct Running<'h>(&'h Home);

impl<'h> Running<'h> {
    fn new(home: &'h Home) -> Self {
        home.runs(true);
        Self(home)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.runs(false);
    }
}
