//! What the processes of one provider have used, for reports.

use lattice_core::{serve::ProcessUsage, sync::Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// The processes of one provider so far: the one that serves, and those before it.
#[derive(Debug, Default)]
pub(super) struct Lives(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    starts: u32,
    serving: Option<Serving>,
    last_exit: Option<String>,
}

#[derive(Debug)]
struct Serving {
    process: Option<u32>,
    since: Instant,
}

impl Lives {
    /// A process is about to be started.
    pub(super) fn starts(&self) {
        let mut record = self.0.lock();
        record.starts = record.starts.saturating_add(1);
    }

    /// It serves.
    pub(super) fn serves(&self, process: Option<u32>) {
        let since = Instant::now();
        self.0.lock().serving = Some(Serving { process, since });
    }

    /// It has ended, or did not start.
    pub(super) fn ended(&self, reason: &str) {
        let mut record = self.0.lock();
        record.serving = None;
        record.last_exit = Some(reason.to_owned());
    }

    pub(super) fn usage(&self) -> ProcessUsage {
        let mut usage = ProcessUsage::default();
        let record = self.0.lock();
        usage.restarts = record.starts.saturating_sub(1);
        usage.last_exit.clone_from(&record.last_exit);
        if let Some(Serving { process, since }) = &record.serving {
            usage.uptime = Some(since.elapsed());
            usage.memory = process.and_then(memory);
            usage.cpu = process.and_then(cpu);
        }
        usage
    }
}

/// Returns the resident memory of a process in bytes.
fn memory(process: u32) -> Option<u64> {
    let status = file(process, "status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1_024)
}

/// Returns the CPU time of a process, in user mode and in the system.
fn cpu(process: u32) -> Option<Duration> {
    let stat = file(process, "stat")?;
    let ticks = cpu_ticks(&stat)?;
    let micros = ticks
        .checked_mul(1_000_000)?
        .checked_div(ticks_a_second())?;
    Some(Duration::from_micros(micros))
}

/// Returns the CPU time in a text like `7 (a name) S 1 …`. It has 13 numbers before it, and the
/// name may have spaces and brackets in it.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut numbers = rest.split_whitespace().skip(11);
    let user: u64 = numbers.next()?.parse().ok()?;
    let system: u64 = numbers.next()?.parse().ok()?;
    user.checked_add(system)
}

#[cfg(target_os = "linux")]
fn file(process: u32, name: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{process}/{name}")).ok()
}

/// Other systems have no such files.
#[cfg(not(target_os = "linux"))]
fn file(_: u32, _: &str) -> Option<String> {
    None
}

#[cfg(unix)]
fn ticks_a_second() -> u64 {
    rustix::param::clock_ticks_per_second()
}

#[cfg(not(unix))]
fn ticks_a_second() -> u64 {
    100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_after_a_name_with_brackets() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 250 40 0 0 20 0 1 0 5\n";
        assert_eq!(cpu_ticks(stat), Some(290));
        for other in ["", "7 (a", "7 (a) S 1", "7 (a) S 1 7 7 0 -1 4 1 0 0 0 x 40"] {
            assert_eq!(cpu_ticks(other), None, "{other}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn starts_after_the_first_one_are_restarts_and_the_last_end_is_kept() {
        let lives = Lives::default();
        lives.starts();
        lives.serves(None);
        assert_eq!(lives.usage().restarts, 0);
        tokio::time::sleep(Duration::from_secs(7)).await;
        let usage = lives.usage();
        assert_eq!(usage.uptime, Some(Duration::from_secs(7)));
        assert_eq!(
            (usage.memory, usage.cpu, usage.last_exit),
            (None, None, None)
        );
        lives.ended("it was killed");
        assert_eq!(lives.usage().uptime, None);
        lives.starts();
        lives.serves(None);
        let usage = lives.usage();
        assert_eq!(usage.restarts, 1);
        assert_eq!(usage.last_exit.as_deref(), Some("it was killed"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_cpu_time() {
        let process = std::process::id();
        assert!(memory(process).is_some_and(|bytes| bytes > 1 << 20));
        assert!(cpu(process).is_some());
        assert_eq!(memory(u32::MAX), None);
    }
}
