//! A nats-server of this run's own: on a free port, with a private directory, gone when dropped.

use crate::program::{Program, START};
use lattice_benches::Failure;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::process::Command;

/// It runs.
pub(crate) struct Server {
    pub(crate) program: Program,
    pub(crate) url: String,
    _directory: TempDir,
}

/// There is none to run.
#[derive(Debug, thiserror::Error)]
#[error("`{}` can't be started; run `make bench`, which fetches a nats-server, or set NATS_SERVER to one", program.display())]
struct NoServer {
    program: PathBuf,
    source: std::io::Error,
}

impl Server {
    pub(crate) async fn start() -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let config = directory.path().join("nats.conf");
        let store = directory.path().join("jetstream");
        std::fs::write(
            &config,
            format!("jetstream {{ store_dir: \"{}\" }}\n", store.display()),
        )?;
        let binary =
            std::env::var_os("NATS_SERVER").unwrap_or_else(|| OsString::from("nats-server"));
        let mut command = Command::new(&binary);
        // -1: the server picks a free port, and says which in its ports file.
        command
            .args(["--addr", "127.0.0.1", "--port", "-1", "--config"])
            .arg(&config);
        command.arg("--ports_file_dir").arg(directory.path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let program = Program::start(&mut command).map_err(|source| NoServer {
            program: PathBuf::from(&binary),
            source,
        })?;
        let url = listening(directory.path()).await?;
        Ok(Self {
            program,
            url,
            _directory: directory,
        })
    }
}

async fn listening(directory: &Path) -> Result<String, Failure> {
    let deadline = Instant::now() + START;
    while Instant::now() < deadline {
        if let Some(url) = url_in(directory) {
            return Ok(url);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err("the nats-server did not start in time".into())
}

/// The address in the server's ports file, `{"nats":["nats://127.0.0.1:4222"], …}`, once it is written whole.
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
