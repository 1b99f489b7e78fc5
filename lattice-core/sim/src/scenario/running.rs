//! A running scenario.

mod passing;

use super::{Scenario, Summary};
use crate::{
    bug::InjectedBug,
    edits::Edits,
    history::History,
    invariant::{Invariant, Violation},
    record::Via,
    schedule::{HostIndex, Schedule, Trouble},
    settle::{MEMORY, holders, in_flight, over_memory, unsettled},
    store::Boot,
    work::{AGAIN, CARRY, EVERYWHERE, GREETER, LEDGER, Native, ONCE, Plan, id},
    world::Sim,
};
use lattice_core::{__private::Random, store::StoreKey};
use passing::PassingRun;
use std::{sync::Arc, time::Duration};

/// How long hosts may take to start and settle at first.
const START: Duration = Duration::from_mins(1);
/// How long hosts may take to settle afterwards: a host that died often needs many beats until
/// placement counts it again.
const SETTLE: Duration = Duration::from_mins(4);
/// How often it is checked whether the hosts have settled.
const LOOK: Duration = Duration::from_millis(250);
/// The time between two calls.
const CALLS: Duration = Duration::from_millis(30);
/// The time between two checks of which hosts would serve calls as the holder of a lease, and of
/// their memory.
const HOLDERS: Duration = Duration::from_millis(50);
/// Calls of a host at once, whose arguments take more memory than a host has for calls.
const MANY: usize = 30;
/// The timeout of a call that never returns.
const ENDLESS: Duration = Duration::from_hours(24);

/// The simulation, what happens in it, and its checks.
pub(super) struct Running {
    sim: Sim,
    pub(super) history: History,
    random: Random,
    edits: Edits,
    trouble: Duration,
    bug: Option<InjectedBug>,
    summary: Summary,
    next_call: Duration,
    next_look: Duration,
    held_by: Vec<HostIndex>,
    passing: Option<PassingRun>,
}

