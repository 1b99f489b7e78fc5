//! What one instance has used of what it may use while it runs.

use crate::engine::{TICK, Ticks};
use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use wasmtime::UpdateDeadline;

/// Counts the ticks that one instance was seen running, and its calls under way.
///
/// A tick counts when the guest meets it while it is being polled. What passes while it waits for others doesn't, and
/// neither does a whole pile of ticks that passed while something else had the processor: it counts as one.
#[derive(Debug)]
pub(crate) struct Vitals {
    ticks: Ticks,
    /// The tick at which the guest was last given the processor.
    polled_at: AtomicU64,
    seen: AtomicU32,
    budget: Option<u32>,
    outgoing: AtomicUsize,
}

/// A guest used more CPU time than it may.
#[derive(Debug, thiserror::Error)]
#[error("it ran for more than {budget:?} of CPU time; do less in one call, or raise `Limits::cpu`")]
pub(crate) struct CpuOverrun {
    budget: Duration,
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
            seen: AtomicU32::new(0),
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

    /// The guest has met a tick: it lets others run, or is ended.
    pub(crate) fn on_tick(&self) -> Result<UpdateDeadline, CpuOverrun> {
        if self.ticks.now() == self.polled_at.load(Ordering::Relaxed) {
            // The tick passed while it waited, and it has only just been given the processor again.
            return Ok(UpdateDeadline::Continue(1));
        }
        let seen = self.seen.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        match self.budget {
            Some(budget) if seen > budget => Err(CpuOverrun {
                budget: TICK * budget,
            }),
            // The runtime's own way to yield: waking oneself would not let a current-thread runtime see to its timers.
            _ => Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(tokio::task::yield_now()),
            )),
        }
    }

    /// A call ended, or a new one starts: the budget is full again.
    pub(crate) fn refresh(&self) {
        self.seen.store(0, Ordering::Relaxed);
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

    fn is_yield(update: &UpdateDeadline) -> bool {
        matches!(update, UpdateDeadline::YieldCustom(1, _))
    }

    #[tokio::test]
    async fn ticks_count_only_while_the_guest_runs() {
        let ticks = Ticks::default();
        let vitals = Vitals::new(&ticks, Some(Duration::from_millis(20)));
        vitals
            .watch(async {
                for _ in 0..2 {
                    ticks.advance();
                    assert!(is_yield(&vitals.on_tick().expect("within its budget")));
                    tokio::task::yield_now().await;
                }
                // Any number of ticks may pass while it waits.
                for _ in 0..100 {
                    ticks.advance();
                }
                tokio::task::yield_now().await;
                assert!(matches!(vitals.on_tick(), Ok(UpdateDeadline::Continue(1))));
                ticks.advance();
                let overrun = vitals.on_tick().expect_err("the third tick of two");
                assert!(overrun.to_string().contains("20ms"), "{overrun}");
                vitals.refresh();
                assert!(is_yield(&vitals.on_tick().expect("a new budget")));
            })
            .await;
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
