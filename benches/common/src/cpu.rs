//! CPU time of processes.

use crate::Failure;
use std::time::Duration;

/// The kernel reports times to programs in hundredths of a second on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// Processes whose CPU time is added up.
#[derive(Debug, Clone)]
pub struct Processes(Vec<u32>);

impl Processes {
    /// This process.
    pub fn own() -> Self {
        Self(vec![std::process::id()])
    }

    /// Another process.
    pub fn of(pid: u32) -> Self {
        Self(vec![pid])
    }

    /// Adds a process.
    pub fn and(mut self, pid: u32) -> Self {
        self.0.push(pid);
        self
    }

    /// Returns the CPU time used since the processes started, in user and system mode.
    ///
    /// # Errors
    /// Fails when a process has ended, or the system isn't Linux.
    pub fn used(&self) -> Result<Duration, Failure> {
        self.0.iter().map(|pid| used_by(*pid)).sum()
    }
}

fn used_by(pid: u32) -> Result<Duration, Failure> {
    let file = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&file).map_err(|error| {
        format!(
            "CPU time can't be read, which needs Linux and a process that lives ({file}: {error})"
        )
    })?;
    let ticks = ticks_in(&stat).ok_or_else(|| format!("{file} is not as expected: {stat}"))?;
    Ok(TICK * ticks)
}

/// Returns the sum of fields 14 and 15, which are the times. The second field, the program's name,
/// is in brackets and may contain anything.
fn ticks_in(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_times_are_fields_14_and_15_for_any_process_name() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(ticks_in(stat), Some(300));
        assert_eq!(ticks_in("7 (short) R 1 7"), None);
    }

    #[test]
    fn a_missing_process_is_an_error() {
        assert!(Processes::own().used().is_ok());
        assert!(Processes::own().and(u32::MAX).used().is_err());
    }
}
