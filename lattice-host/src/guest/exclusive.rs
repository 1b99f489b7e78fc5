//! Warm instances that serve one call at a time.

use super::{
    Call, CallResult, HostedActor,
    active_calls::ActiveCalls,
    code::{ByFunction, ExportedFunction},
    instance::Instance,
    settings::Instances,
    state::Guest,
};
use crate::{engine::Unused, transcode::BoundExport};
use lattice_core::{
    call::{CallError, Context, Turn, Turns},
    sync::Mutex,
};
use std::{num::NonZeroUsize, sync::Arc, time::Duration};
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

/// The instances that no call uses, the one that was used last at the end.
#[derive(Default)]
struct IdleInstances(Mutex<Vec<IdleInstance>>);

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

impl Unused for IdleInstances {
    fn drop_one(&self) -> bool {
        let mut idle = self.0.lock();
        let oldest = (!idle.is_empty()).then(|| idle.remove(0));
        drop(idle);
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
        self.idle.0.lock().len()
    }

    /// Takes the most recently used instance, because its memory is the most likely to be in a
    /// cache.
    fn take(&self) -> Option<Box<WarmInstance>> {
        self.idle.0.lock().pop().map(|idle| idle.instance)
    }

    /// Keeps the instance for the next call, unless others wait for its room.
    fn put_back(&self, instance: Box<WarmInstance>) {
        if instance.instance.is_bloated() || self.actor.tenant.is_pressed() {
            return;
        }
        let sweeps = 0;
        self.idle.0.lock().push(IdleInstance { instance, sweeps });
        // A call that began to wait just before may have found nothing idle.
        if self.actor.tenant.is_pressed() {
            let unused = std::mem::take(&mut *self.idle.0.lock());
            drop(unused);
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
        let mut warmed = if let Some(mut warmed) = self.take() {
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
pub(super) async fn call(
    instances: Arc<ExclusivePool>,
    exported: Arc<ExportedFunction>,
    mut call: Call,
) -> CallResult {
    let mut lease = instances.lease(&mut call.context).await?;
    let result = lease.warmed.call(&exported, call).await?;
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

    async fn call(&mut self, exported: &ExportedFunction, call: Call) -> CallResult {
        if !self.functions.contains_key(&call.function) {
            let bound = self
                .instance
                .bind(exported)
                .map_err(|error| self.instance.failure(&error))?;
            self.functions.insert(call.function, bound);
        }
        self.instance
            .call(&self.functions[&call.function], call.arguments)
            .await
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
        let stale: Vec<IdleInstance> = idle
            .0
            .lock()
            .extract_if(.., |idle| {
                idle.sweeps += u32::from(is_sweep);
                // The first one may have come right after the call.
                is_pressed || idle.sweeps > SWEEPS
            })
            .collect();
        drop(stale);
        is_sweep = tokio::select! {
            _ = interval.tick() => true,
            () = pressed => false,
        };
    }
}
