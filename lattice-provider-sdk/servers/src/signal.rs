//! Signals to processes.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

/// Far more than it takes until a process has stopped, even on a busy machine.
const STOPS: Duration = Duration::from_secs(20);

/// Sends a signal, such as `TERM`, to a process. After `STOP`, returns when the process has
/// stopped: `kill` returns before the signal is delivered, and on a busy machine the process
/// continues to run for some time.
///
/// # Panics
/// If there is no such process, or it doesn't stop within 20 s.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .expect("the kill command");
    assert!(status.success(), "kill -{name}: {status}");
    let deadline = Instant::now() + STOPS;
    while name == "STOP" && !is_stopped(pid) {
        assert!(Instant::now() < deadline, "process {pid} doesn't stop");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether every thread of a process has stopped.
fn is_stopped(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        // Without `/proc`, only the state of the whole process is known.
        let state = Command::new("ps")
            .args(["-o", "stat=", "-p", &pid.to_string()])
            .output()
            .expect("the ps command");
        return state.stdout.trim_ascii_start().starts_with(b"T");
    };
    let mut threads = threads.filter_map(Result::ok);
    threads.all(|thread| {
        // `<id> (<name>) <state> …`. A thread that has ended meanwhile has no file.
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_none_or(|(_, rest)| rest.starts_with('T'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_stopped_when_the_signal_for_that_was_sent() {
        let busy = ["-c", "while :; do :; done"];
        let mut child = Command::new("sh").args(busy).spawn().expect("a shell");
        for _ in 0..20 {
            signal(child.id(), "STOP");
            assert!(is_stopped(child.id()));
            signal(child.id(), "CONT");
        }
        child.kill().expect("it runs");
        child.wait().expect("it has ended");
    }
}
