//! Room for instances: slots of the pool, and memory.
//!
//! A call that needs a new instance waits for both, in order with the other calls of its actor, and
//! then with those of other actors. An actor has at most half of the slots and half of the memory,
//! so that what one actor holds never keeps all others from starting.

use super::memory::{MemoryLease, MemoryPot, MemoryShare, Taken};
use lattice_core::{
    call::{CallError, Context, Turn, Turns},
    name::ComponentId,
};
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// Divides the slots and the memory: an actor may have one such part of each.
const SHARE: usize = 2;

/// What an instance needs in order to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RoomNeeds {
    /// Slots of the pool; 0 for an instance that is created on demand.
    pub(crate) slots: u32,
    /// Bytes of memory.
    pub(crate) memory: usize,
}

/// The room of an engine.
#[derive(Debug)]
pub(super) struct Room {
    slots: Option<Slots>,
    pub(super) memory: Arc<MemoryPot>,
    pressure: Pressure,
    /// An instance has ended.
    freed: Notify,
}

#[derive(Debug)]
struct Slots {
    turns: Turns,
    count: usize,
}

/// The part of an engine's room that the instances of one actor may take.
#[derive(Debug)]
pub(crate) struct Tenant {
    room: Arc<Room>,
    slots: Option<Turns>,
    memory: Arc<MemoryShare>,
    pressure: Pressure,
}

/// The room that one instance takes. Drop it after the instance.
pub(crate) struct Place {
    slots: Option<(Turn, Turn)>,
    memory: Arc<MemoryLease>,
    /// The last field, because it reports that the others are free.
    _freed: Freed,
}

struct Freed(Arc<Room>);

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.freed.notify_waiters();
    }
}

/// Whether calls wait for room, so that idle instances should make some.
#[derive(Debug, Default)]
struct Pressure {
    waiting: AtomicUsize,
    /// One more call waits.
    began: Notify,
}

impl Pressure {
    fn is_high(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Awaits `work`, and counts as waiting unless it is ready at once.
    async fn wait<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        if let Some(done) = futures_util::FutureExt::now_or_never(work.as_mut()) {
            return done;
        }
        let _waiting = Waiting::new(self);
        work.await
    }
}

struct Waiting<'p>(&'p Pressure);

