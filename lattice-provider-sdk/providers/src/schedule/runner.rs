//! The task of one link: waits for each tick, takes it, and calls the actor.

use super::{
    Ticks,
    bindings::lattice::schedule::handler::{HandlerClient, Tick},
    plan::{Plan, is_in_time},
};
use crate::outgoing::OutgoingLink;
use lattice_core::{
    call::{CallError, Context, Ran},
    series::{Series, SeriesError, Taken},
};
use lattice_provider_sdk::{Caller, Instance, Refusal, WorkSpan};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::sleep;
use tracing::{Level, field::Empty};

/// The level of the spans of ticks.
const LEVEL: Level = Level::DEBUG;
/// The values of `error.type` for a handler that returns an error, whose text is its own, and for a
/// tick that was not begun.
const HANDLER: &str = "_OTHER";
const LATE: &str = "late";
/// How often the clock is read while a tick is waited for, because it may be set.
const LOOK: Duration = Duration::from_secs(5);
/// The pauses before the store is tried again, and before the actor is called again.
const AGAIN: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);
/// How much longer than to its next tick a series is remembered, so that a lattice that was away
/// for some days knows what it has missed.
const KEEP: Duration = Duration::from_hours(7 * 24);
/// How far ahead of the clock the last tick may be without a problem: clocks of hosts differ.
const AHEAD: u64 = 60_000;

