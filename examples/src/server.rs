//! A NATS server: the one that `NATS_URL` names, or one that the example starts and ends.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Far longer than a start takes, also on a busy machine.
const START: Duration = Duration::from_secs(20);
/// Where `.ci/nats-server.sh` puts a server.
const FETCHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/nats-server");

/// A running server. One that the example started is killed when this is dropped.
#[derive(Debug)]
pub struct NatsServer {
    url: String,
    _own: Option<(Child, TempDir)>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoServer {
    /// No server was named, and none was found.
    #[error(
        "no nats-server could be started as `{}`; set NATS_SERVER to the program (`NATS_SERVER=$(sh .ci/nats-server.sh)` fetches one), or NATS_URL to a running server with JetStream",
        program.display()
    )]
    NotFound {
        /// The attempted program.
        program: PathBuf,
        /// Why it did not start.
        source: io::Error,
    },
    /// The server ended, or did not report its port in time.
    #[error("the nats-server did not start: {log}")]
    NotUp {
        /// The end of what it logged.
        log: String,
    },
    /// Its folder could not be created.
    #[error("there is no room for a nats-server's files")]
    Files(#[from] io::Error),
}

impl NatsServer {
    /// Returns the server at `NATS_URL`. Without it, starts the program `NATS_SERVER`, or the one
    /// that `make test` fetched, or the one on the `PATH`, on a free port.
    ///
    /// # Errors
    /// Fails with [`NoServer`] when there is no server, or it does not start.
    pub async fn find_or_start() -> Result<Self, NoServer> {
        match env::var("NATS_URL") {
            Ok(url) => Ok(Self { url, _own: None }),
            Err(_) => Self::start(program()).await,
        }
    }

    /// Returns the URL, `nats://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    async fn start(program: PathBuf) -> Result<Self, NoServer> {
        let folder = tempfile::tempdir()?;
        let (log, ports) = (folder.path().join("log"), folder.path().join("ports"));
        fs::create_dir(&ports)?;
        let mut child = Command::new(&program)
            // With port -1, the server picks a free port and writes it to a file.
            .args(["--addr", "127.0.0.1", "--port", "-1", "--jetstream"])
            .arg("--store_dir")
            .arg(folder.path())
            .arg("--ports_file_dir")
            .arg(&ports)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| NoServer::NotFound { program, source })?;
        let deadline = Instant::now() + START;
        loop {
            if let Some(url) = said_in(&ports) {
                return Ok(Self {
                    url,
                    _own: Some((child, folder)),
                });
            }
            if child.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(NoServer::NotUp {
                    log: fs::read_to_string(&log).unwrap_or_default(),
                });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn program() -> PathBuf {
    if let Some(named) = env::var_os("NATS_SERVER").filter(|named| !named.is_empty()) {
        return named.into();
    }
    let fetched = Path::new(FETCHED);
    if fetched.exists() {
        fetched.to_owned()
    } else {
        OsString::from("nats-server").into()
    }
}

/// Returns the first URL in the ports file, `{"nats":["nats://127.0.0.1:4222"], …}`, once the file
/// exists.
fn said_in(ports: &Path) -> Option<String> {
    let file = fs::read_dir(ports).ok()?.next()?.ok()?.path();
    let text = fs::read_to_string(file).ok()?;
    if !text.trim_end().ends_with('}') {
        return None;
    }
    let mut parts = text.split('"');
    parts
        .find(|part| part.starts_with("nats://"))
        .map(str::to_owned)
}
