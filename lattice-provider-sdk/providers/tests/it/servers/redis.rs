//! A Redis server on a free port.

use super::free_port;
use std::{
    fs::{self, File},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a server may take to start, on a busy machine.
const START: Duration = Duration::from_secs(20);

/// A server, which ends with this value, and with the test process.
pub(crate) struct RedisServer {
    port: u16,
    options: Vec<String>,
    /// Before the folder, which can only be removed when nothing runs there.
    running: Option<Running>,
    folder: TempDir,
}

/// The shell that runs the server, until its standard input closes.
struct Running {
    shell: Child,
    input: Option<ChildStdin>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its end is what the shell waits for.
        self.input.take();
        // It is gone in any case.
        let _ = self.shell.wait();
    }
}

/// Runs a server, and kills it when its own standard input ends: with the test process.
const UNTIL_INPUT_ENDS: &str = r#"
"$@" </dev/null &
server=$!
echo $server > server.pid
while read -r _; do :; done
kill -CONT $server
kill -KILL $server
wait $server
"#;

impl RedisServer {
    /// Starts a server with more options. Returns none, and prints why, if it isn't installed.
    pub(crate) async fn start(options: &[&str]) -> Option<Self> {
        if Command::new("redis-server")
            .arg("--version")
            .output()
            .is_err()
        {
            println!("skipped: no redis-server on PATH (install redis-server)");
            return None;
        }
        let mut server = Self {
            folder: tempfile::tempdir().expect("a folder"),
            port: free_port(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            running: None,
        };
        server.restart().await;
        Some(server)
    }

    /// `redis://127.0.0.1:<port>/0`; the port stays the same over restarts.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Kills it. What it has is in its log of writes.
    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    /// Starts it again, with the same data.
    pub(crate) async fn restart(&mut self) {
        self.stop();
        let log = File::create(self.folder.path().join("log")).expect("a log");
        let mut shell = Command::new("sh")
            .args(["-c", UNTIL_INPUT_ENDS, "sh", "redis-server"])
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "yes", "--appendfsync", "no"])
            .args(&self.options)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("a shell");
        let input = shell.stdin.take();
        self.running = Some(Running { shell, input });
        let deadline = Instant::now() + START;
        while !self.log().contains("Ready to accept connections") {
            assert!(Instant::now() < deadline, "no server:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops the server's process (`STOP`) or continues it (`CONT`). It keeps its connections.
    pub(crate) fn signal(&self, name: &str) {
        let pid = fs::read_to_string(self.folder.path().join("server.pid")).expect("a process");
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(pid.trim())
            .status();
        assert!(status.expect("the kill command").success());
    }

    /// Sends a command to the server, beside the provider.
    pub(crate) fn run(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(command)
            .output()
            .expect("the client that comes with the server");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}