impl<'p> Waiting<'p> {
    fn new(pressure: &'p Pressure) -> Self {
        pressure.waiting.fetch_add(1, Ordering::AcqRel);
        pressure.began.notify_waiters();
        Self(pressure)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Room {
    /// Creates room with this number of slots, if there is a pool, and this much memory.
    pub(super) fn new(slots: Option<u32>, memory: usize) -> Arc<Self> {
        let slots = slots.map(|count| Slots {
            turns: Turns::new(count as usize),
            count: count as usize,
        });
        Arc::new(Self {
            slots,
            memory: MemoryPot::new(memory),
            pressure: Pressure::default(),
            freed: Notify::new(),
        })
    }

    /// Returns the part of one actor.
    pub(super) fn tenant(self: &Arc<Self>) -> Tenant {
        let slots = self.slots.as_ref();
        let own = MemoryPot::new(self.memory.total().div_ceil(SHARE));
        Tenant {
            room: self.clone(),
            slots: slots.map(|slots| Turns::new(slots.count.div_ceil(SHARE))),
            memory: Arc::new(MemoryShare {
                own,
                all: self.memory.clone(),
            }),
            pressure: Pressure::default(),
        }
    }
}

impl Tenant {
    /// Returns the memory that the actor's instances may take.
    pub(crate) fn memory(&self) -> &Arc<MemoryShare> {
        &self.memory
    }

    /// Waits for room for an instance of `component`, until `until`. The call with this context
    /// needs it.
    ///
    /// # Errors
    /// Fails with [`CallError::Overloaded`] when there is none by then, and at once when the call
    /// would wait for itself.
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing.
    pub(crate) async fn place(
        &self,
        needs: RoomNeeds,
        component: &ComponentId,
        context: &mut Context,
        until: Instant,
    ) -> Result<Place, CallError> {
        let taken = timeout_at(until, self.take(needs, component, context)).await;
        match taken {
            // A chain of calls that holds all slots isn't a loop of links: another host may have
            // more slots.
            Err(_) | Ok(Err(CallError::TooManyHops { .. })) => {
                let component = component.clone();
                Err(CallError::Overloaded { component })
            }
            Ok(taken) => taken,
        }
    }

    /// Returns room for an instance if there is some now, without waiting. The call with this
    /// context needs it.
    pub(crate) fn try_place(&self, needs: RoomNeeds, context: &mut Context) -> Option<Place> {
        let before = *context;
        let place = self.take_now(needs, context);
        if place.is_none() {
            // What was taken of it is free again.
            *context = before;
        }
        place
    }

    fn take_now(&self, needs: RoomNeeds, context: &mut Context) -> Option<Place> {
        let slots = match self.slots_for(needs) {
            Some((own, all, count)) => {
                let own = own.try_take_many(count, context)?;
                Some((own, all.try_take_many(count, context)?))
            }
            None => None,
        };
        let own = self.memory.own.take_now(needs.memory)?;
        let all = self.memory.all.take_now(needs.memory)?;
        Some(self.place_of(slots, (own, all)))
    }

    async fn take(
        &self,
        needs: RoomNeeds,
        component: &ComponentId,
        context: &mut Context,
    ) -> Result<Place, CallError> {
        let Self { room, memory, .. } = self;
        let slots = match self.slots_for(needs) {
            Some((own, all, count)) => {
                let own = own.take_many(count, component, context);
                let own = self.pressure.wait(own).await?;
                let all = all.take_many(count, component, context);
                Some((own, room.pressure.wait(all).await?))
            }
            None => None,
        };
        let own = self.pressure.wait(memory.own.take(needs.memory)).await;
        let all = room.pressure.wait(memory.all.take(needs.memory)).await;
        Ok(self.place_of(slots, (own, all)))
    }

    /// Returns the slots of the actor and those of all, and how many of each an instance takes.
    fn slots_for(&self, needs: RoomNeeds) -> Option<(&Turns, &Turns, u32)> {
        let (own, all) = (self.slots.as_ref()?, self.room.slots.as_ref()?);
        // More than an actor may have count as all that it may have.
        let most = u32::try_from(all.count.div_ceil(SHARE)).unwrap_or(u32::MAX);
        let count = needs.slots.min(most);
        (count > 0).then_some((own, &all.turns, count))
    }

    fn place_of(&self, slots: Option<(Turn, Turn)>, memory: (Taken, Taken)) -> Place {
        Place {
            slots,
            memory: MemoryLease::new(self.memory.clone(), memory),
            _freed: Freed(self.room.clone()),
        }
    }

    /// Returns whether calls wait for room that the actor's idle instances take.
    pub(crate) fn is_pressed(&self) -> bool {
        self.pressure.is_high() || self.room.pressure.is_high()
    }

    /// Waits until one more call waits for such room. Counts from when this returns, not from when
    /// the future is first polled.
    pub(crate) fn pressed(&self) -> impl Future<Output = ()> + Send + '_ {
        let (own, all) = (
            self.pressure.began.notified(),
            self.room.pressure.began.notified(),
        );
        async move {
            tokio::select! {
                () = own => {}
                () = all => {}
            }
        }
    }

    /// Waits until an instance of the engine has ended. Counts from when this returns.
    pub(crate) fn freed(&self) -> impl Future<Output = ()> + Send + '_ {
        self.room.freed.notified()
    }
}

impl Place {
    pub(crate) fn memory(&self) -> &Arc<MemoryLease> {
        &self.memory
    }

