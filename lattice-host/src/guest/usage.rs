//! Measures what one instance uses besides its memory: CPU time, calls in flight, and the host's
//! copies of what it passes.

use crate::{
    engine::{MemoryShare, TICK, Ticks},
    limits::{ByteSize, Limits},
    transcode::{Meter, metered},
};
use lattice_core::{
    call::{Limit, Part},
    sync::Mutex,
};
use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use wasmtime::UpdateDeadline;

/// How much a guest may make the host copy in one turn, before it yields to others. A turn of this
/// length takes some tenths of a millisecond.
const TURN: usize = 512 * 1024;
/// What a call counts for beside the bytes of its arguments.
const CALL: usize = 4 * 1024;

/// Measures the CPU time of one instance in ticks, and counts its calls in flight and their bytes.
///
/// A tick that passes while the guest is being polled is charged to the call that it is serving.
/// Ticks that pass while the guest waits are free. Any number of ticks that passed while something
/// else had the processor are charged as one. All ticks that pass while the host copies a value of
/// the guest are charged, because nothing interrupts that.
#[derive(Debug)]
pub(crate) struct InstanceUsage {
    ticks: Ticks,
    /// The tick at which the guest was last polled.
    polled_at: AtomicU64,
    /// How much of its turn the guest has used since it was last polled, of [`TURN`].
    turn: AtomicUsize,
    budget: Option<u32>,
    /// Ticks that passed during copies and that no other tick was charged for yet.
    copying: AtomicU32,
    outgoing: AtomicUsize,
    /// Bytes of the arguments of calls that the guest made, as long as the host holds them.
    arguments: AtomicUsize,
    most_arguments: usize,
    memory: Arc<MemoryShare>,
    /// The limit on memory for which the host refused to hold more.
    denied: Mutex<Option<Limit>>,
    /// Whether arguments were refused last because of `most_arguments`, and not for lack of memory.
    is_over_own: AtomicBool,
    has_reported: AtomicBool,
}

/// A guest exceeded its CPU time.
#[derive(Debug, thiserror::Error)]
#[error("it was still running")]
pub(crate) struct CpuOverrun {
    pub(super) budget: Duration,
}

/// A permit for one call to another component, held while the call is in flight.
#[derive(Debug)]
pub(crate) struct OutgoingPermit(Arc<InstanceUsage>);

impl InstanceUsage {
    /// Creates the usage of an instance with these limits, of the actor that has this memory.
    pub(crate) fn new(ticks: &Ticks, limits: &Limits, memory: Arc<MemoryShare>) -> Self {
        let whole_ticks = |cpu: Duration| cpu.as_millis().div_ceil(TICK.as_millis()).max(1);
        Self {
            ticks: ticks.clone(),
            polled_at: AtomicU64::new(ticks.now()),
            turn: AtomicUsize::new(0),
            budget: limits
                .cpu
                .map(|cpu| u32::try_from(whole_ticks(cpu)).unwrap_or(u32::MAX)),
            copying: AtomicU32::new(0),
            outgoing: AtomicUsize::new(0),
            arguments: AtomicUsize::new(0),
            // One call of the largest size can always be made.
            most_arguments: limits.outgoing_bytes.max(limits.result).as_usize(),
            memory,
            denied: Mutex::default(),
            is_over_own: AtomicBool::new(false),
            has_reported: AtomicBool::new(false),
        }
    }

    /// Runs a future that runs the guest.
    pub(crate) async fn run<F: Future>(self: &Arc<Self>, guest: F) -> F::Output {
        let mut guest = pin!(guest);
        poll_fn(|context| {
            self.polled_at.store(self.ticks.now(), Ordering::Relaxed);
            self.turn.store(0, Ordering::Relaxed);
            let meter: Arc<dyn Meter> = self.clone();
            metered(meter, || guest.as_mut().poll(context))
        })
        .await
    }

    /// Returns the limit on memory for which the host refused to hold more of the guest's values.
    pub(super) fn denied(&self) -> Option<Limit> {
        *self.denied.lock()
    }

    /// Returns why the host held no more arguments of the guest, and what to do about it. Returns
    /// it once for each instance, because a guest may try again and again.
    pub(super) fn refusal_to_report(&self) -> Option<String> {
        if self.has_reported.swap(true, Ordering::Relaxed) {
            return None;
        }
        let denied = self.denied();
        Some(match denied {
            Some(limit) if !self.is_over_own.load(Ordering::Relaxed) => format!(
                "its actor is at the limit of {limit}; raise it with `lattice up --guest-memory`, or with `EngineBuilder::guest_memory`"
            ),
            _ => format!(
                "the arguments of its calls in flight may take {} together; raise that with `limits = {{ outgoing-bytes = … }}` in the manifest, or with `Limits::outgoing_bytes`",
                ByteSize::bytes(self.most_arguments as u64)
            ),
        })
    }

    /// Returns whether the guest was running when the last tick passed. If not, it was waiting, and
    /// has only just been given the processor again.
    pub(super) fn was_running(&self) -> bool {
        self.ticks.now() != self.polled_at.load(Ordering::Relaxed)
    }

