//! What one instance has used of what it may use while it runs.

use crate::engine::{TICK, Ticks};
use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use wasmtime::UpdateDeadline;

/// Tells which ticks one instance was running in, and counts its calls under way.
///
/// A tick counts, for the call that the guest then serves, when the guest meets it while it is being polled. What passes while it waits for others doesn't, and
/// neither does a whole pile of ticks that passed while something else had the processor: it counts as one.
#[derive(Debug)]
pub(crate) struct Vitals {
    ticks: Ticks,
    /// The tick at which the guest was last given the processor.
    polled_at: AtomicU64,
    budget: Option<u32>,
    outgoing: AtomicUsize,
}

/// A guest used more CPU time than it may.
#[derive(Debug, thiserror::Error)]
#[error("it was still running")]
pub(crate) struct CpuOverrun {
    pub(super) budget: Duration,
}

/// One call under way to another component; ends when dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Vitals>);

impl Vitals {
    pub(crate) fn new(ticks: &Ticks, cpu: Option<Duration>) -> Self {
        let whole_ticks = |cpu: Duration| cpu.as_millis().div_ceil(TICK.as_millis()).max(1);
        Self {
            ticks: ticks.clone(),
            polled_at: AtomicU64::new(ticks.now()),
            budget: cpu.map(|cpu| u32::try_from(whole_ticks(cpu)).unwrap_or(u32::MAX)),
            outgoing: AtomicUsize::new(0),
        }
    }

    /// Runs a future that runs the guest.
    pub(crate) async fn watch<F: Future>(&self, guest: F) -> F::Output {
        let mut guest = pin!(guest);
        poll_fn(|context| {
            self.polled_at.store(self.ticks.now(), Ordering::Relaxed);
            guest.as_mut().poll(context)
        })
        .await
    }

    /// Whether the guest was running when the last tick passed. If not, it waited, and has only just been given the
    /// processor again.
    pub(super) fn ran(&self) -> bool {
        self.ticks.now() != self.polled_at.load(Ordering::Relaxed)
    }

    /// Charges a tick to whom `spent` is for: the guest lets others run, or is ended.
    pub(super) fn charge(&self, spent: &mut u32) -> Result<UpdateDeadline, CpuOverrun> {
        *spent = spent.saturating_add(1);
        match self.budget {
            Some(budget) if *spent > budget => Err(CpuOverrun {
                budget: TICK * budget,
            }),
            // The runtime's own way to yield: waking oneself would not let a current-thread runtime see to its timers.
            _ => Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(tokio::task::yield_now()),
            )),
        }
    }

    /// Room for one more call to another component; `None` when there is none.
    pub(crate) fn enter(self: &Arc<Self>, most: usize) -> Option<UnderWay> {
        let more = |now| (now < most).then_some(now + 1);
        let entered = self
            .outgoing
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        entered.is_ok().then(|| UnderWay(self.clone()))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.outgoing.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ticks_count_only_while_the_guest_runs() {
        let ticks = Ticks::default();
        let vitals = Vitals::new(&ticks, Some(TICK * 2));
        vitals
            .watch(async {
                assert!(!vitals.ran());
                ticks.advance();
                assert!(vitals.ran());
                tokio::task::yield_now().await;
                // Any number of ticks may pass while it waits.
                for _ in 0..100 {
                    ticks.advance();
                }
                tokio::task::yield_now().await;
                assert!(!vitals.ran());
            })
            .await;
    }

    #[test]
    fn a_budget_is_spent_tick_by_tick() {
        let vitals = Vitals::new(&Ticks::default(), Some(TICK * 3 / 2));
        let (mut spent, mut other) = (0, 0);
        for _ in 0..2 {
            let told = vitals.charge(&mut spent);
            assert!(matches!(told, Ok(UpdateDeadline::YieldCustom(1, _))));
        }
        let overrun = vitals.charge(&mut spent).err().expect("the third of two");
        assert_eq!(overrun.budget, TICK * 2, "whole ticks");
        assert!(vitals.charge(&mut other).is_ok(), "a budget of its own");
        let unlimited = Vitals::new(&Ticks::default(), None);
        assert!(unlimited.charge(&mut u32::MAX.clone()).is_ok());
    }

    #[test]
    fn calls_under_way_are_bounded() {
        let vitals = Arc::new(Vitals::new(&Ticks::default(), None));
        let first = vitals.enter(2).expect("room for one");
        let _second = vitals.enter(2).expect("room for two");
        assert!(vitals.enter(2).is_none());
        drop(first);
        assert!(vitals.enter(2).is_some());
    }
}
