//! A real nats-server for one test: on a free port, with a private directory, killed when dropped.

use lattice_test_servers::free_port;
pub(crate) use lattice_test_servers::signal;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Far more than a start takes, even on a busy machine.
const START: Duration = Duration::from_secs(20);

/// The configuration of a server. By default: core NATS, no login, no TLS.
#[derive(Default)]
pub(crate) struct NatsConfig {
    jetstream: bool,
    text: String,
    files: Vec<(String, String)>,
}

/// A running (or killed) server.
pub(crate) struct NatsServer {
    dir: TempDir,
    port: u16,
    child: Option<Child>,
    starts: u32,
}

impl NatsConfig {
    /// Turns `JetStream` on, with its store in the server's directory.
    pub(crate) fn jetstream(mut self) -> Self {
        self.jetstream = true;
        self
    }

    /// Adds lines to the configuration file. `$DIR` stands for the server's directory.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self.text.push('\n');
        self
    }

    /// Puts a file into the server's directory.
    pub(crate) fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    /// Starts the server and waits until it listens.
    pub(crate) async fn start(self) -> NatsServer {
        let dir = tempfile::tempdir().expect("a directory for the server");
        for (name, content) in &self.files {
            fs::write(dir.path().join(name), content).expect("a file for the server");
        }
        let mut config = self.text.replace("$DIR", &dir.path().display().to_string());
        if self.jetstream {
            let store = dir.path().join("jetstream").display().to_string();
            // Synchronous writes, so that confirmed writes survive a kill.
            writeln!(
                config,
                "jetstream {{ store_dir: {store:?}, sync_interval: always }}"
            )
            .expect("writes to a string");
        }
        fs::write(dir.path().join("nats.conf"), config).expect("the configuration");
        let mut server = NatsServer {
            dir,
            port: free_port().expect("a port"),
            child: None,
            starts: 0,
        };
        server.restart().await;
        server
    }
}

impl NatsServer {
    /// A server with the default configuration.
    pub(crate) async fn start() -> Self {
        NatsConfig::default().start().await
    }

    /// `nats://127.0.0.1:<port>`; the port stays the same over restarts.
    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// `127.0.0.1:<port>`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The server's directory, with the files that it was given.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Kills the server (SIGKILL). The port is refused when this returns.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kills the server");
            child.wait().expect("the server's end");
        }
    }

    /// Starts the server again, on the same port and with the same store; kills it first if it
    /// runs.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.starts += 1;
        let ports = self.path(&format!("ports-{}", self.starts));
        fs::create_dir(&ports).expect("a directory for the ports file");
        let log = fs::File::create(self.path("nats.log")).expect("a log");
        let port = self.port.to_string();
        let child = Command::new(binary())
            .args(["--addr", "127.0.0.1", "--port", &port, "--config"])
            .arg(self.path("nats.conf"))
            .arg("--ports_file_dir")
            .arg(&ports)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("no nats-server to test with ({error}): run `make test`, or set NATS_SERVER to its binary")
            });
        self.child = Some(child);
        self.listening(&ports).await;
    }

    /// Stops the server's process (`STOP`) or continues it (`CONT`). It keeps its connections.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.as_ref().expect("the server runs").id(), name);
    }

    /// Returns the server's log since its last start.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("nats.log")).unwrap_or_default()
    }

    async fn listening(&mut self, ports: &Path) {
        let deadline = Instant::now() + START;
        while port_in(ports) != Some(self.port) {
            let child = self.child.as_mut().expect("just started");
            let gone = child.try_wait().expect("the server's status");
            assert!(
                gone.is_none() && Instant::now() < deadline,
                "the server didn't start ({gone:?}):\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // The process may be gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The port in the server's ports file: `{"nats":["nats://127.0.0.1:4222"], …}`, once it is written
/// whole.
fn port_in(dir: &Path) -> Option<u16> {
    let file = fs::read_dir(dir).ok()?.next()?.ok()?.path();
    let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(file).ok()?).ok()?;
    let url = json["nats"][0].as_str()?;
    url.rsplit(':').next()?.parse().ok()
}

/// Returns an address at which nothing listens, for what a configuration has beside the server's
/// own port.
pub(crate) fn free_address() -> String {
    format!("127.0.0.1:{}", free_port().expect("a port"))
}

fn binary() -> PathBuf {
    std::env::var_os("NATS_SERVER").map_or_else(|| "nats-server".into(), PathBuf::from)
}

/// Uses everything here, since every test crate uses only a part.
const _: fn() = || {
    let _ = (NatsConfig::jetstream, NatsConfig::text, NatsConfig::file);
    let _ = (NatsServer::start, NatsServer::url, NatsServer::address);
    let _ = (NatsServer::path, NatsServer::log, NatsServer::signal);
    let _ = free_address;
};
