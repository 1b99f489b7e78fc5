//! Processes and the resources that they use, as reported by Linux.

use crate::Failure;
use std::{path::PathBuf, process::Command};

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

/// Returns the processes that this one has started and that run.
///
/// # Errors
/// Fails when the system isn't Linux.
pub fn children(pid: u32) -> Result<Vec<u32>, Failure> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        // Other names are not those of processes.
        let Ok(child) = entry?.file_name().to_string_lossy().parse() else {
            continue;
        };
        if status(child).is_some_and(|(runs, parent)| runs && parent == pid) {
            children.push(child);
        }
    }
    Ok(children)
}

/// Returns whether a process runs. One that has ended and that its parent hasn't waited for
/// doesn't.
pub fn runs(pid: u32) -> bool {
    status(pid).is_some_and(|(runs, _)| runs)
}

/// Sends a signal to a process, such as `STOP`.
///
/// # Errors
/// Fails when the process does not run.
pub fn signal(pid: u32, name: &str) -> Result<(), Failure> {
    let status = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("a process could not be sent SIG{name}").into())
    }
}

/// Returns whether a process runs, and which one has started it.
fn status(pid: u32) -> Option<(bool, u32)> {
    status_in(&std::fs::read_to_string(of(pid, "stat")).ok()?)
}

/// Returns the third and the fourth field. The second one, the program's name, is in brackets and
/// may contain anything.
fn status_in(stat: &str) -> Option<(bool, u32)> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    let state = fields.next()?;
    Some((!matches!(state, "Z" | "X"), fields.next()?.parse().ok()?))
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

    #[test]
    fn a_process_runs_until_it_ends_and_is_known_by_its_parent() {
        assert_eq!(status_in("7 (a) b) S 3 7 7"), Some((true, 3)));
        assert_eq!(status_in("7 (a) Z 3 7 7"), Some((false, 3)));
        assert_eq!(status_in("7 (a) Z"), None);
        let mut sleeper = Command::new("sleep").arg("1000").spawn().expect("started");
        let own = std::process::id();
        assert!(children(own).expect("readable").contains(&sleeper.id()));
        signal(sleeper.id(), "KILL").expect("it runs");
        sleeper.wait().expect("its end");
        assert!(!runs(sleeper.id()) && runs(own));
        assert!(!children(own).expect("readable").contains(&sleeper.id()));
        assert!(signal(sleeper.id(), "KILL").is_err());
    }
}
