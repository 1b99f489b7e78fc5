//! The process of a server.

use crate::failure::NoServer;
use std::{
    ffi::OsStr,
    fs::{self, File},
    hash::{BuildHasher as _, RandomState},
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
};

/// Where there is what outlives a server.
pub(crate) const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/servers");
/// Runs a server, and ends it by a signal when its own standard input ends: with the process that
/// started it, whichever way that ends. A server that was stopped (`STOP`) is continued first. The
/// signal is sent to the server, or, with `-` before its process id, to its group. With `all`, what
/// is left of its session after that is killed, too, until none of it runs.
const UNTIL_INPUT_ENDS: &str = r#"
signal=$1
group=$2
session=$3
pid=$4
shift 4
"$@" </dev/null &
server=$!
echo $server > "$pid"
while read -r _; do :; done
kill -CONT $group$server
kill -$signal $group$server
wait $server
rounds=100
while [ "$session" = all ] && [ $rounds -gt 0 ]; do
    left=
    for stat in /proc/[0-9]*/stat; do
        read -r line < "$stat" || continue
        process=${stat#/proc/}
        set -- ${line##*) }
        if [ "$4" = $server ] && [ "$1" != Z ]; then
            left="$left ${process%/stat}"
        fi
    done 2>/dev/null
    [ -n "$left" ] || break
    kill -KILL $left
    rounds=$((rounds - 1))
    sleep 0.02
done
"#;

/// How a server ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// By a signal to its process, such as `QUIT`.
    Signal(&'static str),
    /// With all processes that it has started and that are in its group, which are killed.
    WithItsGroup,
    /// With all processes that it has started, also those that have left its group, which are
    /// killed. On systems without `/proc`, the same as [`WithItsGroup`](Self::WithItsGroup).
    WithItsSession,
}

/// The shell that runs a server.
pub(crate) struct Running {
    shell: Child,
    /// The server ends with it.
    input: Option<ChildStdin>,
}

impl Running {
    /// Starts the command line `server` in a shell, with its log and its process id in `folder`.
    pub(crate) fn start(
        mut shell: Command,
        end: End,
        folder: &Path,
        server: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> io::Result<Self> {
        let log = File::create(log_of(folder))?;
        let (signal, group, session) = match end {
            End::Signal(signal) => (signal, "", ""),
            End::WithItsGroup => ("KILL", "-", ""),
            End::WithItsSession => ("KILL", "-", "all"),
        };
        let own_group = (!group.is_empty()).then_some("setsid");
        let mut shell = shell
            .args(["-c", UNTIL_INPUT_ENDS, "sh", signal, group, session])
            .arg(pid_of(folder))
            .args(own_group)
            .args(server)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let input = shell.stdin.take();
        Ok(Self { shell, input })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its end is what the shell waits for.
        drop(self.input.take());
        // It is gone in any case.
        let _ = self.shell.wait();
    }
}

/// Returns what the server in this folder has logged since it was started.
pub(crate) fn log(folder: &Path) -> String {
    fs::read_to_string(log_of(folder)).unwrap_or_default()
}

/// Returns the process id of the server in this folder.
pub(crate) fn pid(folder: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(pid_of(folder))?.trim().to_owned())
}

pub(crate) fn log_of(folder: &Path) -> PathBuf {
    folder.join("log")
}

fn pid_of(folder: &Path) -> PathBuf {
    folder.join("server.pid")
}

/// Returns the first of these folders in which there are all of these programs.
pub(crate) fn folder_with(
    folders: impl IntoIterator<Item = PathBuf>,
    names: &[&str],
) -> Option<PathBuf> {
    let has_all = |folder: &PathBuf| names.iter().all(|name| folder.join(name).is_file());
    folders.into_iter().find(has_all)
}

/// Returns the folders of the `PATH`.
pub(crate) fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}

/// Fails if one of the programs that are needed to run a server isn't on the `PATH`.
pub(crate) fn require(server: &'static str, programs: &[&'static str]) -> Result<(), NoServer> {
    let is_there = |name: &str| folder_with(search_path(), &[name]).is_some();
    match programs.iter().find(|name| !is_there(name)) {
        Some(&program) => Err(NoServer::NoProgram { server, program }),
        None => Ok(()),
    }
}

/// The ports from which [`free_port`] picks one. Systems give connections and listeners without a
/// port of their own higher ones: from 32,768 on, or from 49,152 on.
const PORTS: Range<u16> = 10_000..32_000;

