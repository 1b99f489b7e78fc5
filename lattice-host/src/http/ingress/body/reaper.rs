//! The task that breaks bodies off which make no progress.
//!
//! A body that its reader has stopped to poll can't notice by itself that it is late, and holds a
//! guest and its memory. One task per service looks at all bodies that are open, so that they need
//! no timers of their own.

use lattice_core::sync::Mutex;
use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::AbortHandle,
    time::{Instant, MissedTickBehavior, interval},
};

/// The number of parts of the list of bodies. Each has its own lock.
const SHARDS: usize = 8;
/// The longest and the shortest time between two looks.
const LONGEST_TICK: Duration = Duration::from_secs(1);
const SHORTEST_TICK: Duration = Duration::from_millis(20);

/// Something that may be late.
pub(super) trait Late: Send + Sync {
    /// Breaks it off if it is late.
    fn check(&self, now: Instant);
}

/// The bodies of one service that are open. Dropping it ends its task.
pub(in crate::http::ingress) struct Reaper {
    shards: Arc<[Mutex<Slots>; SHARDS]>,
    next: AtomicUsize,
    tick: Duration,
    task: OnceLock<AbortHandle>,
}

#[derive(Default)]
struct Slots {
    bodies: Vec<Option<Weak<dyn Late>>>,
    free: Vec<usize>,
}

/// The place of a body in the list.
pub(super) struct Registration {
    reaper: Arc<Reaper>,
    shard: usize,
    slot: usize,
}

impl Reaper {
    /// Creates a reaper for bodies whose limits are `shortest` or longer. Its task starts with the
    /// first body.
    pub(in crate::http::ingress) fn new(shortest: Duration) -> Self {
        Self {
            shards: Arc::new(std::array::from_fn(|_| Mutex::default())),
            next: AtomicUsize::new(0),
            tick: (shortest / 4).clamp(SHORTEST_TICK, LONGEST_TICK),
            task: OnceLock::new(),
        }
    }

    /// Watches `body` until the registration is dropped.
    pub(super) fn register(self: &Arc<Self>, body: Weak<dyn Late>) -> Registration {
        self.task.get_or_init(|| {
            let (shards, tick) = (self.shards.clone(), self.tick);
            tokio::spawn(async move { watch(&shards[..], tick).await }).abort_handle()
        });
        let shard = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let mut slots = self.shards[shard].lock();
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.bodies.push(None);
            slots.bodies.len() - 1
        });
        slots.bodies[slot] = Some(body);
        Registration {
            reaper: self.clone(),
            shard,
            slot,
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut slots = self.reaper.shards[self.shard].lock();
        slots.bodies[self.slot] = None;
        slots.free.push(self.slot);
    }
}

async fn watch(shards: &[Mutex<Slots>], tick: Duration) {
    let mut ticks = interval(tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        for shard in shards {
            // Checked outside of the lock, because a body that breaks leaves the list.
            let bodies: Vec<Weak<dyn Late>> =
                shard.lock().bodies.iter().flatten().cloned().collect();
            for body in bodies.iter().filter_map(Weak::upgrade) {
                body.check(now);
            }
            tokio::task::yield_now().await;
        }
    }
}
