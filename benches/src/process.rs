//! Resources that a process uses, as reported by Linux.

use crate::Failure;
use std::path::PathBuf;

/// Returns the resident memory in bytes.
///
/// # Errors
/// Fails when the process does not run, or the system isn't Linux.
pub fn resident(pid: u32) -> Result<u64, Failure> {
    let file = of(pid, "status");
    let status = std::fs::read_to_string(&file)
        .map_err(|error| format!("memory can't be read ({}: {error})", file.display()))?;
    let kib = kib_resident(&status).ok_or("the system does not report resident memory")?;
    Ok(kib << 10)
}

/// Returns the number of open file descriptors.
///
/// # Errors
/// Fails when the process does not run, or the system isn't Linux.
pub fn descriptors(pid: u32) -> Result<usize, Failure> {
    Ok(std::fs::read_dir(of(pid, "fd"))?.count())
}

/// Returns how many files this process and those that it starts may have open.
///
/// # Errors
/// Fails when the system isn't Linux.
pub fn most_descriptors() -> Result<usize, Failure> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let most = files_in(&limits).ok_or("the system does not report how many files may be open")?;
    Ok(most)
}

/// Returns whether every thread of the process has stopped. `SIGSTOP` takes effect a moment after
/// it is sent.
///
/// # Errors
/// Fails when the process does not run, or the system isn't Linux.
pub fn is_stopped(pid: u32) -> Result<bool, Failure> {
    for thread in std::fs::read_dir(of(pid, "task"))? {
        // `<id> (<name>) <state> …`. A thread that has ended meanwhile has no file.
        let stat = std::fs::read_to_string(thread?.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        if !state.is_empty() && !state.starts_with('T') {
            return Ok(false);
        }
    }
    Ok(true)
}

fn of(pid: u32, what: &str) -> PathBuf {
    format!("/proc/{pid}/{what}").into()
}

fn files_in(limits: &str) -> Option<usize> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(usize::MAX),
        number => number.parse().ok(),
    }
}

fn kib_resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_memory_and_has_files() {
        assert_eq!(kib_resident("Name:\tx\nVmRSS:\t    1234 kB\n"), Some(1_234));
        let limits = "Max processes 9 9 processes\nMax open files   1024   4096   files\n";
        assert_eq!(files_in(limits), Some(1_024));
        assert!(most_descriptors().expect("readable") > 2);
        let own = std::process::id();
        assert!(resident(own).expect("readable") > 1 << 20);
        assert!(descriptors(own).expect("readable") >= 3);
        assert!(resident(u32::MAX).is_err() && descriptors(u32::MAX).is_err());
    }
}