/// Returns a port of this machine at which nothing listens, and another one each time. No
/// connection gets it by chance, until a server listens at it or while that is restarted.
///
/// # Errors
/// Fails if no port was found.
pub fn free_port() -> io::Result<u16> {
    const ATTEMPTS: u16 = 100;
    // Each process starts somewhere else.
    static NEXT: LazyLock<AtomicU16> =
        LazyLock::new(|| AtomicU16::new(RandomState::new().hash_one(()) as u16));
    let mut last = Ok(0);
    for _ in 0..ATTEMPTS {
        let port = PORTS.start + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS.len() as u16;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = Err(error),
        }
    }
    last
}

/// Returns whether a server takes connections at a port.
pub(crate) fn is_listening(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn runs(pid: &str) -> bool {
        let sent = Command::new("kill").args(["-0", pid]).output();
        sent.is_ok_and(|sent| sent.status.success())
    }

    /// Returns the process id of a server that has begun.
    fn begun(folder: &Path) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let pid = pid(folder).unwrap_or_default();
            if log(folder).trim() == "begun" && !pid.is_empty() {
                return pid;
            }
            assert!(Instant::now() < deadline, "it did not begin");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn a_server_ends_with_its_value_even_if_it_was_stopped() {
        let folder = tempfile::tempdir().expect("a folder");
        let server = ["sh", "-c", "echo begun; exec sleep 1000"];
        let end = End::Signal("KILL");
        let running = Running::start(Command::new("sh"), end, folder.path(), server);
        let running = running.expect("a shell");
        let pid = begun(folder.path());
        assert!(runs(&pid));
        let stopped = Command::new("kill").args(["-STOP", &pid]).status();
        assert!(stopped.expect("the kill command").success());
        drop(running);
        assert!(!runs(&pid));
    }

    #[test]
    fn a_server_ends_with_all_that_it_has_started() {
        if let Err(missing) = require("the server of this test", &["setsid", "flock"]) {
            println!("skipped: {missing}");
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("locked");
        // A process that has ended has no locks, even if nothing has taken note of its end.
        let child = r#"flock "$1" sh -c "echo begun; exec sleep 1000" & wait"#;
        let server = ["sh", "-c", child, "sh"].map(OsStr::new);
        let server = server.into_iter().chain([path.as_os_str()]);
        let end = End::WithItsGroup;
        let running = Running::start(Command::new("sh"), end, folder.path(), server);
        let running = running.expect("a shell");
        begun(folder.path());
        let locked = File::open(&path).expect("the file");
        assert!(locked.try_lock().is_err(), "it isn't held");
        drop(running);
        let deadline = Instant::now() + Duration::from_secs(20);
        while locked.try_lock().is_err() {
            assert!(Instant::now() < deadline, "it is still held");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn a_server_ends_with_what_has_left_its_group() {
        let needed = ["setsid", "flock", "bash"];
        if let Err(missing) = require("the server of this test", &needed) {
            println!("skipped: {missing}");
            return;
        }
        if !Path::new("/proc/self/stat").exists() {
            println!("skipped: this system has no /proc");
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("locked");
        // With job control, bash starts it in a group of its own. The name of its program has a
        // space and a bracket.
        let odd = folder.path().join("a) b");
        std::os::unix::fs::symlink("/bin/sh", &odd).expect("a link");
        let child = r#"set -m; flock "$1" "$2" -c "echo begun; sleep 1000; :" & wait"#;
        let server = ["bash", "-c", child, "bash"].map(OsStr::new);
        let server = server
            .into_iter()
            .chain([path.as_os_str(), odd.as_os_str()]);
        let running = Running::start(
            Command::new("sh"),
            End::WithItsSession,
            folder.path(),
            server,
        );
        let running = running.expect("a shell");
        begun(folder.path());
        let locked = File::open(&path).expect("the file");
        assert!(locked.try_lock().is_err(), "it isn't held");
        drop(running);
        locked.try_lock().expect("nothing holds it");
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        require("a server", &["sh"]).expect("it is on every PATH");
        let missing = require("a server", &["sh", "no-such-program"]);
        let missing = missing.expect_err("there is none").to_string();
        assert!(missing.contains("`no-such-program`"), "{missing}");
    }

    #[test]
    fn a_folder_needs_all_programs() {
        let folder = tempfile::tempdir().expect("a folder");
        let [some, all] = ["some", "all"].map(|name| folder.path().join(name));
        for (folder, name) in [(&some, "a"), (&all, "a"), (&all, "b")] {
            fs::create_dir_all(folder).expect("a folder");
            fs::write(folder.join(name), "").expect("a file");
        }
        let found = folder_with([some.clone(), all.clone()], &["a", "b"]);
        assert_eq!(found, Some(all));
        assert_eq!(folder_with([some], &["a", "b"]), None);
    }
}