    /// Charges a tick to the call that `spent` belongs to. Then the guest yields, or ends if the
    /// call is over its budget.
    pub(super) fn charge(&self, spent: &mut u32) -> Result<UpdateDeadline, CpuOverrun> {
        self.charge_copies(spent);
        *spent = spent.saturating_add(1);
        match self.budget {
            Some(budget) if *spent > budget => Err(CpuOverrun {
                budget: TICK * budget,
            }),
            _ => Ok(yielding()),
        }
    }

    /// Counts a call with so many bytes of arguments. Returns whether that ends the guest's turn.
    pub(super) fn ends_turn(&self, bytes: usize) -> bool {
        let used = bytes.saturating_add(CALL);
        let before = self.turn.fetch_add(used, Ordering::Relaxed);
        before < TURN && before.saturating_add(used) >= TURN
    }

    /// Returns what the guest does when it is interrupted without a tick: it yields if its turn is
    /// over.
    pub(super) fn next_deadline(&self) -> UpdateDeadline {
        if self.turn.load(Ordering::Relaxed) >= TURN {
            yielding()
        } else {
            UpdateDeadline::Continue(1)
        }
    }

    /// Charges what was copied to the call that `spent` belongs to. The next tick ends the call if
    /// it is over its budget.
    pub(super) fn charge_copies(&self, spent: &mut u32) {
        *spent = spent.saturating_add(self.copying.swap(0, Ordering::Relaxed));
    }

    /// Returns whether copies took ticks that were not charged yet.
    pub(super) fn has_copied(&self) -> bool {
        self.copying.load(Ordering::Relaxed) > 0
    }

    /// Returns a permit for one more call to another component. `None` when `most` are in flight.
    pub(crate) fn try_acquire(self: &Arc<Self>, most: usize) -> Option<OutgoingPermit> {
        let more = |now| (now < most).then_some(now + 1);
        let entered = self
            .outgoing
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        entered.is_ok().then(|| OutgoingPermit(self.clone()))
    }
}

/// The guest yields, and may then run until the next interruption. This uses the runtime's own
/// yield, because with a plain wake-up, a current-thread runtime would not run its timers.
fn yielding() -> UpdateDeadline {
    UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
}

impl Meter for InstanceUsage {
    fn take(&self, part: Part, bytes: usize) -> bool {
        let is_arguments = part == Part::Arguments;
        if is_arguments {
            let more = |now: usize| {
                let more = now.checked_add(bytes)?;
                (more <= self.most_arguments).then_some(more)
            };
            let taken = self
                .arguments
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
            self.is_over_own.store(taken.is_err(), Ordering::Relaxed);
            if taken.is_err() {
                return false;
            }
        }
        let Err(limit) = self.memory.try_take(bytes) else {
            return true;
        };
        if is_arguments {
            self.arguments.fetch_sub(bytes, Ordering::Relaxed);
        }
        *self.denied.lock() = Some(limit);
        false
    }

    fn give_back(&self, part: Part, bytes: usize) {
        if part == Part::Arguments {
            self.arguments.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.memory.give_back(bytes);
    }

    fn tick(&self) -> u64 {
        self.ticks.now()
    }

    fn copied_since(&self, tick: u64) {
        // The guest itself is charged for one of them when it goes on.
        let passed = (self.ticks.now() - tick).saturating_sub(1);
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        let _ = self
            .copying
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |ticks| {
                Some(ticks.saturating_add(passed))
            });
    }
}

