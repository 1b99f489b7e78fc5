//! Random trouble, random calls, and every invariant checked.

mod running;

use crate::{check::Violation, schedule::Schedule, shrink::shortest};
use running::Running;
use std::{fmt, time::Duration};

/// How long a failing schedule is made shorter.
const SHRINK: Duration = Duration::from_secs(60);

/// A lattice of some hosts that run an actor with two replicas, one on every host, and a provider that runs once; calls from
/// everywhere through links and by operators; whatever the seed has in store; and then peace, in which all has to come right.
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
}

/// Something that is broken on purpose, to see that it is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InjectedBug {
    /// The clock of host `h0` goes at half speed: its calls end late. Breaks [`Invariant::EndsInTime`](crate::Invariant::EndsInTime).
    SlowClock,
    /// Components run calls, and say that they did not. Breaks [`Invariant::SaysWhetherItRan`](crate::Invariant::SaysWhetherItRan).
    DeniesThatItRan,
    /// Components run each call twice. Breaks [`Invariant::RunsOnce`](crate::Invariant::RunsOnce).
    RunsTwice,
    /// Somebody with the key makes a link that nobody asked for. Breaks [`Invariant::Granted`](crate::Invariant::Granted).
    LinksStrangers,
    /// The store grants each lease to everybody. Breaks [`Invariant::OneHolder`](crate::Invariant::OneHolder).
    GrantsAllLeases,
    /// The store loses a record. Breaks [`Invariant::KeepsDesired`](crate::Invariant::KeepsDesired).
    LosesRecords,
    /// An actor that should run on every host does not come up on `h0`. Breaks [`Invariant::Settles`](crate::Invariant::Settles).
    NeverComesUp,
    /// A call without a deadline to speak of is never answered. Breaks [`Invariant::EndsIdle`](crate::Invariant::EndsIdle).
    NeverAnswers,
}

/// What happened in a run in which every invariant held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Calls made.
    pub calls: usize,
    /// Those that were answered with a value.
    pub answered: usize,
    /// How often components ran.
    pub runs: usize,
    /// Moments, 50 ms apart, at which it was looked who would answer as the holder of the lease.
    pub moments: usize,
    /// Those at which more than one host would have.
    pub double_holders: usize,
    /// How long after the end of all trouble everything was as it should be.
    pub settled_after: Duration,
}

/// An invariant that did not hold, and how to see it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error(
    "seed {seed}: {violation}\nthe shortest schedule found for it:\n{schedule}run it again with LATTICE_SIM_SEED={seed}"
)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What went wrong.
    pub violation: Violation,
    /// When which trouble began: of all that the seed has in store, what it takes.
    pub schedule: Schedule,
}

impl Scenario {
    /// So many hosts, and trouble for 25 s.
    pub fn new(hosts: usize) -> Self {
        Self {
            hosts: hosts.max(1),
            trouble: Duration::from_secs(25),
            bug: None,
        }
    }

    /// Trouble for so long.
    pub fn trouble(mut self, time: Duration) -> Self {
        self.trouble = time;
        self
    }

    /// Something is broken on purpose.
    pub fn inject(mut self, bug: InjectedBug) -> Self {
        self.bug = Some(bug);
        self
    }

    /// What a seed has in store.
    pub fn schedule(&self, seed: u64) -> Schedule {
        Schedule::random(seed, self.hosts, self.trouble)
    }

    /// Runs one seed. A failure comes with the shortest schedule that was found in a minute.
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

    /// Runs one seed with a schedule of your own.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn replay(&self, seed: u64, schedule: &Schedule) -> Result<Summary, Violation> {
        Running::new(self, seed).run(schedule)
    }

    /// Replays one seed, and answers line by line what happened in it: calls, where they ran, how they ended, who held the lease.
    /// Lines of one moment are in the order of their text.
    pub fn trace(&self, seed: u64, schedule: &Schedule) -> Vec<String> {
        let mut running = Running::new(self, seed);
        // What is wrong is in the trace.
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
            "{} of {} calls answered; settled after {:.2} s; {} double holders in {} moments",
            self.answered,
            self.calls,
            self.settled_after.as_secs_f64(),
            self.double_holders,
            self.moments
        )
    }
}
