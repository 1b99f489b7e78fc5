//! Schedules of faults. They follow from a seed, and can be printed, replayed and shortened.

use lattice_core::__private::Random;
use std::{fmt, time::Duration};

/// The position of a host in the order in which hosts were added: `HostIndex(0)` is host `h0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostIndex(pub usize);

/// Events, ordered by time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule(pub Vec<Event>);

/// One event of a [`Schedule`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it begins, counted from the start of the schedule.
    pub at: Duration,
    /// How long it lasts, where that applies. When two of a kind overlap on one host, or between
    /// all hosts, the end of the first ends both.
    pub lasts: Duration,
    /// The event itself.
    pub what: Trouble,
}

/// A fault or a change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// The process of the host ends at once, and the bus notices. It starts again afterwards.
    Kill(HostIndex),
    /// The machine of the host loses power: for ten seconds, messages to it are lost silently. It
    /// starts again afterwards.
    PowerCut(HostIndex),
    /// The host leaves in an orderly way, and starts again afterwards.
    Leave(HostIndex),
    /// The process of the host is stopped as by `SIGSTOP`. When it continues, its clock has jumped.
    Pause(HostIndex),
    /// These hosts and the others can't reach each other: messages between them are lost silently.
    /// The store is with the others.
    Partition(Vec<HostIndex>),
    /// The same, but each side of the bus notices that the other one is unreachable, as a cluster
    /// of servers does.
    Split(Vec<HostIndex>),
    /// The host loses its connection to the bus, and notices it.
    Unplug(HostIndex),
    /// This percentage of the messages between hosts is lost.
    Lose(u8),
    /// This percentage of the messages between hosts arrives twice.
    Double(u8),
    /// Messages between hosts take up to this many milliseconds longer. The order between two hosts
    /// stays.
    Delay(u16),
    /// Calls to the store fail at once.
    StoreAway,
    /// The store hangs: calls to it end after their timeout.
    StoreHangs,
    /// One host can't reach the store.
    StoreCut(HostIndex),
    /// One host receives the changes of the store only afterwards.
    StoreLags(HostIndex),
    /// This percentage of writes is done, but the reply is lost.
    StoreUnsure(u8),
    /// Something without the lattice's key removes the lease of the component that runs once.
    LeaseRemoved,
    /// The clock of the host runs faster or slower from now on, by this many millionths. Real
    /// clocks are off by 5,000 at most.
    Drift(HostIndex, i32),
    /// The time of day at the host is wrong by this many seconds, as if set by hand.
    TimeOfDay(HostIndex, i32),
    /// An edit with this number, of desired state or links, by the program that plays the schedule.
    /// [`Sim`](super::Sim) itself ignores it.
    Edit(u8),
}

impl Schedule {
    /// Returns the schedule of a seed, for this many hosts. Everything is over by the end of
    /// `span`.
    pub fn random(seed: u64, hosts: usize, span: Duration) -> Self {
        let mut random = Random::new(seed ^ 0x5eed_5c4e_d01e);
        let count = 3 + random.below(9);
        let mut events: Vec<Event> = (0..count)
            .map(|_| {
                let at = millis(random.below(span.as_millis() as u64 * 8 / 10));
                // Mostly short, sometimes long enough for hosts to be declared dead.
                let most = if random.chance(0.3) { 12_000 } else { 3_000 };
                let lasts = millis(200 + random.below(most)).min(span.saturating_sub(at));
                let what = Trouble::random(&mut random, hosts);
                Event { at, lasts, what }
            })
            .collect();
        events.sort_by_key(|event| event.at);
        Self(events)
    }

    /// Returns the schedule without `count` of its events, from `from` on.
    pub(super) fn without(&self, from: usize, count: usize) -> Self {
        let left = self.0.iter().enumerate();
        let left = left.filter(|(at, _)| !(from..from + count).contains(at));
        Self(left.map(|(_, event)| event.clone()).collect())
    }
}