impl Running {
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut sim = Sim::new(seed);
        let is_bounded = scenario.bug != Some(InjectedBug::ForgetsBounds);
        sim.memory = is_bounded.then_some(MEMORY);
        let history = History::new(sim.store.clone());
        let passing = scenario
            .passes
            .then(|| PassingRun::new(seed, history.clone()));
        for _ in 0..scenario.hosts {
            let (history, bug) = (history.clone(), scenario.bug);
            let holdings = passing.as_ref().map(PassingRun::holdings);
            sim.add(move |host, number| {
                Arc::new(Native {
                    boot: Boot { host, number },
                    history: history.clone(),
                    bug,
                    holdings: holdings.clone(),
                })
            });
        }
        Self {
            sim,
            edits: Edits::new(history.clone()),
            history,
            random: Random::new(seed ^ 0xca11),
            trouble: scenario.trouble,
            bug: scenario.bug,
            summary: Summary::default(),
            next_call: Duration::ZERO,
            next_look: Duration::ZERO,
            held_by: Vec::new(),
            passing,
        }
    }

    pub(super) fn run(&mut self, schedule: &Schedule) -> Result<Summary, Violation> {
        self.begin()?;
        self.run_schedule(schedule)?;
        self.sim.heal();
        self.check_desired()?;
        self.settle()?;
        self.call_everything()?;
        self.check_holdings()?;
        self.check_idle()?;
        let (counts, done) = (self.history.counts(), self.has_passed());
        Ok(Summary {
            calls: counts.calls,
            answered: counts.answered,
            runs: counts.runs,
            resources: done.opened,
            uses: done.used,
            streams: done.whole,
            ..self.summary.clone()
        })
    }

    /// Waits until hosts are up and the first version of everything runs.
    fn begin(&mut self) -> Result<(), Violation> {
        if self.bug == Some(InjectedBug::GrantsAllLeases) {
            self.sim.store.grant_all();
        }
        let first = HostIndex(0);
        self.wait(START, "the first host is up", |running| {
            running
                .sim
                .up(first)
                .is_none()
                .then(|| "it is not".to_owned())
        })?;
        let more = self.passing.as_ref().map(|_| PassingRun::links());
        let more = more.unwrap_or_default();
        self.edits.begin(&mut self.sim, first, self.bug, more);
        self.wait(START, "all is declared", |running| {
            running.edits.has_begun().err()
        })?;
        let greeters = self.edits.greeters();
        self.wait(START, "all runs for the first time", |running| {
            unsettled(&mut running.sim, greeters)
        })
    }

    /// Plays the schedule, makes edits and calls.
    fn run_schedule(&mut self, schedule: &Schedule) -> Result<(), Violation> {
        let begun = self.sim.now();
        let mut edits = Vec::new();
        for event in &schedule.0 {
            if let Trouble::Edit(number) = event.what {
                edits.push((begun + event.at, number));
            }
        }
        self.sim.play(schedule);
        self.note_leaves(begun, schedule);
        if self.bug == Some(InjectedBug::SlowClock) {
            self.sim.set_drift(HostIndex(0), -500_000);
        }
        if self.bug == Some(InjectedBug::ForgetsBounds) {
            self.call_at_once();
        }
        edits.reverse();
        while self.sim.now() < begun + self.trouble {
            if let Some((_, number)) = edits.pop_if(|(at, _)| *at <= self.sim.now()) {
                self.edits.edit(&mut self.sim, number);
            }
            if self.sim.now() >= self.next_call {
                self.next_call = self.sim.now() + CALLS;
                let (host, plan) = self.random_call();
                self.call(host, plan);
            }
            self.begin_errand((begun + self.trouble).saturating_sub(self.sim.now()));
            self.step()?;
        }
        Ok(())
    }

    /// Checks that every acknowledged write is still there.
    fn check_desired(&mut self) -> Result<(), Violation> {
        if self.bug == Some(InjectedBug::LosesRecords) {
            self.sim.store.forget(StoreKey::actor(&id(GREETER)));
        }
        self.wait(START, "the last edit has ended", |running| {
            running.edits.pending(&running.sim)
        })?;
        self.wait(START, "the first host follows the store", |running| {
            let up = running.sim.up(HostIndex(0));
            let follows = up.is_some_and(|up| up.lattice.replica().health().state.is_live());
            (!follows).then(|| "it does not".to_owned())
        })?;
        self.sim.run_for(Duration::from_secs(1));
        let found = self.sim.up(HostIndex(0)).map(|up| up.lattice.desired());
        match self.edits.lost(found.as_deref()) {
            Some(lost) => Err(self.violation(Invariant::KeepsDesired, lost)),
            None => Ok(()),
        }
    }

    /// Applies the last version of everything, and waits until all hosts have settled.
    fn settle(&mut self) -> Result<(), Violation> {
        let healed = self.sim.now();
        let mut tried = healed;
        self.edits.last(&mut self.sim);
        self.wait(SETTLE, "the last version is applied", |running| {
            let (edits, sim) = (&mut running.edits, &mut running.sim);
            if edits.pending(sim).is_none()
                && !edits.is_last_applied()
                && sim.now() > tried + LOOK * 4
            {
                tried = sim.now();
                edits.last(sim);
            }
            (!edits.is_last_applied()).then(|| edits.why())
        })?;
        let greeters = self.edits.greeters();
        self.wait(SETTLE, "all runs again", |running| {
            unsettled(&mut running.sim, greeters)
        })?;
        self.summary.settled_after = self.sim.now().saturating_sub(healed);
        Ok(())
    }

    /// Checks that every link works from every host, that idempotent calls succeed, and that a
    /// source without a link is refused.
    fn call_everything(&mut self) -> Result<(), Violation> {
        let links = [GREETER, EVERYWHERE, LEDGER];
        let plans = links.map(Plan::linked).into_iter();
        let plans: Vec<Plan> = plans
            .chain([GREETER, EVERYWHERE].map(Plan::simple))
            .collect();
        for host in self.sim.hosts() {
            for plan in &plans {
                let outcome = self.call_and_wait(host, plan.clone())?;
                if let Err(error) = outcome {
                    let what = format!(
                        "a call from {host} via {:?} to {} when all was well: {error}",
                        plan.via, plan.target
                    );
                    return Err(self.violation(Invariant::Settles, what));
                }
            }
            let unlinked = Plan {
                via: Via::Unlinked,
                ..Plan::simple(GREETER)
            };
            let outcome = self.call_and_wait(host, unlinked)?;
            if outcome.is_ok() {
                let what = format!("a call without a link from {host} returned a value");
                return Err(self.violation(Invariant::Granted, what));
            }
        }
        Ok(())
    }

    /// Stops calling, and checks that nothing is left in flight.
    fn check_idle(&mut self) -> Result<(), Violation> {
        if self.bug == Some(InjectedBug::NeverAnswers) {
            let endless = Plan {
                ms: u32::MAX,
                timeout: ENDLESS,
                ..Plan::simple(GREETER)
            };
            self.call(HostIndex(0), endless);
        }
        for _ in 0..400 {
            self.step()?;
        }
        let running = |host| self.sim.running(host).map(|(boot, _)| boot);
        self.history.look_for_open(running);
        self.verdict()?;
        for host in self.sim.hosts() {
            if let Some(what) = in_flight(&mut self.sim, host) {
                return Err(self.violation(Invariant::EndsIdle, what));
            }
        }
        Ok(())
    }

    /// Advances time, with all checks, until nothing is missing.
    fn wait(
        &mut self,
        within: Duration,
        what: &str,
        mut missing: impl FnMut(&mut Self) -> Option<String>,
    ) -> Result<(), Violation> {
        let until = self.sim.now() + within;
        let mut look = self.sim.now();
        loop {
            if self.sim.now() >= look {
                look = self.sim.now() + LOOK;
                let Some(reason) = missing(self) else {
                    return Ok(());
                };
                if self.sim.now() >= until {
                    let what = format!("timed out after {within:?} waiting until {what}: {reason}");
                    return Err(self.violation(Invariant::Settles, what));
                }
            }
            self.step()?;
        }
    }

    fn step(&mut self) -> Result<(), Violation> {
        self.history.advance(self.sim.now());
        for host in self.sim.hosts() {
            if self.sim.is_paused(host) {
                self.history.paused(host);
            }
        }
        self.sim.step();
        if self.sim.now() >= self.next_look {
            self.next_look = self.sim.now() + HOLDERS;
            self.look_at_holders();
            self.look_at_holdings();
            self.look_at_memory();
        }
        self.verdict()
    }

    fn look_at_holders(&mut self) {
        let holders = holders(&mut self.sim);
        self.summary.moments += 1;
        if holders.len() > 1 {
            self.summary.double_holders += 1;
            let what = format!("{holders:?} would serve calls at the same time");
            self.history.report(Invariant::OneHolder, what);
        }
        if holders != self.held_by {
            self.history
                .note(format_args!("the lease is with {holders:?}"));
            self.held_by = holders;
        }
    }

    fn look_at_memory(&mut self) {
        for host in self.sim.hosts() {
            if let Some(what) = over_memory(&mut self.sim, host) {
                self.history.report(Invariant::BoundsMemory, what);
            }
        }
    }

    fn verdict(&self) -> Result<(), Violation> {
        self.history
            .violations()
            .into_iter()
            .next()
            .map_or(Ok(()), Err)
    }

    fn violation(&self, invariant: Invariant, what: String) -> Violation {
        Violation {
            invariant,
            at: self.sim.now(),
            what,
        }
    }

    /// Has every host make many calls with large arguments to one component.
    fn call_at_once(&mut self) {
        for host in self.sim.hosts() {
            for _ in 0..MANY {
                let carries = Plan {
                    function: CARRY,
                    ..Plan::linked(LEDGER)
                };
                self.call(host, carries);
            }
        }
    }

    /// Returns a random call, and the host that makes it.
    fn random_call(&mut self) -> (HostIndex, Plan) {
        let random = &mut self.random;
        let host = HostIndex(random.below(self.sim.hosts().count() as u64) as usize);
        let target = [GREETER, GREETER, EVERYWHERE, LEDGER][random.below(4) as usize];
        let function = [ONCE, AGAIN][random.below(2) as usize];
        let slow = random.below(10);
        let plan = Plan {
            function,
            ms: if slow < 2 {
                20 + random.below(900) as u32
            } else {
                0
            },
            timeout: Duration::from_millis(200 + random.below(2_800)),
            ..Plan::simple(target)
        };
        let via = match random.below(10) {
            0..4 => Via::Operator,
            4..8 => Plan::linked(target).via,
            8 => Via::Guest,
            _ => Via::Unlinked,
        };
        let target = match via {
            Via::Guest | Via::Unlinked => GREETER,
            _ => target,
        };
        if random.below(60) == 0 {
            // Large arguments, and a large result.
            let carries = Plan {
                function: CARRY,
                timeout: plan.timeout,
                ..Plan::linked(target)
            };
            return (host, carries);
        }
        (
            host,
            Plan {
                target,
                via,
                ..plan
            },
        )
    }

    fn call(
        &mut self,
        host: HostIndex,
        plan: Plan,
    ) -> Option<tokio::task::JoinHandle<Result<u64, String>>> {
        let (boot, rate) = self.sim.running(host)?;
        self.sim.up(host)?;
        let what = (plan.target, plan.via.clone());
        let repeatable = plan.is_repeatable();
        let call = self.history.begin(boot, what, repeatable, plan.timeout);
        let history = self.history.clone();
        let made = self.sim.spawn(host, async move |up| {
            let begun = tokio::time::Instant::now();
            let outcome = plan.make(up, call, &history).await;
            let said = outcome.as_ref().map_err(ToString::to_string).copied();
            history.end(call, begun.elapsed().div_f64(rate), outcome);
            said
        });
        made.ok()
    }

    fn call_and_wait(
        &mut self,
        host: HostIndex,
        plan: Plan,
    ) -> Result<Result<u64, String>, Violation> {
        use futures_util::FutureExt as _;
        let Some(mut made) = self.call(host, plan) else {
            return Ok(Err("the host is not up".to_owned()));
        };
        while !made.is_finished() {
            self.step()?;
        }
        let done = (&mut made).now_or_never().and_then(Result::ok);
        Ok(done.unwrap_or_else(|| Err("the caller was lost".to_owned())))
    }
}