    /// Makes this the place of the call with this context, which uses the instance next.
    pub(crate) fn pass_to(&mut self, context: &mut Context) {
        if let Some((own, all)) = &mut self.slots {
            own.pass_to(context);
            all.pass_to(context);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::time::Duration;

    fn component(name: &str) -> ComponentId {
        ComponentId::new(name).expect("an id")
    }

    const ONE: RoomNeeds = RoomNeeds {
        slots: 1,
        memory: 10,
    };

    async fn place(tenant: &Tenant, needs: RoomNeeds) -> Result<Place, CallError> {
        let mut context = Context::new(Duration::from_secs(1));
        let until = context.deadline;
        let component = component("a");
        tenant.place(needs, &component, &mut context, until).await
    }

    #[tokio::test(start_paused = true)]
    async fn an_actor_leaves_half_of_the_slots_to_others() {
        let room = Room::new(Some(4), 1_000);
        let (one, other) = (room.tenant(), room.tenant());
        let first = place(&one, ONE).await.expect("a slot");
        let _second = place(&one, ONE).await.expect("a slot");
        let refused = place(&one, ONE).await.err().expect("no more for it");
        assert!(matches!(refused, CallError::Overloaded { .. }), "{refused}");
        let _third = place(&other, ONE).await.expect("a slot for another");
        let mut waits = Box::pin(place(&one, ONE));
        assert!((&mut waits).now_or_never().is_none());
        assert!(one.is_pressed() && !other.is_pressed());
        drop(first);
        assert!(waits.await.is_ok());
        assert!(!one.is_pressed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_component_that_needs_several_slots_takes_them() {
        let room = Room::new(Some(4), 1_000);
        let (one, other, third) = (room.tenant(), room.tenant(), room.tenant());
        let two = RoomNeeds { slots: 2, ..ONE };
        let held = place(&one, two).await.expect("two slots");
        let _also = place(&other, two).await.expect("two slots");
        let mut waits = Box::pin(place(&third, two));
        assert!((&mut waits).now_or_never().is_none());
        assert!(one.is_pressed(), "another actor waits for all of them");
        drop(held);
        assert!(waits.await.is_ok());
        let many = RoomNeeds { slots: 9, ..ONE };
        assert!(place(&one, many).await.is_ok(), "as many as it may have");
    }

    #[test]
    fn room_that_is_free_is_taken_without_waiting_and_other_room_not_at_all() {
        let room = Room::new(Some(2), 100);
        let tenant = room.tenant();
        let mut context = Context::default();
        let large = RoomNeeds { memory: 60, ..ONE };
        let before = format!("{context:?}");
        assert!(tenant.try_place(large, &mut context).is_none());
        assert_eq!(format!("{context:?}"), before, "it has taken nothing");
        assert_eq!((room.memory.used(), tenant.memory.own.used()), (0, 0));
        let held = tenant.try_place(ONE, &mut context);
        assert!(held.is_some());
        assert_ne!(format!("{context:?}"), before, "it is in the chain");
        assert!(tenant.try_place(ONE, &mut context).is_none(), "the slot");
        assert_eq!((room.memory.used(), tenant.memory.own.used()), (10, 10));
        drop(held);
        assert!(tenant.try_place(ONE, &mut Context::default()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn instances_wait_for_memory_too_and_on_demand_ones_need_no_slot() {
        let room = Room::new(Some(2), 100);
        let (one, other) = (room.tenant(), room.tenant());
        let large = RoomNeeds {
            slots: 0,
            memory: 40,
        };
        let held = place(&one, large).await.expect("memory");
        assert!(place(&one, large).await.is_err(), "over its half");
        let _other = place(&other, large).await.expect("memory for another");
        assert_eq!(room.memory.used(), 80);
        let freed = one.freed();
        drop(held);
        assert_eq!(freed.now_or_never(), Some(()));
        assert!(place(&one, large).await.is_ok());
    }
}
