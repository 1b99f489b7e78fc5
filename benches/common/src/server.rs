//! A private nats-server on a free port, with its own directory. Dropping it ends it.

use crate::{
    Failure,
    program::{Program, START},
};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::Command,
};

/// Interval between two checks whether the server has started.
const LOOK: Duration = Duration::from_millis(2);

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// The process.
    pub program: Program,
    /// Where it listens, such as `nats://127.0.0.1:4222`.
    pub url: String,
    directory: TempDir,
}

/// There is no server to run.
#[derive(Debug, thiserror::Error)]
#[error("`{}` can't be started; run it through make, which fetches a nats-server, or set NATS_SERVER to one", program.display())]
struct NoServer {
    program: PathBuf,
    source: std::io::Error,
}

impl Server {
    /// Starts a server and waits until it listens.
    ///
    /// # Errors
    /// Fails when there is no server, or it does not start.
    pub async fn start() -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let store = directory.path().join("jetstream");
        std::fs::write(
            config(directory.path()),
            format!("jetstream {{ store_dir: \"{}\" }}\n", store.display()),
        )?;
        // With -1, the server picks a free port and writes it to its ports file.
        let program = run(directory.path(), "-1")?;
        let url = listening(directory.path()).await?;
        Ok(Self {
            program,
            url,
            directory,
        })
    }

    /// Kills the server as `kill -9` does.
    ///
    /// # Errors
    /// Fails when the system refuses.
    pub async fn kill(&mut self) -> Result<(), Failure> {
        self.program.kill().await
    }

    /// Restarts the server at the same address with its stored data, and waits until it accepts
    /// connections.
    ///
    /// # Errors
    /// Fails when the server does not start.
    pub async fn restart(&mut self) -> Result<(), Failure> {
        let port = self.url.rsplit(':').next().unwrap_or_default();
        self.program = run(self.directory.path(), port)?;
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if self.connection().await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err("the nats-server did not start again in time".into())
    }

    /// Opens a connection and reads the server's greeting, but sends nothing. It is closed when the
    /// server's other connections are.
    ///
    /// # Errors
    /// Fails when the connection isn't accepted, or there is no greeting.
    pub async fn connection(&self) -> Result<TcpStream, Failure> {
        let address = self.url.trim_start_matches("nats://");
        let mut stream = TcpStream::connect(address).await?;
        let mut hello = String::new();
        BufReader::new(&mut stream).read_line(&mut hello).await?;
        if hello.starts_with("INFO ") {
            Ok(stream)
        } else {
            Err("the nats-server did not send its greeting".into())
        }
    }
}

fn config(directory: &Path) -> PathBuf {
    directory.join("nats.conf")
}

fn run(directory: &Path, port: &str) -> Result<Program, NoServer> {
    let binary = std::env::var_os("NATS_SERVER").unwrap_or_else(|| OsString::from("nats-server"));
    let mut command = Command::new(&binary);
    command
        .args(["--addr", "127.0.0.1", "--port", port, "--config"])
        .arg(config(directory));
    command.arg("--ports_file_dir").arg(directory);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Program::start(&mut command).map_err(|source| NoServer {
        program: PathBuf::from(&binary),
        source,
    })
}

async fn listening(directory: &Path) -> Result<String, Failure> {
    let deadline = Instant::now() + START;
    while Instant::now() < deadline {
        if let Some(url) = url_in(directory) {
            return Ok(url);
        }
        tokio::time::sleep(LOOK).await;
    }
    Err("the nats-server did not start in time".into())
}

/// Returns the address in the server's ports file, `{"nats":["nats://127.0.0.1:4222"], …}`, once
/// the file is complete.
fn url_in(directory: &Path) -> Option<String> {
    let mut files = std::fs::read_dir(directory)
        .ok()?
        .filter_map(|file| Some(file.ok()?.path()));
    let file = files.find(|file| {
        file.extension()
            .is_some_and(|extension| extension == "ports")
    })?;
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    Some(json["nats"][0].as_str()?.to_owned())
}
