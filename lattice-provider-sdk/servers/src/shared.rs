//! Servers that several processes share, such as those of tests. The first one starts it, and it
//! ends five seconds after the last.
//!
//! ```text
//! lock      held by who starts or ends the server
//! in-use    held, together with others, by each process that uses it
//! port      where it listens
//! data      what it has
//! data/runs held by the server for as long as its process runs
//! log       what it has logged
//! ```

use crate::{
    failure::NoServer,
    running::{self, KEPT},
};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a server may take to start, on a busy machine.
const START: Duration = Duration::from_secs(60);
/// Interval between two looks whether it has started.
const LOOK: Duration = Duration::from_millis(20);
/// What it takes to share a server.
const PROGRAMS: [&str; 2] = ["setsid", "flock"];

/// What a server holds while it runs, in its folder.
const RUNS: &str = "data/runs";

/// Runs a server until nothing has used it for five seconds, and kills all that it has started. The
/// lock that it holds isn't one of the processes that it starts, and ends with its own.
const WHILE_IN_USE: &str = r#"
setsid flock -o data/runs "$@" &
server=$!
while kill -0 $server; do
    idle=0
    while [ $idle -lt 5 ] && kill -0 $server; do
        sleep 1
        if flock -n -x in-use true; then idle=$((idle + 1)); else idle=0; fi
    done
    exec 9>lock
    flock 9
    if flock -n -x in-use true; then
        rm -f port
        kill -KILL -$server
        exit
    fi
    exec 9>&-
done
"#;

/// A use of a server that others use, too. It ends with this value, or with the process.
pub(crate) struct Shared {
    port: u16,
    _in_use: File,
}

impl Shared {
    /// Returns the server with this name. If there is none, `command` gets a command that runs what
    /// is added to it, and an empty folder for the server's data. It adds the server's command line
    /// and variables, and returns the port at which the server will listen.
    pub(crate) async fn server(
        name: &'static str,
        command: impl FnOnce(&mut Command, &Path) -> io::Result<u16> + Send + 'static,
    ) -> Result<Self, NoServer> {
        running::require(name, &PROGRAMS)?;
        let folder = Path::new(KEPT).join(name);
        let its = folder.clone();
        // It waits for locks.
        let found = tokio::task::spawn_blocking(move || find(&its, command));
        let found = found.await.map_err(io::Error::other).flatten();
        let started = found.map_err(|source| NoServer::Unprepared {
            server: name,
            source,
        })?;
        started.ok_or_else(|| NoServer::NotStarted {
            server: name,
            log: running::log(&folder),
        })
    }

    /// Returns where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// Returns none if a server doesn't start in time.
fn find(
    folder: &Path,
    command: impl FnOnce(&mut Command, &Path) -> io::Result<u16>,
) -> io::Result<Option<Shared>> {
    fs::create_dir_all(folder)?;
    let folder = &folder.canonicalize()?;
    let lock = file(folder.join("lock"))?;
    lock.lock()?;
    let in_use = file(folder.join("in-use"))?;
    in_use.lock_shared()?;
    let known = folder.join("port");
    let port = fs::read_to_string(&known).unwrap_or_default().parse();
    if let Some(port) = port.ok().filter(|port| is_there(folder, *port)) {
        return Ok(Some(Shared {
            port,
            _in_use: in_use,
        }));
    }
    let port = start(folder, command)?;
    let deadline = Instant::now() + START;
    while !is_there(folder, port) {
        if Instant::now() > deadline {
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
    fs::write(known, port.to_string())?;
    Ok(Some(Shared {
        port,
        _in_use: in_use,
    }))
}

/// Returns whether the server in a folder runs and takes connections. One that has crashed leaves
/// its port behind, at which something else may listen.
fn is_there(folder: &Path, port: u16) -> bool {
    let held = File::open(folder.join(RUNS)).and_then(|runs| match runs.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    });
    held.unwrap_or(false) && running::is_listening(port)
}

fn file(path: PathBuf) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

/// Starts a server, which goes on beside this process, and returns its port.
fn start(
    folder: &Path,
    command: impl FnOnce(&mut Command, &Path) -> io::Result<u16>,
) -> io::Result<u16> {
    let data = folder.join("data");
    // What an earlier one has left, which may still be ending.
    let _ = fs::remove_dir_all(&data);
    fs::create_dir_all(&data)?;
    let mut janitor = Command::new("setsid");
    janitor.args(["--fork", "sh", "-c", WHILE_IN_USE, "sh"]);
    let port = command(&mut janitor, &data)?;
    let log = File::create(running::log_of(folder))?;
    janitor
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let begun = janitor.status()?;
    if begun.success() {
        Ok(port)
    } else {
        Err(io::Error::other(format!("`setsid` ended with {begun}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_port_of_a_server_that_has_crashed_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        // Something else has taken it since.
        let other = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = other.local_addr().expect("an address").port();
        fs::create_dir(folder.join("data")).expect("made");
        fs::write(folder.join("port"), port.to_string()).expect("written");
        let found = || find(folder, |_, _| Err(io::Error::other("a new one")));
        for has_lock in [false, true] {
            if has_lock {
                drop(file(folder.join(RUNS)).expect("the lock"));
            }
            let started = found().err().expect("it isn't used");
            assert_eq!(started.to_string(), "a new one");
        }
        let runs = file(folder.join(RUNS)).expect("the lock");
        runs.lock().expect("locked");
        let shared = found().expect("it runs").expect("it is there");
        assert_eq!(shared.port(), port);
    }

    #[test]
    fn a_server_holds_its_lock_until_it_ends() {
        if let Err(missing) = running::require("the server of this test", &PROGRAMS) {
            println!("skipped: {missing}");
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        // It stands for the port of the server.
        let other = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = other.local_addr().expect("an address").port();
        let shared = find(folder, |command, _| {
            // What it starts outlives it.
            command.args(["sh", "-c", "sleep 30 & read -r _ < end", "sh"]);
            let made = Command::new("mkfifo").arg(folder.join("end")).status()?;
            assert!(made.success());
            Ok(port)
        });
        let _shared = shared.expect("it is started").expect("in time");
        assert!(is_there(folder, port));
        fs::write(folder.join("end"), "\n").expect("it reads");
        let deadline = Instant::now() + START;
        while is_there(folder, port) {
            assert!(Instant::now() < deadline, "the lock is still held");
            thread::sleep(LOOK);
        }
    }
}
