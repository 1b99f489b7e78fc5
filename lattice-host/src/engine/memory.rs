//! The memory that all guests of an engine may use together, and the share of one actor in it.
//!
//! Memory is counted in bytes, when a guest gets it and not when it is first touched. Linear
//! memories, tables, the state of instances, and the host's copies of arguments and results count.

use lattice_core::{call::Limit, sync::Mutex};
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::oneshot;

/// Instances that are kept for later calls, and can be given up at any time.
pub(crate) trait Unused: Send + Sync {
    /// Drops the instance that has been unused for longest. Returns false if there is none.
    fn drop_one(&self) -> bool;
}

/// An amount of memory, from which guests take and to which they give back.
pub(super) struct MemoryPot {
    total: usize,
    state: Mutex<PotState>,
    /// What gives memory back when a guest that runs needs it.
    unused: Mutex<Vec<Weak<dyn Unused>>>,
}

#[derive(Default)]
struct PotState {
    used: usize,
    /// Those that wait for memory, in order. Each has a call behind it, so that the queues of the
    /// components bound their number.
    waiting: VecDeque<Waiter>,
}

struct Waiter {
    bytes: usize,
    granted: oneshot::Sender<Taken>,
}

/// Memory taken from a pot. Dropping it gives the memory back.
pub(super) struct Taken {
    pot: Arc<MemoryPot>,
    bytes: usize,
}

impl MemoryPot {
    pub(super) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self {
            total,
            state: Mutex::default(),
            unused: Mutex::default(),
        })
    }

    pub(super) fn total(&self) -> usize {
        self.total
    }

    pub(super) fn used(&self) -> usize {
        self.state.lock().used
    }

    /// Takes memory if there is enough. Running guests take precedence over instances that wait to
    /// begin, because only guests that end give memory back.
    fn try_take(&self, bytes: usize) -> bool {
        let mut state = self.state.lock();
        let fits = self.fits(&state, bytes);
        if fits {
            state.used += bytes;
        }
        fits
    }

    /// Drops an unused instance, so that its memory is given back. Returns false if there is none.
    fn drop_unused(&self) -> bool {
        let mut unused = self.unused.lock();
        unused.retain(|instances| instances.strong_count() > 0);
        // Dropped instances give memory back, for which no lock may be held.
        let all: Vec<_> = unused.iter().filter_map(Weak::upgrade).collect();
        drop(unused);
        all.iter().any(|instances| instances.drop_one())
    }

    fn fits(&self, state: &PotState, bytes: usize) -> bool {
        self.total
            .checked_sub(state.used)
            .is_some_and(|left| bytes <= left)
    }

    fn give_back(self: &Arc<Self>, bytes: usize) {
        {
            let mut state = self.state.lock();
            state.used -= bytes;
            if state.waiting.is_empty() {
                return;
            }
        }
        self.grant();
    }

    /// Gives memory to those that wait for it, in order.
    fn grant(self: &Arc<Self>) {
        let mut granted = Vec::new();
        {
            let mut state = self.state.lock();
            while let Some(first) = state.waiting.front() {
                let is_gone = first.granted.is_closed();
                if !is_gone && !self.fits(&state, first.bytes) {
                    break;
                }
                let Some(first) = state.waiting.pop_front() else {
                    break;
                };
                if !is_gone {
                    state.used += first.bytes;
                    granted.push(first);
                }
            }
        }
        for Waiter { bytes, granted } in granted {
            let pot = self.clone();
            // What is refused is given back, outside of the lock.
            let _ = granted.send(Taken { pot, bytes });
        }
    }

    /// Takes memory if there is enough now, and no one waits for it.
    pub(super) fn take_now(self: &Arc<Self>, bytes: usize) -> Option<Taken> {
        let mut state = self.state.lock();
        self.take_locked(&mut state, bytes)
    }

    fn take_locked(self: &Arc<Self>, state: &mut PotState, bytes: usize) -> Option<Taken> {
        let is_free = state.waiting.is_empty() && self.fits(state, bytes);
        is_free.then(|| {
            state.used += bytes;
            let pot = self.clone();
            Taken { pot, bytes }
        })
    }

    /// Waits until there is enough memory, in order with the others that wait.
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing.
    pub(super) async fn take(self: &Arc<Self>, bytes: usize) -> Taken {
        let grant = {
            let mut state = self.state.lock();
            if let Some(taken) = self.take_locked(&mut state, bytes) {
                return taken;
            }
            let (granted, grant) = oneshot::channel();
            state.waiting.push_back(Waiter { bytes, granted });
            grant
        };
        let mut waiting = Waiting {
            pot: self,
            grant,
            is_granted: false,
        };
        match (&mut waiting.grant).await {
            Ok(taken) => {
                waiting.is_granted = true;
                taken
            }
            Err(_) => unreachable!("the pot keeps those that wait"),
        }
    }
}

