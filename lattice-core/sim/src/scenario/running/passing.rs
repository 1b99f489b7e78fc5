//! The resources and streams of a running scenario.

use super::{HOLDERS, LOOK, Running};
use crate::{
    errands::Errand,
    history::History,
    holdings::{Done, Holdings, Sight},
    invariant::{Invariant, Violation},
    passing::links,
    schedule::{HostIndex, Schedule, Trouble},
    work::{EVERYWHERE, FRONT, GREETER, LEDGER},
};
use lattice_core::{__private::Random, link::Link};
use std::time::Duration;

/// The time between two errands.
const ERRANDS: Duration = Duration::from_millis(300);
/// How long errands may go on after the last trouble.
const LAST: Duration = Duration::from_mins(2);
/// How long after the last one there may be handles: what may have arrived elsewhere is asked for
/// some seconds after it can't arrive any more, and twice.
const LEFT: Duration = Duration::from_mins(1);

/// What hosts do with resources and streams, and what is known of that.
pub(super) struct PassingRun {
    holdings: Holdings,
    random: Random,
    next: Duration,
    number: u64,
    /// When hosts leave in an orderly way, the last one first.
    leaves: Vec<(Duration, HostIndex)>,
}

impl PassingRun {
    pub(super) fn new(seed: u64, history: History) -> Self {
        Self {
            holdings: Holdings::new(history),
            random: Random::new(seed ^ 0xde5c),
            next: Duration::ZERO,
            number: 0,
            leaves: Vec::new(),
        }
    }

    pub(super) fn holdings(&self) -> Holdings {
        self.holdings.clone()
    }

    /// Returns the links of errands.
    pub(super) fn links() -> Vec<Link> {
        links(FRONT, &[GREETER, EVERYWHERE, LEDGER])
    }
}

impl Running {
    /// Notes when hosts leave.
    pub(super) fn note_leaves(&mut self, begun: Duration, schedule: &Schedule) {
        let Some(passing) = &mut self.passing else {
            return;
        };
        let leaves = schedule
            .0
            .iter()
            .rev()
            .filter_map(|event| match event.what {
                Trouble::Leave(host) => Some((begun + event.at, host)),
                _ => None,
            });
        passing.leaves = leaves.collect();
    }

    /// Begins the next errand on a random host, if it is due. It ends about that long from now.
    pub(super) fn begin_errand(&mut self, longest: Duration) {
        let now = self.sim.now();
        let hosts = self.sim.hosts().count() as u64;
        let Some(passing) = self.passing.as_mut().filter(|passing| now >= passing.next) else {
            return;
        };
        passing.next = now + ERRANDS;
        passing.number += 1;
        let host = HostIndex(passing.random.below(hosts) as usize);
        let errand = Errand::random(&mut passing.random, longest);
        let Some((boot, _)) = self.sim.running(host) else {
            return;
        };
        let (holdings, number) = (passing.holdings.clone(), passing.number);
        let under_way = holdings.begin();
        // It is not begun on a host that isn't up, and ends with its host.
        let _ = self.sim.spawn(host, async move |up| {
            errand.run(up, (boot, number), holdings, under_way).await;
        });
    }

    /// Checks who holds what.
    pub(super) fn look_at_holdings(&mut self) {
        let (sim, now) = (&self.sim, self.sim.now());
        let Some(passing) = &mut self.passing else {
            return;
        };
        while let Some((_, host)) = passing.leaves.pop_if(|(at, _)| *at <= now) {
            if let Some((boot, _)) = sim.running(host) {
                passing.holdings.leaves(boot);
            }
        }
        let mut sight = Sight::default();
        for host in sim.hosts() {
            if let Some((boot, _)) = sim.running(host) {
                sight.running.insert(boot);
                if let Some(up) = sim.up(host) {
                    passing.holdings.joined(up.node.origin(), boot);
                }
            }
            if sim.is_paused(host) {
                sight.paused.insert(host);
            }
            let reached = sim.hosts().filter(|to| sim.network.is_open(host, *to));
            sight.open.extend(reached.map(|to| (host, to)));
        }
        passing.holdings.look(&sight, HOLDERS);
    }

    /// Checks that errands end, and that nothing is left of them then.
    pub(super) fn check_holdings(&mut self) -> Result<(), Violation> {
        if self.passing.is_none() {
            return Ok(());
        }
        self.wait_for(LAST, Invariant::EndsIdle, |running| {
            let under_way = running.passing.as_ref()?.holdings.under_way();
            (under_way > 0).then(|| format!("{under_way} errands are under way"))
        })?;
        self.wait_for(LEFT, Invariant::EndsLeases, Self::left)
    }

    /// Returns what is left of handles, if anything.
    fn left(&mut self) -> Option<String> {
        let left = self.passing.as_ref()?.holdings.left();
        let recorded = |running: &mut Self| {
            running.sim.hosts().find_map(|host| {
                let counts = running.sim.look(host, |up| up.node.handles())?;
                let (given, held) = counts;
                (counts != (0, 0)).then(|| {
                    format!("{host} records {given} handles that it gave and {held} that it holds")
                })
            })
        };
        left.or_else(|| recorded(self))
    }

    /// Advances time, with all checks, until nothing is left.
    fn wait_for(
        &mut self,
        within: Duration,
        invariant: Invariant,
        mut left: impl FnMut(&mut Self) -> Option<String>,
    ) -> Result<(), Violation> {
        let until = self.sim.now() + within;
        loop {
            let Some(what) = left(self) else {
                return Ok(());
            };
            if self.sim.now() >= until {
                let what = format!("{within:?} later, {what}");
                return Err(self.violation(invariant, what));
            }
            let look = self.sim.now() + LOOK;
            while self.sim.now() < look {
                self.step()?;
            }
        }
    }

    /// Returns what was done with resources and streams.
    pub(super) fn has_passed(&self) -> Done {
        let passing = self.passing.as_ref();
        passing
            .map(|passing| passing.holdings.done())
            .unwrap_or_default()
    }
}