impl Trouble {
    fn random(random: &mut Random, hosts: usize) -> Self {
        let host = HostIndex(random.below(hosts as u64) as usize);
        let percent = |random: &mut Random, most| 1 + random.below(most) as u8;
        match random.below(100) {
            0..12 => Self::Kill(host),
            12..18 => Self::PowerCut(host),
            18..23 => Self::Leave(host),
            23..33 => Self::Pause(host),
            33..45 => Self::Partition(side(random, hosts)),
            45..50 => Self::Split(side(random, hosts)),
            50..55 => Self::Unplug(host),
            55..61 => Self::Lose(percent(random, 30)),
            61..66 => Self::Double(percent(random, 50)),
            66..71 => Self::Delay(20 + random.below(400) as u16),
            71..75 => Self::StoreAway,
            75..78 => Self::StoreHangs,
            78..81 => Self::StoreCut(host),
            81..84 => Self::StoreLags(host),
            84..87 => Self::StoreUnsure(percent(random, 60)),
            87..89 => Self::Drift(host, random.below(10_001) as i32 - 5_000),
            89..91 => Self::TimeOfDay(host, random.below(2 * HOUR + 1) as i32 - HOUR as i32),
            91..93 => Self::LeaseRemoved,
            _ => Self::Edit(random.below(256) as u8),
        }
    }

    /// Returns the hosts that it affects.
    pub(super) fn hosts(&self) -> &[HostIndex] {
        match self {
            Self::Kill(host)
            | Self::PowerCut(host)
            | Self::Leave(host)
            | Self::Pause(host)
            | Self::Unplug(host)
            | Self::StoreCut(host)
            | Self::StoreLags(host)
            | Self::Drift(host, _)
            | Self::TimeOfDay(host, _) => std::slice::from_ref(host),
            Self::Partition(hosts) | Self::Split(hosts) => hosts,
            _ => &[],
        }
    }
}

/// In seconds.
const HOUR: u64 = 3_600;

/// Returns at least one host, and never all of them when there are two or more.
fn side(random: &mut Random, hosts: usize) -> Vec<HostIndex> {
    let hosts = hosts.max(1);
    let first = random.below(hosts as u64) as usize;
    let count = 1 + random.below((hosts as u64 / 2).max(1)) as usize;
    let mut side: Vec<HostIndex> = (0..count).map(|n| HostIndex((first + n) % hosts)).collect();
    side.sort_unstable();
    side
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl fmt::Display for HostIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h{}", self.0)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("  nothing goes wrong\n");
        }
        self.0.iter().try_for_each(|event| writeln!(f, "  {event}"))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, lasts, what } = self;
        write!(f, "{:>7.3} s  {what}", at.as_secs_f64())?;
        match what {
            Trouble::Drift(..) | Trouble::Edit(_) | Trouble::LeaseRemoved => Ok(()),
            _ => write!(f, ", for {:.3} s", lasts.as_secs_f64()),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |hosts: &[HostIndex]| {
            let names: Vec<String> = hosts.iter().map(HostIndex::to_string).collect();
            names.join(", ")
        };
        match self {
            Self::Kill(host) => write!(f, "{host} is killed"),
            Self::PowerCut(host) => write!(f, "{host} loses power"),
            Self::Leave(host) => write!(f, "{host} leaves"),
            Self::Pause(host) => write!(f, "{host} is paused"),
            Self::Partition(side) => write!(f, "{} cut off in silence", names(side)),
            Self::Split(side) => write!(f, "{} cut off, and the bus knows", names(side)),
            Self::Unplug(host) => write!(f, "{host} loses its connection to the bus"),
            Self::Lose(percent) => write!(f, "{percent} % of the messages lost"),
            Self::Double(percent) => write!(f, "{percent} % of the messages doubled"),
            Self::Delay(most) => write!(f, "messages up to {most} ms late"),
            Self::StoreAway => f.write_str("the store is unavailable"),
            Self::StoreHangs => f.write_str("the store hangs"),
            Self::StoreCut(host) => write!(f, "{host} can't reach the store"),
            Self::StoreLags(host) => write!(f, "{host} receives no changes from the store"),
            Self::StoreUnsure(percent) => write!(f, "{percent} % of the store's replies lost"),
            Self::LeaseRemoved => f.write_str("the lease is removed from the store"),
            Self::TimeOfDay(host, seconds) => {
                write!(f, "the time of day at {host} is off by {seconds} s")
            }
            Self::Drift(host, ppm) => write!(f, "the clock of {host} drifts by {ppm} ppm"),
            Self::Edit(number) => write!(f, "edit {number}"),
        }
    }
}