/// One that waits for memory. Those behind it go on when it is dropped.
struct Waiting<'p> {
    pot: &'p Arc<MemoryPot>,
    grant: oneshot::Receiver<Taken>,
    is_granted: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_granted {
            return;
        }
        // What was granted meanwhile is given back.
        self.grant.close();
        drop(self.grant.try_recv());
        {
            let mut state = self.pot.state.lock();
            state.waiting.retain(|waiter| !waiter.granted.is_closed());
        }
        self.pot.grant();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.pot.give_back(self.bytes);
        }
    }
}

impl Taken {
    /// Leaves the memory taken. It has to be given back by other means.
    fn keep(mut self) {
        self.bytes = 0;
    }
}

impl fmt::Debug for MemoryPot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryPot")
            .field("total", &self.total)
            .field("used", &self.used())
            .finish_non_exhaustive()
    }
}

/// The memory of the instances of one actor: a part of the memory of all guests.
#[derive(Debug)]
pub(crate) struct MemoryShare {
    pub(super) own: Arc<MemoryPot>,
    pub(super) all: Arc<MemoryPot>,
}

impl MemoryShare {
    /// Takes memory if there is enough, or as soon as unused instances were dropped for it.
    ///
    /// # Errors
    /// Fails with the limit that it is over.
    pub(crate) fn try_take(&self, bytes: usize) -> Result<(), Limit> {
        while !self.own.try_take(bytes) {
            if bytes > self.own.total || !self.own.drop_unused() {
                return Err(Limit::ActorMemory(self.own.total as u64));
            }
        }
        while !self.all.try_take(bytes) {
            if bytes > self.all.total || !self.all.drop_unused() {
                self.own.give_back(bytes);
                return Err(Limit::HostMemory(self.all.total as u64));
            }
        }
        Ok(())
    }

    /// Lets guests that run have the memory of these instances, which belong to the actor.
    pub(crate) fn may_drop(&self, unused: &Weak<dyn Unused>) {
        for pot in [&self.own, &self.all] {
            let mut all = pot.unused.lock();
            all.retain(|instances| instances.strong_count() > 0);
            all.push(unused.clone());
        }
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.own.give_back(bytes);
        self.all.give_back(bytes);
    }

    /// Returns a share of this much memory.
    #[cfg(test)]
    pub(crate) fn for_tests(bytes: usize) -> Arc<Self> {
        let (own, all) = (MemoryPot::new(bytes), MemoryPot::new(bytes));
        Arc::new(Self { own, all })
    }

    /// Returns the most memory that one instance can ever get.
    pub(crate) fn most(&self) -> usize {
        self.own.total
    }
}

/// The memory of one instance. Dropping it gives all of it back.
#[derive(Debug)]
pub(crate) struct MemoryLease {
    share: Arc<MemoryShare>,
    /// The bytes that were taken, some of them ahead of their use.
    held: AtomicUsize,
    used: AtomicUsize,
}

impl MemoryLease {
    /// Creates the lease of an instance that needs this much, and takes it as two parts: from the
    /// actor's share, and from the memory of all guests.
    pub(super) fn new(share: Arc<MemoryShare>, (own, all): (Taken, Taken)) -> Arc<Self> {
        let held = own.bytes;
        own.keep();
        all.keep();
        Arc::new(Self {
            share,
            held: AtomicUsize::new(held),
            used: AtomicUsize::new(0),
        })
    }

    /// Returns a lease that can get this much.
    #[cfg(test)]
    pub(crate) fn for_tests(bytes: usize) -> Arc<Self> {
        let (own, all) = (MemoryPot::new(bytes), MemoryPot::new(bytes));
        Arc::new(Self {
            share: Arc::new(MemoryShare { own, all }),
            held: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
        })
    }

    /// Begins with nothing in use, and uses this much of the memory that was taken ahead.
    pub(crate) fn begin(&self, bytes: usize) {
        let held = self.held.load(Ordering::Relaxed);
        self.used.store(bytes.min(held), Ordering::Relaxed);
    }

