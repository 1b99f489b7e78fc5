//! The process of a server.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

/// Runs a server, and ends it by a signal when its own standard input ends: with the process that
/// started it, whichever way that ends. A server that was stopped (`STOP`) is continued first.
const UNTIL_INPUT_ENDS: &str = r#"
signal=$1
pid=$2
shift 2
"$@" </dev/null &
server=$!
echo $server > "$pid"
while read -r _; do :; done
kill -CONT $server
kill -$signal $server
wait $server
"#;

/// The shell that runs a server.
pub(crate) struct Running {
    shell: Child,
    /// The server ends with it.
    input: Option<ChildStdin>,
}

impl Running {
    /// Starts the command line `server` in a shell, with its log and its process id in `folder`.
    /// `signal` is how it ends, such as `KILL`.
    pub(crate) fn start(
        mut shell: Command,
        signal: &str,
        folder: &Path,
        server: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> io::Result<Self> {
        let log = File::create(log_of(folder))?;
        let mut shell = shell
            .args(["-c", UNTIL_INPUT_ENDS, "sh", signal])
            .arg(pid_of(folder))
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

fn log_of(folder: &Path) -> PathBuf {
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
        let running = Running::start(Command::new("sh"), "KILL", folder.path(), server);
        let running = running.expect("a shell");
        let pid = begun(folder.path());
        assert!(runs(&pid));
        let stopped = Command::new("kill").args(["-STOP", &pid]).status();
        assert!(stopped.expect("the kill command").success());
        drop(running);
        assert!(!runs(&pid));
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