impl Drop for OutgoingPermit {
    fn drop(&mut self) {
        self.0.outgoing.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Intervals;

    fn usage(ticks: &Ticks, cpu: Option<Duration>) -> Arc<InstanceUsage> {
        let limits = Limits::default().cpu(cpu).result(ByteSize::bytes(100));
        let limits = limits.outgoing_bytes(ByteSize::bytes(300));
        let memory = MemoryShare::for_tests(1_000);
        Arc::new(InstanceUsage::new(ticks, &limits, memory))
    }

    #[test]
    fn copies_of_arguments_and_results_are_counted() {
        let usage = usage(&Ticks::default(), None);
        assert!(usage.take(Part::Arguments, 300));
        assert!(!usage.take(Part::Arguments, 1), "its own limit");
        assert_eq!(usage.denied(), None);
        assert!(usage.take(Part::Result, 700));
        usage.give_back(Part::Arguments, 300);
        assert!(!usage.take(Part::Result, 301));
        assert_eq!(usage.denied(), Some(Limit::ActorMemory(1_000)));
        assert!(usage.take(Part::Arguments, 300), "nothing is lost");
    }

    #[test]
    fn the_limit_for_which_arguments_are_refused_is_reported_once() {
        let own = usage(&Ticks::default(), None);
        assert!(own.take(Part::Result, 900));
        assert!(!own.take(Part::Result, 900));
        assert!(!own.take(Part::Arguments, 301));
        let reason = own.refusal_to_report().expect("the first time");
        assert!(reason.contains("300"), "{reason}");
        assert!(
            reason.contains("`limits = { outgoing-bytes = … }`"),
            "{reason}"
        );
        assert_eq!(own.refusal_to_report(), None);
        let shared = usage(&Ticks::default(), None);
        assert!(shared.take(Part::Result, 900));
        assert!(!shared.take(Part::Arguments, 300));
        let reason = shared.refusal_to_report().expect("the first time");
        assert!(reason.contains("--guest-memory"), "{reason}");
    }

    #[tokio::test]
    async fn ticks_count_only_while_the_guest_runs() {
        let ticks = Ticks::default();
        let usage = usage(&ticks, Some(TICK * 2));
        usage
            .run(async {
                assert!(!usage.was_running());
                ticks.advance();
                assert!(usage.was_running());
                tokio::task::yield_now().await;
                // Any number of ticks may pass while the guest waits.
                for _ in 0..100 {
                    ticks.advance();
                }
                tokio::task::yield_now().await;
                assert!(!usage.was_running());
            })
            .await;
    }

    /// The guest runs for four milliseconds of five, and expects the ticks in the fifth. It follows
    /// each tick that it is charged for.
    #[tokio::test]
    async fn a_guest_that_waits_when_a_tick_is_due_is_charged_like_any_other() {
        const STEP: Duration = Duration::from_micros(100);
        const SPAN: Duration = Duration::from_secs(20);
        let (ticks, mut intervals) = (Ticks::default(), Intervals::default());
        let usage = usage(&ticks, None);
        let (mut now, mut due) = (Duration::ZERO, intervals.next());
        let (mut last, mut ran, mut spent) = (due, Duration::ZERO, 0);
        while now < SPAN {
            let until_tick = (last + TICK).saturating_sub(now);
            if until_tick.is_zero() {
                last += TICK;
            }
            let runs = until_tick > TICK / 10 && until_tick < TICK * 9 / 10;
            let step = async {
                now += STEP;
                ran += if runs { STEP } else { Duration::ZERO };
                if now >= due {
                    ticks.advance();
                    due += intervals.next();
                    if runs && usage.was_running() {
                        assert!(usage.charge(&mut spent).is_ok());
                        last = now;
                    }
                }
            };
            usage.run(step).await;
        }
        let charged = (TICK * spent).as_secs_f64() / ran.as_secs_f64();
        assert!((0.6..1.4).contains(&charged), "{charged} of {ran:?}");
    }

    #[tokio::test]
    async fn a_guest_that_makes_the_host_copy_much_yields_between_ticks() {
        let usage = usage(&Ticks::default(), Some(TICK));
        let yields = || matches!(usage.next_deadline(), UpdateDeadline::YieldCustom(1, _));
        usage
            .run(async {
                assert!(!usage.ends_turn(TURN / 2) && !yields());
                assert!(usage.ends_turn(TURN / 2) && yields());
                assert!(!usage.ends_turn(TURN), "it was interrupted already");
                assert!(yields());
                tokio::task::yield_now().await;
                assert!(!yields(), "the next turn");
                let calls = (0..TURN).find(|_| usage.ends_turn(0));
                assert_eq!(calls, Some(TURN / CALL - 1));
            })
            .await;
    }

    #[test]
    fn all_ticks_that_pass_during_a_copy_are_charged() {
        let ticks = Ticks::default();
        let usage = usage(&ticks, Some(TICK * 6));
        let began = usage.tick();
        usage.copied_since(began);
        assert!(!usage.has_copied(), "it took no time");
        for _ in 0..4 {
            ticks.advance();
        }
        usage.copied_since(began);
        assert!(usage.has_copied());
        let (mut spent, mut other) = (0, 0);
        assert!(usage.charge(&mut spent).is_ok());
        assert_eq!(spent, 4);
        usage.copied_since(began);
        usage.charge_copies(&mut other);
        assert_eq!((other, usage.has_copied()), (3, false));
        usage.copied_since(began);
        assert!(usage.charge(&mut spent).is_err(), "eight of six ticks");
    }

    #[test]
    fn a_budget_is_spent_tick_by_tick() {
        let usage = usage(&Ticks::default(), Some(TICK * 3 / 2));
        let (mut spent, mut other) = (0, 0);
        for _ in 0..2 {
            let charged = usage.charge(&mut spent);
            assert!(matches!(charged, Ok(UpdateDeadline::YieldCustom(1, _))));
        }
        let overrun = usage
            .charge(&mut spent)
            .err()
            .expect("three ticks exceed two");
        assert_eq!(overrun.budget, TICK * 2, "whole ticks");
        assert!(
            usage.charge(&mut other).is_ok(),
            "another call has its own budget"
        );
        let unlimited = self::usage(&Ticks::default(), None);
        assert!(unlimited.charge(&mut u32::MAX.clone()).is_ok());
    }

    #[test]
    fn concurrent_outgoing_calls_are_bounded() {
        let usage = usage(&Ticks::default(), None);
        let first = usage.try_acquire(2).expect("the first of two");
        let _second = usage.try_acquire(2).expect("the second of two");
        assert!(usage.try_acquire(2).is_none());
        drop(first);
        assert!(usage.try_acquire(2).is_some());
    }
}
