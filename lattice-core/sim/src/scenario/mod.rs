//! Random trouble, random calls, and checks of every invariant.

mod running;

use crate::{bug::InjectedBug, invariant::Violation, schedule::Schedule, shrink::shortest};
use running::Running;
use std::{fmt, time::Duration};

/// How long a failing schedule is shortened.
const SHRINK: Duration = Duration::from_secs(60);

/// A lattice of several hosts that run an actor with two replicas, an actor on every host, and a
/// provider that runs once. Components and operators call them from everywhere while the events of
/// a schedule happen, a few times with arguments that don't fit a message. The messages of each
/// host may take 32 MiB. In the end everything has to recover.
///
/// ```
/// use lattice_sim::Scenario;
///
/// let summary = Scenario::new(3).run(7)?;
/// assert_eq!(summary.double_holders, 0);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scenario {
    hosts: usize,
    trouble: Duration,
    bug: Option<InjectedBug>,
    passes: bool,
}

/// The result of a run in which every invariant held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Calls made.
    pub calls: usize,
    /// Calls that returned a value.
    pub answered: usize,
    /// How often components ran.
    pub runs: usize,
    /// Moments, 50 ms apart, at which every host was checked for whether it would serve calls as
    /// the holder of the lease.
    pub moments: usize,
    /// Moments at which more than one host would have served calls.
    pub double_holders: usize,
    /// How long after the last trouble everything had recovered.
    pub settled_after: Duration,
    /// Resources that components have opened, when they [pass](Scenario::passing) any.
    pub resources: usize,
    /// Calls that have used one.
    pub uses: usize,
    /// Streams that have ended cleanly.
    pub streams: usize,
}

/// A violated invariant, and how to reproduce it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error(
    "seed {seed}: {violation}\nthe shortest schedule found for it:\n{schedule}run it again with LATTICE_SIM_SEED={seed}"
)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The violation.
    pub violation: Violation,
    /// The shortest schedule found that still fails.
    pub schedule: Schedule,
}

impl Scenario {
    /// Creates a scenario with this many hosts, and 25 s of trouble.
    pub fn new(hosts: usize) -> Self {
        Self {
            hosts: hosts.max(1),
            trouble: Duration::from_secs(25),
            bug: None,
            passes: false,
        }
    }

    /// Has hosts pass resources and streams, too: they open resources of components, use, keep,
    /// give and drop them, and send streams through components, of which some break.
    pub fn passing(mut self) -> Self {
        self.passes = true;
        self
    }

    /// Sets how long there is trouble.
    pub fn trouble(mut self, time: Duration) -> Self {
        self.trouble = time;
        self
    }

    /// Injects a bug.
    pub fn inject(mut self, bug: InjectedBug) -> Self {
        self.bug = Some(bug);
        self
    }

    /// Returns the schedule of a seed.
    pub fn schedule(&self, seed: u64) -> Schedule {
        Schedule::random(seed, self.hosts, self.trouble)
    }

    /// Runs one seed. A failure comes with the shortest schedule that was found within a minute.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(&self, seed: u64) -> Result<Summary, Box<Failure>> {
        let schedule = self.schedule(seed);
        let violation = match self.replay(seed, &schedule) {
            Ok(summary) => return Ok(summary),
            Err(violation) => violation,
        };
        let fails = |schedule: &Schedule| {
            let found = self.replay(seed, schedule).err()?;
            (found.invariant == violation.invariant).then_some(found)
        };
        let (schedule, violation) =
            shortest(&schedule, SHRINK, fails).unwrap_or((schedule, violation));
        Err(Box::new(Failure {
            seed,
            violation,
            schedule,
        }))
    }

    /// Runs one seed with a given schedule.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn replay(&self, seed: u64, schedule: &Schedule) -> Result<Summary, Violation> {
        Running::new(self, seed).run(schedule)
    }

    /// Replays one seed and returns a line for each event: calls, where they ran, how they ended,
    /// who held the lease. Lines of the same moment are sorted.
    pub fn trace(&self, seed: u64, schedule: &Schedule) -> Vec<String> {
        let mut running = Running::new(self, seed);
        // The violation is in the trace.
        if let Err(violation) = running.run(schedule) {
            running.history.note(violation);
        }
        let mut trace = running.history.trace();
        trace.sort();
        trace
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} calls returned a value; settled after {:.2} s; {} double holders in {} moments",
            self.answered,
            self.calls,
            self.settled_after.as_secs_f64(),
            self.double_holders,
            self.moments
        )
    }
}
