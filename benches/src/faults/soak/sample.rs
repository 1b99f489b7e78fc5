//! Resources that the surviving processes use, and whether their use grows.

use crate::faults::host::TASKS;
use crate::{
    Failure, process,
    program::{Program, START},
};
use std::fmt;

/// Resources of one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Taken {
    resident: u64,
    descriptors: u64,
    tasks: u64,
}

/// Resources of both processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sample {
    caller: Taken,
    host: Taken,
}

impl Sample {
    pub(super) async fn take(caller: &mut Program, host: &mut Program) -> Result<Self, Failure> {
        Ok(Self {
            caller: Taken::by(caller).await?,
            host: Taken::by(host).await?,
        })
    }
}

impl Taken {
    async fn by(program: &mut Program) -> Result<Self, Failure> {
        let pid = program.id()?;
        Ok(Self {
            resident: process::resident(pid)?,
            descriptors: process::descriptors(pid)? as u64,
            tasks: program.ask(TASKS, START).await?.parse()?,
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { caller, host } = self;
        write!(f, "caller {caller}; host {host}")
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} MiB, {} descriptors, {} tasks",
            mib(self.resident),
            self.descriptors,
            self.tasks
        )
    }
}

/// The growth of one figure of one process: its median in the second third of the time, and in the
/// last.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grown {
    what: &'static str,
    unit: &'static str,
    middle: f64,
    last: f64,
    /// The growth that is allowed for, caused by the allocator, calls in flight and a reconnection.
    bar: f64,
}

impl Grown {
    /// Returns every figure.
    pub(super) fn table(samples: &[Sample]) -> Vec<Self> {
        let third = samples.len() / 3;
        let (middle, last) = (&samples[third..2 * third], &samples[2 * third..]);
        let grown = |what, unit, bar: f64, share: f64, of: fn(&Sample) -> f64| {
            let middle = median(middle.iter().map(of));
            Self {
                what,
                unit,
                middle,
                last: median(last.iter().map(of)),
                bar: bar.max(middle * share),
            }
        };
        let memory = 0.05;
        vec![
            grown("caller: memory", "MiB", 2.0, memory, |s| {
                mib(s.caller.resident)
            }),
            grown("caller: descriptors", "", 2.0, 0.0, |s| {
                s.caller.descriptors as f64
            }),
            grown("caller: tasks", "", 10.0, 0.1, |s| s.caller.tasks as f64),
            grown("host: memory", "MiB", 2.0, memory, |s| mib(s.host.resident)),
            grown("host: descriptors", "", 2.0, 0.0, |s| {
                s.host.descriptors as f64
            }),
            grown("host: tasks", "", 10.0, 0.1, |s| s.host.tasks as f64),
        ]
    }

    pub(super) fn is_flat(&self) -> bool {
        self.last - self.middle <= self.bar
    }
}

impl fmt::Display for Grown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "| {:19} | {:>8.1} | {:>8.1} | {:>+7.1} | ≤ {:>+5.1} | {:3} | {} |",
            self.what,
            self.middle,
            self.last,
            self.last - self.middle,
            self.bar,
            self.unit,
            if self.is_flat() { "flat" } else { "GROWS" }
        )
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(resident: impl Fn(u64) -> u64) -> Vec<Sample> {
        let sample = |second| {
            let caller = Taken {
                resident: resident(second) << 20,
                descriptors: 9,
                tasks: 40,
            };
            Sample {
                caller,
                host: caller,
            }
        };
        (0..90).map(sample).collect()
    }

    #[test]
    fn a_leak_is_detected_and_a_warm_up_is_not() {
        let warm_up = samples(|second| 10 + second.min(20));
        assert!(Grown::table(&warm_up).iter().all(Grown::is_flat));
        let leak = Grown::table(&samples(|second| 10 + second / 5));
        let grows: Vec<_> = leak.iter().filter(|grown| !grown.is_flat()).collect();
        assert_eq!(grows.len(), 2, "{leak:?}");
        assert!(
            grows[0].to_string().contains("caller: memory")
                && grows[0].to_string().contains("GROWS")
        );
    }

    #[test]
    fn no_samples_are_not_flat() {
        assert!(Grown::table(&[]).iter().all(|grown| !grown.is_flat()));
    }
}
