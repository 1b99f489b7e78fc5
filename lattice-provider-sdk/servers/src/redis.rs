//! A Redis server on a free port.

use crate::{
    failure::NoServer,
    running::{self, End, Running},
    signal::signal,
};
use std::{
    env,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const NAME: &str = "Redis";
/// Variable with the program, if it isn't one of [`PROGRAMS`].
const VARIABLE: &str = "REDIS_SERVER";
/// Programs that speak the protocol, on the `PATH`.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];
/// How long a server may take to start, on a busy machine.
const START: Duration = Duration::from_secs(20);
/// Interval between two looks whether it has started.
const LOOK: Duration = Duration::from_millis(5);

/// A server, which ends with this value, and with the process that has started it.
pub struct RedisServer {
    program: PathBuf,
    port: u16,
    options: Vec<String>,
    /// Before the folder, which can only be removed when nothing runs there.
    running: Option<Running>,
    folder: TempDir,
}

impl RedisServer {
    /// Starts a server with more options than it has by default: an empty database, and a log of
    /// its writes, which isn't flushed to the disk.
    ///
    /// # Errors
    /// Fails when this machine has no server, or it doesn't start within 20 s.
    pub async fn start(options: &[&str]) -> Result<Self, NoServer> {
        let program = program().ok_or(NoServer::NotInstalled {
            server: NAME,
            package: "redis-server",
        })?;
        let mut server = Self {
            folder: tempfile::tempdir().map_err(unprepared)?,
            port: running::free_port().map_err(unprepared)?,
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            running: None,
            program,
        };
        server.run_it().await?;
        Ok(server)
    }

    /// Returns `redis://127.0.0.1:<port>/0`. The port stays the same over restarts.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Kills it. What it has is in its log of writes.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Starts it again, with the same data.
    ///
    /// # Panics
    /// If it doesn't start.
    pub async fn restart(&mut self) {
        if let Err(failed) = self.run_it().await {
            panic!("{failed:?}");
        }
    }

    /// Stops the server's process (`STOP`) or continues it (`CONT`). It keeps its connections. When
    /// this returns, the process has stopped.
    ///
    /// # Panics
    /// If it doesn't run.
    pub fn signal(&self, name: &str) {
        let pid = running::pid(self.folder.path()).expect("its process");
        signal(pid.parse().expect("a number"), name);
    }

    /// Sends a command to the server by its own client, and returns what that prints.
    ///
    /// # Panics
    /// If the client can't be run.
    pub fn run(&self, command: &[&str]) -> String {
        let output = Command::new(client_of(&self.program))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(command)
            .output()
            .expect("the client that comes with the server");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    async fn run_it(&mut self) -> Result<(), NoServer> {
        self.stop();
        let folder = self.folder.path();
        let mut shell = Command::new("sh");
        shell.current_dir(folder);
        let port = self.port.to_string();
        let own = [
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "no",
        ];
        let server = [self.program.as_os_str()].into_iter();
        let server = server.chain(own.map(OsStr::new));
        let server = server.chain(self.options.iter().map(OsStr::new));
        let running = Running::start(shell, End::Signal("KILL"), folder, server);
        self.running = Some(running.map_err(unprepared)?);
        let deadline = Instant::now() + START;
        while !running::log(folder).contains("Ready to accept connections") {
            if Instant::now() > deadline {
                return Err(NoServer::NotStarted {
                    server: NAME,
                    log: running::log(folder),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

fn unprepared(source: io::Error) -> NoServer {
    NoServer::Unprepared {
        server: NAME,
        source,
    }
}

/// Returns the program of the server, if there is one.
fn program() -> Option<PathBuf> {
    if let Some(program) = env::var_os(VARIABLE).filter(|program| !program.is_empty()) {
        let found = Command::new(&program).arg("--version").output();
        return found.is_ok().then(|| program.into());
    }
    let found = |name| running::folder_with(running::search_path(), &[name]);
    PROGRAMS
        .iter()
        .find_map(|name| Some(found(*name)?.join(name)))
}

/// Returns the client that comes with a server: `redis-cli` with `redis-server`.
fn client_of(program: &Path) -> PathBuf {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    program.with_file_name(name.replace("-server", "-cli"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_beside_its_server() {
        for (server, client) in [
            ("/usr/bin/redis-server", "/usr/bin/redis-cli"),
            (
                "/opt/redis-server-7/valkey-server",
                "/opt/redis-server-7/valkey-cli",
            ),
            ("redis-server", "redis-cli"),
        ] {
            assert_eq!(client_of(Path::new(server)), Path::new(client));
        }
    }
}
