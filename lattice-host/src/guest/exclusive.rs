//! Warm instances that serve one call at a time.

use super::{
    Call, CallResult, HostedActor, active_calls::ActiveCalls, code::ExportedFunction,
    instance::Instance, settings::Instances, state::Guest,
};
use crate::{engine::Unused, transcode::BoundExport};
use lattice_core::{call::Turns, sync::Mutex, wire::FunctionKey};
use std::{collections::HashMap, num::NonZeroUsize, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

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
    instance: WarmInstance,
    since: Instant,
}

/// An instance, with the functions that have been called in it.
struct WarmInstance {
    instance: Instance,
    functions: HashMap<FunctionKey, BoundExport<Guest>>,
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

    /// Takes the most recently used instance, because its memory is the most likely to be in a
    /// cache.
    fn take(&self) -> Option<WarmInstance> {
        self.idle.0.lock().pop().map(|idle| idle.instance)
    }

    /// Keeps the instance for the next call, unless others wait for its room.
    fn put_back(&self, instance: WarmInstance) {
        if instance.instance.is_bloated() || self.actor.tenant.is_pressed() {
            return;
        }
        self.idle.0.lock().push(IdleInstance {
            instance,
            since: Instant::now(),
        });
        // A call that began to wait just before may have found nothing idle.
        if self.actor.tenant.is_pressed() {
            let unused = std::mem::take(&mut *self.idle.0.lock());
            drop(unused);
        }
    }
}

/// # Cancel safety
/// Dropping the future drops the instance that it was using.
pub(super) async fn call(
    instances: Arc<ExclusivePool>,
    exported: Arc<ExportedFunction>,
    mut call: Call,
) -> CallResult {
    let actor = &instances.actor;
    let turn = instances.turns.take(&actor.context.id, &mut call.context);
    let _turn = turn.await?;
    let mut warmed = if let Some(mut warmed) = instances.take() {
        warmed.instance.pass_to(&mut call.context);
        warmed
    } else {
        let place = actor.place(&mut call.context).await?;
        let instance = Instance::start(actor, place, &call.context, ActiveCalls::single, None);
        WarmInstance {
            instance: instance.await?,
            functions: HashMap::new(),
        }
    };
    warmed.instance.serve_next(call.context);
    let result = warmed.call(&exported, call).await?;
    instances.put_back(warmed);
    Ok(result)
}

impl WarmInstance {
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
    let mut interval = tokio::time::interval(after.max(Instances::SHORTEST_IDLE) / 2);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let pressed = actor.tenant.pressed();
        let (is_pressed, now) = (actor.tenant.is_pressed(), Instant::now());
        let stale: Vec<IdleInstance> = idle
            .0
            .lock()
            .extract_if(.., |idle| {
                is_pressed || now.duration_since(idle.since) >= after
            })
            .collect();
        drop(stale);
        tokio::select! {
            _ = interval.tick() => {}
            () = pressed => {}
        }
    }
}
