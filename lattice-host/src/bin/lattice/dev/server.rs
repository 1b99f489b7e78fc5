//! A server of NATS for a lattice with programs: they run in processes of their own, which join it.

use super::{child::Group, tool::ToolError};
use lattice_core::auth::LatticeKey;
use serde::Deserialize;
use std::{
    env, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

/// How long the server may take to listen.
const START: Duration = Duration::from_secs(20);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(10);

/// A server on a port of this machine that the system chose. It ends when this is dropped, and its
/// files are removed.
#[derive(Debug)]
pub(super) struct Server {
    /// Where it listens.
    pub(super) url: String,
    /// The key of the lattice on it.
    pub(super) key: LatticeKey,
    /// The file with the key, which only its owner can read.
    pub(super) key_file: PathBuf,
    // The process ends before its files are removed.
    _process: Group,
    _folder: TempDir,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum ServerError {
    /// It isn't installed, or can't be started.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// Its files can't be written.
    #[error("the files of `nats-server` can't be written; free some space for temporary files")]
    Io(#[from] io::Error),
    /// It has ended at once, or doesn't listen.
    #[error("`nats-server` does not start: {0}")]
    Silent(String),
}

/// The file into which the server writes where it listens.
#[derive(Debug, Deserialize)]
struct Ports {
    nats: Vec<String>,
}

impl Server {
    /// Starts a server.
    ///
    /// # Errors
    /// Fails with a [`ServerError`].
    pub(super) async fn start() -> Result<Self, ServerError> {
        let folder = tempfile::Builder::new().prefix("lattice-dev-").tempdir()?;
        let key = LatticeKey::generate();
        let key_file = folder.path().join("key");
        write_secret(&key_file, &key.expose_hex())?;
        let log = folder.path().join("nats.log");
        let program = env::var_os("NATS_SERVER").unwrap_or_else(|| "nats-server".into());
        let mut server = Command::new(program);
        server
            // -1: it chooses a free port, and writes it to its ports file.
            .args(["--jetstream", "--addr", "127.0.0.1", "--port", "-1"])
            .arg("--store_dir")
            .arg(folder.path().join("store"))
            .arg("--ports_file_dir")
            .arg(folder.path())
            .arg("--log")
            .arg(&log);
        let started = Group::start(&mut server);
        let mut process = started
            .map_err(|error| ToolError::start("nats-server", error, ToolError::NoNatsServer))?;
        let listens = timeout(START, listens(folder.path(), &mut process)).await;
        let Ok(Some(url)) = listens else {
            let log = fs::read_to_string(&log).unwrap_or_default();
            let last = log.lines().last().unwrap_or("it says nothing");
            return Err(ServerError::Silent(last.to_owned()));
        };
        Ok(Self {
            url,
            key,
            key_file,
            _process: process,
            _folder: folder,
        })
    }
}

/// Waits until the server listens. Returns `None` if it has ended.
async fn listens(folder: &Path, process: &mut Group) -> Option<String> {
    loop {
        let files = folder.read_dir().into_iter().flatten().flatten();
        let mut paths = files.map(|file| file.path());
        let ports = paths.find(|path| path.extension().is_some_and(|ending| ending == "ports"));
        // The file may be half written.
        let ports = ports.and_then(|path| fs::read(path).ok());
        let ports = ports.and_then(|text| serde_json::from_slice::<Ports>(&text).ok());
        if let Some(url) = ports.and_then(|ports| ports.nats.into_iter().next()) {
            return Some(url);
        }
        if !matches!(process.ended(), Ok(None)) {
            return None;
        }
        sleep(LOOK).await;
    }
}

/// Writes a file that only its owner can read.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())
}
