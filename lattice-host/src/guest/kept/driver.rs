//! The driver of one kept instance, which its task polls, or a caller that finds it at rest.
//!
//! A destructor needs the whole store, which isn't to be had inside `run_concurrent`. So the driver
//! leaves it for each resource that is dropped, and enters it again. Calls are tasks of the store,
//! and go on.

use super::{
    CallingInstance, KeptCall, KeptPool,
    driven::Driven,
    home::{End, Home, Job, Reply, Use},
    warm::Warm,
};
use crate::{
    guest::{
        HostedActor, active_calls::ActiveCalls, aside::Aside, code::ByFunction, failure,
        handles::LentToCall, instance::Instance, settings::Instances, state::Guest,
    },
    transcode::{BoundExport, FunctionPlan, Places, RawHandle, take_out},
};
use futures_util::FutureExt as _;
use lattice_core::{
    call::{CallError, Context},
    stream::{Body, Handles, InstanceRef},
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
    sync::{Notify, mpsc},
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use wasmtime::{
    AsContextMut as _, StoreContextMut,
    component::{Accessor, AccessorTask},
};

/// How long a destructor may run.
const DESTRUCTOR: Duration = Duration::from_secs(5);
/// How often a warm instance is looked at in the time after which it ends if nothing uses it.
const LOOKS: u32 = 4;
/// Most calls that begin with one poll, so that a caller that polls the driver serves only so many
/// others.
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

struct Driver {
    actor: Arc<HostedActor>,
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

/// Why the guest was left.
enum Left {
    /// To drop a resource.
    ToDrop(u64),
    /// To drop those that were lent to a call that has ended.
    CallEnded,
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
        let calls = |_| ActiveCalls::concurrent();
        let start = Instance::start(&self.actor, place, &context, calls, Some(&self.home));
        let mut instance = start.await?;
        instance.serve_many();
        Ok(instance)
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

    /// Serves calls and drops resources until the guest traps.
    async fn serve(
        &self,
        instance: &mut Instance,
        inbox: &mut mpsc::UnboundedReceiver<Job>,
    ) -> wasmtime::Error {
        let mut functions = Functions {
            actor: self.actor.clone(),
            instance: instance.inner,
            bound: ByFunction::default(),
            call_ended: Arc::default(),
        };
        let mut lent = Vec::new();
        loop {
            let has_lent = !lent.is_empty();
            let serve = async |accessor: &Accessor<Guest>| {
                let call_ended = functions.call_ended.clone();
                loop {
                    tokio::select! {
                        biased;
                        () = call_ended.notified(), if has_lent => return Ok(Left::CallEnded),
                        job = inbox.recv() => match job {
                            Some(Job::Call(call)) => {
                                functions.begin(accessor, *call)?;
                                self.begun.fetch_add(1, Ordering::Relaxed);
                                self.paced().await;
                            }
                            Some(Job::Drop(id)) => return Ok(Left::ToDrop(id)),
                            // The home has a sender.
                            None => std::future::pending().await,
                        }
                    }
                }
            };
            let usage = instance.usage.clone();
            let run = self.attended(usage.run(instance.store.run_concurrent(serve)));
            match run.await {
                Ok(Ok(Left::ToDrop(id))) => lent.push(id),
                Ok(Ok(Left::CallEnded)) => {}
                Ok(Err(error)) | Err(error) => return error,
            }
            for id in std::mem::take(&mut lent) {
                match self.dropped(instance, id).await {
                    Ok(true) => {}
                    Ok(false) => lent.push(id),
                    Err(error) => return error,
                }
            }
        }
    }

    /// Waits for the next poll if as many calls have begun with this one as may.
    async fn paced(&self) {
        poll_fn(|cx| {
            if self.begun.load(Ordering::Relaxed) < AT_ONCE {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Drops a resource of the guest's own. Returns false as long as it is lent to a running call.
    async fn dropped(&self, instance: &mut Instance, id: u64) -> wasmtime::Result<bool> {
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
    async fn attended<F: Future>(&self, guest: F) -> F::Output {
        let mut guest = pin!(guest);
        poll_fn(|cx| {
            let _running = Running::new(&self.home);
            self.begun.store(0, Ordering::Relaxed);
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

/// The functions of an instance that have been called in it.
struct Functions {
    actor: Arc<HostedActor>,
    instance: wasmtime::component::Instance,
    bound: ByFunction<Arc<BoundExport<Guest>>>,
    call_ended: Arc<Notify>,
}

impl Functions {
    /// Begins a call, as a task of the store.
    fn begin(
        &mut self,
        accessor: &Accessor<Guest>,
        (call, reply): (KeptCall, Reply),
    ) -> wasmtime::Result<()> {
        if reply.is_closed() {
            return Ok(());
        }
        let Some(exported) = self.actor.code.functions.get(&call.function) else {
            return Ok(());
        };
        let bound = if let Some(bound) = self.bound.get(&call.function) {
            bound.clone()
        } else {
            let bound = accessor.with(|mut store| {
                let found = self
                    .instance
                    .get_func(store.as_context_mut(), exported.index);
                let found = found.ok_or_else(|| {
                    wasmtime::Error::msg("an export of the component is not in its instance")
                })?;
                exported.function.bind(store.as_context_mut(), found)
            })?;
            let bound = Arc::new(bound);
            self.bound.insert(call.function, bound.clone());
            bound
        };
        accessor.spawn(Serve {
            plan: exported.function.plan().clone(),
            bound,
            call,
            reply,
            ended: self.call_ended.clone(),
        })?;
        Ok(())
    }
}

/// A call, as a task of the store.
struct Serve {
    plan: Arc<FunctionPlan>,
    bound: Arc<BoundExport<Guest>>,
    call: KeptCall,
    reply: Reply,
    ended: Arc<Notify>,
}

impl AccessorTask<Guest> for Serve {
    async fn run(self, accessor: &Accessor<Guest>) -> wasmtime::Result<()> {
        let Self {
            plan,
            bound,
            call,
            reply,
            ended,
        } = self;
        let KeptCall {
            id,
            arguments,
            handles,
            places,
            context,
            ..
        } = call;
        let put = accessor.with(|mut store| put(store.as_context_mut(), &plan, handles, &places));
        let (handles, lent) = match put? {
            Ok(put) => put,
            Err(refused) => {
                // Nothing has run. The caller may be gone.
                let _ = reply.send(Err(refused));
                return Ok(());
            }
        };
        let (task, running) = bound.start(accessor, arguments, handles)?;
        accessor.with(|mut store| store.data_mut().begin(task, id, context));
        let result = running.await;
        let body = accessor.with(|mut store| {
            let guest = store.data_mut();
            guest.finish(task);
            if let Some(lent) = lent {
                guest.handles()?.take_back(lent);
            }
            let result = result?;
            let handles = take_out(store.as_context_mut(), result.handles)?;
            Ok::<_, wasmtime::Error>(Body {
                bytes: result.wire,
                handles,
            })
        });
        ended.notify_one();
        // The caller may be gone. The handles in the result are dropped then.
        match body {
            Ok(body) => {
                let _ = reply.send(Ok(body));
                Ok(())
            }
            Err(error) => {
                let failed =
                    accessor.with(|mut store| failure::call_error(&error, store.data_mut()));
                let _ = reply.send(Err(failed));
                Err(error)
            }
        }
    }
}

type Put = (Vec<RawHandle>, Option<LentToCall>);

/// Puts the handles of a call into the store, once all of them are known to be usable. Returns what
/// was lent with it.
fn put(
    mut store: StoreContextMut<'_, Guest>,
    plan: &FunctionPlan,
    handles: Handles,
    places: &Places,
) -> wasmtime::Result<Result<Put, CallError>> {
    if handles.is_empty() {
        return Ok(Ok((Vec::new(), None)));
    }
    let table = store.data_mut().handles()?;
    for (resource, ty, is_given) in plan.own_resources(&handles, places) {
        if let Err(stale) = table.check(resource, ty, is_given) {
            return Ok(Err(resource.stale(&stale)));
        }
    }
    let handles = plan.put_in(store.as_context_mut(), (handles, places))?;
    let lent = store.data_mut().handles()?.take_lent();
    Ok(Ok((handles, Some(lent))))
}