/// A clock of the time of day.
#[derive(Clone)]
pub(super) struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    pub(super) fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Returns the milliseconds since 1970, or zero before that.
    fn now(&self) -> u64 {
        let since = (self.0)().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(SystemTime::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Runs until the link ends.
pub(super) async fn run(
    instance: Instance,
    clock: Clock,
    link: OutgoingLink,
    ticks: Ticks,
) -> Result<(), Refusal> {
    let plan = Plan::new(&ticks, &link.link.key().to_string())?;
    let name = link.link.name.as_str();
    let series = instance.lattice().series(instance.id().clone(), name)?;
    let mut runner = Runner {
        clock,
        handler: HandlerClient::new(link.caller.clone()),
        link,
        ticks,
        plan,
        series,
    };
    runner.run().await
}

struct Runner {
    clock: Clock,
    link: OutgoingLink,
    ticks: Ticks,
    plan: Plan,
    series: Series,
    handler: HandlerClient<Caller>,
}

impl Runner {
    async fn run(&mut self) -> Result<(), Refusal> {
        let first_seen = self.clock.now();
        let Some(last) = self.last().await else {
            return Ok(());
        };
        let mut passed = last.unwrap_or(first_seen);
        loop {
            self.check_clock(passed);
            let Some(next) = self.plan.after(passed) else {
                return Err(Refusal::new(
                    "the schedule has no further tick; change `cron` in the link's config",
                ));
            };
            let now = self.clock.now();
            let left = Duration::from_millis(self.plan.begin(next).saturating_sub(now));
            if !left.is_zero() {
                tokio::select! {
                    biased;
                    () = self.link.ending.cancelled() => return Ok(()),
                    () = sleep(left.min(LOOK)) => continue,
                }
            }
            let due = self.plan.latest(next, now);
            passed = self.tick(due).await.max(due);
        }
    }

    /// Returns the last tick that any replica has taken, once the store tells. Returns `None` when
    /// the link ends before that.
    async fn last(&mut self) -> Option<Option<u64>> {
        let mut pause = AGAIN;
        loop {
            match self.series.last().await {
                Ok(last) => {
                    self.link.problem.clear();
                    return Some(last);
                }
                Err(error) => self.link.problem.set(problem_of_store(&error)),
            }
            tokio::select! {
                () = self.link.ending.cancelled() => return None,
                () = sleep(pause) => pause = (pause * 2).min(LONGEST),
            }
        }
    }

    /// Takes a tick that has begun, and runs it if it is this replica's. Returns the last tick that
    /// was taken, as far as is known.
    async fn tick(&mut self, due: u64) -> u64 {
        let mut pause = AGAIN;
        loop {
            let now = self.clock.now();
            let is_replaced = self.plan.latest(due, now) > due;
            if is_replaced || !is_in_time(due, now, self.ticks.catch_up) {
                let (link, late) = (self.link.link.key(), now.saturating_sub(due));
                tracing::warn!(%link, due, late_ms = late, "a tick was missed");
                return due;
            }
            let next = self.plan.after(due).unwrap_or(due);
            let keep = Duration::from_millis(next.saturating_sub(now)) + KEEP;
            match self.series.take(due, keep).await {
                Ok(Taken::Here) => {
                    self.link.problem.clear();
                    let span = self.span(due);
                    if let Err(kind) = span.run(self.call(due, &span)).await {
                        span.failed(kind);
                    }
                    return due;
                }
                Ok(Taken::Passed { last }) => {
                    self.link.problem.clear();
                    return last;
                }
                Err(error) => self.link.problem.set(problem_of_store(&error)),
            }
            tokio::select! {
                () = self.link.ending.cancelled() => return due,
                () = sleep(pause) => pause = (pause * 2).min(LONGEST),
            }
        }
    }

    /// Begins the span of a tick that this replica has taken: a trace starts with it.
    fn span(&self, due: u64) -> WorkSpan {
        let link = &self.link.link;
        WorkSpan::start(Context::new(self.ticks.timeout.length()), || {
            tracing::span!(
                target: WorkSpan::TARGET,
                LEVEL,
                "tick",
                otel.name = format!("tick {}", link.name),
                otel.kind = "internal",
                otel.status_description = Empty,
                "error.type" = Empty,
                lattice.source = link.source.as_str(),
                lattice.target = link.target.as_str(),
                // Signed, as attributes of OpenTelemetry are: other numbers would become text.
                lattice.tick.due_ms = i64::try_from(due).unwrap_or(i64::MAX),
            )
        })
    }

    /// Calls the actor for a tick that this replica has taken, until it succeeds, may have run, has
    /// failed as often as allowed, or the next tick begins. Returns the kind of the last error.
    async fn call(&self, due: u64, span: &WorkSpan) -> Result<(), &'static str> {
        let next = self.plan.after(due).map(|next| self.plan.begin(next));
        let (mut attempt, mut pause) = (1, AGAIN);
        // With the calls that did not run, which are no attempts.
        let mut tries = 0;
        loop {
            let is_begun = attempt > 1;
            if !is_begun && !is_in_time(due, self.clock.now(), self.ticks.catch_up) {
                return self.failed(due, attempt, (LATE, "it could not begin in time"));
            }
            let tick = Tick {
                name: self.link.link.name.to_string(),
                due,
                attempt,
            };
            let mut context = Context::new(self.ticks.timeout.length());
            context.trace = span.context().trace;
            let called = self.handler.on_tick(&tick).with_context(context).await;
            let kind = called.as_ref().map_or_else(CallError::kind, |_| HANDLER);
            let reason = match called {
                Ok(Ok(())) => {
                    self.link.problem.clear();
                    return Ok(());
                }
                Ok(Err(reason)) => format!("the handler returned an error: {reason}"),
                Err(error) => {
                    let reason = error.to_string();
                    let is_over = match error.ran() {
                        Ran::No => !error.is_retryable(),
                        Ran::Maybe => true,
                        Ran::Yes => false,
                    };
                    if is_over {
                        return self.failed(due, attempt, (kind, &reason));
                    }
                    // A call that did not run is no attempt.
                    attempt -= u32::from(error.ran() == Ran::No);
                    reason
                }
            };
            let begins_next = self.clock.now() + pause.as_millis() as u64;
            let is_late = next.is_some_and(|next| begins_next >= next);
            if attempt >= self.ticks.attempts || is_late {
                return self.failed(due, attempt.max(1), (kind, &reason));
            }
            tries += 1;
            attempt += 1;
            tokio::select! {
                () = self.link.ending.cancelled() => {
                    return self.failed(due, attempt, (kind, &reason));
                }
                () = sleep(pause) => pause = (pause * 2).min(LONGEST),
            }
            span.retried(tries, kind);
        }
    }

    fn failed(
        &self,
        due: u64,
        attempts: u32,
        (kind, reason): (&'static str, &str),
    ) -> Result<(), &'static str> {
        let link = self.link.link.key();
        tracing::warn!(%link, due, attempts, reason, "a tick has failed");
        self.link
            .problem
            .set(format!("the last tick has failed: {reason}"));
        Err(kind)
    }

    /// Says so when the last tick lies ahead of this host's clock, because some clock was wrong.
    fn check_clock(&self, passed: u64) {
        let ahead = passed.saturating_sub(self.clock.now());
        if ahead > AHEAD {
            self.link.problem.set(format!(
                "the last tick was due {} min from now by this host's clock, and none runs before; \
                 check the clocks of the hosts, or put the link under another name",
                ahead / 60_000
            ));
        }
    }
}

fn problem_of_store(error: &SeriesError) -> String {
    let cause = std::error::Error::source(error);
    let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
    format!("no tick can be taken: {error}{cause}")
}