    /// Uses more memory: of that which was taken ahead, or else of the free memory.
    ///
    /// # Errors
    /// Fails with the limit that it is over.
    pub(crate) fn grow(&self, bytes: usize) -> Result<(), Limit> {
        // Only the instance itself uses its lease, so that nothing comes in between.
        let used = self.used.load(Ordering::Relaxed).saturating_add(bytes);
        let more = used.saturating_sub(self.held.load(Ordering::Relaxed));
        if more > 0 {
            self.share.try_take(more)?;
            self.held.fetch_add(more, Ordering::Relaxed);
        }
        self.used.store(used, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        self.share.give_back(*self.held.get_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn share(own: usize, all: usize) -> Arc<MemoryShare> {
        let (own, all) = (MemoryPot::new(own), MemoryPot::new(all));
        Arc::new(MemoryShare { own, all })
    }

    async fn lease(share: &Arc<MemoryShare>, bytes: usize) -> Arc<MemoryLease> {
        let taken = (share.own.take(bytes).await, share.all.take(bytes).await);
        MemoryLease::new(share.clone(), taken)
    }

    #[tokio::test]
    async fn a_lease_is_given_back_with_all_that_it_grew() {
        let share = share(100, 150);
        let one = lease(&share, 40).await;
        assert_eq!(one.grow(30), Ok(()));
        assert_eq!((share.own.used(), share.all.used()), (40, 40), "ahead");
        assert_eq!(one.grow(60), Ok(()));
        assert_eq!(share.own.used(), 90);
        assert_eq!(one.grow(11), Err(Limit::ActorMemory(100)));
        drop(one);
        assert_eq!((share.own.used(), share.all.used()), (0, 0));
        share.all.clone().take(100).await.keep();
        assert_eq!(share.try_take(60), Err(Limit::HostMemory(150)));
        assert_eq!(share.own.used(), 0, "nothing is kept of what failed");
    }

    #[tokio::test]
    async fn guests_that_run_get_the_memory_of_unused_instances() {
        struct Kept(Mutex<Vec<Arc<MemoryLease>>>);

        impl Unused for Kept {
            fn drop_one(&self) -> bool {
                let dropped = self.0.lock().pop();
                dropped.is_some()
            }
        }

        let share = share(100, 150);
        let other = MemoryShare {
            own: MemoryPot::new(100),
            all: share.all.clone(),
        };
        let running = lease(&share, 20).await;
        running.begin(20);
        let kept: Arc<dyn Unused> = Arc::new(Kept(Mutex::new(vec![
            lease(&share, 30).await,
            lease(&share, 30).await,
        ])));
        share.may_drop(&Arc::downgrade(&kept));
        assert_eq!(running.grow(40), Ok(()));
        assert_eq!(share.own.used(), 90, "one was dropped");
        assert_eq!(other.try_take(80), Ok(()), "another actor");
        assert_eq!(share.own.used(), 60);
        assert_eq!(running.grow(30), Err(Limit::HostMemory(150)));
        drop(kept);
        assert_eq!(running.grow(41), Err(Limit::ActorMemory(100)));
        assert!(share.own.unused.lock().is_empty());
    }

    #[tokio::test]
    async fn memory_is_granted_in_order_and_running_guests_come_first() {
        let pot = MemoryPot::new(100);
        let held = pot.take(80).await;
        let mut large = Box::pin(pot.take(60));
        assert!((&mut large).now_or_never().is_none());
        let mut small = Box::pin(pot.take(10));
        assert!(
            (&mut small).now_or_never().is_none(),
            "not before the first"
        );
        assert!(pot.try_take(20), "a guest that runs");
        pot.give_back(20);
        drop(held);
        let large = (&mut large).now_or_never().expect("there is room");
        let small = (&mut small).now_or_never().expect("there is room");
        assert_eq!(pot.used(), 70);
        drop((large, small));
        assert_eq!(pot.used(), 0);
    }

    #[tokio::test]
    async fn those_that_give_up_behind_others_are_not_kept() {
        let pot = MemoryPot::new(100);
        let held = pot.take(100).await;
        let mut first = Box::pin(pot.take(60));
        assert!((&mut first).now_or_never().is_none());
        for _ in 0..3 {
            assert!(pot.take(10).now_or_never().is_none());
        }
        assert_eq!(pot.state.lock().waiting.len(), 1);
        drop(held);
        assert!((&mut first).now_or_never().is_some());
        assert_eq!(pot.used(), 0);
    }

    #[tokio::test]
    async fn one_that_no_longer_waits_holds_up_the_others_no_more() {
        let pot = MemoryPot::new(100);
        let held = pot.take(50).await;
        let mut first = Box::pin(pot.take(60));
        assert!((&mut first).now_or_never().is_none());
        let mut second = Box::pin(pot.take(50));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        let second = (&mut second).now_or_never().expect("it is the first now");
        let mut third = Box::pin(pot.take(100));
        assert!((&mut third).now_or_never().is_none());
        drop((held, second));
        assert_eq!(pot.used(), 100, "granted, and not received yet");
        drop(third);
        assert_eq!(pot.used(), 0);
    }
}
