//! Warm instances that serve one call at a time.

use super::{
    Call, CallResult, HostedActor, active_calls::ActiveCalls, code::ByFunction, instance::Instance,
    settings::Instances, state::Guest,
};
use crate::{engine::Unused, transcode::BoundExport};
use lattice_core::{
    call::{CallError, Context, Turn, Turns},
    sync::ByThread,
};
use std::{collections::hash_map::Entry, mem, num::NonZeroUsize, sync::Arc, time::Duration};
use tokio_util::task::AbortOnDropHandle;

/// How often unused instances are looked at in the time after which they are dropped.
const SWEEPS: u32 = 2;

/// The warm instances of one actor.
pub(super) struct ExclusivePool {
    actor: Arc<HostedActor>,
    idle: Arc<IdleInstances>,
    /// One for each instance that there may be. Its holder may take or create an instance.
    turns: Turns,
    _sweeper: AbortOnDropHandle<()>,
}

/// The instances that no call uses. Each is where the thread looks first that has used it last,
/// because its memory is the most likely to be in the cache of that thread's processor. The one
/// that was used last is at the end there.
#[derive(Default)]
struct IdleInstances(ByThread<Vec<IdleInstance>>);

struct IdleInstance {
    instance: Box<WarmInstance>,
    /// How often the sweeper has come since it was used. No call reads the clock for it.
    sweeps: u32,
}

/// An instance, with the functions that have been called in it.
struct WarmInstance {
    instance: Instance,
    functions: ByFunction<BoundExport<Guest>>,
}

impl IdleInstances {
    fn count(&self) -> usize {
        self.0.parts().map(|part| part.lock().len()).sum()
    }

    /// Takes the one that this thread has used last, or any other. If there is none, all that there
    /// are have calls, so that a call with a turn may start another one.
    fn take(&self) -> Option<Box<WarmInstance>> {
        self.0.pop().map(|idle| idle.instance)
    }

    fn put(&self, instance: Box<WarmInstance>) {
        let sweeps = 0;
        let idle = IdleInstance { instance, sweeps };
        self.0.own().lock().push(idle);
    }

    fn drop_all(&self) {
        for part in self.0.parts() {
            let unused = mem::take(&mut *part.lock());
            drop(unused);
        }
    }

    /// Drops those that were not used for so many sweeps, or all of them.
    fn sweep(&self, is_sweep: bool, drops_all: bool) {
        for part in self.0.parts() {
            let is_stale = |idle: &mut IdleInstance| {
                idle.sweeps += u32::from(is_sweep);
                // The first one may have come right after the call.
                drops_all || idle.sweeps > SWEEPS
            };
            let stale: Vec<IdleInstance> = part.lock().extract_if(.., is_stale).collect();
            drop(stale);
        }
    }
}

impl Unused for IdleInstances {
    fn drop_one(&self) -> bool {
        let oldest = self.0.parts().find_map(|part| {
            let mut idle = part.lock();
            (!idle.is_empty()).then(|| idle.remove(0))
        });
        oldest.is_some()
    }
}

impl ExclusivePool {
    pub(super) fn new(actor: Arc<HostedActor>, most: NonZeroUsize, after: Duration) -> Arc<Self> {
        let idle = Arc::<IdleInstances>::default();
        let unused: Arc<dyn Unused> = idle.clone();
        actor.tenant.memory().may_drop(&Arc::downgrade(&unused));
        let sweeper = tokio::spawn(sweep(actor.clone(), Arc::clone(&idle), after));
        Arc::new(Self {
            actor,
            idle,
            turns: Turns::new(most.get()),
            _sweeper: AbortOnDropHandle::new(sweeper),
        })
    }

    /// Returns how many instances no call uses.
    pub(super) fn idle(&self) -> usize {
        self.idle.count()
    }

    /// Keeps the instance for the next call, unless others wait for its room.
    fn put_back(&self, instance: Box<WarmInstance>) {
        if instance.instance.is_bloated() || self.actor.tenant.is_pressed() {
            return;
        }
        self.idle.put(instance);
        // A call that began to wait just before may have found nothing idle.
        if self.actor.tenant.is_pressed() {
            self.idle.drop_all();
        }
    }
}

/// An instance that one call uses. Dropping it drops the instance.
pub(super) struct Lease {
    // Before the turn, so that another one may start only when this one is gone.
    warmed: Box<WarmInstance>,
    pool: Arc<ExclusivePool>,
    _turn: Turn,
}

impl ExclusivePool {
    /// Takes an unused instance, or starts one, for the call with this context.
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing.
    pub(super) async fn lease(self: Arc<Self>, context: &mut Context) -> Result<Lease, CallError> {
        let (actor, turns) = (&self.actor, &self.turns);
        // What takes long is boxed, so that a call which finds everything ready carries no state of
        // it.
        let turn = if let Some(turn) = turns.try_take(context) {
            turn
        } else {
            Box::pin(turns.take(&actor.context.id, context)).await?
        };
        let mut warmed = if let Some(mut warmed) = self.idle.take() {
            warmed.instance.pass_to(context);
            warmed
        } else {
            Box::pin(WarmInstance::start(actor, context)).await?
        };
        warmed.instance.serve_next(*context);
        Ok(Lease {
            warmed,
            pool: self,
            _turn: turn,
        })
    }
}

impl Lease {
    #[cfg(feature = "http")]
    pub(super) fn instance(&mut self) -> &mut Instance {
        &mut self.warmed.instance
    }

    async fn call(&mut self, call: Call) -> CallResult {
        let WarmInstance {
            instance,
            functions,
        } = &mut *self.warmed;
        let bound = match functions.entry(call.function) {
            Entry::Occupied(bound) => bound.into_mut(),
            Entry::Vacant(place) => {
                let code = &self.pool.actor.code;
                let Some(exported) = code.functions.get(&call.function) else {
                    return Err(self.pool.actor.not_exported(call.function));
                };
                let bound = instance.bind(exported);
                place.insert(bound.map_err(|error| instance.failure(&error))?)
            }
        };
        instance.call(bound, call.arguments).await
    }

    /// Keeps the instance for the next call.
    pub(super) fn put_back(self) {
        let Self {
            warmed,
            pool,
            _turn,
        } = self;
        pool.put_back(warmed);
    }
}

/// # Cancel safety
/// Dropping the future drops the instance that it was using.
pub(super) async fn call(instances: Arc<ExclusivePool>, mut call: Call) -> CallResult {
    let mut lease = instances.lease(&mut call.context).await?;
    let result = lease.call(call).await?;
    lease.put_back();
    Ok(result)
}

impl WarmInstance {
    /// Creates an instance for the call with this context.
    async fn start(actor: &HostedActor, context: &mut Context) -> Result<Box<Self>, CallError> {
        let place = actor.place(context).await?;
        let instance = Instance::start(actor, place, context, ActiveCalls::single, None).await?;
        Ok(Box::new(Self {
            instance,
            functions: ByFunction::default(),
        }))
    }
}

/// Drops instances that have not been used for a while, and all unused ones when calls wait for
/// their room.
async fn sweep(actor: Arc<HostedActor>, idle: Arc<IdleInstances>, after: Duration) {
    let mut interval = tokio::time::interval(after.max(Instances::SHORTEST_IDLE) / SWEEPS);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_sweep = false;
    loop {
        let pressed = actor.tenant.pressed();
        let is_pressed = actor.tenant.is_pressed();
        idle.sweep(is_sweep, is_pressed);
        is_sweep = tokio::select! {
            _ = interval.tick() => true,
            () = pressed => false,
        };
    }
}
